"""Builds the networks a golden names: weights in load order, settings from the manifest, float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...model.checkpoint import WorldStereoCheckpoint, checkpoint_from_tensors
from ...model.condition import ControlCondition
from ...model.weight_files import read_weights
from ...model.world_control import WorldStereoControl
from .golden import Golden

if TYPE_CHECKING:
    from ...adapters.diffusers.backbone import WanBackbone


def read_merged(paths: list[Path]) -> dict[str, Tensor]:
    """Tensors of several files under their own names; later files override."""
    tensors: dict[str, Tensor] = {}
    for path in paths:
        tensors.update(read_weights(path)[0])
    return tensors


def is_control_file(path: Path) -> bool:
    """Whether a weight file holds a control branch, told by its keys."""
    return any("controlnet" in key for key in read_weights(path)[0])


def is_vae_file(path: Path) -> bool:
    """Whether a weight file holds a VAE, told by its keys."""
    return any(key.startswith(("encoder.", "decoder.")) for key in read_weights(path)[0])


def split_weights(golden: Golden, case: str | None = None) -> tuple[list[Path], list[Path]]:
    """Files of the base backbone, and the WorldStereo file with everything that overrides it."""
    paths = [path for path in golden.weights(case) if not is_vae_file(path)]
    first = next((number for number, path in enumerate(paths) if is_control_file(path)), len(paths))
    return paths[:first], paths[first:]


def build_control(checkpoint: WorldStereoCheckpoint) -> WorldStereoControl:
    """The trained parts in float32, ready to run."""
    control = WorldStereoControl(checkpoint.config, dtype=torch.float32)
    control.load_state_dict(dict(checkpoint.control_state), strict=True)
    return control.eval()


def control_checkpoint(golden: Golden, case: str | None = None, **settings: Any) -> WorldStereoCheckpoint:
    """The golden's WorldStereo file, with the additions of a case and the case's own settings."""
    config = golden.config()
    if "controlnet_cfg" in config:
        config = {**config, "controlnet_cfg": {**config["controlnet_cfg"], **settings}}
    else:
        config = {**config, **settings}
    overrides = {"reference_update": golden.manifest.get("update_ref")}
    if has_references(golden) and "dmd_steps" not in config:
        # The golden knows better than the file's camera embedding, which a memory model may lack.
        overrides["variant"] = "memory"
    return checkpoint_from_tensors(
        read_merged(split_weights(golden, case)[1]),
        config,
        settings_source="the manifest",
        overrides=overrides,
        source=golden.name,
    )


class Recorder:
    """Collects intermediate results under golden names."""

    def __init__(self, rename: Callable[[str], str | None] = lambda name: f"dbg.{name}"):
        self.tensors: dict[str, Tensor] = {}
        self.rename = rename

    def __call__(self, name: str, tensor: Tensor) -> None:
        key = self.rename(name)
        if key is not None:
            self.tensors[key] = tensor.detach().clone()


def interleaved(table: Tensor) -> Tensor:
    """One value per channel pair -> one per channel, as the goldens store a rope."""
    return table.repeat_interleave(2, dim=-1)


def backbone_tensors(golden: Golden) -> dict[str, Tensor]:
    """The base backbone's tensors, before the WorldStereo file's own."""
    return read_merged(split_weights(golden)[0])


def build_backbone(golden: Golden, tensors: Mapping[str, Tensor]) -> WanBackbone:
    """A diffusers backbone in float32."""
    from ...adapters.diffusers.backbone import WanBackbone
    from ...adapters.diffusers.transformer import load_wan_transformer

    num_heads = golden.config().get("dit", {}).get("num_attention_heads")
    return WanBackbone(load_wan_transformer(tensors, num_heads=num_heads, dtype=torch.float32))


def text_tokens(golden: Golden, name: str, batch: int) -> Tensor:
    """[batch, 512, 4096] text tokens, padded."""
    from ...adapters.diffusers.backbone import pad_text

    return to_batch(pad_text(golden.input(name)), batch)


def to_batch(tensor: Tensor, batch: int) -> Tensor:
    """Repeat a batch of 1 to ``batch``."""
    return tensor if tensor.shape[0] == batch else tensor.expand(batch, *tensor.shape[1:])


def has_references(golden: Golden) -> bool:
    """Whether a whole-model golden belongs to a memory model, whatever its configuration calls it."""
    is_reference_pipeline = "Ref" in golden.manifest.get("what", "")
    return golden.family == 4 or "reference_latent" in golden.names or is_reference_pipeline


def camera_tokens(golden: Golden) -> dict[str, Tensor]:
    """The camera tokens that a memory golden was made with; either part may have been left out."""
    uses = golden.manifest.get("use_camera_qt", True)
    wanted = {
        "camera_tokens": ("camera_qt", uses),
        "reference_camera_tokens": ("camera_qt_ref", golden.manifest.get("use_camera_qt_ref", uses)),
    }
    return {
        field: golden.input(name) for field, (name, used) in wanted.items() if used and golden.has_input(name)
    }


def golden_condition(
    golden: Golden, control: WorldStereoControl, render_latents: Tensor, **references: Any
) -> ControlCondition:
    """The condition of a whole-model golden: mask and rays as given, other parts as passed."""
    rays = golden.input("camera_embedding") if control.config.control.takes_rays else None
    return ControlCondition(render_latents, golden.input("render_mask").float(), rays, **references)
