"""Time retrieval per trajectory against banks of several sizes, beside two slower forms of it.

Run: python benchmarks/retrieval.py [--output benchmarks/results/retrieval_cpu.md]
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from worldstereo_core.geometry.cameras import Cameras, fov_to_K, look_at
from worldstereo_core.geometry.point_cloud import PointCloud
from worldstereo_core.memory.memory import GeometricMemory, View
from worldstereo_core.memory.retrieval import (
    FAR,
    NEAR,
    best_views,
    cameras_to_frusta,
    retrieve_references,
)
from worldstereo_core.memory.retrieval_reference import best_views_reference, to_cameras
from worldstereo_core.memory.visible_points import bank_sight, seen_points

HEIGHT, WIDTH, NUM_FRAMES = 480, 832, 21
BANK_SIZES = (27, 500, 10_000)
NUM_POINTS = 1_000_000


@dataclass(frozen=True)
class Row:
    """Milliseconds per trajectory, and MiB that the process grew by at its peak."""

    num_views: int
    ours: float
    per_target: float
    plain: float
    peak_mib: float
    is_equal: bool


@dataclass(frozen=True)
class PointsRow:
    """Retrieval by visible points: seconds of the first call, milliseconds of every later one, MiB.

    ``processor`` is the processor time of all threads in a later call, milliseconds: what other work on the
    machine does not lengthen.
    """

    num_views: int
    first: float
    later: float
    processor: float
    peak_mib: float
    kept_mib: float
    share_by_points: float
    share_by_frusta: float


def random_cameras(count: int, seed: int) -> Cameras:
    """Cameras scattered over a room, each looking at some point of it."""
    generator = torch.Generator().manual_seed(seed)
    eye = torch.rand(count, 3, generator=generator) * 4 - 2
    target = torch.rand(count, 3, generator=generator) * 8 - 4
    K = fov_to_K(1.5, HEIGHT, WIDTH).expand(count, 3, 3).contiguous()
    return Cameras(look_at(eye, target), K, HEIGHT, WIDTH)


def room(count: int) -> PointCloud:
    """Points on the walls, floor and ceiling of a cube of 8 units, with two walls across its middle."""
    generator = torch.Generator().manual_seed(0)
    xyz = torch.rand(count, 3, generator=generator) * 8 - 4
    axis = torch.randint(0, 3, (count,), generator=generator)
    side = torch.randint(-1, 2, (count,), generator=generator).float()
    side[axis == 1] = torch.where(side[axis == 1] == 0, 1.0, side[axis == 1])  # no floor half way up
    xyz[torch.arange(count), axis] = 4 * side
    ones = torch.ones(count)
    return PointCloud(xyz, torch.rand(count, 3, generator=generator), ones, ones.int())


def make_memory(cameras: Cameras, points: PointCloud | None = None) -> GeometricMemory:
    # Retrieval looks at sizes only while few enough views are found, so one byte stands for every picture.
    image = torch.zeros((), dtype=torch.uint8).expand(3, cameras.height, cameras.width)
    views = tuple(
        View(image, w2c, K, f"view/{index:04d}")
        for index, (w2c, K) in enumerate(zip(cameras.w2c, cameras.K, strict=True))
    )
    nothing = PointCloud(
        torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0), torch.zeros(0, dtype=torch.int32)
    )
    return GeometricMemory(nothing if points is None else points, views, 1.0)


def per_target_loop(bank_cameras: Cameras, cameras: Cameras) -> list[int]:
    """Vectorised over the bank, one target at a time, all volumes made anew for each: as it was released."""
    indices = []
    sizes = torch.tensor([[bank_cameras.height, bank_cameras.width]]).expand(bank_cameras.num_frames, 2)
    for frame in range(1, cameras.num_frames):
        bank = cameras_to_frusta(bank_cameras.w2c, bank_cameras.K, sizes)
        target = cameras_to_frusta(cameras.w2c[frame : frame + 1], cameras.K[frame : frame + 1], sizes[:1])
        indices.append(int(best_views(target, bank).bank_indices))
    return indices


def plain_loop(bank_cameras: Cameras, cameras: Cameras) -> list[int]:
    bank = to_cameras(bank_cameras.w2c, bank_cameras.K, bank_cameras.height, bank_cameras.width)
    targets = to_cameras(cameras.w2c[1:], cameras.K[1:], cameras.height, cameras.width)
    return [index for index, _, _ in best_views_reference(targets, bank, NEAR, FAR)]


def milliseconds(
    work: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Fastest of several runs."""
    times = []
    for _ in range(repeats):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times) * 1000


def peak_growth_mib(work: Callable[[], object]) -> float:
    """MiB by which the process grew at its peak while working; NaN where Linux does not tell."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the recorded peak
        before = _status_kib("VmRSS")
        work()
        return (_status_kib("VmHWM") - before) / 1024
    except OSError:
        return float("nan")


def _status_kib(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1])


def measure(num_views: int) -> Row:
    bank = random_cameras(num_views, seed=num_views)
    memory = make_memory(bank)
    cameras = random_cameras(NUM_FRAMES, seed=1)

    def ours() -> list[int]:
        # As many references as frames: the selector reads pictures, which is not what is timed here.
        return retrieve_references(memory, cameras, NUM_FRAMES).matches.bank_indices.tolist()

    ours()  # the first call pays for torch's own start
    repeats = 3 if num_views > 1000 else 20
    return Row(
        num_views=num_views,
        ours=milliseconds(ours, 20),
        per_target=milliseconds(lambda: per_target_loop(bank, cameras), repeats),
        plain=milliseconds(lambda: plain_loop(bank, cameras), 1 if num_views > 1000 else repeats),
        peak_mib=peak_growth_mib(ours),
        is_equal=ours() == plain_loop(bank, cameras),
    )


def measure_points(num_views: int, points: PointCloud) -> PointsRow:
    """Four rooms that see nothing of one another, by what is seen and, beside it, by frusta."""
    memory = make_memory(random_cameras(num_views, seed=num_views), points)
    cameras = random_cameras(NUM_FRAMES, seed=1)

    def by_points() -> list[int]:
        return retrieve_references(memory, cameras, method="visible points").bank_indices.tolist()

    start = time.perf_counter()
    by_points()
    first = time.perf_counter() - start
    later = milliseconds(by_points, 20)
    sight = bank_sight(memory)
    frusta = retrieve_references(memory, cameras, feature_extractor=_no_features, quality=_no_quality)
    return PointsRow(
        num_views=num_views,
        first=first,
        later=later,
        processor=milliseconds(by_points, 20, time.process_time),
        peak_mib=peak_growth_mib(by_points),
        kept_mib=(sight.bits.numel() + sight.sample.xyz.numel() * 4) / 2**20,
        share_by_points=_shown(memory, cameras, by_points()),
        share_by_frusta=_shown(memory, cameras, frusta.bank_indices.tolist()),
    )


def _shown(memory: GeometricMemory, cameras: Cameras, chosen: list[int]) -> float:
    """Share of the points that the target frames see which some chosen view sees, mean over frames."""
    sight = bank_sight(memory)
    targets = seen_points(sight.sample, cameras[1:]).float()
    views = sight.of_views(torch.tensor(chosen)).amax(dim=1)
    return float(((targets @ views) / targets.sum(dim=1).clamp_min(1)).mean())


def _no_features(views: Sequence[View]) -> torch.Tensor:
    # One byte stands for every picture here: only cameras tell views apart.
    return torch.zeros(len(views), 1)


def _no_quality(views: Sequence[View]) -> torch.Tensor:
    return torch.zeros(len(views))


def machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), model)
    threads, python = torch.get_num_threads(), platform.python_version()
    return f"{model}, torch {torch.__version__} with {threads} threads, Python {python}"


def report(rows: list[Row], points_rows: list[PointsRow]) -> str:
    lines = [
        "# Retrieval per trajectory",
        "",
        f"Machine: {machine()}. {NUM_FRAMES} target frames; fastest of several runs, all in one process.",
        "",
        "| views | ours | one target at a time | plain Python pairs | ratios | peak growth | same views |",
        "|---:|---:|---:|---:|---|---:|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row.num_views:,} | {row.ours:.1f} ms | {row.per_target:.1f} ms | {row.plain:.0f} ms "
            f"| {row.per_target / row.ours:.1f}x, {row.plain / row.ours:.0f}x | {row.peak_mib:.1f} MiB "
            f"| {'yes' if row.is_equal else 'NO'} |"
        )
    lines += [
        "",
        '"One target at a time" is vectorised over the bank as the released code is, for which 17 ms at 500 '
        'views were measured; "plain Python pairs" is `worldstereo_core/memory/retrieval_reference.py`.',
        "",
        "## By visible points",
        "",
        f"A world of four rooms, {NUM_POINTS:,} points; at most 8 references per trajectory. The first call "
        "for a memory looks through all its views (kept as long as the memory object lives); later ones are "
        "given per trajectory. Beside it, how much of the points that the trajectory sees is shown by the "
        "references "
        "that either method chose.",
        "",
        "| views | first call | later | processor | peak growth | kept | shown by points | by frusta |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in points_rows:
        lines.append(
            f"| {row.num_views:,} | {row.first:.2f} s | {row.later:.1f} ms | {row.processor:.1f} ms "
            f"| {row.peak_mib:.1f} MiB | {row.kept_mib:.1f} MiB | {row.share_by_points:.0%} "
            f"| {row.share_by_frusta:.0%} |"
        )
    lines += [
        "",
        "Command: `python benchmarks/retrieval.py`",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="also write the table here")
    arguments = parser.parse_args()
    points = room(NUM_POINTS)
    rows = [measure(num_views) for num_views in BANK_SIZES]
    text = report(rows, [measure_points(num_views, points) for num_views in BANK_SIZES])
    print(text)
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
