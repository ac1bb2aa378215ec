"""Which sizes and frames the released models work at: resolution buckets, key frames, latent frames."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from .checks import ShapeError, WorldStereoError
from .geometry.trajectory import evenly_spaced_frames

# (height, width); a checkpoint's config may bring its own list as `scale_map`.
RESOLUTION_BUCKETS: tuple[tuple[int, int], ...] = (
    (480, 768),
    (512, 720),
    (576, 640),
    (608, 608),
    (640, 576),
    (720, 512),
    (768, 480),
)
NUM_KEYFRAMES = 21
SIZE_MULTIPLE = 16


def nearest_bucket(
    height: int, width: int, buckets: Sequence[tuple[int, int]] = RESOLUTION_BUCKETS
) -> tuple[int, int]:
    """The bucket (height, width) whose height-to-width ratio is nearest; the first one on ties."""
    if height < 1 or width < 1:
        raise ShapeError(
            f"image: got height {height}, width {width}; expected positive sizes. Wire an image."
        )
    best = min(buckets, key=lambda bucket: abs(height / width - bucket[0] / bucket[1]))
    return int(best[0]), int(best[1])


def check_multiple_of_16(name: str, height: int, width: int) -> None:
    """Check that a picture size fits the model's patches.

    Raises: ShapeError that names the nearest sizes which fit.
    """
    if height < SIZE_MULTIPLE or width < SIZE_MULTIPLE or height % SIZE_MULTIPLE or width % SIZE_MULTIPLE:
        fit_height, fit_width = (
            max(1, round(size / SIZE_MULTIPLE)) * SIZE_MULTIPLE for size in (height, width)
        )
        raise ShapeError(
            f"{name}: got height {height}, width {width}; expected both to be multiples of {SIZE_MULTIPLE}. "
            f"Resize to {fit_height}x{fit_width} (height x width), or fit the image to a WorldStereo size."
        )


def scaled_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """(height, width) times a scale, each side the nearest multiple of 16, at least one."""
    rows, columns = (max(1, round(side * scale / SIZE_MULTIPLE)) for side in (height, width))
    return rows * SIZE_MULTIPLE, columns * SIZE_MULTIPLE


def scaled_sizes(height: int, width: int, scales: Sequence[float]) -> list[tuple[int, int]]:
    """Sizes (height, width) that a clip is made at one after the other, each guided by the one before.

    Args:
        height, width: of the finished clip; multiples of 16.
        scales: shares of its sides, rising, the last 1. Sides become the nearest multiples of 16.

    Raises: WorldStereoError if the scales do not rise to 1 or two give the same size.
    """
    check_scales(scales)
    check_multiple_of_16("size", height, width)
    sizes = [scaled_size(height, width, scale) for scale in scales]
    for (smaller, larger), scale in zip(pairwise(sizes), scales, strict=False):
        if smaller == larger:
            raise WorldStereoError(
                f"scales: {scale:g} of {height}x{width} (height x width) is {smaller[0]}x{smaller[1]}, the "
                "size that comes next. Take scales further apart, or a larger size."
            )
    return sizes


def check_scales(scales: Sequence[float]) -> None:
    """Raise WorldStereoError unless the scales rise to 1."""
    rising = all(a < b for a, b in pairwise(scales))
    if not scales or not rising or not scales[0] > 0 or scales[-1] != 1:
        given = ",".join(f"{scale:g}" for scale in scales) or "none"
        raise WorldStereoError(
            f"scales: got {given}, expected shares of the size that rise to 1, e.g. 0.5,1 (half the size "
            "first, then the size itself)."
        )


def latent_frames(num_frames: int) -> int:
    """Latent frames that Wan's video VAE makes of ``num_frames`` pictures encoded as one video."""
    return (num_frames - 1) // 4 + 1


def select_keyframes(num_frames: int, num_keyframes: int = NUM_KEYFRAMES) -> list[int]:
    """Indices of evenly spaced frames from first to last; every frame when there are not more than wanted.

    81 frames and 21 key frames give 0, 4, ..., 80. Positions between frames are rounded down.
    """
    if num_frames < 1 or num_keyframes < 1:
        raise WorldStereoError(
            f"frames: got {num_frames} frames and {num_keyframes} key frames, expected at least one of each. "
            "Check the trajectory and the frame count."
        )
    if num_frames <= num_keyframes:
        return list(range(num_frames))
    return evenly_spaced_frames(num_frames, num_keyframes)


def sample_align_frames(num_frames: int, count: int) -> list[int]:
    """Indices of the generated frames that go back into the memory.

    The steps between them are as even as they can be with whole numbers, larger steps first; frame 0 is the
    clip's start image and never among them, the last frame always is.
    8 of 21 frames: 3, 6, 9, 12, 14, 16, 18, 20.

    Raises: WorldStereoError if fewer than ``count`` frames follow frame 0.
    """
    if not 1 <= count <= num_frames - 1:
        raise WorldStereoError(
            f"keep_frames: got {count} of a clip of {num_frames} frames; expected 1 to {num_frames - 1}, "
            "since frame 0 repeats the start image. Keep fewer frames or give a longer clip."
        )
    step, larger = divmod(num_frames - 1, count)
    indices, position = [], 0
    for number in range(count):
        position += step + (1 if number < larger else 0)
        indices.append(position)
    return indices
