"""Align depth of unknown scale and shift to a memory of the demo's room: errors, and bad frames found.

Run: python benchmarks/alignment.py [--seeds 20] [--output benchmarks/results/alignment_cpu.md]
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.commands.demo_scene import START, cast_depth, start_camera
from worldstereo_core.geometry.cameras import Cameras, look_at
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory

HEIGHT, WIDTH, KEPT = 240, 384, 8
NOISE, WILD_PIXELS = 0.02, 0.3
END, TARGET = (1.4, -0.3, -0.6), (-0.5, 0.2, 3.2)


@dataclass
class Errors:
    """What came out over all seeds: relative errors, and frames by what they were and became."""

    scale: list[float] = field(default_factory=list)
    depth: list[float] = field(default_factory=list)
    ratio_depth: list[float] = field(default_factory=list)
    planted: int = 0
    found: int = 0
    good: int = 0
    false_alarms: int = 0
    seconds: list[float] = field(default_factory=list)


def scene() -> tuple[Cameras, Tensor]:
    """Cameras [1 + KEPT] of a move to the right and exact depth [1 + KEPT, H, W]."""
    start, K = start_camera(HEIGHT, WIDTH)
    shares = torch.linspace(0, 1, KEPT + 1)[:, None]
    eyes = torch.lerp(torch.tensor(START), torch.tensor(END), shares)
    targets = torch.lerp(torch.tensor([0.0, -0.1, 3.0]), torch.tensor(TARGET), shares)
    w2c = torch.cat([start[None], look_at(eyes, targets)[1:]])
    depths = torch.stack([cast_depth(camera, K, HEIGHT, WIDTH) for camera in w2c])
    return Cameras(w2c, K.expand(len(w2c), 3, 3), HEIGHT, WIDTH), depths


def estimate(depth: Tensor, scale: float, shift: float, generator: torch.Generator) -> Tensor:
    """An estimator for which 1 / depth = scale / estimate + shift, with noise and wild pixels."""
    guess = scale / (1 / depth.double() - shift)
    guess = guess * (1 + NOISE * torch.randn(depth.shape, generator=generator))
    wild = torch.rand(depth.shape, generator=generator) < WILD_PIXELS
    return torch.where(wild, guess * (3 * torch.rand(depth.shape, generator=generator) + 0.2), guess).float()


def try_seed(seed: int, memory: GeometricMemory, cameras: Cameras, depths: Tensor, errors: Errors) -> None:
    generator = torch.Generator().manual_seed(seed)
    scale = math.exp(4.6 * (2 * float(torch.rand((), generator=generator)) - 1))
    shift = 0.1 * (float(torch.rand((), generator=generator)) - 0.5)
    guesses = torch.stack([estimate(depth, scale, shift, generator) for depth in depths])
    planted = (torch.randperm(KEPT, generator=generator)[:2] + 1).tolist()
    noise = torch.rand(depths[0].shape, generator=generator) * 5 + 0.5
    guesses[planted[0]] = noise * scale
    guesses[planted[1]] = estimate(depths[planted[1]], 2.5 * scale, shift, generator)
    frames = torch.full((len(depths), 3, HEIGHT, WIDTH), 0.5)
    settings = {"keep_frames": KEPT, "align_scale": True}
    before = time.process_time()
    _, report = memory.update(frames, cameras, guesses, alignment="robust", **settings)
    errors.seconds.append(time.process_time() - before)
    assert report.alignment is not None
    for entry in report.alignment.frames:
        is_planted = entry.frame in planted
        errors.planted += is_planted
        errors.good += not is_planted
        if entry.status != "fitted":
            errors.found += is_planted
            errors.false_alarms += not is_planted
        elif not is_planted and entry.fit is not None:
            clean = scale / (1 / depths[entry.frame].double() - shift)
            errors.scale.append(abs(entry.fit.scale / scale - 1))
            errors.depth.append(float((entry.fit.apply(clean) / depths[entry.frame] - 1).abs().median()))
    try:
        _, plain = memory.update(frames, cameras, guesses, **settings)
    except WorldStereoError:
        return
    for frame, ratio in zip(plain.kept_frames, plain.scale_ratios, strict=True):
        if frame not in planted:
            clean = scale / (1 / depths[frame].double() - shift)
            errors.ratio_depth.append(float((clean * ratio / depths[frame] - 1).abs().median()))


def figures(values: list[float]) -> str:
    ranked = sorted(values)
    chosen = (ranked[len(ranked) // 2], ranked[int(0.95 * (len(ranked) - 1))], ranked[-1])
    return " | ".join(f"{value:.2%}" for value in chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    cameras, depths = scene()
    memory = initialise_memory(
        torch.full((3, HEIGHT, WIDTH), 0.5), depths[0], cameras.K[0], cameras.w2c[0], edge_threshold=0.1
    )
    errors = Errors()
    for seed in range(args.seeds):
        try_seed(seed, memory, cameras, depths, errors)
    report = "\n".join(
        [
            f"Depth of {KEPT} frames of {HEIGHT} x {WIDTH} aligned to a memory of one picture of the demo's",
            f"room, {args.seeds} random scales from 0.01 to 100 with shifts up to 0.05 per unit, "
            f"{NOISE:.0%} noise, {WILD_PIXELS:.0%} wild",
            f"pixels, two planted bad frames per clip. {torch.get_num_threads()} threads, "
            f"{platform.processor() or platform.machine()}, torch {torch.__version__}",
            "",
            "| relative error | median | 95 % | largest |",
            "| --- | --- | --- | --- |",
            f"| scale, robust | {figures(errors.scale)} |",
            f"| aligned depth (median over a frame), robust | {figures(errors.depth)} |",
            f"| aligned depth, one ratio per frame | {figures(errors.ratio_depth)} |",
            "",
            f"Planted bad frames found: {errors.found} of {errors.planted}. Good frames taken for bad: "
            f"{errors.false_alarms} of {errors.good}. One clip: "
            f"{sorted(errors.seconds)[args.seeds // 2]:.1f} s of processor time.",
        ]
    )
    print(report)
    if args.output:
        args.output.write_text(report + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
