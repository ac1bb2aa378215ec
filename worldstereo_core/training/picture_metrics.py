"""How alike two pictures are, on the whole or where a mask says: PSNR, SSIM, and a perceptual proxy."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..checks import check_shape

SSIM_REACH, SSIM_DEVIATION = 3, 1.5  # pictures of 64 rows: a window of 7 pixels
GRADIENT_STABILITY = 170 / 255**2  # of gradient similarity, for pictures in 0..1


def masked_psnr(got: Tensor, expected: Tensor, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio over all given pixels together, dB.

    Args:
        got, expected: [T, 3, H, W], 0..1.
        mask: [T, H, W] bool, the pixels that count; none: all.

    Returns:
        []; NaN if no pixel counts.
    """
    check_shape("expected", expected, tuple(got.shape))
    error = (got - expected).square().mean(dim=1)
    return -10 * torch.log10(_mean(error, mask).clamp_min(1e-12))


def ssim(got: Tensor, expected: Tensor, mask: Tensor | None = None) -> Tensor:
    """Structural similarity, -1..1, higher is better.

    Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural Similarity", equation 13,
    with a Gaussian window of 7 pixels instead of 11, averaged over colours and the pixels that count.
    """
    check_shape("expected", expected, tuple(got.shape))
    a, b = got.double(), expected.double()  # variances are small differences of large numbers
    stacked = torch.stack([a, b, a * a, b * b, a * b])
    mean_a, mean_b, square_a, square_b, product = _smooth(stacked.flatten(0, 1)).unflatten(0, (5, -1))
    variance_a, variance_b = square_a - mean_a**2, square_b - mean_b**2
    covariance = product - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    map_ = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    )
    return _mean(map_.mean(dim=1), mask).float()


def gradient_deviation(got: Tensor, expected: Tensor) -> Tensor:
    """Perceptual proxy without learnt weights: deviation of gradient similarity, 0 for equal pictures.

    Xue et al. 2014, "Gradient Magnitude Similarity Deviation" (arXiv 1308.3052): of the pictures' luminance,
    Prewitt gradients; the mean over pictures.

    Args:
        got, expected: [T, 3, H, W], 0..1.
    """
    check_shape("expected", expected, tuple(got.shape))
    a, b = _gradient(got), _gradient(expected)
    similarity = (2 * a * b + GRADIENT_STABILITY) / (a**2 + b**2 + GRADIENT_STABILITY)
    return similarity.flatten(1).std(dim=1, correction=0).mean()


def _gradient(pictures: Tensor) -> Tensor:
    """[T, 3, H, W] -> [T, 1, H, W] gradient magnitude of the luminance."""
    weights = pictures.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    luminance = functional.pad((pictures * weights).sum(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across = pictures.new_tensor([[1.0, 0, -1]]).expand(3, 3) / 3
    kernels = torch.stack([across, across.T])[:, None]
    return functional.conv2d(luminance, kernels).square().sum(1, keepdim=True).sqrt()


def _smooth(pictures: Tensor) -> Tensor:
    steps = torch.arange(-SSIM_REACH, SSIM_REACH + 1, dtype=pictures.dtype, device=pictures.device)
    line = torch.exp(-0.5 * (steps / SSIM_DEVIATION).square())
    line = line / line.sum()
    channels = pictures.shape[1]
    padded = functional.pad(pictures, [SSIM_REACH] * 4, mode="reflect")
    for shape in ((1, 1, 1, -1), (1, 1, -1, 1)):
        kernel = line.view(shape)
        padded = functional.conv2d(padded, kernel.expand(channels, *kernel.shape[1:]), groups=channels)
    return padded


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of [T, H, W] over a mask."""
    return values.mean() if mask is None else values[mask].mean()
