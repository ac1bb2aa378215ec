"""CLIP vision with the released pipelines' preprocessing, on ComfyUI's model."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...checks import WorldStereoError
from ...model.clip_preprocess import clip_pixels

IMAGE_WIDTH = 1280  # channels that Wan's image encoder input takes: CLIP ViT-H


def encode_clip_vision(clip_vision: Any, image: Tensor, is_rescaled: bool = True) -> Any:
    """Encode a picture for an image-to-video model.

    Args:
        clip_vision: CLIP_VISION, ViT-H.
        image: [3, H, W], 0..1.
        is_rescaled: True = ComfyUI's own preprocessing. False = as the released WorldStereo pipelines do,
            which leave pixels at 0..255 before mean and deviation are applied.

    Returns:
        CLIP_VISION_OUTPUT.

    Raises: WorldStereoError if the model is not a CLIP whose output Wan can take.
    """
    _check(clip_vision)
    if is_rescaled:
        output = clip_vision.encode_image(image.movedim(0, -1)[None])
    else:
        output = _encode_pixels(
            clip_vision, clip_pixels(image, is_rescaled=False, size=clip_vision.image_size)
        )
    width = output.penultimate_hidden_states.shape[-1]
    if width != IMAGE_WIDTH:
        raise WorldStereoError(
            f"clip_vision: its hidden states have {width} channels, Wan's image-to-video models take "
            f"{IMAGE_WIDTH}. "
            "Load clip_vision_h.safetensors."
        )
    return output


def _encode_pixels(clip_vision: Any, pixels: Tensor) -> Any:
    import comfy.clip_vision
    import comfy.model_management as management

    management.load_model_gpu(clip_vision.patcher)
    hidden, penultimate, embeds = clip_vision.model(
        pixel_values=pixels.to(clip_vision.load_device), intermediate_output=-2
    )[:3]
    device = management.intermediate_device()
    output = comfy.clip_vision.Output()  # pyright: ignore[reportAttributeAccessIssue]
    output["last_hidden_state"] = hidden.to(device)
    output["penultimate_hidden_states"] = penultimate.to(device)
    output["image_embeds"] = embeds.to(device)
    output["image_sizes"] = [pixels.shape[1:]] * pixels.shape[0]
    output["mm_projected"] = None
    return output


def _check(clip_vision: Any) -> None:
    kind = getattr(clip_vision, "model_type", "clip_vision_model")
    if kind != "clip_vision_model" or getattr(clip_vision, "return_all_hidden_states", False):
        raise WorldStereoError(
            f"clip_vision: got a {kind}, expected CLIP ViT-H. Load clip_vision_h.safetensors."
        )
