"""What a diffusion transformer must offer so that WorldStereo's control can be joined to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class TokenGrid:
    """Token counts of a latent video: frames x rows x columns, in that order in the sequence."""

    frames: int
    rows: int
    columns: int

    @property
    def num_tokens(self) -> int:
        return self.frames * self.rows * self.columns


class Backbone(Protocol):
    """The facts and maths the control needs from a backbone; adapters implement it.

    A rope is whatever the backbone's attention takes: a tensor, or a tuple of tensors, each with the token
    axis at position 1.
    """

    width: int  # D, channels of a token
    num_blocks: int
    patch_size: tuple[int, int, int]  # frames, rows, columns of latent per token

    def embed_time(self, timesteps: Tensor) -> Tensor:
        """[B] timesteps in 0..1000 -> [B, time_dim], before the per-block modulation projection."""
        ...

    def embed_patches(self, latents: Tensor) -> Tensor:
        """[B, 36, F, h, w] model input -> [B, tokens, D]."""
        ...

    def embed_positions(self, grid: TokenGrid) -> Tensor | tuple[Tensor, ...]:
        """The backbone's own rope for a whole grid, positions counted from 0."""
        ...
