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
from ..memory.memory import GeometricMemory
from ..memory.retrieval import References
from ..memory.token_correspondence import shared_tokens
from ..sizes import check_multiple_of_16
from .condition import ControlCondition
from .config import LATENT_CONDITION_MODES, ControlSizes, LatentConditionMode, WorldStereoConfig
from .latents import PIXELS_PER_CELL, normalise_latents
from .upstream_quirks import released_rays, unified_camera_normalization, w2c_to_camera_tokens

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
GREY = 0.5  # the pictures that stand for unknown frames
HOLE_THRESHOLD = 0.5
TOKEN_PIXELS = 16


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
    start_latent: Tensor | None = None,  # [16, h, w]
    progress: Progress | None = None,
    memory: GeometricMemory | None = None,
) -> ControlCondition:
    """Encode everything the control needs for one clip.

    Args:
        config: of the WorldStereo file; says which inputs its networks take.
        vae: encodes the pictures.
        cameras: one per rendered frame; K may refer to another picture size.
        render: point renders along the cameras, 0..1; holes are 0.5 grey.
        hole_mask: 1 = hole, 0..1.
        references: views for a memory model. None gives it the first rendered frame as its only reference.
            A view that brings its own latent, of the clip's size, is not encoded again.
        start_latent: the VAE's own latent of the first picture of ``render``, which is then not encoded
            again.
        hole_threshold: from here up the mask counts as a hole. The released models saw 0 and 1 only.
        hole_softness: width of a ramp around the threshold instead of a step, 0..1; 1 around 0.5 passes the
            mask on as it is.
        progress: called with (done, total) encoded pictures.
        memory: finds which tokens of clip and references show the same surface; None does without.

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
    known = _known_latents(references, len(pictures), render, start_latent)
    total = sizes["T"] + sum(latent is None for latent in known)
    render_latents = encode_render(vae, render, latent_frames, _part_of(progress, 0, total))
    device = render_latents.device
    if start_latent is not None:
        render_latents = with_first_latent(render_latents, start_latent)
    condition = ControlCondition(
        render_latents=render_latents,
        hole_mask=soft_step(hole_mask.float(), hole_threshold, hole_softness)[None, None].to(device),
        rays=_rays(cameras, config.control, device),
    )
    if not config.takes_references:
        return condition
    reference_latents = _encode_unknown(vae, pictures, known, _part_of(progress, sizes["T"], total))
    condition = _with_references(condition, config, cameras, references, reference_latents)
    if memory is None:
        return condition
    key_cameras = cameras[:: config.control.mask_kernel]
    rows, columns = sizes["H"] // TOKEN_PIXELS, sizes["W"] // TOKEN_PIXELS
    views = (cameras[:1],) if references is None else references.views
    # The pictures are done; what is left only asks whether the user has cancelled.
    waiting = None if progress is None else lambda done, frames: progress(total, total)
    surfaces = shared_tokens(memory, key_cameras, views, rows, columns, progress=waiting)
    return replace(condition, shared_surfaces=surfaces)


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


def with_first_latent(latents: Tensor, first: Tensor) -> Tensor:
    """Put a picture's own latent in the place of the first latent frame, which shows that picture alone.

    The first latent frame of a video and of key frames is the same: Wan's VAE looks back in time only.

    Args:
        latents: [1, 16, F, h, w], normalised.
        first: [16, h, w], the VAE's own, as LATENT sockets and views carry it.
    """
    check_shape("start_latent", first, (16, *latents.shape[-2:]), "Take it from the clip that is continued.")
    first = normalise_latents(first[None, :, None].to(latents))
    return torch.cat([first, latents[:, :, 1:]], dim=2)


def _known_latents(
    references: References | None, count: int, render: Tensor, start: Tensor | None
) -> list[Tensor | None]:
    """The latents that references bring along, where they fit the clip's size."""
    if references is None:  # the first rendered frame, if any, is the reference
        return [start] * count
    cells = (render.shape[-2] // PIXELS_PER_CELL, render.shape[-1] // PIXELS_PER_CELL)
    return [
        view.latent if view.latent is not None and tuple(view.latent.shape[-2:]) == cells else None
        for view in references.views[:count]
    ]


def _encode_unknown(
    vae: VAE, pictures: Tensor, known: list[Tensor | None], progress: Progress | None
) -> Tensor:
    """[1, 16, V, h, w] latents of pictures: their own where known, encoded where not."""
    unknown = [index for index, latent in enumerate(known) if latent is None]
    encoded = vae.encode_keyframes(pictures[unknown], progress) if unknown else pictures.new_empty(0)
    fresh = iter(encoded.split(1, dim=2) if unknown else ())
    frames = [
        next(fresh) if latent is None else normalise_latents(latent[None, :, None].to(encoded))
        for latent in known
    ]
    return torch.cat(frames, dim=2)


def camera_rays(cameras: Cameras, sizes: ControlSizes) -> Tensor | None:
    """[1, 6, T, H, W] rays that a control branch takes for these cameras; None for one without rays."""
    if not sizes.takes_rays:
        return None
    return released_rays(cameras.K, cameras.w2c, cameras.height, cameras.width)


def camera_tokens(w2c: Tensor, reference_w2c: Tensor) -> tuple[Tensor, Tensor]:
    """Camera tokens of a clip and its references, normalised together.

    Args:
        w2c: [T, 4, 4] of the clip.
        reference_w2c: [V, 4, 4] in the same world.

    Returns:
        [1, T, 7] and [1, V, 7].
    """
    targets, references = unified_camera_normalization(w2c, reference_w2c)
    return w2c_to_camera_tokens(targets)[None], w2c_to_camera_tokens(references)[None]


def _rays(cameras: Cameras, sizes: ControlSizes, device: torch.device) -> Tensor | None:
    rays = camera_rays(cameras, sizes)
    return None if rays is None else rays.to(device)


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
        tokens, reference_tokens = camera_tokens(cameras.w2c, reference_w2c)
        tokens, reference_tokens = tokens.to(device), reference_tokens.to(device)
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
