"""Pose error, file size and time of every camera format, there and back, for a clip and for a very long one.

Run: python benchmarks/camera_files.py [--output benchmarks/results/camera_files_cpu.md]
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from worldstereo_core.checks import PathError
from worldstereo_core.formats.cameras.registry import (
    FORMATS,
    CameraFormat,
    read_camera_file,
    write_trajectory,
)
from worldstereo_core.geometry.cameras import fov_to_K, look_at
from worldstereo_core.geometry.trajectory import Trajectory, build_trajectory

HEIGHT, WIDTH, FPS = 480, 832, 23.976
LENGTHS = (81, 100_000)


def orbit(num_frames: int) -> Trajectory:
    """An orbit that starts at an odd place, with a fixed lens."""
    w2c = look_at(torch.tensor([0.7, -0.4, -1.3]), torch.tensor([0.1, 0.2, 1.0]))
    start = w2c, fov_to_K(0.9, HEIGHT, WIDTH)
    return build_trajectory(
        "orbit right", start=start, height=HEIGHT, width=WIDTH, amount_deg=77, num_frames=num_frames, fps=FPS
    )


def row(form: CameraFormat, trajectory: Trajectory, folder: Path) -> list[str]:
    """Seconds to write, MiB, seconds to read, frames and largest pose error."""
    path = folder / f"{form.name}{form.suffixes[0]}"
    try:
        begin = time.perf_counter()
        write_trajectory(path, trajectory, form.name)
        written = time.perf_counter() - begin
    except PathError as error:
        return [form.name, str(error).split(". ")[-1], "", "", "", ""]
    parts = path.iterdir() if path.is_dir() else [path]
    size = sum(part.stat().st_size for part in parts) / 2**20
    cells = [form.name, f"{written:.3f}", f"{size:.2f}"]
    if form.read is None:
        return [*cells, "", "", ""]
    begin = time.perf_counter()
    found = read_camera_file(path, format=form.name, size=(HEIGHT, WIDTH)).trajectory
    read = time.perf_counter() - begin
    error = (found.w2c - trajectory.w2c).abs().max().item()
    return [*cells, f"{read:.3f}", str(found.num_frames), f"{error:.1e}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path)
    output = parser.parse_args().output
    lines = [
        f"Camera files on {platform.processor() or platform.machine()}, torch {torch.__version__}, one "
        f"thread."
    ]
    torch.set_num_threads(1)
    for num_frames in LENGTHS:
        trajectory = orbit(num_frames)
        lines += ["", f"## {num_frames} frames", ""]
        lines += [
            "| format | write s | MiB | read s | frames | largest pose error |",
            "|---|---|---|---|---|---|",
        ]
        for form in FORMATS:
            with tempfile.TemporaryDirectory() as folder:
                if num_frames == LENGTHS[0]:  # the first use loads libraries
                    row(form, orbit(2), Path(folder))
                lines.append("| " + " | ".join(row(form, trajectory, Path(folder))) + " |")
    text = "\n".join(lines) + "\n"
    print(text)
    if output:
        output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
