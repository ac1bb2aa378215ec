"""Wan 2.1's latent space: per-channel constants between the VAE's own latents and the model's."""

from __future__ import annotations

from torch import Tensor

from ..checks import check_shape

LATENT_CHANNELS = 16
PIXELS_PER_CELL = 8
# fmt: off
LATENT_MEAN = (
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
    0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
)
LATENT_STD = (
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
    3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.916,
)
# fmt: on


def normalise_latents(raw: Tensor) -> Tensor:
    """[b, 16, F, h, w] VAE latents -> the model's latents: (raw - mean) / std."""
    mean, std = _constants(raw)
    return (raw - mean) / std


def denormalise_latents(latents: Tensor) -> Tensor:
    """[b, 16, F, h, w] the model's latents -> VAE latents: latents * std + mean."""
    mean, std = _constants(latents)
    return latents * std + mean


def _constants(latents: Tensor) -> tuple[Tensor, Tensor]:
    check_shape("latents", latents, ("*", LATENT_CHANNELS, "*", "*", "*"), "Use a Wan 2.1 VAE.")
    shape = (1, LATENT_CHANNELS, 1, 1, 1)
    return latents.new_tensor(LATENT_MEAN).view(shape), latents.new_tensor(LATENT_STD).view(shape)


def carry_change(latents: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Let latents follow a small change of their pictures without going through the VAE themselves.

    What the VAE gets wrong about the pictures is in both encodings and cancels; the change is in one.

    Args:
        latents: of the pictures before the change, any shape.
        before, after: what the VAE encodes the pictures to, before and after the change; same shape.
    """
    return latents + (after - before).to(latents)
