"""Which clips a diffusion stage learns from, and the VAE that encodes them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..model.conditioning import VAE
from ..model.config import WorldStereoConfig
from .geometry_errors import GeometryErrors


@dataclass(frozen=True)
class ClipSettings:
    vae: str
    count: int = 2000
    frames: int = 21
    height: int = 64
    width: int = 96
    held_out: int = 8
    errors: GeometryErrors = GeometryErrors()
    cache: str | None = None

    def vae_codec(self) -> VAE: raise NotImplementedError


def encoded_dataset(settings: ClipSettings, config: WorldStereoConfig) -> Dataset[dict[str, Tensor]]:
    raise NotImplementedError


def held_out_clips(settings: ClipSettings, config: WorldStereoConfig) -> dict[str, Tensor]:
    raise NotImplementedError
