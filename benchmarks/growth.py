"""Grow a world by 1 to 100 clips with one point per cell, beside keeping every point and downsampling again.

Run: python benchmarks/growth.py [--clips 100] [--output benchmarks/results/growth_cpu.md]
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from worldstereo_core.geometry.cameras import Cameras, fov_to_K, pixel_directions, unproject
from worldstereo_core.geometry.point_cloud import PointCloud
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory

HEIGHT, WIDTH, CELL, STEP, KEPT = 240, 384, 0.02, 1.0, 2
SETTINGS = {"align_scale": True, "alignment": "robust", "edge_threshold": 0.0, "keep_frames": KEPT}
Result = TypeVar("Result")


def cameras(clip: int) -> Cameras:
    """A clip walks STEP units along a wall; it starts with the last frame of the clip before."""
    w2c = torch.eye(4).repeat(KEPT + 1, 1, 1)
    w2c[:, 0, 3] = -STEP * torch.linspace(clip - 1, clip, KEPT + 1)
    return Cameras(w2c, fov_to_K(1.2, HEIGHT, WIDTH).expand(KEPT + 1, 3, 3), HEIGHT, WIDTH)


def corridor(at: Cameras) -> Tensor:
    """Exact depth [T, H, W] of a wall 4 units away with shelves, floor and ceiling."""
    rays = pixel_directions(at.K, HEIGHT, WIDTH)
    y = rays[..., 1].abs()
    depth = torch.minimum(torch.tensor(4.0), 1.2 / y.clamp_min(1e-6))
    return torch.where((y * 3.4).frac() < 0.25, torch.minimum(depth, torch.tensor(3.5)), depth)


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """The result, and milliseconds of processor time, which other programs on the machine do not change."""
    start = time.process_time()
    result = work()
    return result, 1e3 * (time.process_time() - start)


def middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def start_memory() -> GeometricMemory:
    at = cameras(0)
    return initialise_memory(
        torch.full((3, HEIGHT, WIDTH), 0.5), corridor(at)[-1], at.K[0], at.w2c[-1], edge_threshold=0.0
    )


def grow(clips: int) -> tuple[list[str], float, float]:
    """Rows of the table, cost of the last clips over the first, and naive points over fused points."""
    memory, frames = start_memory(), torch.full((KEPT + 1, 3, HEIGHT, WIDTH), 0.5)
    naive = [memory.points.xyz]
    times: list[float] = []
    rows: list[str] = []
    for clip in range(1, clips + 1):
        at = cameras(clip)
        depths = corridor(at)
        memory, took = timed(
            lambda memory=memory, at=at, depths=depths: memory.update(
                frames, at, 3 * depths, fusion="voxel", cell=CELL, **SETTINGS
            )[0]
        )
        assert memory.fused is not None
        _, gathering = timed(memory.fused.grid.to_points)
        times.append(took - gathering)
        naive += [xyz.reshape(-1, 3) for xyz in unproject(depths, at.K, at.w2c)[1:]]
        if clip in {1, 2, 5, 10, 20, 50, clips}:
            union = as_cloud(torch.cat(naive))
            _, again = timed(lambda union=union: union.voxel_downsample(CELL))
            rows.append(
                f"| {clip} | {memory.points.num_points:,} | {union.num_points:,} | "
                f"{union.num_points / memory.points.num_points:.1f} | {middle(times[-5:]):.0f} | "
                f"{gathering:.0f} | {again:.0f} |"
            )
    union = sum(len(part) for part in naive)
    return rows, middle(times[-10:]) / middle(times[1:11]), union / memory.points.num_points


def as_cloud(xyz: Tensor) -> PointCloud:
    count = len(xyz)
    return PointCloud(
        xyz, torch.full((count, 3), 0.5), torch.ones(count), torch.zeros(count, dtype=torch.int32)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    rows, cost, saved = grow(args.clips)
    lines = [
        f"Clips of {KEPT} kept frames of {HEIGHT} x {WIDTH} along a wall: aligned (robust), carved and fused "
        f"into cells of {CELL}. Processor time, {torch.get_num_threads()} threads, "
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}",
        "",
        "| clips in the world | fused points | points of the plain union | union / fused | one clip without "
        "gathering, ms | gather the cloud, ms | downsample the union instead, ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
        f"Last clips against first: {cost:.2f} times the cost. Plain union against fused cloud: {saved:.1f} "
        "times the points.",
    ]
    report = "\n".join(lines)
    print(report)
    if args.output:
        args.output.write_text(report + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
