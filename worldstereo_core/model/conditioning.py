"""What the model is shown besides noise: the first frame, the renders, the cameras and the references."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from ..checks import ShapeError, WorldStereoError, check_shape
from ..geometry.cameras import Cameras, check_cameras
from ..geometry.pictures import soft_step
from ..memory.retrieval import References
from ..sizes import check_multiple_of_16
from .condition import ControlCondition
from .config import LATENT_CONDITION_MODES, ControlSizes, LatentConditionMode, WorldStereoConfig
from .upstream_quirks import released_rays, unified_camera_normalization, w2c_to_camera_tokens

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
GREY = 0.5  # the pictures that stand for unknown frames
HOLE_THRESHOLD = 0.5


class VAE(Protocol):
    """What the adapters' VAEs offer; latents are normalised."""

    def encode_keyframes(self, images: Tensor, progress: Progress | None = None) -> Tensor:
        """[T, 3, H, W] 0..1 -> [1, 16, T, h, w], every picture alone."""
        ...

    def encode_video(self, frames: Tensor) -> Tensor:
        """[4 k + 1, 3, H, W] 0..1 -> [1, 16, k + 1, h, w]."""
        ...

    def decode_keyframes(self, latents: Tensor, progress: Progress | None = None) -> Tensor:
        """[1, 16, T, h, w] -> [T, 3, H, W] 0..1, every latent frame alone."""
        ...


def image_condition(vae: VAE, image: Tensor, num_frames: int, mode: LatentConditionMode) -> Tensor:
    """The channels that tell an image-to-video model its first frame.

    Args:
        vae: encodes the picture.
        image: [3, H, W], 0..1; H and W multiples of 16.
        num_frames: key frames of the clip.
        mode: "full_vae" encodes the image and grey frames after it as one video; "first_frame_only" encodes
            the image alone and one grey frame alone. A file says which it was trained with.

    Returns:
        [1, 20, num_frames, h, w]: mask 4 (1 = known, the first frame), latent 16.

    Raises: WorldStereoError for an unknown mode, ShapeError for a wrong picture.
    """
    latents = image_condition_latents(vae, image, num_frames, mode)
    mask = torch.zeros_like(latents[:, :4])
    mask[:, :, 0] = 1
    return torch.cat([mask, latents], dim=1)


def image_condition_latents(vae: VAE, image: Tensor, num_frames: int, mode: LatentConditionMode) -> Tensor:
    """[1, 16, num_frames, h, w] latents of ``image_condition``."""
    sizes = check_shape("image", image, (3, "H", "W"), "Give one RGB picture.")
    check_multiple_of_16("image", sizes["H"], sizes["W"])
    if mode == "full_vae":
        grey = torch.full_like(image, GREY).expand(4 * (num_frames - 1), -1, -1, -1)
        return vae.encode_video(torch.cat([image[None], grey]))
    if mode == "first_frame_only":
        first, grey = vae.encode_keyframes(torch.stack([image, torch.full_like(image, GREY)])).split(1, dim=2)
        return torch.cat([first, grey.expand(-1, -1, num_frames - 1, -1, -1)], dim=2)
    raise WorldStereoError(f"mode: got {mode!r}, expected one of {', '.join(LATENT_CONDITION_MODES)}.")


def encode_render(
    vae: VAE, render: Tensor, latent_frames: int | None = None, progress: Progress | None = None
) -> Tensor:
    """Encode point renders.

    Args:
        vae: encodes the pictures.
        render: [M, 3, H, W], 0..1; holes are 0.5 grey.
        latent_frames: F; if M = F every picture is encoded alone, else the renders are one video. None = M.
        progress: called with (done, total) pictures.

    Returns:
        [1, 16, F, h, w].
    """
    if latent_frames is None or latent_frames == render.shape[0]:
        return vae.encode_keyframes(render, progress)
    latents = vae.encode_video(render)
    if latents.shape[2] != latent_frames:
        raise ShapeError(
            f"render: {render.shape[0]} frames give {latents.shape[2]} latent frames, expected "
            f"{latent_frames}. Render {latent_frames} key frames, or {4 * (latent_frames - 1) + 1} frames of "
            "video."
        )
    return latents


def build_condition(
    config: WorldStereoConfig,
    vae: VAE,
    cameras: Cameras,
    render: Tensor,  # [T, 3, H, W]
    hole_mask: Tensor,  # [T, H, W]
    references: References | None = None,
    *,
    hole_threshold: float = HOLE_THRESHOLD,
    hole_softness: float = 0.0,
    progress: Progress | None = None,
) -> ControlCondition:
    """Encode everything the control needs for one clip.

    Args:
        config: of the WorldStereo file; says which inputs its networks take.
        vae: encodes the pictures.
        cameras: one per rendered frame; K may refer to another picture size.
        render: point renders along the cameras, 0..1; holes are 0.5 grey.
        hole_mask: 1 = hole, 0..1.
        references: views for a memory model. None gives it the first rendered frame as its only reference.
        hole_threshold: from here up the mask counts as a hole. The released models saw 0 and 1 only.
        hole_softness: width of a ramp around the threshold instead of a step, 0..1; 1 around 0.5 passes the
            mask on as it is.
        progress: called with (done, total) encoded pictures.

    Returns:
        The condition, on the device of the VAE's latents.

    Raises: WorldStereoError or ShapeError if counts or sizes do not match.
    """
    sizes = check_shape("render", render, ("T", 3, "H", "W"), "Render the memory along the trajectory.")
    check_shape(
        "holes", hole_mask, (sizes["T"], sizes["H"], sizes["W"]), "Take holes and render from one node."
    )
    check_multiple_of_16("render", sizes["H"], sizes["W"])
    _check_frame_count(cameras, render, config.control)
    check_cameras("trajectory", cameras)
    cameras = cameras.resized(sizes["H"], sizes["W"])
    references = _usable_references(references, config)

    latent_frames = _latent_frames(sizes["T"], config.control)
    pictures = _reference_pictures(references, render) if config.takes_references else render[:0]
    total = sizes["T"] + len(pictures)
    render_latents = encode_render(vae, render, latent_frames, _part_of(progress, 0, total))
    device = render_latents.device
    condition = ControlCondition(
        render_latents=render_latents,
        hole_mask=soft_step(hole_mask.float(), hole_threshold, hole_softness)[None, None].to(device),
        rays=_rays(cameras, config.control, device),
    )
    if not config.takes_references:
        return condition
    reference_latents = vae.encode_keyframes(pictures, _part_of(progress, sizes["T"], total))
    return _with_references(condition, config, cameras, references, reference_latents)


def _check_frame_count(cameras: Cameras, render: Tensor, sizes: ControlSizes) -> None:
    frames = render.shape[0]
    if cameras.num_frames != frames:
        raise ShapeError(
            f"trajectory and render differ in frames: trajectory {cameras.num_frames}, render {frames}. "
            "Render the memory along this very trajectory."
        )
    if frames < 2:
        raise ShapeError(f"trajectory: got {frames} frame, expected at least 2. Build a longer trajectory.")
    if sizes.mask_kernel > 1 and (frames - 1) % sizes.mask_kernel:
        raise ShapeError(
            f"trajectory: got {frames} frames; this control branch takes video frames, {sizes.mask_kernel} k "
            "+ 1 of them (for 21 key frames: 81). Resample the trajectory."
        )


def _latent_frames(num_frames: int, sizes: ControlSizes) -> int:
    return num_frames if sizes.mask_kernel == 1 else (num_frames - 1) // sizes.mask_kernel + 1


def _usable_references(references: References | None, config: WorldStereoConfig) -> References | None:
    """Refuse an empty choice; say what happens to references that are not wanted or not there."""
    if references is not None and len(references.views) == 0:
        raise WorldStereoError(
            "references: got 0 views, expected at least 1. Retrieve references from a memory that holds the "
            "input image, or leave the input empty."
        )
    if references is not None and not config.takes_references:
        logger.warning("references: the camera model takes none; %d views ignored", len(references.views))
        return None
    if references is None and config.takes_references:
        logger.warning(
            "references: none given; the first rendered frame is the memory model's only reference"
        )
    return references


def _reference_pictures(references: References | None, render: Tensor) -> Tensor:
    """[V, 3, H, W] pictures of the references at the clip's size."""
    if references is None:
        return render[:1]
    # Stretched as the released code does it: not clipped, unlike the renders.
    return references.images(*render.shape[-2:]).to(render.device)


def _rays(cameras: Cameras, sizes: ControlSizes, device: torch.device) -> Tensor | None:
    if not sizes.takes_rays:
        return None
    return released_rays(cameras.K, cameras.w2c, cameras.height, cameras.width).to(device)


def _with_references(
    condition: ControlCondition,
    config: WorldStereoConfig,
    cameras: Cameras,
    references: References | None,
    reference_latents: Tensor,
) -> ControlCondition:
    device = reference_latents.device
    if references is None:
        slots, reference_w2c = torch.zeros(1, dtype=torch.int64), cameras.w2c[:1]
    else:
        slots, reference_w2c = references.slots, references.w2c.to(cameras.w2c)
    tokens = reference_tokens = None
    if config.camera_token_width is not None:
        targets, normalised = unified_camera_normalization(cameras.w2c, reference_w2c)
        tokens = w2c_to_camera_tokens(targets)[None].to(device)
        reference_tokens = w2c_to_camera_tokens(normalised)[None].to(device)
    return replace(
        condition,
        reference_latents=reference_latents,
        reference_index=slots.to(device),
        camera_tokens=tokens,
        reference_camera_tokens=reference_tokens,
    )


def _part_of(progress: Progress | None, offset: int, total: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, _: progress(offset + done, total)
