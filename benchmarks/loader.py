"""Peak host memory and time of loading and merging at full size, beside the plain way.

Files are sparse stand-ins with the real names, shapes and types of the 14B models; their data reads as 0.
Every measurement is a process of its own under ComfyUI's Python on the CPU. Memory is what the machine must
find room for: anonymous memory, or dirty memory where that is more, from /proc/<pid>/smaps_rollup; pages that
are only mapped from a file can be dropped at any time and do not count. It is given above what the process
uses before the first file is opened.

The plain way reads both files, merges the dictionaries and lets ComfyUI load the result, which copies it. At
full size it does not fit a small machine, so both ways are also run with fewer blocks.

Run: python benchmarks/loader.py [--blocks 4] [--folder /tmp] [--output benchmarks/results/loader_cpu.md]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.sparse_models import WAN_14B, Scale, write_backbone, write_worldstereo

GIB = 2**30
FP8 = torch.float8_e4m3fn


def occupied() -> int:
    """Bytes of this process that have no file to be dropped to."""
    fields: dict[str, int] = {}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        fields[name] = int(value.split()[0]) * 1024
    return max(fields["Anonymous"], fields["Private_Dirty"] + fields["Shared_Dirty"])


class Peak:
    """The most that was occupied while a block ran, above what was occupied before it."""

    def __enter__(self) -> Peak:
        self.before = self.highest = occupied()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.start = time.perf_counter()
        self.thread.start()
        return self

    def _watch(self) -> None:
        while not self.done.wait(0.02):
            self.highest = max(self.highest, occupied())

    def __exit__(self, *exception: object) -> None:
        self.seconds = time.perf_counter() - self.start
        self.done.set()
        self.thread.join()
        self.kept = occupied() - self.before
        self.highest = max(self.highest - self.before, self.kept)


def write_files(folder: Path, scale: Scale) -> dict[str, Path]:
    """Every file that a case needs."""
    paths = {
        name: folder / f"{name}.safetensors" for name in ("fp8", "scaled", "fp16", "camera", "memory-dmd")
    }
    write_backbone(paths["fp8"], scale, FP8)
    write_backbone(paths["scaled"], scale, FP8, is_scaled=True)
    write_backbone(paths["fp16"], scale, torch.float16)
    write_worldstereo(paths["camera"], scale, "camera")
    write_worldstereo(paths["memory-dmd"], scale, "memory-dmd")
    return paths


def load_ours(backbone: Path | None, worldstereo: Path, dtype: str) -> Any:
    from worldstereo_core.adapters.comfy.loader import load_worldstereo

    return load_worldstereo(backbone, worldstereo, dtype)


def load_plainly(backbone: Path | None, worldstereo: Path, dtype: str) -> Any:
    """Both dictionaries in memory, merged, then loaded as core loads a dictionary."""
    import comfy.sd
    import comfy.utils

    from worldstereo_core.adapters.comfy.loader_model import WEIGHT_DTYPES
    from worldstereo_core.model.checkpoint import load_checkpoint, merge_backbone

    checkpoint = load_checkpoint(worldstereo)
    base = comfy.utils.load_torch_file(str(backbone)) if backbone else {}
    merged = {key: value.clone() for key, value in merge_backbone(base, checkpoint).items()}
    chosen = WEIGHT_DTYPES[dtype] or next(iter(base.values()), torch.empty(0, dtype=torch.bfloat16)).dtype
    model = comfy.sd.load_diffusion_model_state_dict(merged, model_options={"dtype": chosen})
    control = {key: value.clone() for key, value in checkpoint.control_state.items()}
    return model, control


def save(backbone: Path | None, worldstereo: Path, dtype: str) -> Any:
    from worldstereo_core.adapters.comfy.loader_saving import save_merged

    target = worldstereo.with_name("saved.safetensors")
    try:
        return save_merged(backbone, worldstereo, target)
    finally:
        target.unlink(missing_ok=True)


WAYS: dict[str, Callable[[Path | None, Path, str], Any]] = {
    "ours": load_ours,
    "plain": load_plainly,
    "save merged": save,
}


def measure(way: str, backbone: str, worldstereo: str, dtype: str) -> dict[str, float]:
    """Run one case in this process, which must be ComfyUI's Python."""
    from worldstereo_core.adapters.comfy.environment import prepare

    prepare()
    import comfy.sd  # noqa: F401  # what every way imports counts for none

    with torch.inference_mode(), Peak() as peak:
        kept = WAYS[way](Path(backbone) if backbone else None, Path(worldstereo), dtype)
    assert kept is not None  # alive while it is measured
    return {"peak": peak.highest, "kept": peak.kept, "seconds": peak.seconds}


def run_case(
    way: str, paths: dict[str, Path], backbone: str, worldstereo: str, dtype: str
) -> dict[str, float]:
    from worldstereo_core.adapters.comfy.environment import find_comfyui, why_not_found

    found = find_comfyui()
    if found is None:
        raise SystemExit(why_not_found())
    command = [str(found[1]), __file__, "--measure", way, str(paths[backbone]) if backbone else ""]
    command += [str(paths[worldstereo]), dtype]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise SystemExit(f"{way}: {answer.stderr[-2000:]}")
    return json.loads(answer.stdout.splitlines()[-1])


# way, backbone, WorldStereo file, weight_dtype
FULL = [
    ("ours", "fp8", "camera", "default"),
    ("ours", "fp8", "camera", "fp8_e4m3fn"),
    ("ours", "scaled", "camera", "default"),
    ("ours", "fp16", "camera", "default"),
    ("ours", "", "memory-dmd", "default"),
]
SHORT = [
    ("ours", "fp8", "camera", "default"),
    ("plain", "fp8", "camera", "default"),
    ("ours", "", "memory-dmd", "default"),
    ("plain", "", "memory-dmd", "default"),
    ("save merged", "fp16", "camera", "as stored"),
]


def table(folder: Path, scale: Scale, cases: list[tuple[str, str, str, str]]) -> list[str]:
    paths = write_files(folder, scale)
    lines = [
        "| way | backbone, GiB | WorldStereo file, GiB | weight_dtype | peak, GiB | kept, GiB | s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for way, backbone, worldstereo, dtype in cases:
        found = run_case(way, paths, backbone, worldstereo, dtype)
        size = paths[worldstereo].stat().st_size / GIB
        base = f"{backbone}, {paths[backbone].stat().st_size / GIB:.2f}" if backbone else "none"
        lines.append(
            f"| {way} | {base} | {worldstereo}, {size:.2f} | {dtype} | {found['peak'] / GIB:.2f} "
            f"| {found['kept'] / GIB:.2f} | {found['seconds']:.1f} |"
        )
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=4, help="blocks of the shortened models")
    parser.add_argument(
        "--folder", type=Path, help="where the sparse files go; a temporary folder by default"
    )
    parser.add_argument("--output", type=Path)
    parser.add_argument("--measure", nargs=4, metavar=("WAY", "BACKBONE", "FILE", "DTYPE"))
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(*args.measure)))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        full = table(Path(folder), WAN_14B, FULL)
        short = table(Path(folder), WAN_14B.shortened(args.blocks), SHORT)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    report = "\n".join(
        [
            f"Loading on the CPU, {platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
            f"{memory:.0f} GiB. Memory is anonymous or dirty, above the process before loading.",
            "",
            f"Full size ({WAN_14B.num_blocks} blocks of width {WAN_14B.width}):",
            "",
            *full,
            "",
            f"{args.blocks} blocks of the same width, beside the plain way (both dictionaries in memory, "
            "merged, copied by the loader):",
            "",
            *short,
        ]
    )
    print(report)
    if args.output:
        args.output.write_text(report + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
