"""The work of the demo command."""

from __future__ import annotations

import json
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import __version__
from ..formats.camera_json import write_camera_json
from ..formats.images import write_png
from ..formats.ply import write_ply
from ..formats.video import write_mp4
from ..geometry.trajectory import Trajectory
from ..memory.memory import GeometricMemory, initialise_memory
from ..memory.update_report import UpdateReport
from ..training.picture_metrics import masked_psnr
from ..training.worlds.make import make_world
from ..training.worlds.render import render_world
from ..training.worlds.trajectories import world_trajectories
from ..training.worlds.world import World
from .clips import Clip, Engine, make_clip
from .contact_sheet import Row, contact_sheet
from .small_model import EDGE_THRESHOLD, FRAMES, HEIGHT, RADIUS, WIDTH, small_engine
from .staging import staged_folder

FRAMES_PER_SECOND = 8
NOTE = (
    "The small model of weights/small, 64 x 96 pixels. Depth is exact: the world is drawn. The released "
    "models draw at 480 x 768 and more."
)
SHEET_COLUMNS = 5
VIDEO_SCALE = 4  # small pictures are hard to watch
KEPT_FRAMES = 4


@dataclass(frozen=True)
class Step:
    """One clip of the demo, the truth that the model never saw, and what the clip left in the memory."""

    trajectory: Trajectory
    clip: Clip
    truth: Tensor  # [T, 3, H, W]
    report: UpdateReport
    num_points: int
    num_views: int
    update_seconds: float

    @property
    def psnr(self) -> float:
        """Of the generated frames against the truth, dB; the first frame is given."""
        return float(masked_psnr(self.clip.frames[1:], self.truth[1:]))


def run_demo(output: Path, seed: int, num_clips: int) -> int:
    """Run the demo in the world of a seed and write its results all together."""
    start = time.perf_counter()
    engine = small_engine()
    seconds = {"load the model": time.perf_counter() - start}
    before = time.perf_counter()
    world = make_world(seed)
    moves = world_trajectories(world, seed, num_clips, FRAMES, HEIGHT, WIDTH)
    first = moves[0].cameras[:1]
    seen = render_world(world, first.w2c, first.K, HEIGHT, WIDTH)
    seconds["draw the world"] = time.perf_counter() - before
    print(f"{world.kind} {seed}: {HEIGHT} x {WIDTH} (height x width), {num_clips} clips of {FRAMES} frames")

    memory = initialise_memory(
        seen.image[0], seen.depth[0], first.K[0], first.w2c[0], edge_threshold=EDGE_THRESHOLD
    )
    steps = []
    generator = torch.Generator().manual_seed(0)
    for number, trajectory in enumerate(moves, start=1):
        memory, step = _one_clip(engine, world, memory, trajectory, generator, f"clip_{number:02d}")
        steps.append(step)

    report = _report(memory, steps, seconds, time.perf_counter() - start)
    with staged_folder(output, replaces=("clip_*.mp4",)) as stage:
        _write_scene(stage / "scene", seen.image[0], seen.depth[0], moves[0])
        for number, step in enumerate(steps, start=1):
            enlarged = torch.nn.functional.interpolate(
                step.clip.frames, scale_factor=VIDEO_SCALE, mode="bicubic"
            )
            write_mp4(stage / f"clip_{number:02d}.mp4", enlarged.clamp(0, 1), fps=FRAMES_PER_SECOND)
        write_png(stage / "contact_sheet.png", _sheet(seen.image[0], steps))
        write_ply(stage / "world.ply", memory.points)
        (stage / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    names = ", ".join(f"clip_{number:02d}.mp4" for number in range(1, len(steps) + 1))
    print(
        f"{output}: {names}, contact_sheet.png, world.ply ({memory.points.num_points:,} points), "
        f"report.json; {report['seconds']['total']:.0f} s, peak memory {report['peak_memory_mb']} MB\n{NOTE}"
    )
    return 0


def _one_clip(
    engine: Engine,
    world: World,
    memory: GeometricMemory,
    trajectory: Trajectory,
    generator: torch.Generator,
    name: str,
) -> tuple[GeometricMemory, Step]:
    clip = make_clip(engine, memory, trajectory, generator, name)
    before = time.perf_counter()
    cameras = clip.cameras
    truth = render_world(world, cameras.w2c, cameras.K, HEIGHT, WIDTH)
    memory, report = memory.update(
        clip.frames,
        cameras,
        truth.depth,
        keep_frames=KEPT_FRAMES,
        edge_threshold=EDGE_THRESHOLD,
        radius=RADIUS,
        clip_name=name,
    )
    counts = memory.points.num_points, len(memory.views)
    step = Step(trajectory, clip, truth.image, report, *counts, time.perf_counter() - before)
    print(f"{name}: {sum(clip.seconds.values()):.1f} s, {step.psnr:.1f} dB. {report.text}")
    return memory, step


def _write_scene(folder: Path, image: Tensor, depth: Tensor, trajectory: Trajectory) -> None:
    folder.mkdir()
    cameras = trajectory.cameras
    write_png(folder / "image.png", image)
    values = {"depth": depth, "K": cameras.K[0], "w2c": cameras.w2c[0]}
    np.savez_compressed(folder / "depth.npz", **{key: value.numpy() for key, value in values.items()})
    write_camera_json(folder / "camera.json", cameras)


def _sheet(image: Tensor, steps: list[Step]) -> Tensor:
    rows = [Row("input", "one picture, with depth", image[None])]
    for number, step in enumerate(steps, start=1):
        frames = step.clip.frames
        shown = torch.linspace(0, len(frames) - 1, min(SHEET_COLUMNS, len(frames))).round().long()
        known = "points of the input" if number == 1 else "points of input and earlier clips"
        returns = ": back to the input" if number == len(steps) > 1 else ""
        rows += [
            Row(f"clip {number}: memory", known, step.clip.render.image[shown]),
            Row(
                f"clip {number}: result",
                f"{step.psnr:.1f} dB{returns}",
                frames[shown],
                tuple(f"frame {frame}" for frame in shown.tolist()),
            ),
            Row("the world", "never shown to the model", step.truth[shown]),
        ]
    return contact_sheet("WorldStereo demo", rows, NOTE)


def _report(
    memory: GeometricMemory, steps: list[Step], seconds: dict[str, float], total: float
) -> dict[str, Any]:
    return {
        "note": NOTE,
        "version": __version__,
        "platform": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "machine": f"{platform.system()} {platform.machine()}",
            "threads": torch.get_num_threads(),
        },
        "clip": {"height": HEIGHT, "width": WIDTH},
        "clips": [
            {
                "name": step.report.clip_name,
                "trajectory": step.trajectory.name,
                "frames": len(step.clip.frames),
                "fps": FRAMES_PER_SECOND,
                "psnr": round(step.psnr, 2),
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
