"""g11: a picture prepared for CLIP vision, as CLIP was trained and as the released pipelines do it."""

from __future__ import annotations

import re

from torch import Tensor

from ...model.clip_preprocess import clip_pixels
from .golden import Golden

INPUT_GLOBS = ("image", "*.image")
_NAME = re.compile(r"(.*\.)?pixel_values_rescale([01])(?:_stride(\d+))?")


def compute(golden: Golden, adapter: str) -> dict[str, Tensor]:
    """Every variant that the golden's tensor names ask for."""
    computed = {}
    for name in golden.names:
        match = _NAME.fullmatch(name)
        if match is not None:
            image = golden.input(f"{match[1] or ''}image").float() / 255
            stride = int(match[3] or 1)
            computed[name] = clip_pixels(image, is_rescaled=match[2] == "1")[..., ::stride, ::stride]
    return computed
