"""Time and memory of the files of an exported world, beside plain writers of the same points.

    python benchmarks/world_files.py [--points 10000000] [--plain 1000000] [--repeats 5]

Each writer runs in a process of its own; memory is its peak above the loaded cloud. Splats are timed with
their sizes, from points to file. Processor seconds are of all threads together: on a busy machine they tell
more than the clock. The plain ones are what a script would use: plyfile for binary PLY, numpy.savetxt for
text, scipy's tree for exact spacing. They are slow or need much memory, so they get fewer points, and the
table gives seconds per million. Linux only.
Writes benchmarks/results/world_files.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from worldstereo_core.formats.las import write_las  # noqa: E402
from worldstereo_core.formats.ply import write_ply  # noqa: E402
from worldstereo_core.formats.points_glb import write_points_glb  # noqa: E402
from worldstereo_core.formats.splats import SIZE, Splats, write_splat_ply  # noqa: E402
from worldstereo_core.formats.spz import write_spz  # noqa: E402
from worldstereo_core.geometry.point_cloud import PointCloud  # noqa: E402
from worldstereo_core.geometry.spacing import NEIGHBOURS, local_spacing  # noqa: E402
from worldstereo_core.world.export import make_splats  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "world_files.md"
PLAIN = ("plain PLY (plyfile)", "plain text (numpy.savetxt)", "plain spacing (scipy cKDTree, all cores)")


def make_cloud(count: int) -> PointCloud:
    """Points on a wavy floor."""
    generator = torch.Generator().manual_seed(0)
    xyz = torch.rand(count, 3, generator=generator) * 10
    xyz[:, 1] = 1 + 0.1 * (2 * xyz[:, 0]).sin()
    rgb = torch.rand(count, 3, generator=generator)
    return PointCloud(xyz, rgb, torch.ones(count), torch.zeros(count, dtype=torch.int32))


def plain_ply(path: Path, cloud: PointCloud) -> None:
    from plyfile import PlyData, PlyElement

    kinds = [*((name, "f4") for name in "xyz"), *((name, "u1") for name in ("red", "green", "blue"))]
    rows = np.empty(cloud.num_points, [*kinds, ("confidence", "f4"), ("clip", "i4")])
    for place, name in enumerate("xyz"):
        rows[name] = cloud.xyz[:, place].numpy()
    for place, name in enumerate(("red", "green", "blue")):
        rows[name] = (cloud.rgb[:, place].numpy() * 255).round()
    rows["confidence"], rows["clip"] = cloud.confidence.numpy(), cloud.clip.numpy()
    PlyData([PlyElement.describe(rows, "vertex")]).write(str(path))


def plain_text(path: Path, cloud: PointCloud) -> None:
    np.savetxt(path, np.concatenate([cloud.xyz.numpy(), cloud.rgb.numpy() * 255], axis=1), fmt="%.6g")


def plain_spacing(path: Path, cloud: PointCloud) -> None:
    from scipy.spatial import cKDTree

    xyz = cloud.xyz.numpy()
    distances, _ = cKDTree(xyz).query(xyz, NEIGHBOURS + 1, workers=-1)
    np.sqrt((distances[:, 1:] ** 2).mean(1))


def splats(cloud: PointCloud) -> Splats:
    return make_splats(cloud, SIZE)


WRITERS = {
    "points.ply": write_ply,
    "points.glb": write_points_glb,
    "points.las": write_las,
    "splats.ply": lambda path, cloud: write_splat_ply(path, splats(cloud)),
    "splats.spz": lambda path, cloud: write_spz(path, splats(cloud)),
    "of these the sizes alone": lambda path, cloud: local_spacing(cloud.xyz),
    PLAIN[0]: plain_ply,
    PLAIN[1]: plain_text,
    PLAIN[2]: plain_spacing,
}


def measure(name: str, count: int, repeats: int, folder: Path) -> dict[str, float]:
    """Best time of the repeats, peak memory above the cloud, size of the file."""
    cloud = make_cloud(count)
    WRITERS[name](folder / "warm", cloud.select(slice(0, 1000)))
    # The kernel forgets the peak of making the cloud, so that the next one is the writer's.
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    seconds, processor = [], []
    path = folder / "file"
    for _ in range(repeats):
        path.unlink(missing_ok=True)
        start, used = time.perf_counter(), time.process_time()
        WRITERS[name](path, cloud)
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    extra = status("VmHWM") - before
    size = path.stat().st_size if path.exists() else 0
    return {"seconds": min(seconds), "processor": min(processor), "extra": extra, "bytes": size}


def status(field: str) -> int:
    """Bytes of this process as Linux counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and memory of the files of an exported world.")
    parser.add_argument("--points", type=int, default=10_000_000)
    parser.add_argument("--plain", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument(
        "--folder", type=Path, help="where files are written; by default the temporary folder"
    )
    arguments = parser.parse_args()
    if arguments.only:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            found = measure(arguments.only, arguments.points, arguments.repeats, Path(folder))
        sys.stdout.write(json.dumps(found))
        return
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    lines = [
        f"# Files of an exported world\n\n{machine}, torch {torch.__version__}\n",
        "| file | points | seconds | processor seconds | s per million | extra memory | file |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in WRITERS:
        count = arguments.plain if name in PLAIN else arguments.points
        command = [sys.executable, __file__, "--only", name, "--points", str(count)]
        command += ["--repeats", str(arguments.repeats)]
        command += ["--folder", str(arguments.folder)] if arguments.folder else []
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        line = (
            f"| {name} | {count:,} | {found['seconds']:.2f} | {found['processor']:.2f} | "
            f"{found['seconds'] / count * 1e6:.3f} | "
            f"{found['extra'] / 2**20:.0f} MiB | {found['bytes'] / 2**20:.0f} MiB |"
        )
        lines.append(line)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
