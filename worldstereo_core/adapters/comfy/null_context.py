"""What small models take in place of a prompt and a picture's CLIP vision."""

from __future__ import annotations

from typing import Any

import torch

from ...model.tiny import IMAGE_WIDTH, TEXT_WIDTH


def null_conditioning() -> list[Any]:
    """CONDITIONING of one zero text token.

    The small models' text matrix is zero, so that every prompt means the same to them: what they learnt in
    its place is in their biases. One token gives the same as any number of equal ones, faster.
    """
    return [[torch.zeros(1, 1, TEXT_WIDTH), {}]]


def null_clip_vision() -> Any:
    """CLIP_VISION_OUTPUT of one zero token."""
    import comfy.clip_vision

    output = comfy.clip_vision.Output()  # pyright: ignore[reportAttributeAccessIssue]
    token = torch.zeros(1, 1, IMAGE_WIDTH)
    output["last_hidden_state"] = token
    output["penultimate_hidden_states"] = token
    output["image_embeds"] = token[:, 0]
    output["image_sizes"] = []
    output["mm_projected"] = None
    return output
