"""What the pack adds to the start of a ComfyUI server: pairs of starts with and without it, in one run.

Run: python benchmarks/startup.py [--pairs 5] [--output benchmarks/results/startup_cpu.md]

The server without the pack loads an empty one, so that both runs do the same work otherwise. Wall time is
until the first answer; processor time is what the process had used by then, which other work on the machine
disturbs least. A third figure is the import alone, in one process that has imported ComfyUI before.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from worldstereo_core.adapters.comfy.environment import find_comfyui, why_not_found
from worldstereo_core.commands.comfy_server import ComfyServer

REPOSITORY = Path(__file__).resolve().parents[1]
PACK = "ComfyUI-WorldStereo"
IMPORT_PROBE = """
import asyncio, json, os, sys, time
checkout, pack = sys.argv[1:3]
sys.path.insert(0, checkout)
os.chdir(checkout)
sys.argv = ["main.py", "--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
import utils.install_util
import execution, latent_preview, nodes, server
asyncio.run(nodes.init_builtin_extra_nodes())
known, wall, processor = set(sys.modules), time.perf_counter(), time.process_time()
loaded = asyncio.run(nodes.load_custom_node(pack))
facts = {"loaded": loaded, "wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
facts["modules"] = sorted(name for name in set(sys.modules) - known if "worldstereo" not in name.lower())
print(json.dumps(facts))
"""


@dataclass(frozen=True)
class Start:
    """One start: seconds until the first answer, and seconds of processor time used by then."""

    wall: float
    processor: float


def measure_start(checkout: Path, python: Path, base: Path, packs: dict[str, Path]) -> Start:
    began = time.perf_counter()
    server = ComfyServer(checkout, python, base, packs)
    try:
        server.wait_until_up()
        wall = time.perf_counter() - began
        fields = Path(f"/proc/{server.process_id}/stat").read_text().rsplit(")", 1)[1].split()
        return Start(wall, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
    finally:
        server.stop()


def probe_import(checkout: Path, python: Path, pack: Path) -> dict:
    """What the import of the pack costs in a process that has imported ComfyUI with its own nodes."""
    command = [str(python), "-c", IMPORT_PROBE, str(checkout), str(pack)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if answer.returncode:
        raise RuntimeError(answer.stderr[-4000:])
    return json.loads(answer.stdout.splitlines()[-1])


def report(version: str, starts: list[tuple[Start, Start]], imports: list[dict]) -> str:
    lines = [
        "# Server start",
        "",
        f"ComfyUI {version} on {platform.processor() or platform.machine()} with {os.cpu_count()} cores, "
        f"Python {platform.python_version()}; medians of {len(starts)} pairs; load average before the run "
        f"{os.getloadavg()[0]:.1f}.",
        "",
        "| figure | without | with the pack | difference | ratio |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in ("wall", "processor"):
        without, with_pack = (statistics.median(getattr(pair[i], name) for pair in starts) for i in (0, 1))
        difference = statistics.median(getattr(b, name) - getattr(a, name) for a, b in starts)
        lines.append(
            f"| {name} time to the first answer, s | {without:.2f} | {with_pack:.2f} | {difference:+.2f} | "
            f"{with_pack / without:.2f}x |"
        )
    wall, processor = (statistics.median(facts[name] for facts in imports) for name in ("wall", "processor"))
    modules = sorted({module for facts in imports for module in facts["modules"]})
    lines += [
        "",
        f"The import alone, after ComfyUI's own: {wall:.2f} s, {processor:.2f} s of processor time; modules "
        f"that ComfyUI had not imported itself: {', '.join(modules) or 'none'}.",
        "",
        "Command: `python benchmarks/startup.py`",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    found = find_comfyui()
    if found is None:
        parser.error(why_not_found())
    checkout, python = found
    starts: list[tuple[Start, Start]] = []
    imports: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        empty, pack = base / "empty", base / "imports" / PACK
        empty.mkdir()
        (empty / "__init__.py").write_text("NODE_CLASS_MAPPINGS = {}\n")
        pack.parent.mkdir()
        pack.symlink_to(REPOSITORY, target_is_directory=True)
        for _ in range(options.pairs):
            pair = []
            for packs in ({"empty": empty}, {PACK: REPOSITORY}):
                pair.append(measure_start(checkout, python, base / "server", packs))
                shutil.rmtree(base / "server")
            starts.append((pair[0], pair[1]))
            imports.append(probe_import(checkout, python, pack))
    version = (checkout / "comfyui_version.py").read_text().split('"')[1]
    text = report(version, starts, imports)
    print(text)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
