"""From pictures, cameras and memory renders to the latents that training reads: once per clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..checks import WorldStereoError, check_shape
from ..geometry.cameras import Cameras
from ..geometry.pictures import paste_first_frame
from ..geometry.render import RenderedFrames
from ..memory.view import image_to_bytes
from ..model.conditioning import VAE, build_condition, image_condition
from ..model.config import WorldStereoConfig


@dataclass(frozen=True, eq=False)
class TrainingClip:
    """A clip with what a memory knew before it.

    Attributes:
        frames: [F, 3, H, W] the true pictures, 0..1.
        cameras: one per frame.
        render: the memory's points along the cameras; holes 0.5 grey.
        bank: [R, 3, H, W] pictures of the memory's views.
        bank_w2c: [R, 4, 4], in the clip's world.
        bank_matches: [F - 1] int64: the view that each frame after the first would choose.
    """

    frames: Tensor
    cameras: Cameras
    render: RenderedFrames
    bank: Tensor
    bank_w2c: Tensor
    bank_matches: Tensor


def pack_clip(clip: TrainingClip) -> dict[str, Tensor]:
    """A clip as tensors that take few bytes; pictures become bytes."""
    cameras, render = clip.cameras, clip.render
    return {
        "frames": image_to_bytes("clip frames", clip.frames),
        "w2c": cameras.w2c,
        "K": cameras.K,
        "render": image_to_bytes("clip render", render.image),
        "holes": render.hole_mask.to(torch.uint8),
        "bank": image_to_bytes("clip bank", clip.bank),
        "bank_w2c": clip.bank_w2c,
        "bank_matches": clip.bank_matches,
    }


def unpack_clip(tensors: Mapping[str, Tensor]) -> TrainingClip:
    """What ``pack_clip`` was given, pictures rounded to bytes; the render has no depth any more."""
    frames, holes = tensors["frames"].float() / 255, tensors["holes"].float()
    return TrainingClip(
        frames=frames,
        cameras=Cameras(tensors["w2c"], tensors["K"], *frames.shape[-2:]),
        render=RenderedFrames(tensors["render"].float() / 255, holes, torch.zeros_like(holes)),
        bank=tensors["bank"].float() / 255,
        bank_w2c=tensors["bank_w2c"],
        bank_matches=tensors["bank_matches"],
    )


def encode_clip(clip: TrainingClip, vae: VAE, config: WorldStereoConfig) -> dict[str, Tensor]:
    """Encode a clip through the very functions that inference uses.

    Args:
        vae: codes key frames.
        config: of the control; its first-frame mode and its inputs are followed.

    Returns:
        One clip of ``clip_batch.EncodedClips``, without the batch axis.

    Raises: WorldStereoError for a control that takes video frames, ShapeError for counts that differ.
    """
    if config.control.mask_kernel != 1:
        raise WorldStereoError(
            f"networks.worldstereo: this control branch takes {config.control.mask_kernel} video frames per "
            "latent frame (Uni3C); training takes key frames. Use a WorldStereo 2.0 control branch."
        )
    sizes = check_shape("clip frames", clip.frames, ("F", 3, "H", "W"))
    frames, views = sizes["F"], len(clip.bank)
    check_shape("clip bank matches", clip.bank_matches, (frames - 1,))
    check_shape("clip bank cameras", clip.bank_w2c, (views, 4, 4))
    render = paste_first_frame(clip.render, clip.frames[0])
    condition = build_condition(
        replace(config, variant="camera"), vae, clip.cameras, render.image, render.hole_mask
    )
    cameras = clip.cameras.resized(sizes["H"], sizes["W"])
    image = image_condition(vae, clip.frames[0], frames, config.latent_condition_mode)
    return {
        "clean": vae.encode_keyframes(clip.frames)[0],
        "image_condition": image[0],
        "render_latents": condition.render_latents[0],
        "hole_mask": condition.hole_mask[0],
        "K": cameras.K,
        "w2c": cameras.w2c,
        "bank_latents": vae.encode_keyframes(clip.bank)[0].transpose(0, 1),  # [R, 16, h, w]
        "bank_w2c": clip.bank_w2c.to(cameras.w2c),
        "bank_matches": clip.bank_matches,
    }


_HALVES = ("clean", "image_condition", "render_latents", "bank_latents")


def packed(clip: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same clip in fewer bytes: half-precision latents, one byte per mask pixel."""
    return {
        key: value.half() if key in _HALVES else value.to(torch.uint8) if key == "hole_mask" else value
        for key, value in clip.items()
    }


def unpacked(clip: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What ``packed`` was given, latents rounded to half precision."""
    return {key: value.float() if key in (*_HALVES, "hole_mask") else value for key, value in clip.items()}
