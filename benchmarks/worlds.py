"""Draw procedural worlds with rays in bundles, beside every ray against every solid, and beside plain Python.

Run: python benchmarks/worlds.py [--worlds 4] [--output benchmarks/results/worlds_cpu.md]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "training" / "worlds"))

import scalar_rays

from worldstereo_core.training.worlds.make import KINDS, make_world
from worldstereo_core.training.worlds.render import render_world
from worldstereo_core.training.worlds.shapes import Shapes, Solid
from worldstereo_core.training.worlds.trajectories import world_trajectories

HEIGHT, WIDTH, CLIPS, FRAMES = 64, 96, 2, 9
PROCESSES = 2


def scenes(kind: str, worlds: int) -> list:
    made = []
    for seed in range(worlds):
        world = make_world(seed, kind)
        made.append((world, world_trajectories(world, 0, CLIPS, FRAMES, HEIGHT, WIDTH)))
    return made


def milliseconds(made: list) -> float:
    """Processor time of a frame, which other programs on the machine change little."""
    for world, moves in made:
        render_world(world, moves[0].w2c[:1], moves[0].K[:1], HEIGHT, WIDTH)
    start, count = time.process_time(), 0
    for world, moves in made:
        for move in moves:
            render_world(world, move.w2c, move.K, HEIGHT, WIDTH)
            count += FRAMES
    return 1e3 * (time.process_time() - start) / count


def everything(shapes: Shapes, apex: torch.Tensor, *areas: torch.Tensor) -> torch.Tensor:
    return torch.ones(len(areas[0]), len(shapes), dtype=torch.bool)


def plain_milliseconds(worlds: list) -> float:
    names = ("in_cones", "in_beams", "near_boxes")
    bundled = {name: getattr(Shapes, name) for name in names}
    for name in names:
        setattr(Shapes, name, everything)
    try:
        return milliseconds(worlds)
    finally:
        for name, method in bundled.items():
            setattr(Shapes, name, method)


def scalar_seconds(rays: int = 20) -> float:
    """Of one frame of a room, plain Python, extrapolated from a few rays; depth alone, no light."""
    world = make_world(0, "room")
    shapes = world.shapes
    solids = [
        Solid(int(kind), tuple(center.tolist()), tuple(half.tolist()), 0, 0)
        for kind, center, half in zip(shapes.kind, shapes.center, shapes.half, strict=True)
    ]
    start = time.process_time()
    for ray in range(rays):
        way = [0.1 * ray / rays, 0.2, 1.0]
        scalar_rays.first_inside(
            lambda point: any(scalar_rays.inside(solid, point) for solid in solids), [0, -1.4, 0], way, 6.0
        )
    return (time.process_time() - start) / rays * HEIGHT * WIDTH


def wall_rate(kind: str, worlds: int) -> float:
    """Frames a minute by the clock, one process a core; what else runs on the machine counts."""
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        pool.starmap(_draw, [(kind, 1)] * PROCESSES)
        times = pool.starmap(_draw, [(kind, worlds)] * PROCESSES)
    return 60 * sum(count / seconds for count, seconds in times)


def _draw(kind: str, worlds: int) -> tuple[int, float]:
    torch.set_num_threads(1)
    made = scenes(kind, worlds)
    start = time.perf_counter()
    for world, moves in made:
        for move in moves:
            render_world(world, move.w2c, move.K, HEIGHT, WIDTH)
    return worlds * CLIPS * FRAMES, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", type=int, default=4)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        f"Frames of {WIDTH} x {HEIGHT} with light, shadows and smoothed edges; {args.worlds} worlds of each "
        f"kind. Processor time of one thread; frames a minute by the clock with {PROCESSES} processes. "
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"torch {torch.__version__}",
        "",
        "| kind | make a world, ms | a frame, ms | every ray against every solid, ms | "
        f"frames a minute on {PROCESSES} cores by processor time | by the clock |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind in KINDS:
        start = time.process_time()
        made = scenes(kind, args.worlds)
        making = 1e3 * (time.process_time() - start) / args.worlds
        bundled = milliseconds(made)
        plain = plain_milliseconds(made)
        rate, clock = PROCESSES * 60e3 / bundled, wall_rate(kind, args.worlds)
        lines.append(f"| {kind} | {making:.0f} | {bundled:.1f} | {plain:.1f} | {rate:,.0f} | {clock:,.0f} |")
    lines += [
        "",
        f"Plain Python, one ray at a time, depth alone: {scalar_seconds():,.0f} s a frame of a room.",
    ]
    text = "\n".join(lines)
    print(text)
    if args.output:
        args.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
