"""Time and memory of a clip's files: MP4, PNG stills and EXR depth, beside plain writers of the same frames.

    python benchmarks/clip_files.py [--frames 81] [--repeats 2]

Each writer runs in a process of its own; memory is its peak above the loaded frames, for the frames asked for
and for twice as many: what streams takes the same for both. Processor seconds are of all threads together.
The plain writers are OpenCV's, and PyAV and numpy as a script uses them, all frames at once. Linux only.
Writes benchmarks/results/clip_files.md.
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
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from world_files import status  # noqa: E402

from worldstereo_core.formats.exr_writer import write_exr_depth  # noqa: E402
from worldstereo_core.formats.images import write_png  # noqa: E402
from worldstereo_core.formats.video import write_mp4  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "clip_files.md"
HEIGHT, WIDTH, FPS = 480, 832, 16


def make_frames(count: int) -> Tensor:
    """[T, 3, H, W]: coloured waves that move, with a little grain, as pictures have it."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(HEIGHT) / 60, torch.arange(WIDTH) / 60, indexing="ij")
    grain = 0.02 * torch.randn(3, HEIGHT, WIDTH, generator=generator)
    frames = torch.empty(count, 3, HEIGHT, WIDTH)
    for number in range(count):
        waves = [(x * a + y * b + 0.05 * number).sin() for a, b in ((1, 0.3), (0.4, 1), (1.1, -0.6))]
        frames[number] = (0.5 + 0.4 * torch.stack(waves) + grain).clamp_(0, 1)
    return frames


def stills(folder: Path, frames: Tensor) -> None:
    for number, frame in enumerate(frames):
        write_png(folder / f"{number:05d}.png", frame)


def depths(folder: Path, frames: Tensor) -> None:
    for number, frame in enumerate(frames):
        write_exr_depth(folder / f"{number:05d}.exr", 1 + 4 * frame[0])


def to_bgr(frames: Tensor) -> np.ndarray:
    """All frames at once, as OpenCV wants them."""
    return (frames.movedim(1, -1).flip(-1) * 255).round().to(torch.uint8).contiguous().numpy()


def plain_mp4(folder: Path, frames: Tensor) -> None:
    import av

    pictures = np.ascontiguousarray(to_bgr(frames)[..., ::-1])
    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "16", "preset": "medium"}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def plain_stills(folder: Path, frames: Tensor) -> None:
    import cv2

    for number, picture in enumerate(to_bgr(frames)):
        cv2.imwrite(str(folder / f"{number:05d}.png"), picture)


def plain_depths(folder: Path, frames: Tensor) -> None:
    np.savez_compressed(folder / "depth.npz", depth=(1 + 4 * frames[:, 0]).numpy())


WRITERS = {
    "video.mp4": lambda folder, frames: write_mp4(folder / "clip.mp4", frames, FPS),
    "plain MP4 (PyAV, all frames at once)": plain_mp4,
    "stills, PNG": stills,
    "plain PNG (OpenCV)": plain_stills,
    "depth, EXR": depths,
    "plain depth (numpy.savez_compressed)": plain_depths,
}


def measure(name: str, count: int, repeats: int, place: Path | None) -> dict[str, float]:
    """Best time of the repeats, peak memory above the frames, size of the files."""
    frames = make_frames(count)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        WRITERS[name](Path(folder), frames[:2])
    Path("/proc/self/clear_refs").write_text("5")
    before, seconds, processor, size = status("VmRSS"), [], [], 0
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(dir=place) as folder:
            start, used = time.perf_counter(), time.process_time()
            WRITERS[name](Path(folder), frames)
            seconds.append(time.perf_counter() - start)
            processor.append(time.process_time() - used)
            size = sum(path.stat().st_size for path in Path(folder).iterdir())
    extra = status("VmHWM") - before
    return {"seconds": min(seconds), "processor": min(processor), "extra": extra, "bytes": size}


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and memory of a clip's files.")
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where files are written; by default a temporary one")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        sys.stdout.write(json.dumps(measure(args.only, args.frames, args.repeats, args.folder)))
        return
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    lines = [
        f"# Files of a clip, {HEIGHT} x {WIDTH}\n\n{machine}, torch {torch.__version__}\n",
        "| files | frames | seconds | processor seconds | extra memory | "
        f"extra for {2 * args.frames} frames | files |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in WRITERS:
        found = []
        for count in (args.frames, 2 * args.frames):
            command = [sys.executable, __file__, "--only", name, "--frames", str(count)]
            command += ["--repeats", str(args.repeats if count == args.frames else 1)]
            command += ["--folder", str(args.folder)] if args.folder else []
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found.append(json.loads(done.stdout))
        line = (
            f"| {name} | {args.frames} | {found[0]['seconds']:.2f} | {found[0]['processor']:.2f} | "
            f"{found[0]['extra'] / 2**20:.0f} MiB | "
            f"{found[1]['extra'] / 2**20:.0f} MiB | {found[0]['bytes'] / 2**20:.1f} MiB |"
        )
        lines.append(line)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
