"""Stereo memory: reference tokens that share self-attention with the clip's tokens.

References are laid out as if glued to the right of the target frame that asked for them: reference j stands
at time position ``reference_index[j] + 1``, its columns counted on from the frame's width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..checks import ShapeError
from .backbone import Backbone, TokenGrid


def camera_embedding(
    token_width: int, width: int, operations: Any = nn, device: Any = None, dtype: Any = None
) -> nn.Sequential:
    """MLP from a camera token (quaternion wxyz, translation) to an addend for every token of its frame."""
    factory = {"device": device, "dtype": dtype}
    return nn.Sequential(
        operations.Linear(token_width, width // 2, **factory),
        nn.SiLU(),
        operations.Linear(width // 2, width, **factory),
        nn.SiLU(),
        operations.Linear(width, width, **factory),
    )


def add_per_frame(tokens: Tensor, addend: Tensor) -> Tensor:
    """Add [B, frames, D] to every token of its frame: [B, frames * tokens_per_frame, D]."""
    return (tokens.unflatten(1, (addend.shape[1], -1)) + addend.unsqueeze(2).to(tokens.dtype)).flatten(1, 2)


def reference_model_input(reference_latents: Tensor) -> Tensor:
    """[b, 16, V, h, w] clean latents -> [b, 36, V, h, w]: latent, a mask of ones ("known"), latent again."""
    batch, _, views, height, width = reference_latents.shape
    known = reference_latents.new_ones(batch, 4, views, height, width)
    return torch.cat([reference_latents, known, reference_latents], dim=1)


def reference_token_indices(reference_index: Tensor, grid: TokenGrid) -> Tensor:
    """Places of the reference tokens in the sequence of a grid twice as wide.

    Args:
        reference_index: [V] int64 in 0..frames-2.
        grid: the clip's own token grid.

    Returns:
        [V * rows * columns] int64 into a (frames, rows, 2 * columns) grid's token axis.
    """
    device = reference_index.device
    frame = (reference_index + 1).view(-1, 1, 1)
    row = torch.arange(grid.rows, device=device).view(1, -1, 1)
    column = torch.arange(grid.columns, device=device).view(1, 1, -1) + grid.columns
    return ((frame * grid.rows + row) * (2 * grid.columns) + column).flatten()


def reference_rope(
    backbone: Backbone, grid: TokenGrid, reference_index: Tensor
) -> Tensor | tuple[Tensor, ...]:
    """The backbone's own rope at the references' positions; token axis 1."""
    wide = backbone.embed_positions(TokenGrid(grid.frames, grid.rows, 2 * grid.columns))
    places = reference_token_indices(reference_index, grid)
    if isinstance(wide, tuple):
        return tuple(part.index_select(1, places.to(part.device)) for part in wide)
    return wide.index_select(1, places.to(wide.device))


def join_ropes(
    main: Tensor | tuple[Tensor, ...], reference: Tensor | tuple[Tensor, ...]
) -> Tensor | tuple[Tensor, ...]:
    """Append the references' rope to the clip's on the token axis."""
    if isinstance(main, Tensor) and isinstance(reference, Tensor):
        return torch.cat([main, _like_batch(reference, main)], dim=1)
    return tuple(torch.cat([a, _like_batch(b, a)], dim=1) for a, b in zip(main, reference, strict=True))


def _like_batch(tensor: Tensor, other: Tensor) -> Tensor:
    return tensor.to(other).expand(other.shape[0], *tensor.shape[1:])


def check_reference_index(reference_index: Tensor | None, num_references: int, num_frames: int) -> None:
    """Check that every reference has one time slot and that the slot lies inside the clip.

    Raises: ShapeError.
    """
    if num_references == 0:
        raise ShapeError(
            "references: got 0 reference frames, expected at least 1. Retrieve references again (the input "
            "image itself is always a valid one), or leave the references out for a camera model."
        )
    if reference_index is None or tuple(reference_index.shape) != (num_references,):
        got = "none" if reference_index is None else f"shape {list(reference_index.shape)}"
        raise ShapeError(
            f"references: got {num_references} reference frames and slots of {got}, expected one slot per "
            "reference. Retrieve the references again."
        )
    lowest, highest = int(reference_index.min()), int(reference_index.max())
    if lowest < 0 or highest > num_frames - 2:
        raise ShapeError(
            f"references: slots {lowest}..{highest} lie outside 0..{num_frames - 2}, the slots of a clip of "
            f"{num_frames} key frames. Retrieve the references again for this trajectory."
        )
