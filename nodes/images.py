"""IMAGE and MASK sockets to the core's layout and back, and previews on nodes."""

from __future__ import annotations

import random
from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from ..worldstereo_core.checks import ShapeError, check_shape
from ..worldstereo_core.geometry.pictures import limit_size
from ..worldstereo_core.sizes import select_keyframes

MAX_PREVIEW_FRAMES, MAX_PREVIEW_SIDE = 81, 576


def pictures(name: str, image: Tensor) -> Tensor:
    """IMAGE [T, H, W, 3 or 4] -> [T, 3, H, W] float32 on the CPU; transparency is dropped."""
    check_shape(name, image, ("T", "H", "W", "*"), "Wire an image.")
    if image.shape[-1] not in (3, 4):
        raise ShapeError(
            f"{name}: got {image.shape[-1]} channels, expected 3 (RGB). Wire a colour image, or convert "
            "it to RGB."
        )
    return image[..., :3].float().cpu().movedim(-1, 1).contiguous()


def one_picture(name: str, image: Tensor) -> Tensor:
    """IMAGE of one picture -> [3, H, W].

    Raises: ShapeError for a batch.
    """
    batch = pictures(name, image)
    if batch.shape[0] != 1:
        raise ShapeError(
            f"{name}: got {batch.shape[0]} pictures, expected one. Take one out of the batch (Image From "
            "Batch)."
        )
    return batch[0]


def one_mask(name: str, mask: Tensor) -> Tensor:
    """MASK of one picture -> [H, W] bool, True where it is set."""
    mask = mask[None] if mask.ndim == 2 else mask
    check_shape(name, mask, (1, "H", "W"), "Wire the mask of one picture.")
    return mask[0].cpu() >= 0.5


def masks(name: str, mask: Tensor) -> Tensor:
    """MASK [T, H, W] or [H, W] -> [T, H, W] float on the CPU."""
    mask = mask[None] if mask.ndim == 2 else mask
    check_shape(name, mask, ("T", "H", "W"), "Wire a mask.")
    return mask.float().cpu()


def many_masks(name: str, mask: Tensor, count: int) -> Tensor:
    """MASK of one picture or of as many as there are -> [count, H, W] bool, True where it is set."""
    given = masks(name, mask)
    if given.shape[0] not in (1, count):
        raise ShapeError(
            f"{name}: got {given.shape[0]} masks for {count} pictures, expected one for each, or one for all."
        )
    return (given >= 0.5).expand(count, -1, -1)


def to_image(frames: Tensor) -> Tensor:
    """[T, 3, H, W] -> IMAGE [T, H, W, 3]."""
    return frames.movedim(1, -1).contiguous()


def check_not_decoded_as_video(num_images: int, num_cameras: int) -> None:
    """Refuse a clip of key frames that VAE Decode took for a video."""
    if num_cameras > 1 and num_images == 4 * (num_cameras - 1) + 1:
        raise ShapeError(
            f"images: got {num_images} pictures for {num_cameras} cameras, expected {num_cameras}: the key "
            "frames were decoded as one video. Put Key Frames to Images between the sampler and VAE Decode."
        )


def animated_preview(node: type[io.ComfyNode], images: Tensor, fps: float) -> dict[str, Any]:
    """Save pictures as a moving preview in the temp folder, and the entry that shows it on the node.

    Size and number of frames are limited: the file is written in one go, which no cancel can stop.
    """
    kept = select_keyframes(len(images), MAX_PREVIEW_FRAMES)
    fps = fps * len(kept) / len(images)
    images = limit_size(images[kept].movedim(-1, 1), MAX_PREVIEW_SIDE).movedim(1, -1)
    saved = ui.ImageSaveHelper.save_animated_webp(
        images,
        filename_prefix="worldstereo_" + "".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=5)),
        folder_type=io.FolderType.temp,
        cls=node,
        fps=fps,
        lossless=False,
        quality=85,
        method=2,
    )
    return ui.SavedImages([saved], is_animated=len(images) > 1).as_dict()
