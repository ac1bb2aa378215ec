"""What every operation on a memory of 10 million points costs: processor time and peak memory.

Run: python benchmarks/large_memory.py [--points 10000000] [--output benchmarks/results/large_memory_cpu.md]
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.growth import CELL, HEIGHT, KEPT, SETTINGS, WIDTH, as_cloud, cameras, corridor, start_memory
from worldstereo_core.formats.ply import write_ply
from worldstereo_core.geometry.point_cloud import PointCloud
from worldstereo_core.geometry.similarity import Similarity
from worldstereo_core.memory.controls import render_controls
from worldstereo_core.memory.coverage import measure_coverage
from worldstereo_core.memory.editing import clean_memory, crop_to_sphere, delete_by_mask, transform_memory
from worldstereo_core.memory.memory import GeometricMemory
from worldstereo_core.memory.merging import diff_memories, merge_memories
from worldstereo_core.memory.pictures import draw_coverage, draw_memory
from worldstereo_core.memory.statistics import memory_statistics
from worldstereo_core.memory.storage import load_memory, save_memory
from worldstereo_core.memory.tracks import build_tracks
from worldstereo_core.memory.warping import warp_views


def large_memory(count: int) -> GeometricMemory:
    """One picture of a corridor, and points at random along 200 units of it."""
    memory = start_memory()
    far = torch.rand(count - memory.points.num_points, 3, generator=torch.Generator().manual_seed(0))
    far = far * torch.tensor([200.0, 2.4, 8.0]) - torch.tensor([220.0, 1.2, 0.0])
    return GeometricMemory(
        PointCloud.concat([memory.points, as_cloud(far)]), memory.views, memory.median_depth
    )


def measured(work: Callable[[], object]) -> tuple[object, float, float]:
    """The result, seconds of processor time, and MiB by which the process grew at its peak."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the recorded peak
    before, start = _status_mib("VmRSS"), time.process_time()
    result = work()
    return result, time.process_time() - start, _status_mib("VmHWM") - before


def _status_mib(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 1024


def operations(memory: GeometricMemory, folder: Path) -> dict[str, Callable[[], object]]:
    first = start_memory()
    frames = torch.full((KEPT + 1, 3, HEIGHT, WIDTH), 0.5)
    at = cameras(1)
    file = folder / "large.safetensors"

    def grow(world: GeometricMemory, clip: int, fusion: str) -> GeometricMemory:
        path = cameras(clip)
        return world.update(frames, path, 3 * corridor(path), fusion=fusion, cell=CELL, **SETTINGS)[0]

    fused: list[GeometricMemory] = []

    def drawn_coverage() -> object:
        return draw_coverage(memory, measure_coverage(memory))

    return {
        f"update by a clip of {KEPT} kept frames, fill holes": lambda: grow(memory, 1, "holes"),
        "the same with voxel fusion, whole world fused first": lambda: fused.append(grow(memory, 1, "voxel")),
        "the next clip with voxel fusion": lambda: grow(fused.pop(), 2, "voxel"),
        "render a frame": lambda: memory.render(at[0]),
        "control signals of a frame": lambda: render_controls(memory.points, at[:1]),
        "warp a view into a frame": lambda: warp_views(memory, at[:1], memory.views),
        "retrieve by visible points, first time": lambda: memory.retrieve(at, method="visible points"),
        "retrieve by visible points, later": lambda: memory.retrieve(at, method="visible points"),
        "statistics": lambda: memory_statistics(memory),
        "coverage and its picture": drawn_coverage,
        "picture from above": lambda: draw_memory(memory),
        "crop to a sphere": lambda: crop_to_sphere(memory, (-100.0, 0.0, 4.0), 50.0),
        "delete under a mask": lambda: delete_by_mask(memory, torch.ones(HEIGHT, WIDTH), at[0]),
        "move and scale": lambda: transform_memory(memory, Similarity.of(scale=2.0)),
        "merge with another memory": lambda: merge_memories(memory, first),
        "compare with another memory": lambda: diff_memories(first, memory),
        "clean (one point per cell, carve)": lambda: clean_memory(memory, CELL),
        "save": lambda: save_memory(file, memory),
        "load": lambda: load_memory(file),
        "export as PLY": lambda: write_ply(folder / "large.ply", memory.points),
        "tracks of 50,000 points": lambda: build_tracks(memory, 50_000, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=10_000_000)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    memory = large_memory(options.points)
    lines = [
        f"# Operations on {memory.points.num_points:,} points",
        "",
        f"Pictures of {WIDTH} x {HEIGHT}; processor time, {torch.get_num_threads()} thread(s), "
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}. Peak: memory of the "
        "process above what it held before, the result included.",
        "",
        "| operation | seconds | peak, MiB |",
        "| --- | ---: | ---: |",
    ]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, work in operations(memory, Path(folder)).items():
            _, seconds, peak = measured(work)
            lines.append(f"| {name} | {seconds:.1f} | {peak:,.0f} |")
            print(lines[-1], flush=True)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
