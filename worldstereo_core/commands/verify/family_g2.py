"""g2: control branches in Uni3C's layout, whose mask runs at video rate."""

from __future__ import annotations

import torch
from torch import Tensor

from .family_g1 import run_branch
from .golden import Golden
from .networks import build_control, control_checkpoint


def compute(golden: Golden, adapter: str) -> dict[str, Tensor]:
    """Embeddings and residuals of every case."""
    latents = torch.cat([golden.input("control_latent20"), golden.input("render_latent")], dim=1)
    computed: dict[str, Tensor] = {}
    for case, facts in golden.cases.items():
        settings = {key: value for key, value in facts.items() if key != "keys"}
        branch = build_control(control_checkpoint(golden, case, **settings)).controlnet
        results = run_branch(
            branch,
            latents,
            golden.input("mask").float(),
            golden.input("camera") if branch.sizes.takes_rays else None,
            golden.input("temb"),
        )
        computed |= {f"{case}.{name}": tensor for name, tensor in results.items()}
    return computed
