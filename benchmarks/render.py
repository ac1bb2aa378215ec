"""Time the point renderer, measure its memory, and compare it with its slow reference and with pytorch3d.

Run: python benchmarks/render.py [--device cuda] [--output benchmarks/results/render_cpu.md]
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from worldstereo_core.geometry.cameras import Cameras, fov_to_K, unproject
from worldstereo_core.geometry.point_cloud import PointCloud
from worldstereo_core.geometry.render import render_points
from worldstereo_core.geometry.render_reference import render_points_reference

RADIUS, POINTS_PER_PIXEL = 0.008, 8
# Small enough for the reference, which looks at every point for every pixel; its radius is grown to match.
REDUCED = {"points": 4000, "height": 48, "width": 72, "frames": 1, "radius": 0.08}


def make_scene(num_points: int, height: int, width: int, frames: int) -> tuple[PointCloud, Cameras]:
    """A hilly surface with a box before it, seen by a camera that trucks past; points in random order."""
    generator = torch.Generator().manual_seed(0)
    rows = max(2, round((num_points * height / width) ** 0.5))
    columns = -(-num_points // rows)
    y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
    depth = 3 + 0.4 * torch.sin(5 * x) + 0.3 * torch.cos(7 * y)
    depth[(x.abs() < 0.3) & (y.abs() < 0.4)] = 1.5
    xyz = unproject(depth[None], fov_to_K(1.2, rows, columns)[None], torch.eye(4)[None]).reshape(-1, 3)
    xyz = xyz[torch.randperm(len(xyz), generator=generator)[:num_points]]
    points = PointCloud(
        xyz=xyz,
        rgb=torch.rand(len(xyz), 3, generator=generator),
        confidence=torch.ones(len(xyz)),
        clip=torch.zeros(len(xyz), dtype=torch.int32),
    )
    w2c = torch.eye(4).repeat(frames, 1, 1)
    w2c[:, 0, 3] = torch.linspace(0, -0.5, frames)
    return points, Cameras(w2c, fov_to_K(1.2, height, width).repeat(frames, 1, 1), height, width)


def best_seconds(run: Callable[[], object], repeats: int, device: str) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)


def resident_mib() -> float:
    """Memory of this process now, MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_mib_above(run: Callable[[], object], device: str) -> float:
    """Peak memory of a run above what is held before it, its results included, MiB."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before = resident_mib()
    run()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10 - before


def pytorch3d_seconds(points: PointCloud, cameras: Cameras, radius: float, frames: int) -> float | None:
    """Seconds for the first frames with pytorch3d's exact rasteriser and compositor, or None without it."""
    try:
        from pytorch3d.renderer.compositing import alpha_composite
        from pytorch3d.renderer.points.rasterize_points import rasterize_points
        from pytorch3d.structures import Pointclouds
    except ImportError:
        return None
    half = min(cameras.height, cameras.width) / 2

    def draw() -> None:
        for frame in range(frames):
            K, w2c = cameras.K[frame].to(points.xyz), cameras.w2c[frame].to(points.xyz)
            camera = points.xyz @ w2c[:3, :3].T + w2c[:3, 3]
            image = camera @ K.T
            # Its screen axes point left and up, from the image's middle, in halves of the shorter side.
            x = (cameras.width / 2 - image[:, 0] / image[:, 2]) / half
            y = (cameras.height / 2 - image[:, 1] / image[:, 2]) / half
            cloud = Pointclouds([torch.stack([x, y, camera[:, 2]], dim=-1)])
            index, _, distance2 = rasterize_points(
                cloud, (cameras.height, cameras.width), radius, POINTS_PER_PIXEL, bin_size=0
            )
            alphas = (1 - distance2 / radius**2).permute(0, 3, 1, 2)
            alpha_composite(index.permute(0, 3, 1, 2).long(), alphas, points.rgb.T)

    return best_seconds(draw, 1, str(points.xyz.device.type))


def machine(device: str) -> str:
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    entries = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    cpu = next(
        (value.strip() for key, _, value in entries if key.strip() == "model name"), platform.processor()
    )
    return f"{cpu}, {torch.get_num_threads()} threads of {os.cpu_count()}, torch {torch.__version__}"


def report(args: argparse.Namespace) -> list[str]:
    load = os.getloadavg()[0]
    points, cameras = make_scene(args.points, args.height, args.width, args.frames)
    points = points.to(args.device)
    render_points(points, cameras[:1])  # warms up kernels and thread pools

    def draw() -> object:
        return render_points(points, cameras, radius=RADIUS, points_per_pixel=POINTS_PER_PIXEL)

    peak = peak_mib_above(draw, args.device)
    seconds = best_seconds(draw, args.repeats, args.device)
    lines = [
        f"Machine: {machine(args.device)}; load average before the run {load:.1f}",
        "",
        f"{args.frames} frames of {args.height} x {args.width} from {args.points:,} points, "
        f"{POINTS_PER_PIXEL} per pixel, radius {RADIUS}: best of {args.repeats}",
        "",
        "| figure | value |",
        "|---|---|",
        f"| all frames | {seconds:.2f} s |",
        f"| one frame | {seconds / args.frames * 1000:.0f} ms |",
        f"| peak memory above the inputs, results included | {peak:.0f} MiB |",
    ]
    peer = pytorch3d_seconds(points, cameras, RADIUS, frames=1)
    if peer is None:
        lines.append("| pytorch3d | not installed |")
    else:
        ratio = peer / (seconds / args.frames)
        lines.append(f"| pytorch3d, exact, one frame | {peer * 1000:.0f} ms: {ratio:.1f} times ours |")

    small, few = make_scene(REDUCED["points"], REDUCED["height"], REDUCED["width"], REDUCED["frames"])
    fast = best_seconds(lambda: render_points(small, few, radius=REDUCED["radius"]), 5, "cpu")
    slow = best_seconds(lambda: render_points_reference(small, few, radius=REDUCED["radius"]), 1, "cpu")
    difference = (
        render_points(small, few, radius=REDUCED["radius"]).image
        - render_points_reference(small, few, radius=REDUCED["radius"]).image
    )
    lines += [
        "",
        f"Beside the slow reference, on the CPU ({REDUCED['frames']} frame of {REDUCED['height']} x "
        f"{REDUCED['width']}, {REDUCED['points']:,} points, radius {REDUCED['radius']}):",
        "",
        f"ours {fast * 1000:.1f} ms, reference {slow * 1000:.0f} ms, ratio {slow / fast:.0f}; largest "
        f"difference of colour {float(difference.abs().max()):.1e}.",
    ]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--points", type=int, default=400_000)
    parser.add_argument("--frames", type=int, default=21)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, help="also write the figures to this Markdown file")
    args = parser.parse_args()
    lines = report(args)
    print("\n".join(lines))
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        command = " ".join(["python benchmarks/render.py", *sys.argv[1:]])
        args.output.write_text("\n".join(["# Point renderer", "", f"`{command}`", "", *lines, ""]))


if __name__ == "__main__":
    main()
