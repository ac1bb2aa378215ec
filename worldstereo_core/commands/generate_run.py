"""The work of the generate command: read and check everything, then make clip after clip."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ..adapters.diffusers.loader import LoadedWorldStereo, load_worldstereo
from ..adapters.diffusers.pipeline import recommended_guidance, recommended_schedule
from ..adapters.diffusers.vae import KeyframeVAE
from ..checks import WorldStereoError, check_shape
from ..formats.depth_files import SUFFIXES, read_depth
from ..formats.ply import write_ply
from ..formats.video import write_mp4
from ..geometry.cameras import scale_K
from ..geometry.pictures import fit_pictures
from ..geometry.trajectory import Trajectory
from ..memory.memory import GeometricMemory, initialise_memory
from ..memory.storage import save_memory
from ..model.checkpoint import load_checkpoint
from ..model.config import WorldStereoConfig
from ..model.control_parts import PartStrength, read_strengths
from ..model.scales import DEFAULT_START_LEVEL
from ..model.weight_files import read_weights
from ..schedule import Schedule, first_step
from ..sizes import (
    RESOLUTION_BUCKETS,
    check_multiple_of_16,
    check_scales,
    nearest_bucket,
    sample_align_frames,
    scaled_sizes,
)
from .camera_moves import first_camera, read_path, to_trajectory
from .clips import Engine, make_clip
from .model_folder import ModelFiles, find_backbone, find_model
from .outcome import CannotRun
from .scene_files import Source, read_source, require_file

FRAMES_PER_SECOND = 16
KEPT_FRAMES = 8


def generate(args: argparse.Namespace) -> int:
    if not args.paths:
        raise CannotRun(
            'generate: no camera path. Give --trajectory "orbit right:30", --camera camera.json or --path '
            "path.json."
        )
    if args.output.exists() and not args.output.is_dir():
        raise CannotRun(f"--output: {args.output} is a file. Name a folder.")
    first = first_camera(args.paths, args.image)
    source = read_source(args.image, args.depth, first, fov_deg=args.fov, png_scale=args.png_scale)
    # Everything that can be told without the model is told before minutes go into loading it.
    paths = [read_path(option, value, source.size, args.image) for option, value in args.paths]
    size = None if args.size is None else parse_size(args.size)
    scales = parse_scales(args.scales)
    if size is not None:
        scaled_sizes(*size, scales)
    for option, count in (("--steps", args.steps), ("--references", args.references)):
        if count is not None and count < 1:
            raise WorldStereoError(f"{option}: got {count}, expected at least 1.")
    files = find_model(args.model, worldstereo=args.worldstereo, vae=args.vae)
    backbone = args.backbone
    if backbone is not None:
        require_file("--backbone", backbone)
    elif not load_checkpoint(files.worldstereo).is_complete:
        backbone = find_backbone(args.model)

    device, dtype = _device(args.device), _dtype(args.dtype, _device(args.device))
    model = load_worldstereo(backbone, files.worldstereo, dtype=dtype, device=device)
    print(model.checkpoint.describe())
    config = model.checkpoint.config
    parts = PartStrength()
    if args.parts is not None:
        parts = read_strengths("--parts", args.parts, config.parts.names, model.checkpoint.source)
    height, width = size or nearest_bucket(*source.size, config.buckets or RESOLUTION_BUCKETS)
    source = resize_source(source, height, width)
    memory = initialise_memory(
        source.image,
        source.depth,
        source.K,
        source.w2c,
        edge_threshold=args.edge_threshold,
        edge_mode=args.edge_mode,
        far_contraction=args.far_contraction,
    )
    trajectories = [to_trajectory(path, args, source, memory, config) for path in paths]
    depths = [
        _frame_depths(args, number, trajectory, config, (height, width))
        for number, trajectory in enumerate(trajectories, start=1)
    ]
    engine = replace(_engine(args, files, model, source.image, device, dtype), parts=parts)
    if len(scales) > 1:
        level = DEFAULT_START_LEVEL if args.start_level is None else args.start_level
        engine = replace(engine, scales=scales, start_level=level)
        print(describe_scales(engine, height, width))
    return make_clips(args, engine, memory, trajectories, depths)


def make_clips(
    args: argparse.Namespace,
    engine: Engine,
    memory: GeometricMemory,
    trajectories: list[Trajectory],
    depths: list[Tensor | None],
) -> int:
    """Generate, remember and write clip after clip."""
    generator = torch.Generator().manual_seed(args.seed)
    if args.frame_depth is None and len(trajectories) > 1:
        print(
            "No --frame-depth: later clips see earlier ones as reference views only; no points are added, so "
            "renders keep showing the photo's points alone."
        )
    for number, (trajectory, depth) in enumerate(zip(trajectories, depths, strict=True), start=1):
        name = f"clip_{number:02d}"
        clip = make_clip(engine, memory, trajectory, generator, name)
        memory, report = memory.update(
            clip.frames,
            clip.cameras,
            depth,
            keep_frames=min(KEPT_FRAMES, len(clip.frames) - 1),
            clip_name=name,
            align_scale=args.align_frame_depth and depth is not None,
            edge_threshold=args.edge_threshold,
            edge_mode=args.edge_mode,
        )
        args.output.mkdir(parents=True, exist_ok=True)
        write_mp4(args.output / f"{name}.mp4", clip.frames, fps=FRAMES_PER_SECOND)
        save_memory(args.output / "memory.safetensors", memory)
        write_ply(args.output / "world.ply", memory.points)
        shown = 0 if clip.references is None else clip.references.num_references
        print(
            f"{name}: {trajectory.name}, {len(clip.frames)} frames, {shown} references, "
            f"{sum(clip.seconds.values()):.0f} s. {report.text}"
        )
    print(f"{args.output}: {memory.points.num_points:,} points, {len(memory.views)} views")
    return 0


def resize_source(source: Source, height: int, width: int) -> Source:
    """Bring photo and depth to the clip's size; the camera stays where it is."""
    if source.size == (height, width):
        return source
    depth = torch.nn.functional.interpolate(source.depth[None, None], (height, width), mode="nearest-exact")
    return replace(
        source,
        image=fit_pictures(source.image[None], height, width, "stretch")[0],
        depth=depth[0, 0],
        K=scale_K(source.K[None], source.size, (height, width))[0],
    )


def parse_size(text: str) -> tuple[int, int]:
    """``"480x768"`` -> (480, 768), height and width.

    Raises: CannotRun or ShapeError if it is no size, or one the models do not take.
    """
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise CannotRun(f"--size: got {text!r}, expected height x width in pixels, e.g. 480x768.")
    check_multiple_of_16("--size", int(height), int(width))
    return int(height), int(width)


def parse_scales(text: str | None) -> tuple[float, ...]:
    """``"0.5,1"`` -> (0.5, 1.0); None -> (1.0,).

    Raises: CannotRun or WorldStereoError if they are no shares that rise to 1.
    """
    if text is None:
        return (1.0,)
    try:
        scales = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise CannotRun(
            f"--scales: got {text!r}, expected shares of the size with commas between, e.g. 0.5,1."
        ) from error
    check_scales(scales)
    return scales


def describe_scales(engine: Engine, height: int, width: int) -> str:
    """Which sizes are made and where each begins.

    Raises: WorldStereoError if sizes or start level do not fit the schedule.
    """
    assert engine.schedule is not None
    sigmas = engine.schedule.sigmas()
    step, steps = first_step(sigmas, engine.start_level), engine.schedule.num_steps
    start = f"from noise level {float(sigmas[step]):.3g}, {steps - step} of {steps} steps"
    first, *others = (f"{rows}x{columns}" for rows, columns in scaled_sizes(height, width, engine.scales))
    return f"Sizes (height x width): {first}, then " + ", then ".join(f"{size} {start}" for size in others)


def _frame_depths(
    args: argparse.Namespace,
    clip: int,
    trajectory: Trajectory,
    config: WorldStereoConfig,
    size: tuple[int, int],
) -> Tensor | None:
    """[T, H, W] depth of a clip's key frames; frames that the memory does not keep stay 0.

    None for a clip without a folder: the depth of a clip that is about to be made cannot be there yet.
    """
    folder: Path | None = args.frame_depth
    if folder is None or (clip > 1 and not (folder / f"clip_{clip:02d}").is_dir()):
        return None
    num_frames = len(range(0, trajectory.num_frames, config.control.mask_kernel))
    depths = torch.zeros(num_frames, *size)
    for frame in sample_align_frames(num_frames, min(KEPT_FRAMES, num_frames - 1)):
        stem = folder / f"clip_{clip:02d}" / f"frame_{frame:04d}"
        path = next((p for p in (stem.with_suffix(suffix) for suffix in SUFFIXES) if p.is_file()), None)
        if path is None:
            raise CannotRun(
                f"--frame-depth: no depth for frame {frame} of clip {clip}: expected {stem}"
                f"{{{', '.join(SUFFIXES)}}}. Write it, or leave --frame-depth out."
            )
        depth = read_depth(path, png_scale=args.png_scale).depth
        if abs(depth.shape[0] * size[1] - depth.shape[1] * size[0]) > max(depth.shape):
            raise WorldStereoError(
                f"--frame-depth: {path} is {depth.shape[0]} x {depth.shape[1]} (height x width), the clip is "
                f"{size[0]} x {size[1]}, another shape. Estimate depth on the clip's own frames."
            )
        depths[frame] = torch.nn.functional.interpolate(depth[None, None], size, mode="nearest-exact")[0, 0]
    return depths


@dataclass(frozen=True)
class Embeddings:
    """What stands in for, or comes from, the encoders; None where not given."""

    text: Tensor | None = None
    negative: Tensor | None = None
    image: Tensor | None = None


def _engine(
    args: argparse.Namespace,
    files: ModelFiles,
    model: LoadedWorldStereo,
    image: Tensor,
    device: torch.device,
    dtype: torch.dtype,
) -> Engine:
    from ..adapters.diffusers.encoders import ClipVision, encode_text

    config = model.checkpoint.config
    guidance = recommended_guidance(config) if args.guidance is None else args.guidance
    given = read_embeddings(files.null_context, args.text_embeds, args.image_embeds)
    text, negative = given.text, given.negative
    if args.text_embeds is None and files.text_encoder is not None and files.tokenizer is not None:
        prompts = [
            args.prompt,
            config.negative_prompt if args.negative_prompt is None else args.negative_prompt,
        ]
        text, negative = encode_text(prompts, files.text_encoder, files.tokenizer, device=device, dtype=dtype)
    if text is None:
        raise CannotRun(
            f"--model: no text_encoder and tokenizer in {args.model} and no --text-embeds. Copy both folders "
            "of Wan2.1-I2V-14B-480P-Diffusers there, or give --text-embeds."
        )
    if guidance > 1 and negative is None:
        raise CannotRun(
            f"--guidance: {guidance:g} needs negative_embeds in the file of --text-embeds. Add them, or set "
            "--guidance 1."
        )
    if args.image_embeds is None and files.image_encoder is not None:
        is_rescaled = args.clip_preprocessing == "standard"
        encode_image = ClipVision(
            files.image_encoder, device=device, dtype=dtype, is_rescaled=is_rescaled
        ).encode
    elif given.image is not None:
        embeds = given.image

        def encode_image(image: Tensor) -> Tensor:
            return embeds
    else:
        raise CannotRun(
            f"--model: no image_encoder in {args.model} and no --image-embeds. Copy that folder of "
            "Wan2.1-I2V-14B-480P-Diffusers there, or give --image-embeds."
        )
    return Engine(
        model=model,
        vae=KeyframeVAE.from_file(files.vae, dtype=dtype, device=device),
        text_embeds=text,
        negative_embeds=negative if guidance > 1 else None,
        encode_image=encode_image,
        schedule=_schedule(args.steps, config),
        guidance=guidance,
        render_settings={"radius": args.radius, "points_per_pixel": args.points_per_pixel},
        max_references=args.references,
    )


def read_embeddings(null_context: Path | None, text: Path | None, image: Path | None) -> Embeddings:
    """Gather embeddings from files; those given by hand win over the model folder's.

    Raises: CannotRun or WorldStereoError if a file is missing, damaged, or lacks what it is given for.
    """
    found: dict[str, Tensor] = {}
    for option, path, needed in (
        ("--model", null_context, ()),
        ("--text-embeds", text, ("text_embeds",)),
        ("--image-embeds", image, ("image_embeds",)),
    ):
        if path is None:
            continue
        tensors = read_weights(require_file(option, path))[0]
        for key in needed:
            if key not in tensors:
                raise WorldStereoError(f"{option}: {path} has no tensor {key} (it has {', '.join(tensors)}).")
        found |= {key: tensor.float() for key, tensor in tensors.items()}
    for key in ("text_embeds", "negative_embeds"):
        if key in found:
            check_shape(key, found[key], (1, "n", 4096), "Use UMT5-XXL's last hidden state.")
    if "image_embeds" in found:
        if found["image_embeds"].shape[:2] == (1, 1):  # the small models' null context: all tokens are alike
            found["image_embeds"] = found["image_embeds"].expand(1, 257, -1)
        check_shape("image_embeds", found["image_embeds"], (1, 257, 1280), "Use CLIP-H's penultimate state.")
    return Embeddings(found.get("text_embeds"), found.get("negative_embeds"), found.get("image_embeds"))


def _schedule(steps: int | None, config: WorldStereoConfig) -> Schedule:
    schedule = recommended_schedule(config)
    return schedule if steps is None else replace(schedule, num_steps=steps)


def _device(name: str | None) -> torch.device:
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise CannotRun(f"--device: {name} cannot be used here ({error}). Try cpu.") from error
    return device


def _dtype(name: str | None, device: torch.device) -> torch.dtype:
    if name is None:
        name = "fp32" if device.type == "cpu" else "bf16"
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[name]
