"""Time one view's fusion into worlds of 1 to 100 clips, beside downsampling the whole world again.

Run: python benchmarks/growth.py [--clips 100] [--output benchmarks/results/growth_cpu.md]
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from worldstereo_core.geometry.cameras import Cameras, fov_to_K
from worldstereo_core.memory.fusion import VoxelMap

HEIGHT, WIDTH, CELL = 240, 384, 0.02


def room() -> torch.Tensor:
    """[H, W] depth of a wavy wall 3 to 5 units away."""
    y, x = torch.linspace(-1, 1, HEIGHT)[:, None], torch.linspace(-1, 1, WIDTH)[None]
    return 4 + 0.5 * torch.sin(5 * x) + 0.4 * torch.cos(4 * y)


def camera(clip: int) -> Cameras:
    """Every clip stands 6 units further right, in a room of its own."""
    w2c = torch.eye(4)
    w2c[0, 3] = -6.0 * clip
    return Cameras(w2c[None], fov_to_K(1.2, HEIGHT, WIDTH)[None], HEIGHT, WIDTH)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    depth = room()
    image = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    world = VoxelMap.empty(CELL)
    times, lines = [], []
    shown = {1, 2, 5, 10, 20, 50, args.clips}
    for clip in range(args.clips):
        start = time.perf_counter()
        world, step = world.add_view(image, depth, camera(clip), clip)
        times.append(1e3 * (time.perf_counter() - start))
        if clip + 1 in shown:
            recent = sorted(times[-5:])[len(times[-5:]) // 2]
            start = time.perf_counter()
            points = world.to_points()
            gathered = 1e3 * (time.perf_counter() - start)
            start = time.perf_counter()
            points.voxel_downsample(CELL)
            again = 1e3 * (time.perf_counter() - start)
            lines.append(
                f"| {clip + 1} | {world.num_points:,} | {step.num_blocks} | {recent:.0f} | {gathered:.0f} "
                f"| {again:.0f} |"
            )
    first, last = sorted(times[1:6])[2], sorted(times[-5:])[2]
    report = "\n".join(
        [
            f"Fusion of one {HEIGHT} x {WIDTH} view, {torch.get_num_threads()} threads, "
            f"{platform.processor() or platform.machine()}, torch {torch.__version__}",
            "",
            "| clips in the world | points | blocks replaced | one view, ms | gather cloud, ms | "
            "downsample all again, ms |",
            "| --- | --- | --- | --- | --- | --- |",
            *lines,
            "",
            f"Last views against first: {last / first:.2f} times the cost.",
        ]
    )
    print(report)
    if args.output:
        args.output.write_text(report + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
