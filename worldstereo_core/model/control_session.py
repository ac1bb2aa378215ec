"""Joins WorldStereo's control to a backbone during one model call.

Usage, for every backbone block i in order::

    joined = session.join(i, main)        # main tokens, then reference tokens
    joined = block(joined, rope=session.joined_positions(rope))   # cross-attention on the first num_main only
    main = session.split(i, joined)       # reference tokens stay here; the control residual is added to main
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import ShapeError
from .backbone import Backbone, TokenGrid
from .condition import ControlCondition
from .condition_check import check_condition
from .control_branch import Attention
from .control_parts import PartStrength
from .rope import grid_rope
from .stereo_memory import (
    add_per_frame,
    join_ropes,
    reference_model_input,
    reference_rope,
)
from .world_control import WorldStereoControl

Rope = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class ControlStrength:
    """Factors on the control residuals; 1 = as trained. Stages are thirds of the control blocks."""

    overall: float = 1.0
    early: float = 1.0
    middle: float = 1.0
    late: float = 1.0

    def for_block(self, index: int, num_blocks: int) -> float:
        """Factor of control block ``index`` of ``num_blocks``."""
        if 3 * index < num_blocks:
            return self.overall * self.early
        if 3 * index < 2 * num_blocks:
            return self.overall * self.middle
        return self.overall * self.late


@dataclass(frozen=True)
class SessionProgress:
    """State of a ``ControlSession`` between two blocks."""

    started: bool
    reference: Tensor | None
    control: _ControlRun | None


class ControlSession:
    """Control of one model call (one denoising step); no state survives it.

    Nothing is computed before the first ``join``, so a call whose blocks are skipped costs nothing.

    Args:
        control: the trained parts.
        condition: the clip's control inputs; b = 1 or a divisor of the latents' batch.
        backbone: the model's facts and embeddings.
        latents: [B, 36, F, h, w] the full model input; its dtype is the computing dtype.
        timesteps: [B], 0..1000.
        grid: the token grid of ``latents``.
        attention: (q, k, v, num_heads) -> [B, L, width] on [B, L, width] inputs.
        strength: factors on the residuals.
        parts: factors on what the optional parts add; a block's own factor counts for its modulation too.
        update_reference: feed each block's reference tokens to the next; else the first ones every time.
        control_batch: compute the control on the first so many samples only and repeat the residual over the
            batch (conditional and unconditional samples in one batch share it).
        probe: called with (name, tensor) for every intermediate result; for tests.

    Raises: ShapeError if the condition was made for another size, frame count or model.
    """

    def __init__(
        self,
        control: WorldStereoControl,
        condition: ControlCondition,
        backbone: Backbone,
        latents: Tensor,  # [B, 36, F, h, w]
        timesteps: Tensor,  # [B]
        grid: TokenGrid,
        *,
        attention: Attention,
        strength: ControlStrength = ControlStrength(),
        parts: PartStrength = PartStrength(),  # noqa: B008 (frozen)
        update_reference: bool = True,
        control_batch: int | None = None,
        probe: Callable[[str, Tensor], None] | None = None,
    ):
        self.control, self.condition, self.backbone = control, condition, backbone
        self.latents, self.timesteps, self.grid = latents, timesteps, grid
        self.attention, self.strength, self.parts = attention, strength, parts
        self.update_reference = update_reference
        self.control_batch = latents.shape[0] if control_batch is None else control_batch
        self.probe = probe or (lambda name, tensor: None)
        check_condition(condition, control, latents)
        if latents.shape[0] % self.control_batch:
            raise ShapeError(
                f"control batch {self.control_batch} does not divide the latents' batch {latents.shape[0]}. "
                "Pass the number of samples per condition."
            )
        references = condition.reference_latents
        num_references = 0 if references is None else references.shape[2]
        self.num_main = grid.num_tokens
        self.num_reference = num_references * grid.rows * grid.columns
        self._reference: Tensor | None = None  # the reference tokens that enter the next block
        self._reference_rope: Rope | None = None
        self._control: _ControlRun | None = None
        self._started = False

    def progress(self) -> SessionProgress:
        """How far the call has come; ``resume`` goes back to it."""
        return SessionProgress(self._started, self._reference, copy(self._control))

    def resume(self, progress: SessionProgress) -> None:
        """Stand where ``progress`` was taken: gradient checkpointing runs blocks a second time."""
        self._started, self._reference = progress.started, progress.reference
        self._control = copy(progress.control)

    def joined_positions(self, rope: Rope) -> Rope:
        """The clip's rope with the references' rope appended on the token axis (axis 1)."""
        if self.num_reference == 0:
            return rope
        if self._reference_rope is None:
            assert self.condition.reference_index is not None  # checked with the references
            self._reference_rope = reference_rope(self.backbone, self.grid, self.condition.reference_index)
        return join_ropes(rope, self._reference_rope)

    def join(self, index: int, main: Tensor) -> Tensor:
        """Append the reference tokens to [B, n_main, D]; the first call adds the camera embedding to both."""
        if not self._started:
            main = self._start(main)
        if self._reference is None:
            return main
        return torch.cat([main, self._reference], dim=1)

    def split(self, index: int, joined: Tensor) -> Tensor:
        """Take block ``index``'s output apart; return the main tokens with the control residual added.

        Args:
            index: the backbone block that has just run.
            joined: [B, n_main + n_ref, D].

        Returns:
            [B, n_main, D].
        """
        main, reference = joined[:, : self.num_main], joined[:, self.num_main :]
        if self._reference is not None:
            self.probe(f"block{index}.ref", reference)
            if self.update_reference:
                self._reference = reference
        residual = self._residual(index)
        if residual is not None:
            main = self._looked_up(index, self._modulated(index, main), reference) + residual.to(main.dtype)
        self.probe(f"block{index}.hidden", main)
        return main

    def _start(self, main: Tensor) -> Tensor:
        self._started = True
        references = self.condition.reference_latents
        if references is not None:
            model_input = self._to_batch(reference_model_input(references), main.shape[0])
            reference = self.backbone.embed_patches(model_input).to(main.dtype)
            self._reference = self._add_camera(reference, self.condition.reference_camera_tokens)
            self.probe("ref_tokens_in", self._reference)
        main = self._add_camera(main, self.condition.camera_tokens)
        self.probe("tokens_in", main)
        return main

    def _add_camera(self, tokens: Tensor, camera_tokens: Tensor | None) -> Tensor:
        embedding = self.control.camera_embedding
        if embedding is None or camera_tokens is None:
            return tokens
        return add_per_frame(tokens, embedding(self._to_batch(camera_tokens, tokens.shape[0])))

    def _residual(self, index: int) -> Tensor | None:
        """Control residual of block ``index`` for the whole batch, or None where no control reaches it."""
        num_blocks = self.control.config.control.num_blocks
        later = [self.strength.for_block(i, num_blocks) for i in range(index, num_blocks)]
        if not any(later):
            return None
        if self._control is None:
            self._control = self._start_control()
        residual = self._control.advance(index)
        self.probe(f"control{index}", residual)
        if later[0] == 0:
            return None
        if later[0] != 1:
            residual = residual * later[0]
        return self._repeated(residual)

    def _repeated(self, tokens: Tensor) -> Tensor:
        """Tokens of the control's batch for the whole batch."""
        repeats = self.latents.shape[0] // self.control_batch
        return tokens.repeat(repeats, 1, 1) if repeats > 1 else tokens

    def _modulated(self, index: int, main: Tensor) -> Tensor:
        """Main tokens scaled by what the control tokens of their block say."""
        parts = self.control.parts
        if parts is None or parts.modulation is None or not self.parts.modulation or self._control is None:
            return main
        factor = self.parts.modulation * self.strength.for_block(
            index, self.control.config.control.num_blocks
        )
        scale = parts.modulation[index](self._control.tokens) * factor
        self.probe(f"modulation{index}", scale)
        return main + main * self._repeated(scale).to(main.dtype)

    def _looked_up(self, index: int, main: Tensor, reference: Tensor) -> Tensor:
        """Main tokens with what they take from reference tokens of the same surface."""
        parts, pairs = self.control.parts, self.condition.shared_surfaces
        if parts is None or parts.attention is None or not self.parts.attention:
            return main
        if pairs is None or not reference.shape[1]:
            return main
        target, source = pairs.target.to(main.device), pairs.reference.to(main.device)
        looking, seen = main, reference
        if pairs.num_targets > main.shape[1]:  # every sample of the batch has pairs of its own
            looking, seen = main.flatten(0, 1)[None], reference.flatten(0, 1)[None]
        added = parts.attention[index](looking, seen, target, source).view_as(main)
        self.probe(f"attention{index}", added)
        factor = self.strength.for_block(index, self.control.config.control.num_blocks)
        return main + added * (self.parts.attention * factor)

    def _start_control(self) -> _ControlRun:
        branch, batch = self.control.controlnet, self.control_batch
        render = self._to_batch(self.condition.render_latents, batch)
        # The render latents take the place of the image-condition latents.
        patches = branch.embed_patches(torch.cat([self.latents[:batch, :20], render], dim=1))
        rays = self.condition.rays
        mask = branch.embed_mask(
            self._cast(self.condition.hole_mask),
            None if rays is None or not branch.sizes.takes_rays else self._cast(rays),
        )
        if mask.shape[1] != patches.shape[1]:
            frames = self.condition.hole_mask.shape[2]
            raise ShapeError(
                f"condition: {frames} mask frames of {list(self.condition.hole_mask.shape[3:])} pixels give "
                f"{mask.shape[1]} tokens, the latents have {patches.shape[1]}. Encode the control again with "
                "this control branch and the clip's own size and frame count."
            )
        self.probe("patch_tokens", patches)
        self.probe("mask_cam_tokens", mask)
        tokens = self._with_parts(patches + self._to_batch(mask, batch), batch)
        self.probe("control_in", tokens)
        rope = grid_rope(self.grid, branch.sizes.width // branch.sizes.num_heads, tokens.device)
        time_embedding = self.backbone.embed_time(self.timesteps[:batch]).to(tokens.dtype)
        time_embedding = self._with_global_vector(time_embedding)
        self.probe("temb", time_embedding)
        return _ControlRun(self.control, branch.proj_in(tokens), time_embedding, rope, self.attention)

    def _with_parts(self, tokens: Tensor, batch: int) -> Tensor:
        """Control tokens [batch, n, embed_width] with what pictures, geometry and warped references add."""
        parts = self.control.parts
        if parts is None:
            return tokens
        for name in ("pictures", "warped_references", "geometry"):
            part, given, factor = (
                getattr(parts, name),
                getattr(self.condition, name),
                getattr(self.parts, name),
            )
            if part is None or given is None or not factor:
                continue
            added = part(self._cast(given))
            if name == "warped_references":
                added = added.flatten(2).transpose(1, 2)
            self.probe(name, added)
            tokens = tokens + self._to_batch(added, batch) * factor
        return tokens

    def _with_global_vector(self, time_embedding: Tensor) -> Tensor:
        parts, given = self.control.parts, self.condition.global_vector
        if parts is None or parts.global_vector is None or given is None or not self.parts.global_vector:
            return time_embedding
        added = self._to_batch(parts.global_vector(self._cast(given)), time_embedding.shape[0])
        self.probe("global_vector", added)
        return time_embedding + added * self.parts.global_vector

    def _cast(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.latents)

    def _to_batch(self, tensor: Tensor, batch: int) -> Tensor:
        """Cast to the computing dtype and device and repeat b samples to ``batch``."""
        tensor = self._cast(tensor)
        if tensor.shape[0] == batch:
            return tensor
        return tensor.repeat(batch // tensor.shape[0], *[1] * (tensor.ndim - 1))


class _ControlRun:
    """The control tokens between two blocks."""

    def __init__(
        self,
        control: WorldStereoControl,
        tokens: Tensor,
        time_embedding: Tensor,
        rope: tuple[Tensor, Tensor],
        attention: Attention,
    ):
        self.branch, self.tokens, self.time_embedding = control.controlnet, tokens, time_embedding
        self.rope, self.attention = rope, attention
        self.next_index = 0

    def advance(self, index: int) -> Tensor:
        """Run the control blocks up to ``index`` and return the last one's residual."""
        residual = None
        while self.next_index <= index:
            self.tokens, residual = self.branch.run_block(
                self.next_index, self.tokens, self.time_embedding, self.rope, self.attention
            )
            self.next_index += 1
        assert residual is not None, "blocks run in order, each once"
        return residual
