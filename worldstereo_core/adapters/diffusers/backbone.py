"""Wan's transformer from diffusers as a backbone that WorldStereo's control can join."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from ...checks import ShapeError
from ...model.attention import attention
from ...model.backbone import TokenGrid
from ...model.condition import ControlCondition
from ...model.control_parts import PartStrength
from ...model.control_session import ControlSession, ControlStrength
from ...model.world_control import WorldStereoControl

TEXT_TOKENS = 512


class WanBackbone:
    """Facts and embeddings of a ``WanTransformer3DModel``.

    Args:
        transformer: the diffusers model.
    """

    def __init__(self, transformer: Any):
        self.transformer = transformer
        config = transformer.config
        self.width: int = config.num_attention_heads * config.attention_head_dim
        self.num_blocks: int = len(transformer.blocks)
        self.patch_size: tuple[int, int, int] = tuple(config.patch_size)
        self.in_channels: int = config.in_channels
        self.is_image_to_video: bool = config.image_dim is not None

    @property
    def dtype(self) -> torch.dtype:
        """The computing dtype."""
        return self.transformer.patch_embedding.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.transformer.patch_embedding.weight.device

    def embed_time(self, timesteps: Tensor) -> Tensor:
        embedder = self.transformer.condition_embedder
        waves = embedder.timesteps_proj(timesteps)
        return embedder.time_embedder(waves.to(embedder.time_embedder.linear_1.weight.dtype))

    def embed_patches(self, latents: Tensor) -> Tensor:
        return self.transformer.patch_embedding(latents).flatten(2).transpose(1, 2)

    def embed_positions(self, grid: TokenGrid) -> tuple[Tensor, Tensor]:
        frames, rows, columns = self.patch_size
        # Wan's rope reads nothing but the shape of the latents.
        shape = (1, 1, grid.frames * frames, grid.rows * rows, grid.columns * columns)
        return self.transformer.rope(torch.empty(shape, device="meta"))

    def grid(self, latents: Tensor) -> TokenGrid:
        """Token counts of [B, C, F, h, w] latents.

        Raises: ShapeError if they do not divide into patches.
        """
        sizes = list(latents.shape[2:])
        if any(size % patch for size, patch in zip(sizes, self.patch_size, strict=True)):
            raise ShapeError(
                f"latents: {sizes} (frames, rows, columns) do not divide into patches of "
                f"{list(self.patch_size)}. Use pictures whose height and width are multiples of 16."
            )
        return TokenGrid(*(size // patch for size, patch in zip(sizes, self.patch_size, strict=True)))


def pad_text(text_embeds: Tensor) -> Tensor:
    """Zero-pad [b, n, 4096] text tokens to Wan's 512; the zeros are attended to, as in training.

    Raises: ShapeError if there are more.
    """
    missing = TEXT_TOKENS - text_embeds.shape[1]
    if missing < 0:
        raise ShapeError(
            f"text: got {text_embeds.shape[1]} tokens, expected at most {TEXT_TOKENS}. Shorten the prompt."
        )
    return functional.pad(text_embeds, (0, 0, 0, missing))


@torch.no_grad()
def controlled_forward(
    backbone: WanBackbone,
    control: WorldStereoControl | None,
    condition: ControlCondition | None,
    latents: Tensor,  # [B, 36, F, h, w]
    timesteps: Tensor,  # [B]
    text_embeds: Tensor,  # [B, 512, 4096]
    image_embeds: Tensor | None,  # [B, 257, 1280]
    *,
    strength: ControlStrength = ControlStrength(),  # noqa: B008 (frozen)
    parts: PartStrength = PartStrength(),  # noqa: B008 (frozen)
    update_reference: bool | None = None,
    control_batch: int | None = None,
    probe: Callable[[str, Tensor], None] | None = None,
) -> Tensor:
    """One model call with control and references; without control, the bare backbone.

    Args:
        backbone: the transformer.
        control: WorldStereo's trained parts, in the backbone's dtype and on its device.
        condition: the clip's control inputs.
        latents: noisy latent 16, mask 4, image latent 16.
        timesteps: 0..1000.
        text_embeds: padded text tokens; see ``pad_text``.
        image_embeds: CLIP vision's penultimate hidden state.
        strength: factors on the control residuals.
        parts: factors on the optional parts, where the control has any.
        update_reference: None = as the file was trained.
        control_batch, probe: as in ``ControlSession``.

    Returns:
        [B, 16, F, h, w] the predicted velocity.
    """
    return velocity_with_gradients(
        backbone,
        control,
        condition,
        latents,
        timesteps,
        text_embeds,
        image_embeds,
        strength=strength,
        parts=parts,
        update_reference=update_reference,
        control_batch=control_batch,
        probe=probe,
    )


def velocity_with_gradients(
    backbone: WanBackbone,
    control: WorldStereoControl | None,
    condition: ControlCondition | None,
    latents: Tensor,  # [B, 36, F, h, w]
    timesteps: Tensor,  # [B]
    text_embeds: Tensor,  # [B, 512, 4096]
    image_embeds: Tensor | None,  # [B, 257, 1280]
    *,
    strength: ControlStrength = ControlStrength(),  # noqa: B008 (frozen)
    parts: PartStrength = PartStrength(),  # noqa: B008 (frozen)
    update_reference: bool | None = None,
    control_batch: int | None = None,
    probe: Callable[[str, Tensor], None] | None = None,
    recomputes: bool = False,
) -> Tensor:
    """``controlled_forward`` for training.

    Args:
        recomputes: gradient checkpointing: keep what enters each pair of backbone and control block and run
            the pair again on the way back.
    """
    transformer = backbone.transformer
    latents = latents.to(backbone.dtype)
    inputs = {
        "hidden_states": latents,
        "timestep": timesteps,
        "encoder_hidden_states": text_embeds.to(latents),
        "encoder_hidden_states_image": None if image_embeds is None else image_embeds.to(latents),
    }
    if control is None or condition is None:
        transformer.gradient_checkpointing = recomputes
        return transformer(**inputs, return_dict=False)[0]
    session = ControlSession(
        control,
        condition,
        backbone,
        latents,
        timesteps,
        backbone.grid(latents),
        attention=attention,
        strength=strength,
        parts=parts,
        update_reference=control.config.updates_references if update_reference is None else update_reference,
        control_batch=control_batch,
        probe=probe,
    )
    join = recomputed_blocks if recomputes else joined_blocks
    transformer.gradient_checkpointing = False
    with join(transformer.blocks, session):
        return transformer(**inputs, return_dict=False)[0]


@contextmanager
def joined_blocks(blocks: nn.ModuleList, session: ControlSession) -> Iterator[None]:
    """Let every block see the clip's and the references' tokens, and add the control residual after it."""
    handles = []
    processors = [block.attn2.processor for block in blocks]
    try:
        for index, block in enumerate(blocks):
            handles.append(block.register_forward_pre_hook(_join_before(session, index)))
            handles.append(block.register_forward_hook(_split_after(session, index)))
            if session.num_reference:
                block.attn2.processor = _MainTokensOnly(processors[index], session.num_main)
        yield
    finally:
        for handle in handles:
            handle.remove()
        for block, processor in zip(blocks, processors, strict=True):
            block.attn2.processor = processor


@contextmanager
def recomputed_blocks(blocks: nn.ModuleList, session: ControlSession) -> Iterator[None]:
    """``joined_blocks`` whose activations are computed again in the backward pass.

    The backward pass runs after this context has ended, so each block's part carries all it needs: the
    session as it stood before the block, and the processor of its cross-attention.
    """
    forwards = [block.forward for block in blocks]
    try:
        for index, block in enumerate(blocks):
            block.forward = _RecomputedBlock(block, session, index)
        yield
    finally:
        for block, forward in zip(blocks, forwards, strict=True):
            block.forward = forward


class _RecomputedBlock:
    """A block with its control, as one unit of gradient checkpointing."""

    def __init__(self, block: Any, session: ControlSession, index: int):
        self.block, self.session, self.index = block, session, index
        self.forward, self.processor = block.forward, block.attn2.processor

    def __call__(self, hidden_states: Tensor, context: Tensor, modulation: Tensor, rope: Any) -> Tensor:
        before = self.session.progress()

        def run(hidden_states: Tensor, context: Tensor, modulation: Tensor) -> Tensor:
            session = self.session
            session.resume(before)
            outside = self.block.attn2.processor
            if session.num_reference:
                self.block.attn2.processor = _MainTokensOnly(self.processor, session.num_main)
            try:
                joined = session.join(self.index, hidden_states)
                output = self.forward(joined, context, modulation, session.joined_positions(rope))
            finally:
                self.block.attn2.processor = outside
            return session.split(self.index, output)

        return checkpoint(run, hidden_states, context, modulation, use_reentrant=False)


def _join_before(
    session: ControlSession, index: int
) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
    def join(block: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden_states, context, modulation, rope = args
        return session.join(index, hidden_states), context, modulation, session.joined_positions(rope)

    return join


def _split_after(
    session: ControlSession, index: int
) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]:
    def split(block: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        return session.split(index, output)

    return split


class _MainTokensOnly:
    """Cross-attention for the clip's tokens; reference tokens pass it unchanged."""

    def __init__(self, inner: Any, num_main: int):
        self.inner, self.num_main = inner, num_main

    def __call__(self, attn: nn.Module, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        main = self.inner(attn, hidden_states[:, : self.num_main], *args, **kwargs)
        return functional.pad(main, (0, 0, 0, hidden_states.shape[1] - self.num_main))
