"""Canny's edge detector in plain torch, bit by bit what OpenCV's ``Canny`` finds."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import WorldStereoError, check_shape

# tan(22.5°) in the fixed point of OpenCV, whose rounding decides ties between directions.
_TAN_BITS = 15
_TAN_22 = 13573


def canny(pictures: Tensor, low: float = 100.0, high: float = 200.0) -> Tensor:
    """Find edges (Canny, PAMI 1986), with 3 x 3 Sobel derivatives and the sum of their magnitudes.

    Of a colour picture the channel with the strongest gradient decides, pixel by pixel.

    Args:
        pictures: [T, C, H, W] in 0..1; rounded to 8 bits.
        low, high: gradient thresholds for 8-bit pictures, as in ``cv2.Canny``. An edge begins above ``high``
            and is followed while above ``low``.

    Returns:
        [T, H, W] bool.

    Raises: WorldStereoError if low is above high.
    """
    check_shape("pictures", pictures, ("T", "C", "H", "W"))
    if not 0 <= low <= high:
        raise WorldStereoError(
            f"low and high: got {low:g} and {high:g}, expected 0 <= low <= high, in steps of an 8-bit "
            "picture. 100 and 200 are usual."
        )
    dx, dy = _strongest_gradient((pictures * 255).round().clamp(0, 255))
    magnitude = dx.abs() + dy.abs()
    ridge = _is_ridge(dx, dy, magnitude)
    # Thresholds act on whole numbers.
    candidate = ridge & (magnitude > int(low))
    return _follow(candidate & (magnitude > int(high)), candidate)


def _strongest_gradient(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel derivatives [T, H, W] int32 along x and y of the channel where their sum is largest."""
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=pictures.device)
    frames, channels, height, width = pictures.shape
    padded = F.pad(pictures.float().reshape(-1, 1, height, width), (1, 1, 1, 1), mode="replicate")
    derivatives = F.conv2d(padded, torch.stack([kernel, kernel.T])[:, None]).round().int()
    dx, dy = derivatives.reshape(frames, channels, 2, height, width).unbind(2)
    strongest = (dx.abs() + dy.abs()).argmax(dim=1, keepdim=True)
    return dx.gather(1, strongest)[:, 0], dy.gather(1, strongest)[:, 0]


def _is_ridge(dx: Tensor, dy: Tensor, magnitude: Tensor) -> Tensor:
    """[T, H, W] pixels whose gradient is the largest across the edge; of two equal ones the later counts."""
    padded = F.pad(magnitude, (1, 1, 1, 1))
    height, width = magnitude.shape[-2:]

    def at(down: int, right: int) -> Tensor:
        return padded[:, 1 + down : 1 + down + height, 1 + right : 1 + right + width]

    x, y = dx.abs(), dy.abs() << _TAN_BITS
    tan_22 = x * _TAN_22
    tan_67 = tan_22 + (x << (_TAN_BITS + 1))
    horizontal = (magnitude > at(0, -1)) & (magnitude >= at(0, 1))
    vertical = (magnitude > at(-1, 0)) & (magnitude >= at(1, 0))
    falling = (magnitude > at(-1, -1)) & (magnitude > at(1, 1))
    rising = (magnitude > at(-1, 1)) & (magnitude > at(1, -1))
    diagonal = torch.where((dx ^ dy) < 0, rising, falling)
    return torch.where(y < tan_22, horizontal, torch.where(y > tan_67, vertical, diagonal))


def _follow(edge: Tensor, candidate: Tensor) -> Tensor:
    """Grow edges through candidates that touch them, also by a corner, until nothing changes."""
    while True:
        grown = candidate & (F.max_pool2d(edge.float(), 3, stride=1, padding=1) > 0)
        if torch.equal(grown, edge):
            return edge
        edge = grown
