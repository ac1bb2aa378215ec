"""What the benchmarks of model calls share: network sizes, a clip's inputs, clocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch

from worldstereo_core.model.condition import ControlCondition
from worldstereo_core.model.config import ControlSizes


def control_sizes(width: int, blocks: int, ffn: int) -> ControlSizes:
    """The released proportions: half the backbone's blocks, a fifth of its width."""
    return ControlSizes(
        in_channels=36,
        embed_width=width,
        width=width // 5,
        num_heads=width // 320,
        ffn_width=ffn // 5,
        num_blocks=blocks // 2,
        time_width=width,
        output_width=width,
        mask_channels=7,
        mask_width=64,
        mask_kernel=1,
    )


def clip_conditions(
    frames: int, rows: int, columns: int, references: int
) -> tuple[ControlCondition, ControlCondition]:
    """A clip's random control inputs without and with references; rows and columns are latent cells."""
    generator = torch.Generator().manual_seed(0)
    cells, pixels = (rows, columns), (rows * 8, columns * 8)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(1, *shape, generator=generator)

    alone = ControlCondition(
        random(16, frames, *cells), (random(1, frames, *pixels) > 0).float(), random(6, frames, *pixels)
    )
    return alone, replace(
        alone,
        reference_latents=random(16, references, *cells),
        reference_index=torch.arange(references) % (frames - 1),
        camera_tokens=random(frames, 7),
        reference_camera_tokens=random(references, 7),
    )


def fastest(calls: list[Callable[[], torch.Tensor]], repeats: int, clock: Callable[[], float]) -> list[float]:
    """Fastest of several runs of each call, seconds; the calls take turns, the first round does not count."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats + 1):
        for call, times in zip(calls, seconds, strict=True):
            start = clock()
            call().sum().item()  # the sum waits for the device
            times.append(clock() - start)
    return [min(times[1:]) for times in seconds]


def clock_of(device: str) -> Callable[[], float]:
    """Processor time of this process on the CPU, which other work disturbs least; else wall time."""
    return time.process_time if device == "cpu" else time.perf_counter
