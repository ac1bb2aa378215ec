"""The work of the demo command."""

from __future__ import annotations

import json
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import __version__
from ..adapters.diffusers.loader import load_worldstereo
from ..adapters.diffusers.vae import KeyframeVAE
from ..formats.camera_json import write_camera_json
from ..formats.images import write_png
from ..formats.ply import write_ply
from ..formats.video import write_mp4
from ..geometry.cameras import Cameras
from ..geometry.pictures import fit_pictures
from ..geometry.trajectory import Trajectory, build_trajectory
from ..memory.memory import GeometricMemory, initialise_memory
from ..memory.update_report import UpdateReport
from ..model.tiny import IMAGE_WIDTH, TEXT_WIDTH, write_tiny_models
from ..sizes import sample_align_frames
from .clips import Clip, Engine, make_clip
from .contact_sheet import Row, contact_sheet
from .demo_scene import cast_depth, draw_view, start_camera
from .staging import staged_folder

SEED = 0
PATHS = (("orbit right", 28.0), ("orbit left", 28.0))
FRAMES_PER_SECOND = 16
WARNING = (
    "Tiny random weights cannot draw pictures: the clips themselves are noise. Renders, hole masks, "
    "references and the point cloud are real."
)
SHEET_COLUMNS = 5
# The picture and the memory are this many times finer than the clips: on small pictures the edge filter takes
# every slanted surface for an edge, while small clips are what two cores can do.
PHOTO_SCALE = 3


@dataclass(frozen=True)
class Step:
    """One clip of the demo with what it left in the memory."""

    trajectory: Trajectory
    clip: Clip
    report: UpdateReport
    num_points: int
    num_views: int
    update_seconds: float


def run_demo(output: Path, height: int, width: int, num_frames: int) -> int:
    """Run the demo and write its results all together."""
    print(WARNING)
    start = time.perf_counter()
    seconds: dict[str, float] = {}
    photo = PHOTO_SCALE * height, PHOTO_SCALE * width
    w2c, K = start_camera(*photo)
    image, depth = draw_view(w2c, K, *photo), cast_depth(w2c, K, *photo)
    seconds["draw the room"] = time.perf_counter() - start
    print(
        f"drew a room, {photo[0]} x {photo[1]} (height x width), with exact depth; clips: {height} x {width}"
    )

    with tempfile.TemporaryDirectory(prefix="worldstereo-demo-") as folder:
        before = time.perf_counter()
        engine = _tiny_engine(Path(folder))
        seconds["make tiny weights"] = time.perf_counter() - before
        memory = initialise_memory(image, depth, K, w2c)
        steps = []
        generator = torch.Generator().manual_seed(SEED)
        for number, (preset, amount) in enumerate(PATHS, start=1):
            trajectory = build_trajectory(
                preset,
                start=start_camera(height, width),
                height=height,
                width=width,
                amount_deg=amount,
                num_frames=num_frames,
                pivot_depth=memory.median_depth,
            )
            memory, step = _one_clip(engine, memory, trajectory, generator, f"clip_{number:02d}")
            steps.append(step)

    report = _report(image, memory, steps, seconds, time.perf_counter() - start)
    with staged_folder(output) as stage:
        _write_scene(stage / "scene", image, depth, K, w2c, steps[0].trajectory.cameras.resized(*photo))
        for number, step in enumerate(steps, start=1):
            write_mp4(stage / f"clip_{number:02d}.mp4", step.clip.frames, fps=FRAMES_PER_SECOND)
        write_png(stage / "contact_sheet.png", _sheet(image, steps))
        write_ply(stage / "world.ply", memory.points)
        (stage / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    print(
        f"{output}: clip_01.mp4, clip_02.mp4, contact_sheet.png, world.ply "
        f"({memory.points.num_points:,} points), report.json; {report['seconds']['total']:.0f} s, "
        f"peak memory {report['peak_memory_mb']} MB\n{WARNING}"
    )
    return 0


def _one_clip(
    engine: Engine, memory: GeometricMemory, trajectory: Trajectory, generator: torch.Generator, name: str
) -> tuple[GeometricMemory, Step]:
    clip = make_clip(engine, memory, trajectory, generator, name)
    before = time.perf_counter()
    height, width = memory.views[0].height, memory.views[0].width
    cameras = clip.cameras.resized(height, width)
    keep = min(8, len(clip.frames) - 1)
    depths = torch.zeros(len(clip.frames), height, width)
    for frame in sample_align_frames(len(clip.frames), keep):
        depths[frame] = cast_depth(cameras.w2c[frame], cameras.K[frame], height, width)
    frames = fit_pictures(clip.frames, height, width, "stretch")
    memory, report = memory.update(frames, cameras, depths, keep_frames=keep, clip_name=name)
    print(f"{trajectory.name}: {report.text}")
    counts = memory.points.num_points, len(memory.views)
    return memory, Step(trajectory, clip, report, *counts, time.perf_counter() - before)


def _tiny_engine(folder: Path) -> Engine:
    models = write_tiny_models(folder, SEED)
    generator = torch.Generator().manual_seed(SEED)
    # Stand-ins for the text and picture encoders, which have no tiny versions.
    text_embeds = torch.randn(1, 16, TEXT_WIDTH, generator=generator)
    image_embeds = torch.randn(1, 257, IMAGE_WIDTH, generator=generator)
    return Engine(
        model=load_worldstereo(models.backbone, models.memory_dmd.parent),
        vae=KeyframeVAE.from_file(models.vae, dtype=torch.float32),
        text_embeds=text_embeds,
        encode_image=lambda image: image_embeds,
    )


def _write_scene(
    folder: Path, image: Tensor, depth: Tensor, K: Tensor, w2c: Tensor, cameras: Cameras
) -> None:
    folder.mkdir()
    write_png(folder / "image.png", image)
    np.savez_compressed(folder / "depth.npz", depth=depth.numpy(), K=K.numpy(), w2c=w2c.numpy())
    write_camera_json(folder / "camera.json", cameras)


def _sheet(image: Tensor, steps: list[Step]) -> Tensor:
    rows = [Row("input", "one picture, drawn by a script, with exact depth", image[None])]
    for number, step in enumerate(steps, start=1):
        render, frames = step.clip.render, step.clip.frames
        shown = torch.linspace(0, len(frames) - 1, min(SHEET_COLUMNS, len(frames))).round().long()
        shown_render = shown * (render.num_frames - 1) // max(len(frames) - 1, 1)
        captions = tuple(f"frame {frame}" for frame in shown.tolist())
        holes = render.hole_mask[shown_render][:, None].expand(-1, 3, -1, -1)
        title = f"clip {number}: {step.trajectory.name}"
        known = "points of the input" if number == 1 else "points of input and earlier clips"
        rows += [
            Row(title, f"render: {known}", render.image[shown_render], captions),
            Row("hole mask", "white: never seen, left to the model", holes),
            Row("result", "4 steps of tiny random weights: noise", frames[shown]),
        ]
    return contact_sheet("WorldStereo demo", rows, WARNING)


def _report(
    image: Tensor, memory: GeometricMemory, steps: list[Step], seconds: dict[str, float], total: float
) -> dict[str, Any]:
    return {
        "note": WARNING,
        "version": __version__,
        "platform": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "machine": f"{platform.system()} {platform.machine()}",
            "threads": torch.get_num_threads(),
        },
        "picture": {"height": image.shape[-2], "width": image.shape[-1]},
        "clip": {"height": steps[0].trajectory.height, "width": steps[0].trajectory.width},
        "clips": [
            {
                "name": step.report.clip_name,
                "trajectory": step.trajectory.name,
                "frames": len(step.clip.frames),
                "fps": FRAMES_PER_SECOND,
                "references": 0 if step.clip.references is None else step.clip.references.num_references,
                "hole_fraction": round(float(step.clip.render.hole_mask.mean()), 4),
                "points_added": step.report.num_points,
                "points": step.num_points,
                "views": step.num_views,
                "seconds": {
                    **{stage: round(value, 2) for stage, value in step.clip.seconds.items()},
                    "update": round(step.update_seconds, 2),
                },
            }
            for step in steps
        ],
        "points": {"input": memory.points.num_points - sum(step.report.num_points for step in steps)}
        | {step.report.clip_name: step.report.num_points for step in steps}
        | {"total": memory.points.num_points},
        "seconds": {name: round(value, 2) for name, value in seconds.items()} | {"total": round(total, 2)},
        "peak_memory_mb": peak_memory_mb(),
    }


def peak_memory_mb() -> int | None:
    """Most memory this process has held, in MB; None where the system does not say."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6)
