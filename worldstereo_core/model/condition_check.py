"""Whether a clip's control inputs belong to the latents and the control they are used with."""

from __future__ import annotations

from torch import Tensor

from ..checks import ShapeError, check_shape
from .condition import ControlCondition
from .control_parts import ControlParts
from .stereo_memory import check_reference_index
from .world_control import WorldStereoControl


def check_condition(condition: ControlCondition, control: WorldStereoControl, latents: Tensor) -> None:
    """Check that a condition belongs to these latents and this control.

    Raises: ShapeError.
    """
    batch, channels, frames, height, width = latents.shape
    sizes = control.config.control
    if channels < 36:
        raise ShapeError(
            f"model input: got {channels} channels, expected 36 (noisy latent 16, mask 4, image latent 16). "
            "WorldStereo needs a Wan 2.1 image-to-video backbone."
        )
    made_for = list(condition.render_latents.shape[2:])
    if made_for != [frames, height, width]:
        raise ShapeError(
            f"condition was encoded for {made_for[0]} key frames of {made_for[1] * 8}x{made_for[2] * 8} "
            f"(height x width), the latents have {frames} of {height * 8}x{width * 8}. Use the same size and "
            "frame count on both, then encode the control again."
        )
    expected_mask = sizes.num_mask_frames(frames)
    hint = (
        f"this control branch takes {expected_mask} mask frames for {frames} key frames. "
        "Encode the control again with this control branch."
    )
    check_shape("condition hole mask", condition.hole_mask, ("*", 1, "*", 8 * height, 8 * width), hint)
    if not sizes.interpolated:
        check_shape("condition hole mask", condition.hole_mask, ("*", 1, expected_mask, "*", "*"), hint)
    if condition.rays is not None:
        check_shape("condition rays", condition.rays, ("*", 6, *condition.hole_mask.shape[2:]), hint)
    if condition.reference_latents is not None:
        shape = condition.reference_latents.shape
        check_shape(
            "condition reference latents",
            condition.reference_latents,
            ("*", 16, "*", height, width),
            "References are encoded at the clip's size. Encode the control again.",
        )
        check_reference_index(condition.reference_index, shape[2], frames)
    token_counts = (
        ("camera tokens", condition.camera_tokens, frames),
        (
            "reference camera tokens",
            condition.reference_camera_tokens,
            0 if condition.reference_latents is None else condition.reference_latents.shape[2],
        ),
    )
    for name, tokens, count in token_counts:
        if tokens is not None:
            width = control.config.camera_token_width or "*"
            check_shape(f"condition {name}", tokens, ("*", count, width), "Encode the control again.")
    _check_part_inputs(condition, control.parts, latents)
    parts = (
        condition.render_latents,
        condition.hole_mask,
        condition.rays,
        condition.reference_latents,
        condition.global_vector,
        condition.pictures,
        condition.warped_references,
        condition.geometry,
    )
    for part in parts:
        if part is not None and batch % part.shape[0]:
            raise ShapeError(
                f"condition: a batch of {part.shape[0]} does not divide the latents' batch {batch}. "
                "Encode the control for one clip, or for as many as the latents hold."
            )


def _check_part_inputs(condition: ControlCondition, parts: ControlParts | None, latents: Tensor) -> None:
    """Check the inputs of the parts that a control has; others are not looked at."""
    if parts is None:
        return
    frames, height, width = latents.shape[2:]
    maps = ("*", "*", condition.hole_mask.shape[2], 8 * height, 8 * width)
    expected = {
        "global_vector": ("*", "*"),
        "pictures": maps,
        "geometry": maps,
        "warped_references": ("*", "*", frames, height, width),
    }
    for name, shape in expected.items():
        given, part = getattr(condition, name), getattr(parts, name)
        if given is None or part is None:
            continue
        channels = next(part.parameters()).shape[1]
        check_shape(
            f"condition {name.replace('_', ' ')}",
            given,
            (shape[0], channels, *shape[2:]),
            "Encode the control again with this control and the clip's own size and frame count.",
        )
