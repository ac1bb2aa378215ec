"""The camera and point-render control network: one residual per block for the backbone's tokens.

Module attributes carry the released key names, so that a state dict needs no second naming.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..checks import ShapeError
from .config import ControlSizes
from .rope import apply_rope

Attention = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""(q, k, v, num_heads) -> [B, L, width]; q, k, v are [B, L, width]."""


class ModulatedNorm(nn.Module):
    """Layer norm whose shift, scale and gate come from the time embedding."""

    def __init__(self, width: int, time_width: int, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        self.linear = operations.Linear(time_width, 3 * width, device=device, dtype=dtype)
        self.norm = operations.LayerNorm(width, eps=1e-5, device=device, dtype=dtype)

    def forward(self, tokens: Tensor, time_embedding: Tensor) -> tuple[Tensor, Tensor]:
        """[B, L, width], [B, time_width] -> normed tokens, and the gate [B, 1, width] in float32."""
        modulation = self.linear(functional.silu(time_embedding)).float().unsqueeze(1)
        shift, scale, gate = modulation.chunk(3, dim=-1)
        normed = self.norm(tokens).float() * (1 + scale) + shift
        return normed.to(tokens.dtype), gate


class ControlAttention(nn.Module):
    """Full self-attention; queries and keys are normed over all heads together, then rotated."""

    def __init__(self, width: int, num_heads: int, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        self.num_heads = num_heads
        self.to_q = operations.Linear(width, width, device=device, dtype=dtype)
        self.to_k = operations.Linear(width, width, device=device, dtype=dtype)
        self.to_v = operations.Linear(width, width, device=device, dtype=dtype)
        self.to_out = nn.ModuleList([operations.Linear(width, width, device=device, dtype=dtype)])
        self.norm_q = operations.RMSNorm(width, eps=1e-6, device=device, dtype=dtype)
        self.norm_k = operations.RMSNorm(width, eps=1e-6, device=device, dtype=dtype)

    def forward(self, tokens: Tensor, rope: tuple[Tensor, Tensor], attention: Attention) -> Tensor:
        heads = (self.num_heads, -1)
        query = apply_rope(self.norm_q(self.to_q(tokens)).unflatten(2, heads), rope).flatten(2)
        key = apply_rope(self.norm_k(self.to_k(tokens)).unflatten(2, heads), rope).flatten(2)
        return self.to_out[0](attention(query, key, self.to_v(tokens), self.num_heads))


class ControlBlock(nn.Module):
    """Self-attention and feed-forward, both modulated by the time embedding; residual sums in float32."""

    def __init__(self, sizes: ControlSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        self.norm1 = ModulatedNorm(sizes.width, sizes.time_width, operations, **factory)
        self.self_attn = ControlAttention(sizes.width, sizes.num_heads, operations, **factory)
        self.norm2 = ModulatedNorm(sizes.width, sizes.time_width, operations, **factory)
        self.ffn = nn.Sequential(
            operations.Linear(sizes.width, sizes.ffn_width, **factory),
            nn.GELU(approximate="tanh"),
            operations.Linear(sizes.ffn_width, sizes.width, **factory),
        )

    def forward(
        self, tokens: Tensor, time_embedding: Tensor, rope: tuple[Tensor, Tensor], attention: Attention
    ) -> Tensor:
        normed, gate = self.norm1(tokens, time_embedding)
        tokens = (tokens.float() + gate * self.self_attn(normed, rope, attention).float()).to(tokens.dtype)
        normed, gate = self.norm2(tokens, time_embedding)
        return (tokens.float() + gate * self.ffn(normed).float()).to(tokens.dtype)


class MaskEmbedding(nn.Module):
    """Hole mask and Plücker rays at pixel resolution -> one embedding per token."""

    def __init__(self, sizes: ControlSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        self.kernel, self.interpolated = sizes.mask_kernel, sizes.interpolated
        factory = {"device": device, "dtype": dtype}
        pixels = (sizes.mask_kernel, 8, 8)  # a latent cell is 8 x 8 pixels
        self.mask_proj = nn.Sequential(
            operations.Conv3d(
                sizes.mask_channels, sizes.mask_width, kernel_size=pixels, stride=pixels, **factory
            ),
            operations.GroupNorm(sizes.mask_width // 8, sizes.mask_width, eps=1e-5, **factory),
            nn.SiLU(),
        )
        patch = sizes.patch_size
        self.mask_zero_proj = operations.Conv3d(
            sizes.mask_width, sizes.embed_width, kernel_size=patch, stride=patch, **factory
        )

    def forward(self, mask_and_rays: Tensor) -> Tensor:
        """[b, 1 or 7, M, 8h, 8w] -> [b, tokens, embed_width]."""
        if self.kernel > 1:
            # Frames are padded in front so that the first latent frame sees the first video frame alone.
            padding = self.kernel - 1
            pad = (0, 0, 0, 0, padding, padding if self.interpolated else 0)
            mask_and_rays = functional.pad(mask_and_rays, pad)
        return self.mask_zero_proj(self.mask_proj(mask_and_rays)).flatten(2).transpose(1, 2)


class ControlBranch(nn.Module):
    """Embeds render latents, holes and rays, and runs the control blocks one at a time.

    A caller embeds once per model call and then runs ``run_block(i, ...)`` right after backbone block i, so
    that no more than one residual is alive.
    """

    def __init__(self, sizes: ControlSizes, operations: Any = nn, device: Any = None, dtype: Any = None):
        super().__init__()
        self.sizes = sizes
        factory = {"device": device, "dtype": dtype}
        patch = sizes.patch_size
        self.controlnet_patch_embedding = operations.Conv3d(
            sizes.in_channels, sizes.embed_width, kernel_size=patch, stride=patch, **factory
        )
        self.controlnet_mask_embedding = MaskEmbedding(sizes, operations, **factory)
        self.proj_in = (
            nn.Identity()
            if sizes.embed_width == sizes.width
            else operations.Linear(sizes.embed_width, sizes.width, **factory)
        )
        self.controlnet_blocks = nn.ModuleList(
            [ControlBlock(sizes, operations, **factory) for _ in range(sizes.num_blocks)]
        )
        self.proj_out = nn.ModuleList(
            [operations.Linear(sizes.width, sizes.output_width, **factory) for _ in range(sizes.num_blocks)]
        )

    def embed_patches(self, latents: Tensor) -> Tensor:
        """[B, 36, F, h, w] noisy latent, mask and render latent -> [B, tokens, embed_width]."""
        return self.controlnet_patch_embedding(latents).flatten(2).transpose(1, 2)

    def embed_mask(self, hole_mask: Tensor, rays: Tensor | None) -> Tensor:
        """[b, 1, M, 8h, 8w] hole mask (1 = hole) and [b, 6, M, 8h, 8w] rays -> [b, tokens, embed_width].

        Raises: ShapeError if rays are absent although the branch was trained with them.
        """
        if self.sizes.takes_rays:
            if rays is None:
                raise ShapeError(
                    "condition: this control branch takes a hole mask and camera rays, but the condition "
                    "has no rays. Encode the control again with this control branch and a trajectory."
                )
            hole_mask = torch.cat([hole_mask, rays], dim=1)
        return self.controlnet_mask_embedding(hole_mask)

    def run_block(
        self,
        index: int,
        tokens: Tensor,
        time_embedding: Tensor,
        rope: tuple[Tensor, Tensor],
        attention: Attention,
    ) -> tuple[Tensor, Tensor]:
        """Run one control block: [B, tokens, width] -> the next tokens, and the residual [B, tokens, D]."""
        tokens = self.controlnet_blocks[index](tokens, time_embedding, rope, attention)
        return tokens, self.proj_out[index](tokens)
