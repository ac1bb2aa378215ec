"""Time saving and loading a large memory, and its peak memory, beside torch.save and numpy.savez.

Run: python benchmarks/memory_files.py [--points 10000000] [--views 40]
         [--output benchmarks/results/memory_files_cpu.md]
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from worldstereo_core.geometry.point_cloud import PointCloud
from worldstereo_core.memory.memory import GeometricMemory
from worldstereo_core.memory.storage import load_memory, save_memory
from worldstereo_core.memory.view import View

HEIGHT, WIDTH = 480, 768


def large_memory(num_points: int, num_views: int) -> GeometricMemory:
    """Random points with normals, and views with depth."""
    generator = torch.Generator().manual_seed(0)
    points = PointCloud(
        xyz=torch.rand(num_points, 3, generator=generator),
        rgb=torch.rand(num_points, 3, generator=generator),
        confidence=torch.rand(num_points, generator=generator),
        clip=(torch.arange(num_points) % 5).int(),
        normal=torch.rand(num_points, 3, generator=generator),
    )
    K = torch.tensor([[500.0, 0, WIDTH / 2], [0, 500, HEIGHT / 2], [0, 0, 1]])
    image = torch.randint(0, 256, (3, HEIGHT, WIDTH), generator=generator).to(torch.uint8)
    depth = torch.rand(HEIGHT, WIDTH, generator=generator) + 1
    views = tuple(
        View(image.clone(), torch.eye(4), K, f"view_{index}", index // 8, depth.clone())
        for index in range(num_views)
    )
    return GeometricMemory(points, views, 1.0)


def plain_tensors(memory: GeometricMemory) -> dict[str, Tensor]:
    """The same content as a dictionary, for the references."""
    points = memory.points
    assert points.normal is not None
    tensors = {"xyz": points.xyz, "rgb": points.rgb, "confidence": points.confidence, "clip": points.clip}
    tensors["normal"] = points.normal
    for index, view in enumerate(memory.views):
        assert view.depth is not None
        tensors |= {f"{index}.image": view.image, f"{index}.w2c": view.w2c, f"{index}.K": view.K}
        tensors[f"{index}.depth"] = view.depth
    return tensors


def anonymous_mib() -> float:
    """Memory of this process that is not a mapped file, MiB (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 2**10
    raise RuntimeError("/proc/self/status has no RssAnon")


def measured(run: Callable[[], object]) -> tuple[float, float, object]:
    """Seconds, peak memory above what is held before (MiB, sampled every 5 ms), and the result."""
    before, peak, done = anonymous_mib(), 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, anonymous_mib())
            done.wait(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    return seconds, max(0.0, max(peak, anonymous_mib()) - before), result


def read_all(tensors: list[Tensor]) -> float:
    """Touch every number, as the first render after loading does."""
    return sum(float(tensor.sum(dtype=torch.float64)) for tensor in tensors)


def report(args: argparse.Namespace) -> list[str]:
    memory = large_memory(args.points, args.views)
    tensors = plain_tensors(memory)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    folder = Path(args.folder or tempfile.gettempdir())
    lines = [
        f"{args.points:,} points with normals and {args.views} views of {HEIGHT} x {WIDTH} with depth: "
        f"{size / 2**20:,.0f} MiB. Peak: memory above what is held before, the result included, mapped files "
        "not counted.",
        "",
        "| how | save | peak | load | peak | load and read every number |",
        "|---|---|---|---|---|---|",
    ]

    def load_npz(path: Path) -> list[Tensor]:
        with np.load(path) as file:
            return [torch.from_numpy(file[name]) for name in file.files]

    ways: dict[str, tuple[str, Callable[[Path], object], Callable[[Path], list[Tensor]]]] = {
        "save_memory, load_memory": (
            "safetensors",
            lambda path: save_memory(path, memory),
            lambda path: list(plain_tensors(load_memory(path)).values()),
        ),
        "torch.save, torch.load": (
            "pt",
            lambda path: torch.save(tensors, path),
            lambda path: list(torch.load(path).values()),
        ),
        "torch.save, torch.load(mmap)": (
            "mmap.pt",
            lambda path: torch.save(tensors, path),
            lambda path: list(torch.load(path, mmap=True).values()),
        ),
        "numpy.savez, numpy.load": (
            "npz",
            lambda path: np.savez(path, **{name: part.numpy() for name, part in tensors.items()}),
            load_npz,
        ),
    }
    for name, (suffix, save, load) in ways.items():
        best = [float("inf")] * 5
        for _ in range(args.repeats):
            with tempfile.TemporaryDirectory(dir=folder) as place:
                path = Path(place) / f"memory.{suffix}"
                save_seconds, save_peak, _ = measured(lambda path=path, save=save: save(path))
                load_seconds, load_peak, loaded = measured(lambda path=path, load=load: load(path))
                start = time.perf_counter()
                read_all(loaded)  # type: ignore[arg-type]
                whole = load_seconds + time.perf_counter() - start
                del loaded
            run = [save_seconds, save_peak, load_seconds, load_peak, whole]
            best = [min(a, b) for a, b in zip(best, run, strict=True)]
        lines.append(
            f"| {name} | {best[0]:.2f} s | {best[1]:,.0f} MiB | {best[2]:.3f} s | {best[3]:,.0f} MiB | "
            f"{best[4]:.2f} s |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=10_000_000)
    parser.add_argument("--views", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", help="where the files are written; the system's temporary folder")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    load = os.getloadavg()[0]
    words = [
        "# Memory files",
        "",
        f"`python benchmarks/{Path(__file__).name} --points {args.points} --views {args.views}`",
        "",
        f"Machine: {platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch "
        f"{torch.__version__}; load average before the run {load:.1f}; best of {args.repeats}",
        "",
        *report(args),
        "",
    ]
    print("\n".join(words))
    if args.output:
        args.output.write_text("\n".join(words), encoding="utf-8")


if __name__ == "__main__":
    main()
