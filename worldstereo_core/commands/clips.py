"""Make clips one after another in one geometric memory."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..adapters.diffusers.loader import LoadedWorldStereo
from ..adapters.diffusers.pipeline import generate_clip
from ..geometry.cameras import Cameras
from ..geometry.pictures import fit_pictures, paste_first_frame
from ..geometry.render import RenderedFrames
from ..geometry.trajectory import Trajectory
from ..memory.memory import GeometricMemory
from ..memory.retrieval import References
from ..memory.view import View
from ..model.conditioning import VAE, build_condition
from ..model.control_parts import PartStrength
from ..model.latents import LATENT_CHANNELS, PIXELS_PER_CELL
from ..model.part_inputs import add_part_inputs
from ..model.scales import DEFAULT_START_LEVEL, enlarged_start, smaller_noise
from ..schedule import Schedule
from ..sizes import scaled_sizes
from .progress import StageBars

logger = logging.getLogger(__name__)

# Two cameras are the same place when they differ by less: half a degree, a thousandth of the median depth.
SAME_ANGLE, SAME_DISTANCE = 0.0087, 1e-3


@dataclass(frozen=True)
class Engine:
    """Everything that stays the same from clip to clip.

    Attributes:
        model: backbone, control, and the file's settings.
        vae: codes key frames.
        text_embeds, negative_embeds: [1, n, 4096]; negative None without guidance.
        encode_image: first frame [3, H, W] -> [1, 257, 1280].
        schedule, guidance: None = what the file was made for.
        render_settings: of ``render_points``.
        max_references: most views shown to a memory model.
        scales: shares of the clip's size, rising to 1, that it is made at one after the other; every larger
            size starts from the one before.
        start_level: how much noise an enlarged clip is mixed with, 0..1.
        parts: factors on the control's optional parts, where it has any.
    """

    model: LoadedWorldStereo
    vae: VAE
    text_embeds: Tensor
    encode_image: Callable[[Tensor], Tensor]
    negative_embeds: Tensor | None = None
    schedule: Schedule | None = None
    guidance: float | None = None
    render_settings: dict[str, Any] = field(default_factory=dict)
    max_references: int = 8
    scales: tuple[float, ...] = (1.0,)
    start_level: float = DEFAULT_START_LEVEL
    parts: PartStrength = PartStrength()  # noqa: RUF009 (frozen)


@dataclass(frozen=True)
class Clip:
    """One generated clip with what it was made from.

    Attributes:
        cameras: one per key frame.
        render: what the memory showed along them, with the first frame pasted in.
        references: views shown to the model, or None for a camera model.
        frames: [T, 3, H, W] the key frames.
        seconds: time per stage.
    """

    cameras: Cameras
    render: RenderedFrames
    references: References | None
    frames: Tensor
    seconds: dict[str, float]


def make_clip(
    engine: Engine, memory: GeometricMemory, trajectory: Trajectory, generator: torch.Generator, name: str
) -> Clip:
    """Render the memory along a trajectory, gather references, and generate the clip.

    Args:
        trajectory: one camera per rendered frame: key frames, or 4 k + 1 video frames where the control
            branch takes those.
        generator: draws the noise; shared by the clips of a run.
        name: for progress bars and messages.
    """
    config = engine.model.checkpoint.config
    cameras = trajectory.cameras
    key_cameras = cameras[:: config.control.mask_kernel]
    references = memory.retrieve(key_cameras, engine.max_references) if config.takes_references else None
    sizes = scaled_sizes(cameras.height, cameras.width, engine.scales)
    # As a plain run draws it, so that scales change neither this clip's noise nor that of later ones.
    cells = (cameras.height // PIXELS_PER_CELL, cameras.width // PIXELS_PER_CELL)
    shape = (1, LATENT_CHANNELS, key_cameras.num_frames, *cells)
    noise = torch.randn(shape, generator=generator, device=generator.device)
    clip = None
    for height, width in sizes:
        label = name if len(sizes) == 1 else f"{name} {height}x{width}"
        resized = cameras if (height, width) == sizes[-1] else cameras.resized(height, width)
        clip = _at_one_size(engine, memory, resized, references, noise, clip, label)
    assert clip is not None
    return clip


def _at_one_size(
    engine: Engine,
    memory: GeometricMemory,
    cameras: Cameras,
    references: References | None,
    noise: Tensor,
    smaller: Clip | None,
    name: str,
) -> Clip:
    """Render, encode and generate at the cameras' size.

    Args:
        noise: [1, 16, T, h, w] of the largest size.
        smaller: the clip at the size before, which this one starts from.
    """
    config = engine.model.checkpoint.config
    seconds = {} if smaller is None else dict(smaller.seconds)

    def spent(stage: str, start: float) -> float:
        now = time.perf_counter()
        seconds[stage] = seconds.get(stage, 0.0) + now - start
        return now

    with StageBars(name) as bars:
        start = time.perf_counter()
        render = memory.render(cameras, progress=bars.stage("render"), **engine.render_settings)
        first = first_frame(memory, cameras, name)
        if first is None:
            first = render.image[0]
        else:
            render = paste_first_frame(render, first)
        start = spent("render", start)

        condition = build_condition(
            config,
            engine.vae,
            cameras,
            render.image,
            render.hole_mask,
            references,
            progress=bars.stage("encode"),
            memory=memory if config.parts.attention_width and engine.parts.attention else None,
        )
        condition = add_part_inputs(
            condition,
            config,
            engine.vae,
            cameras,
            render.hole_mask,
            memory,
            references,
            progress=bars.stage("parts"),
        )
        enlarged = None
        if smaller is not None:
            enlarged = enlarged_start(
                engine.vae, smaller.frames, cameras.height, cameras.width, first, bars.stage("enlarge")
            )
        start = spent("encode", start)

        cells = (cameras.height // PIXELS_PER_CELL, cameras.width // PIXELS_PER_CELL)
        frames = generate_clip(
            engine.model.backbone,
            engine.model.control,
            engine.vae,
            image=first,
            condition=condition,
            text_embeds=engine.text_embeds,
            image_embeds=engine.encode_image(first),
            negative_embeds=engine.negative_embeds,
            schedule=engine.schedule,
            guidance=engine.guidance,
            noise=noise if noise.shape[-2:] == cells else smaller_noise(noise, *cells),
            start=enlarged,
            start_level=engine.start_level,
            parts=engine.parts,
            progress=bars.move,
        )
        spent("generate", start)
    return Clip(cameras[:: config.control.mask_kernel], render, references, frames.cpu(), seconds)


def first_frame(memory: GeometricMemory, cameras: Cameras, name: str) -> Tensor | None:
    """The picture a clip starts from: the memory's view at the first camera, at the clip's size, or None."""
    view = view_at(memory, cameras.w2c[0])
    if view is None:
        logger.warning(
            "%s: the memory has no picture taken at its first camera, so it starts from the point render "
            "there, with grey holes. Start at the input image or at a kept frame of an earlier clip.",
            name,
        )
        return None
    return fit_pictures(view.image[None].float() / 255, cameras.height, cameras.width, "stretch")[0]


def view_at(memory: GeometricMemory, w2c: Tensor) -> View | None:
    """The first view of the bank whose camera is at w2c [4, 4]."""
    for view in memory.views:
        between = view.w2c.double() @ torch.linalg.inv(w2c.double())
        angle = torch.acos(((between[:3, :3].trace() - 1) / 2).clamp(-1, 1))
        if angle < SAME_ANGLE and between[:3, 3].norm() < SAME_DISTANCE * memory.median_depth:
            return view
    return None
