"""Pictures: reading any ordinary image file, writing PNG."""

from __future__ import annotations

import logging
import os
from io import BytesIO

import numpy as np
import torch
from torch import Tensor

from ..atomic import replace_when_done
from ..checks import ShapeError, WorldStereoError

logger = logging.getLogger(__name__)


def read_image(path: str | os.PathLike[str]) -> Tensor:
    """Read a picture as [3, H, W] float32 in 0..1.

    The camera's rotation note (EXIF) is applied, grey becomes RGB, 16-bit grey keeps its precision.
    Transparency is left out: the colours below it are used, and a warning says so.

    Raises: WorldStereoError if the file is missing or no picture.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            image.load()
    except FileNotFoundError:
        raise WorldStereoError(f"image: {path} does not exist. Check the path.") from None
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise WorldStereoError(
            f"image: {path} cannot be read as a picture ({error}). Expected PNG, JPEG, WebP or TIFF; "
            "the file may be damaged or of another kind."
        ) from error
    if image.mode.startswith("I"):
        grey = torch.from_numpy(np.asarray(image).astype(np.float32)) / 65535
        return grey.expand(3, -1, -1).contiguous()
    if image.mode == "F":
        raise WorldStereoError(
            f"image: {path} holds floating-point values, expected a picture of 8 or 16 bits. "
            "If it is a depth map, load it as depth."
        )
    if image.has_transparency_data:
        alpha = image.convert("RGBA").getchannel("A")
        if alpha.getextrema()[0] < 255:
            logger.warning("%s is partly transparent: transparency is ignored, hidden colours show.", path)
    pixels = torch.from_numpy(np.array(image.convert("RGB")))
    return pixels.permute(2, 0, 1).float().div_(255)


def write_png(path: str | os.PathLike[str], image: Tensor) -> None:
    """Write [3, H, W], or a grey or mask [H, W], of floats 0..1 as 8-bit PNG; values are rounded.

    Values outside 0..1, which decoders and filters produce, become black or white.
    """
    content = image_to_png(f"image for {path}", image)
    with replace_when_done(path) as temporary:
        temporary.write_bytes(content)


def image_to_png(name: str, image: Tensor) -> bytes:
    """The bytes of an 8-bit PNG of [3, H, W] or [H, W] floats 0..1, as ``write_png`` writes them.

    Args:
        name: the picture as the user knows it, for messages.
    """
    from PIL import Image

    if image.ndim != 2 and not (image.ndim == 3 and image.shape[0] == 3):
        raise ShapeError(f"image: got shape {list(image.shape)}, expected [3, H, W] or [H, W].")
    levels = to_bytes(name, image)
    pixels = levels.permute(1, 2, 0) if levels.ndim == 3 else levels
    content = BytesIO()
    Image.fromarray(pixels.contiguous().numpy()).save(content, format="PNG", compress_level=4)
    return content.getvalue()


def to_bytes(name: str, image: Tensor) -> Tensor:
    """Round floats 0..1 of any shape to uint8 on the CPU; refuse NaN and infinity."""
    image = image.detach().float().cpu()
    if not bool(torch.isfinite(image).all()):
        raise WorldStereoError(
            f"{name}: {int((~torch.isfinite(image)).sum())} values are not finite, expected numbers in 0..1. "
            "The step that made it failed (often half precision overflowing); nothing was written."
        )
    return image.clamp(0, 1).mul(255).round_().to(torch.uint8)
