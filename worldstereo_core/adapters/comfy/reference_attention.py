"""An attention override for joined sequences in which the clip sees chosen reference tokens only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...checks import WorldStereoError
from ...model.backbone import TokenGrid
from ...model.condition import ControlCondition
from ...model.reference_attention import ReferenceAccess, best_way, reference_access

AttentionOverride = Callable[..., Tensor]
PATCH = 2  # latent rows and columns of one token


def limit_references(condition: ControlCondition, radius: int) -> ControlCondition:
    """The condition with the reference tokens chosen that each clip token sees.

    Args:
        radius: tokens around the same surface; -1 leaves the condition as it is.

    Raises: WorldStereoError if the condition has references but nobody looked for shared surfaces.
    """
    if radius < 0 or condition.reference_latents is None:
        return condition
    if condition.shared_surfaces is None:
        raise WorldStereoError(
            f"reference_radius: got {radius}, but the condition does not say which tokens show the same "
            "surface. Wire the memory into Encode Control, or set reference_radius to -1 (off)."
        )
    frames, height, width = condition.render_latents.shape[2:]
    grid = TokenGrid(frames, height // PATCH, width // PATCH)
    return replace(condition, reference_access=reference_access(condition.shared_surfaces, grid, radius))


def restricted_attention(
    previous: AttentionOverride | None, access: ReferenceAccess, bias: float = 0.0
) -> AttentionOverride:
    """Restrict what main queries see of the references; everything else goes the way it went.

    Main queries are computed by torch, since other kernels take no masks; other nodes' overrides see the
    reference queries and every other attention.

    Args:
        previous: the override that was set before, or None.
        access: on the computing device.
        bias: added to the logits of reference keys as main queries see them.
    """
    length = access.num_main + access.num_reference

    def run(
        function: AttentionOverride, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        call = function if previous is None else partial(previous, function)
        if query.ndim != 3 or not query.shape[1] == key.shape[1] == length:
            return call(query, key, value, *args, **kwargs)
        heads = args[0] if args else kwargs["heads"]
        main = _main_attention(query[:, : access.num_main], key, value, heads, access, bias)
        reference = call(query[:, access.num_main :], key, value, *args, **kwargs)
        return torch.cat([main, reference], dim=1)

    return run


# Traced, the loop over tiles would be unrolled into one huge graph.
@torch.compiler.disable
def _main_attention(
    query: Tensor, key: Tensor, value: Tensor, heads: int, access: ReferenceAccess, bias: float
) -> Tensor:
    query, key, value = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in (query, key, value))
    return best_way(query.device)(query, key, value, access, bias).transpose(1, 2).flatten(2)
