"""One size after the other: a smaller clip as the start of a larger one.

A flow-matching model finds the layout of a picture at high noise and its detail at low noise. The layout can
come from a size that is cheaper, or nearer to the one the model was trained at; the larger size then starts
from that clip, enlarged and mixed with noise, x = (1 - s) * clip + s * noise, and makes only the steps of its
schedule from s on.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import ShapeError, check_shape
from ..geometry.pictures import fit_pictures
from .conditioning import VAE, Progress

DEFAULT_START_LEVEL = 0.85


def enlarged_start(
    vae: VAE,
    frames: Tensor,
    height: int,
    width: int,
    first_frame: Tensor | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """Latents of a finished clip at a larger size, to start sampling from.

    Args:
        vae: encodes the enlarged pictures, each alone. Latents themselves do not survive being enlarged.
        frames: [T, 3, H, W], 0..1.
        height, width: the size wanted, pixels, multiples of 16.
        first_frame: [3, height, width] takes the place of frame 0, which is known at every size.
        progress: called with (done, total) pictures.

    Returns:
        [1, 16, T, height / 8, width / 8], normalised.

    Raises: ShapeError if the size is smaller than the clip's or the first frame has another.
    """
    sizes = check_shape("clip", frames, ("T", 3, "H", "W"), "Give the pictures of a finished clip.")
    if height < sizes["H"] or width < sizes["W"]:
        raise ShapeError(
            f"clip: it is {sizes['H']}x{sizes['W']} (height x width), and a start of {height}x{width} was "
            "asked for. Make the smaller size first."
        )
    enlarged = fit_pictures(frames, height, width, "stretch")
    if first_frame is not None:
        check_shape(
            "first_frame", first_frame, (3, height, width), "Fit the start picture to the larger size."
        )
        enlarged = torch.cat([first_frame[None].to(enlarged), enlarged[1:]])
    return vae.encode_keyframes(enlarged, progress)


def smaller_noise(noise: Tensor, height: int, width: int) -> Tensor:
    """The part of white noise that a smaller size can hold; white again, of unit variance.

    Every cell is the sum of a block of cells, the blocks being disjoint, over the root of their number. So a
    seed stands for the same large forms at all sizes, and a clip is mixed with the noise it came from.

    Args:
        noise: [..., H, W].
        height, width: cells, at most H and W.
    """
    rows = _block_sums(noise.shape[-2], height).to(noise)
    columns = _block_sums(noise.shape[-1], width).to(noise)
    return rows @ noise @ columns.mT


def _block_sums(count: int, blocks: int) -> Tensor:
    """[blocks, count] with orthonormal rows that are constant on consecutive, disjoint blocks."""
    if not 0 < blocks <= count:
        raise ShapeError(f"noise: {count} cells cannot be brought to {blocks}; expected 1 to {count}.")
    matrix = torch.zeros(blocks, count)
    matrix[torch.arange(count) * blocks // count, torch.arange(count)] = 1
    return matrix / matrix.sum(dim=1, keepdim=True).sqrt()
