"""Applies WorldStereo's control to any Wan MODEL, as wrappers around the calls of its diffusion model.

Inside a block the sequence is main tokens followed by reference tokens; everything outside the blocks, and
every patch of another node, sees main tokens only. Nothing of the model is changed: removing the node removes
the effect.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ...checks import WorldStereoError
from ...model.backbone import TokenGrid
from ...model.condition import ControlCondition
from ...model.control_session import ControlSession, ControlStrength, check_condition
from ...model.world_control import WorldStereoControl
from .backbone import MODEL_CHANNELS, ComfyBackbone, check_call, check_wan_model, unwrap

logger = logging.getLogger(__name__)

# One key for the wrappers, one private patch name that no model reads. The patch entry is what makes ComfyUI
# load the control with the model and call to() and cleanup(): wrappers are not searched for models.
KEY = "worldstereo"
RANGE_KEY = "worldstereo_sigma_range"


def apply_control(
    model: Any,
    control: Any,
    condition: ControlCondition,
    strength: ControlStrength | float = 1.0,
    start_percent: float = 0.0,
    end_percent: float = 1.0,
    *,
    update_reference: bool | None = None,
    probe: Callable[[str, Tensor], None] | None = None,
) -> Any:
    """Return a clone of a MODEL with WorldStereo's control joined to it.

    Args:
        model: ComfyUI's MODEL (a ModelPatcher).
        control: the MODEL_PATCH made by ``loader.load_worldstereo`` (a ModelPatcher of a WorldStereoControl).
        condition: the clip's control inputs.
        strength: factors on the control residuals. All zero switches everything off, references included.
        start_percent, end_percent: part of the sampling during which control and references act, 0..1.
        update_reference: overrides the checkpoint's setting.
        probe: called with (name, tensor) for intermediate results; for tests.

    Raises: CheckpointError if model and control do not fit, WorldStereoError if the model carries a
        WorldStereo control already or the condition lacks references that the control needs.
    """
    from comfy.patcher_extension import WrappersMP

    module = control_module(control)
    check_wan_model(unwrap(model.get_model_object("diffusion_model")), module.config)
    if model.get_wrappers(WrappersMP.DIFFUSION_MODEL, KEY):
        raise WorldStereoError(
            "model: a WorldStereo control is applied to it already, and two camera paths cannot be followed "
            "at once. "
            "Connect the model from the loader, without the other Apply WorldStereo Control node."
        )
    if not 0 <= start_percent <= end_percent <= 1:
        raise WorldStereoError(
            f"start_percent and end_percent: got {start_percent} and {end_percent}, expected "
            "0 <= start_percent <= end_percent <= 1."
        )
    condition = _fit_to_variant(condition, module)
    hook = ControlPatch(
        control,
        condition,
        strength if isinstance(strength, ControlStrength) else ControlStrength(overall=float(strength)),
        (start_percent, end_percent),
        module.config.updates_references if update_reference is None else update_reference,
        probe,
    )
    patched = model.clone()
    patched.add_wrapper_with_key(WrappersMP.PREPARE_SAMPLING, KEY, hook.wrap_prepare_sampling)
    patched.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, KEY, hook.wrap_diffusion_model)
    patched.set_model_patch(hook, KEY)
    return patched


def control_module(control: Any) -> WorldStereoControl:
    """The WorldStereoControl inside a MODEL_PATCH.

    Raises: WorldStereoError if it is a patch of another family.
    """
    module = getattr(control, "model", None)
    # By name: under ComfyUI the pack is a second copy of this package, whose classes differ.
    if module is None or not hasattr(module, "controlnet") or not hasattr(module, "config"):
        raise WorldStereoError(
            f"control: got a {type(module if module is not None else control).__name__}, expected the "
            "control output "
            "of Load WorldStereo Model."
        )
    return module


def _fit_to_variant(condition: ControlCondition, module: WorldStereoControl) -> ControlCondition:
    config = module.config
    if config.takes_references and condition.reference_latents is None:
        raise WorldStereoError(
            f"condition: it has zero references, but this is a {config.variant} control. Connect references "
            "to "
            "Encode Control; the input image alone is enough."
        )
    if not config.takes_references and condition.reference_latents is not None:
        logger.warning("WorldStereo: the references are ignored: this is a camera control without memory.")
        kept = {part.name: getattr(condition, part.name) for part in fields(condition)}
        kept.update(
            reference_latents=None, reference_index=None, camera_tokens=None, reference_camera_tokens=None
        )
        return ControlCondition(**kept)
    return condition


class ControlPatch:
    """The hook on one MODEL clone. Holds what does not change between calls; each call makes its own
    session."""

    def __init__(
        self,
        control: Any,
        condition: ControlCondition,
        strength: ControlStrength,
        percent_range: tuple[float, float],
        update_reference: bool,
        probe: Callable[[str, Tensor], None] | None = None,
    ):
        self.control, self.condition, self.strength = control, condition, strength
        self.percent_range, self.update_reference, self.probe = percent_range, update_reference, probe
        # Copies of the condition on a computing device; dropped after every sampling.
        self._placed: dict[tuple[torch.device, torch.dtype], ControlCondition] = {}

    # What ComfyUI calls on objects in a model's patches.

    def models(self) -> list[Any]:
        return [self.control]

    def to(self, device_or_dtype: Any) -> ControlPatch:
        return self

    def cleanup(self) -> None:
        self._placed.clear()

    @property
    def is_off(self) -> bool:
        blocks = control_module(self.control).config.control.num_blocks
        return not any(self.strength.for_block(index, blocks) for index in range(blocks))

    def wrap_prepare_sampling(
        self, executor: Any, model: Any, noise_shape: Any, conds: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Check the inputs before any work, and reserve memory for the reference tokens too."""
        if not self.is_off:
            shape = list(noise_shape)
            self._check_noise_shape(shape)
            _warn_about_conditioning(model, conds)
            options = kwargs.get("model_options") or (args[0] if args else None)
            if options is not None:
                sampling = model.get_model_object("model_sampling")
                limits = tuple(sampling.percent_to_sigma(percent) for percent in self.percent_range)
                options.setdefault("transformer_options", {})[RANGE_KEY] = limits
            references = self.condition.reference_latents
            if references is not None:
                # The estimate grows with the shape alone; one more latent frame per reference view.
                shape[2] += references.shape[2]
                noise_shape = torch.Size(shape)
        return executor(model, noise_shape, conds, *args, **kwargs)

    def wrap_diffusion_model(
        self,
        executor: Any,
        x: Tensor,
        timestep: Tensor,
        context: Tensor,
        clip_fea: Tensor | None = None,
        time_dim_concat: Tensor | None = None,
        transformer_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run the model with every block wrapped; x is [B, 36, F, h, w], timestep [B]."""
        options = transformer_options if transformer_options is not None else {}
        if self._is_active(options):
            model = unwrap(executor.class_obj)
            check_call(model, timestep, options, {**kwargs, "time_dim_concat": time_dim_concat})
            options = _JoinedCall(self, model, x, timestep, options).wrapped_options()
        # The options stay the last positional argument: caching nodes look for them there.
        return executor(x, timestep, context, clip_fea, time_dim_concat, options, **kwargs)

    def _is_active(self, options: dict[str, Any]) -> bool:
        if self.is_off:
            return False
        sigmas, limits = options.get("sigmas"), options.get(RANGE_KEY)
        if sigmas is None or limits is None or self.percent_range == (0.0, 1.0):
            return True
        return limits[1] <= float(sigmas.flatten()[0]) <= limits[0]

    def _check_noise_shape(self, shape: list[int]) -> None:
        # Only sizes are looked at, so nothing is allocated.
        latents = (
            torch.empty(shape[0], MODEL_CHANNELS, *shape[2:], device="meta") if len(shape) == 5 else None
        )
        if latents is None:
            raise WorldStereoError(
                f"latent: got a shape of {shape}, expected a video latent [1, 16, frames, height / 8, width "
                "/ 8]. "
                "Connect the latent of WorldStereo Image to Key Frames."
            )
        check_condition(self.condition, control_module(self.control), latents)

    def placed_condition(self, device: torch.device, dtype: torch.dtype) -> ControlCondition:
        """The condition on a device, floating parts in a dtype; copied once per sampling."""
        if (device, dtype) not in self._placed:
            moved = {
                part.name: _place(getattr(self.condition, part.name), device, dtype)
                for part in fields(self.condition)
            }
            self._placed[(device, dtype)] = ControlCondition(**moved)
        return self._placed[(device, dtype)]


def _place(tensor: Tensor | None, device: torch.device, dtype: torch.dtype) -> Tensor | None:
    if tensor is None:
        return None
    return tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)


def _warn_about_conditioning(model: Any, conds: dict[str, list[dict[str, Any]]]) -> None:
    network = unwrap(model.get_model_object("diffusion_model"))
    entries = [entry for group in conds.values() for entry in group or []]
    if network.img_emb is not None and any(entry.get("clip_vision_output") is None for entry in entries):
        logger.warning(
            "WorldStereo: this model has an image encoder, but the conditioning has no clip_vision_output; "
            "the "
            "picture will not be followed as trained. Connect CLIP vision to WorldStereo Image to Key Frames."
        )
    if any(entry.get("concat_latent_image") is None for entry in entries):
        logger.warning(
            "WorldStereo: the conditioning has no start image, so the clip will not begin with your picture. "
            "Pass "
            "both conditionings through WorldStereo Image to Key Frames."
        )


@dataclass
class _Joined:
    """The session of one call together with the joined rope, both made at the first block that runs."""

    session: ControlSession
    main_rope: Tensor | None = None
    rope: Any = None


class _JoinedCall:
    """One call of the diffusion model: wraps whatever is registered for each block, and joins on the way
    in."""

    def __init__(self, hook: ControlPatch, model: Any, x: Tensor, timestep: Tensor, options: dict[str, Any]):
        self.hook, self.model, self.options = hook, model, options
        self.x, self.timestep = x, timestep
        self.joined: _Joined | None = None

    def wrapped_options(self) -> dict[str, Any]:
        replace = dict(self.options.get("patches_replace", {}))
        blocks = dict(replace.get("dit", {}))
        for index in range(len(self.model.blocks)):
            blocks[("double_block", index)] = self._wrap(index, blocks.get(("double_block", index)))
        replace["dit"] = blocks
        return {**self.options, "patches_replace": replace}

    def _wrap(self, index: int, registered: Callable[..., Any] | None) -> Callable[..., Any]:
        def run(arguments: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
            session = self._start(arguments).session
            main = session.join(index, arguments["img"])
            inner = {**arguments, "img": main, "pe": self._rope(arguments["pe"])}
            inner["transformer_options"] = _patches_on_main(inner["transformer_options"], session.num_main)
            with _CrossAttentionOnMain(self.model.blocks[index], session):
                out = extra["original_block"](inner) if registered is None else registered(inner, extra)
            return {**out, "img": session.split(index, out["img"])}

        return run

    def _start(self, arguments: dict[str, Any]) -> _Joined:
        # Not before the first block: steps that a caching node skips then cost nothing.
        if self.joined is None:
            self.joined = _Joined(self._make_session(arguments["img"].shape[1]))
        return self.joined

    def _rope(self, main_rope: Tensor) -> Any:
        assert self.joined is not None
        if self.joined.main_rope is not main_rope:
            self.joined.main_rope, self.joined.rope = (
                main_rope,
                self.joined.session.joined_positions(main_rope),
            )
        return self.joined.rope

    def _make_session(self, num_tokens: int) -> ControlSession:
        x, hook = self.x, self.hook
        patch = self.model.patch_size
        grid = TokenGrid(*(math.ceil(size / step) for size, step in zip(x.shape[2:], patch, strict=True)))
        if num_tokens != grid.num_tokens:
            raise WorldStereoError(
                f"model: its blocks got {num_tokens} tokens, expected {grid.num_tokens} for latents of "
                f"{list(x.shape[2:])}. Another node adds or removes tokens; remove it."
            )
        module = control_module(hook.control)
        return ControlSession(
            module,
            hook.placed_condition(x.device, x.dtype),
            ComfyBackbone(self.model, x.dtype, x.device, self.options),
            x,
            self.timestep.flatten(),
            grid,
            attention=self._attention,
            strength=hook.strength,
            update_reference=hook.update_reference,
            control_batch=self._control_batch(),
            probe=hook.probe,
        )

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
        kernel = "optimized_attention_override"
        options = {kernel: self.options[kernel]} if kernel in self.options else {}
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
        length = joined.shape[1]
        narrowed = {
            name: value[:, :num_main] if isinstance(value, Tensor) and value.shape[1] == length else value
            for name, value in arguments.items()
        }
        return torch.cat([patch(narrowed), joined[:, num_main:]], dim=1)

    return run
