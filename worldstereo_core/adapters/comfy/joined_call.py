"""One call of ComfyUI's diffusion model with reference tokens inside its blocks and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ...checks import WorldStereoError
from ...model.backbone import TokenGrid
from ...model.condition import ControlCondition
from ...model.control_parts import PartStage, PartStrength
from ...model.control_session import ControlSession, ControlStrength
from ...model.world_control import WorldStereoControl
from .backbone import ComfyBackbone
from .reference_attention import restricted_attention

KERNEL = "optimized_attention_override"
PADDING = 8  # channels per head; attention kernels want head widths that are multiples of 8


@dataclass(frozen=True)
class ControlSettings:
    """What stays the same over all calls of one sampling.

    Attributes:
        strength: factors on the control residuals.
        update_reference: each block's reference tokens feed the next block.
        reference_strength: 1 = as trained; s adds log(s) to what main tokens see of reference tokens.
        parts: strength and stage of optional parts.
        probe: called with (name, tensor) for intermediate results, or None.
    """

    strength: ControlStrength = field(default_factory=ControlStrength)
    update_reference: bool = True
    reference_strength: float = 1.0
    parts: tuple[PartStage, ...] = ()
    probe: Callable[[str, Tensor], None] | None = None


class JoinedCall:
    """Wraps, for one call, whatever is registered for each block: tokens are joined on the way in.

    Args:
        model: ComfyUI's WanModel.
        control: the trained parts.
        condition: the clip's control inputs on the computing device.
        x: [B, 36, F, h, w] model input.
        timestep: [B].
        options: the call's transformer_options.
        settings: of the sampling.
        parts: factors on the optional parts in this call.
    """

    def __init__(
        self,
        model: Any,
        control: WorldStereoControl,
        condition: ControlCondition,
        x: Tensor,
        timestep: Tensor,
        options: dict[str, Any],
        settings: ControlSettings,
        parts: PartStrength = PartStrength(),  # noqa: B008 (frozen)
    ):
        self.model, self.control, self.condition = model, control, condition
        self.x, self.timestep, self.options, self.settings = x, timestep, options, settings
        self.parts = parts
        self._session: ControlSession | None = None
        self._main_rope: Tensor | None = None
        self._joined_rope: Any = None

    def wrapped_options(self) -> dict[str, Any]:
        """The options to call the model with; the given ones stay as they are."""
        replace = dict(self.options.get("patches_replace", {}))
        blocks = dict(replace.get("dit", {}))
        for index in range(len(self.model.blocks)):
            # What other nodes registered is called through, whichever node came first.
            blocks[("double_block", index)] = self._wrap(index, blocks.get(("double_block", index)))
        replace["dit"] = blocks
        return {**self.options, "patches_replace": replace}

    def _wrap(self, index: int, registered: Callable[..., Any] | None) -> Callable[..., Any]:
        def run(arguments: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
            session = self._start(arguments["img"].shape[1])
            joined = session.join(index, arguments["img"])
            inner = {**arguments, "img": joined, "pe": self._rope(session, arguments["pe"])}
            inner["transformer_options"] = self._inner_options(session, arguments["transformer_options"])
            with _CrossAttentionOnMain(self.model.blocks[index], session):
                out = extra["original_block"](inner) if registered is None else registered(inner, extra)
            return {**out, "img": session.split(index, out["img"])}

        return run

    def _start(self, num_tokens: int) -> ControlSession:
        # Not before the first block: steps that a caching node skips then cost nothing.
        if self._session is not None:
            return self._session
        x, steps = self.x, self.model.patch_size
        grid = TokenGrid(*(math.ceil(size / step) for size, step in zip(x.shape[2:], steps, strict=True)))
        if num_tokens != grid.num_tokens:
            raise WorldStereoError(
                f"model: its blocks got {num_tokens} tokens, expected {grid.num_tokens} for latents of "
                f"{list(x.shape[2:])}. Another node adds or removes tokens; remove it."
            )
        self._session = ControlSession(
            self.control,
            self.condition,
            ComfyBackbone(self.model, x.dtype, x.device, self.options),
            x,
            self.timestep.flatten(),
            grid,
            attention=self._attention,
            strength=self.settings.strength,
            parts=self.parts,
            update_reference=self.settings.update_reference,
            control_batch=self._control_batch(),
            probe=self.settings.probe,
        )
        return self._session

    def _rope(self, session: ControlSession, main_rope: Tensor) -> Any:
        if self._main_rope is not main_rope:
            self._main_rope, self._joined_rope = main_rope, session.joined_positions(main_rope)
        return self._joined_rope

    def _inner_options(self, session: ControlSession, options: dict[str, Any]) -> dict[str, Any]:
        if session.num_reference == 0:
            return options
        options = _patches_on_main(options, session.num_main)
        bias = math.log(self.settings.reference_strength)
        access = self.condition.reference_access
        if access is not None:
            return {**options, KERNEL: restricted_attention(options.get(KERNEL), access, bias)}
        if bias != 0:
            options = {**options, KERNEL: biased_attention(options.get(KERNEL), session.num_main, bias)}
        return options

    def _control_batch(self) -> int:
        """Samples the control must be computed for: cond and uncond of one step share it."""
        batch = self.x.shape[0]
        count = len(self.options.get("cond_or_uncond", [0]))
        if count < 2 or batch % count:
            return batch
        # A negative conditioning without the start image has another mask, and then another control.
        seen = self.x[:, :20].unflatten(0, (count, -1))
        return batch // count if bool((seen == seen[:1]).all()) else batch

    def _attention(self, query: Tensor, key: Tensor, value: Tensor, num_heads: int) -> Tensor:
        from comfy.ldm.modules.attention import optimized_attention

        # Other nodes' attention patches are made for the model's own blocks; only the kernel is shared.
        options = {KERNEL: self.options[KERNEL]} if KERNEL in self.options else {}
        return optimized_attention(query, key, value, heads=num_heads, transformer_options=options)


class _CrossAttentionOnMain:
    """While one block runs, its cross-attention sees main tokens only; references get zeros added.

    Whatever forward is set on the cross-attention at that moment, by any node, is called through.
    """

    def __init__(self, block: Any, session: ControlSession):
        self.attention: Any = block.cross_attn if session.num_reference else None
        self.num_main = session.num_main

    def __enter__(self) -> None:
        if self.attention is None:
            return
        self.own = self.attention.__dict__.get("forward")
        previous, num_main = self.attention.forward, self.num_main

        def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            main = previous(x[:, :num_main], *args, **kwargs)
            return functional.pad(main, (0, 0, 0, x.shape[1] - num_main))

        self.attention.forward = forward

    def __exit__(self, *exception: object) -> None:
        if self.attention is None:
            return
        if self.own is None:
            del self.attention.forward
        else:
            self.attention.forward = self.own


def _patches_on_main(options: dict[str, Any], num_main: int) -> dict[str, Any]:
    """Let other nodes' attention patches see the main tokens only."""
    patches = options.get("patches", {})
    names = [name for name in ("attn1_patch", "attn2_patch") if patches.get(name)]
    if not names:
        return options
    narrowed = {name: [_on_main(patch, num_main) for patch in patches[name]] for name in names}
    return {**options, "patches": {**patches, **narrowed}}


def _on_main(patch: Callable[..., Tensor], num_main: int) -> Callable[..., Tensor]:
    def run(arguments: dict[str, Any]) -> Tensor:
        joined = arguments["x"]

        def is_sequence(value: Any) -> bool:
            return isinstance(value, Tensor) and value.ndim > 1 and value.shape[1] == joined.shape[1]

        narrowed = {
            name: value[:, :num_main] if is_sequence(value) else value for name, value in arguments.items()
        }
        return torch.cat([patch(narrowed), joined[:, num_main:]], dim=1)

    return run


def biased_attention(
    previous: Callable[..., Tensor] | None, num_main: int, bias: float
) -> Callable[..., Tensor]:
    """An attention override that adds `bias` to the logits of reference keys as main queries see them.

    The bias rides on an extra channel per head, so that any kernel can be used and no mask is made: queries
    carry 1 (main) or 0 (reference) there, keys 0 (main) or the bias (reference).
    """

    def run(
        function: Callable[..., Tensor], query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        call = function if previous is None else partial(previous, function)
        heads = args[0] if args else kwargs["heads"]
        joined = query.shape[1] == key.shape[1] > num_main and query.ndim == 3
        if not joined:
            return call(query, key, value, *args, **kwargs)
        width = query.shape[2] // heads
        scale = math.sqrt(width + PADDING)  # what the kernel divides logits by
        is_main = (torch.arange(query.shape[1], device=query.device) < num_main).to(query.dtype)
        query = _widen(query * (scale / math.sqrt(width)), heads, is_main)
        key = _widen(key, heads, (1 - is_main) * (bias * scale))
        value = _widen(value, heads, torch.zeros_like(is_main))
        out = call(query, key, value, *args, **kwargs)
        return out.unflatten(2, (heads, width + PADDING))[..., :width].flatten(2)

    return run


def _widen(tensor: Tensor, heads: int, column: Tensor) -> Tensor:
    """Give every head of [B, L, heads * width] PADDING more channels: the column [L], then zeros."""
    split = functional.pad(tensor.unflatten(2, (heads, -1)), (0, PADDING))
    split[..., -PADDING] = column[:, None]
    return split.flatten(2)
