"""Latents of single pictures on LATENT sockets."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..worldstereo_core.checks import check_shape
from ..worldstereo_core.model.latents import LATENT_CHANNELS


def start_latent_input(what: str) -> io.Latent.Input:
    return io.Latent.Input(
        "start_latent",
        optional=True,
        advanced=True,
        tooltip=f"Latent of {what}, one latent frame, taken instead of encoding it again. For clips that go "
        "on where another ended: each trip through the VAE shifts colours a little.",
    )


def one_latent(latent: dict[str, Any] | None) -> Tensor | None:
    """LATENT of one picture, [1, 16, 1, h, w] or [1, 16, h, w], -> [16, h, w]."""
    if latent is None:
        return None
    samples = latent["samples"]
    samples = samples if samples.ndim == 5 else samples[:, :, None]
    check_shape("start_latent", samples, (1, LATENT_CHANNELS, 1, "*", "*"), "Wire the latent of one picture.")
    return samples[0, :, 0].float().cpu()
