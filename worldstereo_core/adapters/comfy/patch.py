"""Applies WorldStereo's control to any Wan MODEL, as wrappers around the calls of its diffusion model.

Inside a block the sequence is main tokens followed by reference tokens; everything outside the blocks, and
every patch of another node, sees main tokens only. Nothing of the model is changed: removing the node removes
the effect.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...checks import WorldStereoError
from ...model.condition import ControlCondition
from ...model.condition_check import check_condition
from ...model.control_parts import PartStage, strength_of
from ...model.control_session import ControlStrength
from ...model.world_control import WorldStereoControl
from .backbone import MODEL_CHANNELS, check_call, check_wan_model, unwrap
from .joined_call import ControlSettings, JoinedCall
from .previews import Callback, show_key_frames
from .reference_attention import limit_references
from .reservation import extra_latent_frames

logger = logging.getLogger(__name__)

# One key for the wrappers, one private patch name that no model reads. The patch entry is what makes ComfyUI
# load the control with the model and call to() and cleanup(): wrappers are not searched for models.
KEY = "worldstereo"
RANGE_KEY = "worldstereo_sigma_range"
PART_RANGES_KEY = "worldstereo_part_sigma_ranges"
NO_REFERENCES: dict[str, Any] = {
    "reference_latents": None,
    "reference_index": None,
    "reference_camera_tokens": None,
    "shared_surfaces": None,
    "reference_access": None,
}


def apply_control(
    model: Any,
    control: Any,
    condition: ControlCondition,
    strength: ControlStrength | float = 1.0,
    start_percent: float = 0.0,
    end_percent: float = 1.0,
    *,
    reference_strength: float = 1.0,
    reference_radius: int = -1,
    update_reference: bool | None = None,
    parts: Sequence[PartStage] = (),
    probe: Callable[[str, Tensor], None] | None = None,
) -> Any:
    """Return a clone of a MODEL with WorldStereo's control joined to it.

    Args:
        model: ComfyUI's MODEL (a ModelPatcher).
        control: the MODEL_PATCH made by ``loader.load_worldstereo`` (a ModelPatcher of a WorldStereoControl).
        condition: the clip's control inputs.
        strength: factors on the control residuals. All zero switches everything off, references included.
        start_percent, end_percent: part of the sampling during which control and references act, 0..1.
        reference_strength: how much the clip looks at its references, 0..1: 1 = released, s adds log(s) to
            attention logits, 0 = as if there were none.
        reference_radius: how many tokens away from the same surface the clip may look at references; -1 =
            everywhere, as released.
        update_reference: overrides the checkpoint's setting.
        parts: strength and stage of optional parts; those not named act at 1 all the time.
        probe: called with (name, tensor) for intermediate results; for tests.

    Raises: CheckpointError if model and control do not fit, WorldStereoError if the model carries a
        WorldStereo control already or the condition lacks references that the control needs.
    """
    module = control_module(control)
    check_wan_model(unwrap(model.get_model_object("diffusion_model")), module.config)
    if applied_control(model) is not None:
        raise WorldStereoError(
            "model: a WorldStereo control is applied to it already, and two camera paths cannot be "
            "followed at once. Connect the model from the loader, without the other Apply WorldStereo "
            "Control node."
        )
    if not 0 <= start_percent <= end_percent <= 1:
        raise WorldStereoError(
            f"start_percent and end_percent: got {start_percent} and {end_percent}, expected "
            "0 <= start_percent <= end_percent <= 1."
        )
    if not 0 <= reference_strength <= 1:
        raise WorldStereoError(f"reference_strength: got {reference_strength}, expected 0 to 1.")
    condition = _fit_to_variant(condition, module)
    if reference_strength == 0:
        condition = replace(condition, **NO_REFERENCES)
    condition = limit_references(condition, reference_radius)
    settings = ControlSettings(
        strength=strength
        if isinstance(strength, ControlStrength)
        else ControlStrength(overall=float(strength)),
        update_reference=module.config.updates_references if update_reference is None else update_reference,
        reference_strength=reference_strength or 1.0,
        parts=tuple(parts),
        probe=probe,
    )
    return _with_hook(model, ControlPatch(control, condition, settings, (start_percent, end_percent)))


def applied_control(model: Any) -> ControlPatch | None:
    """The control that ``apply_control`` joined to a MODEL, or None."""
    hooks = model.model_options["transformer_options"].get("patches", {}).get(KEY)
    return hooks[0] if hooks else None


def replace_condition(model: Any, condition: ControlCondition) -> Any:
    """A clone of a MODEL whose applied control follows another condition, everything else being equal."""
    hook = applied_control(model)
    assert hook is not None
    return _with_hook(model, ControlPatch(hook.control, condition, hook.settings, hook.percent_range))


def _with_hook(model: Any, hook: ControlPatch) -> Any:
    from comfy.patcher_extension import WrappersMP

    patched = model.clone()
    for kind, wrapper in (
        (WrappersMP.OUTER_SAMPLE, hook.wrap_outer_sample),
        (WrappersMP.PREPARE_SAMPLING, hook.wrap_prepare_sampling),
        (WrappersMP.DIFFUSION_MODEL, hook.wrap_diffusion_model),
    ):
        patched.remove_wrappers_with_key(kind, KEY)
        patched.add_wrapper_with_key(kind, KEY, wrapper)
    options = patched.model_options["transformer_options"]
    options["patches"] = {**options.get("patches", {}), KEY: [hook]}
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
        return replace(condition, camera_tokens=None, **NO_REFERENCES)
    return condition


class ControlPatch:
    """The hook on one MODEL clone. Holds what does not change between calls; each call makes its own
    session."""

    def __init__(
        self,
        control: Any,
        condition: ControlCondition,
        settings: ControlSettings,
        percent_range: tuple[float, float] = (0.0, 1.0),
    ):
        self.control, self.condition = control, condition
        self.settings, self.percent_range = settings, percent_range
        # Copies of the condition on a computing device; dropped after every sampling.
        self._placed: dict[tuple[torch.device, torch.dtype], ControlCondition] = {}
        self._said_guidance = False

    # What ComfyUI calls on objects in a model's patches.

    def models(self) -> list[Any]:
        return [self.control]

    def to(self, device_or_dtype: Any) -> ControlPatch:
        return self

    def cleanup(self) -> None:
        self._placed.clear()
        self._said_guidance = False

    @property
    def is_off(self) -> bool:
        blocks = control_module(self.control).config.control.num_blocks
        return not any(self.settings.strength.for_block(index, blocks) for index in range(blocks))

    def wrap_outer_sample(
        self,
        executor: Any,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Tensor | None = None,
        callback: Callback | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Show the clip's key frames in the previews of whatever node samples."""
        if callback is not None and noise.ndim == 5:
            callback = show_key_frames(executor.class_obj.model_patcher, callback)
        return executor(noise, latent_image, sampler, sigmas, denoise_mask, callback, *args, **kwargs)

    def wrap_prepare_sampling(
        self, executor: Any, model: Any, noise_shape: Any, conds: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Check the inputs before any work, and reserve memory for control and references too."""
        if not self.is_off:
            shape = list(noise_shape)
            self._check_noise_shape(shape)
            _warn_about_conditioning(model, conds)
            options = kwargs.get("model_options") or (args[0] if args else None)
            if options is not None:
                sampling = model.get_model_object("model_sampling")
                passed = options.setdefault("transformer_options", {})
                passed[RANGE_KEY] = tuple(sampling.percent_to_sigma(part) for part in self.percent_range)
                passed[PART_RANGES_KEY] = tuple(
                    (
                        sampling.percent_to_sigma(stage.start_percent),
                        sampling.percent_to_sigma(stage.end_percent),
                    )
                    for stage in self.settings.parts
                )
            # The shape is used for the estimate alone.
            shape[2] += extra_latent_frames(model, control_module(self.control), self.condition, shape)
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
            condition = self.placed_condition(x.device, x.dtype)
            module = control_module(self.control)
            self._warn_about_guidance(module, options)
            parts = strength_of(self.settings.parts, self._active_parts(options))
            call = JoinedCall(model, module, condition, x, timestep, options, self.settings, parts)
            options = call.wrapped_options()
        # The options stay the last positional argument: caching nodes look for them there.
        return executor(x, timestep, context, clip_fea, time_dim_concat, options, **kwargs)

    def _warn_about_guidance(self, module: WorldStereoControl, options: dict[str, Any]) -> None:
        """Say once per sampling that a distilled model needs no guidance (1 is the negative prompt)."""
        is_guided = 1 in options.get("cond_or_uncond", ())
        if is_guided and module.config.variant == "memory-dmd" and not self._said_guidance:
            self._said_guidance = True
            logger.warning(
                "WorldStereo: CFG is above 1 with a memory-dmd file: it works and takes twice as long, but "
                "the file was distilled to need none. Set CFG to 1."
            )

    def _is_active(self, options: dict[str, Any]) -> bool:
        if self.is_off:
            return False
        sigmas, limits = options.get("sigmas"), options.get(RANGE_KEY)
        if sigmas is None or limits is None or self.percent_range == (0.0, 1.0):
            return True
        return limits[1] <= float(sigmas.flatten()[0]) <= limits[0]

    def _active_parts(self, options: dict[str, Any]) -> list[bool]:
        sigmas, ranges = options.get("sigmas"), options.get(PART_RANGES_KEY)
        if sigmas is None or ranges is None:
            return [True] * len(self.settings.parts)
        sigma = float(sigmas.flatten()[0])
        return [
            low <= sigma <= high or (stage.start_percent, stage.end_percent) == (0.0, 1.0)
            for stage, (high, low) in zip(self.settings.parts, ranges, strict=True)
        ]

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
            self._placed[(device, dtype)] = self.condition.to(device, dtype)
        return self._placed[(device, dtype)]


def _warn_about_conditioning(model: Any, conds: dict[str, list[dict[str, Any]]]) -> None:
    network = unwrap(model.get_model_object("diffusion_model"))
    entries = [entry for group in conds.values() for entry in group or []]
    if network.img_emb is not None and any(entry.get("clip_vision_output") is None for entry in entries):
        logger.warning(
            "WorldStereo: this model has an image encoder, but the conditioning has no clip_vision_output; "
            "the picture will not be followed as trained. Connect CLIP vision to WorldStereo Image to Key "
            "Frames."
        )
    if any(entry.get("concat_latent_image") is None for entry in entries):
        logger.warning(
            "WorldStereo: the conditioning has no start image, so the clip will not begin with your "
            "picture. Pass both conditionings through WorldStereo Image to Key Frames."
        )
