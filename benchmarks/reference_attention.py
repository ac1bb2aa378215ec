"""Time and memory of one attention layer over a clip and its references: full, and kept to the same surface.

Run: python benchmarks/reference_attention.py [--output benchmarks/results/reference_attention_cpu.md]

Token counts are the released ones (21 key frames of 480 x 768: 21 x 30 x 48 tokens, and 8 references); heads
are cut down to one, since every head costs the same. The scene is a room; which tokens share a surface is
found from its points. On a CPU the processor time of one thread is counted, which other work on the machine
disturbs least. On a GPU: --device cuda --dtype bfloat16 --heads 40.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from worldstereo_core.geometry.cameras import Cameras, fov_to_K, look_at
from worldstereo_core.geometry.point_cloud import PointCloud
from worldstereo_core.memory.memory import GeometricMemory
from worldstereo_core.memory.token_correspondence import TokenCorrespondences, shared_tokens
from worldstereo_core.model import reference_attention as ways
from worldstereo_core.model.backbone import TokenGrid


@dataclass(frozen=True)
class Row:
    """One way to compute the layer."""

    name: str
    share: float
    seconds: float
    peak_mib: float
    error: float


def room(count: int) -> PointCloud:
    """Points on the walls, floor and ceiling of a cube of 8 units, and on a pillar of 1 unit in it."""
    generator = torch.Generator().manual_seed(0)
    xyz = torch.rand(count, 3, generator=generator) * 8 - 4
    axis = torch.randint(0, 3, (count,), generator=generator)
    side = (torch.randint(0, 2, (count,), generator=generator) * 2 - 1).float()
    xyz[torch.arange(count), axis] = 4 * side
    pillar = slice(0, count // 8)
    angle = torch.rand(count // 8, generator=generator) * 6.2832
    xyz[pillar, 0], xyz[pillar, 2] = 0.5 * angle.cos(), 0.5 * angle.sin()
    ones = torch.ones(count)
    return PointCloud(xyz, torch.rand(count, 3, generator=generator), ones, ones.int())


def orbit(count: int, start_deg: float, end_deg: float, height: int, width: int) -> Cameras:
    """Cameras 3 units from the pillar that look at it."""
    angle = torch.deg2rad(torch.linspace(start_deg, end_deg, count))
    eye = torch.stack([3 * angle.sin(), torch.full_like(angle, -0.5), -3 * angle.cos()], dim=1)
    K = fov_to_K(1.2, height, width).expand(count, 3, 3)
    return Cameras(look_at(eye, torch.zeros(count, 3)), K, height, width)


def pairs(options: argparse.Namespace) -> tuple[TokenCorrespondences, float]:
    """Tokens of the same surface for a clip of 40 degrees and references spread over 80; seconds it took."""
    memory = GeometricMemory(room(options.points), (), 3.0)
    size = options.rows * 16, options.columns * 16
    clip = orbit(options.frames, 0, 40, *size)
    references = orbit(options.references, -20, 60, *size)
    start = time.process_time()
    views = [references[index] for index in range(options.references)]
    tokens = shared_tokens(memory, clip, views, options.rows, options.columns)
    return tokens, time.process_time() - start


def banded(access: ways.ReferenceAccess, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The dense mask, a frame's rows at a time, so that it fits into memory."""
    out = []
    for start in range(0, access.num_main, 1440):
        tiles = [tile for tile in access.tiles if start <= int(tile.queries[0]) < start + 1440]
        rows = min(1440, access.num_main - start)
        mask = query.new_zeros(rows, key.shape[2])
        mask[:, access.num_main :] = -torch.inf
        for tile in tiles:
            values = torch.where(tile.allowed, 0.0, -torch.inf).to(mask)
            mask[tile.queries[:, None] - start, tile.keys + access.num_main] = values
        band = query[:, :, start : start + rows]
        out.append(functional.scaled_dot_product_attention(band, key, value, attn_mask=mask))
    return torch.cat(out, dim=2)


def measure(work: Callable[[], Tensor], options: argparse.Namespace) -> tuple[Tensor, float, float]:
    """The result, seconds of one run, and MiB by which memory grew at its peak."""
    if options.device == "cuda":
        work()
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        result = work()
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        return result, seconds, (torch.cuda.max_memory_allocated() - before) / 2**20
    before = None
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the recorded peak
        before = _status_kib("VmRSS")
    except OSError:
        pass
    start = time.process_time()
    result = work()
    seconds = time.process_time() - start
    growth = float("nan") if before is None else (_status_kib("VmHWM") - before) / 1024
    return result, seconds, growth


def _status_kib(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1])


def run(options: argparse.Namespace, tokens: TokenCorrespondences) -> list[Row]:
    grid = TokenGrid(options.frames, options.rows, options.columns)
    main, length = grid.num_tokens, grid.num_tokens + tokens.num_references
    generator = torch.Generator().manual_seed(0)
    joined = [
        torch.randn(1, options.heads, length, options.width, generator=generator).to(
            options.device, getattr(torch, options.dtype)
        )
        for _ in range(3)
    ]
    query, key, value = joined

    def full() -> Tensor:
        return functional.scaled_dot_product_attention(query, key, value)

    def with_references(main_part: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
        """Main queries in one of the ways, reference queries over everything."""
        first = main_part(query[:, :, :main], key, value)
        rest = functional.scaled_dot_product_attention(query[:, :, main:], key, value)
        return torch.cat([first, rest], dim=2)

    _, seconds, peak = measure(full, options)
    rows = [Row("full, as released", 1.0, seconds, peak, 0.0)]
    for radius in options.radii:
        access = ways.reference_access(tokens, grid, radius).to(options.device)
        dense, seconds, peak = measure(
            lambda access=access: with_references(lambda q, k, v: banded(access, q, k, v)), options
        )
        rows.append(Row(f"radius {radius}, dense mask", access.share, seconds, peak, 0.0))
        found, seconds, peak = measure(
            lambda access=access: with_references(lambda q, k, v: ways.gathered_attention(q, k, v, access)),
            options,
        )
        rows.append(
            Row(f"radius {radius}, gathered", access.share, seconds, peak, float((found - dense).abs().max()))
        )
        if not options.no_flex:
            blocks = partial(ways._compiled_flex(), block_mask=access.block_mask)
            blocks(query[:, :, :main], key, value)  # compiles
            found, seconds, peak = measure(partial(with_references, blocks), options)
            error = float((found - dense).abs().max())
            rows.append(Row(f"radius {radius}, FlexAttention", access.share, seconds, peak, error))
    return rows


def report(options: argparse.Namespace, rows: list[Row], tokens: TokenCorrespondences, found: float) -> str:
    main = options.frames * options.rows * options.columns
    device = torch.cuda.get_device_name() if options.device == "cuda" else _processor()
    kind = "wall time" if options.device == "cuda" else "processor time of 1 thread"
    seen_by = float((tokens.counts > 0).float().mean())
    lines = [
        "# Reference attention kept to the same surface",
        "",
        f"One self-attention layer: {options.frames} x {options.rows} x {options.columns} = {main:,} tokens "
        f"of the clip and {options.references} references of {options.rows} x {options.columns} = "
        f"{tokens.num_references:,}; {options.heads} head(s) of {options.width}, {options.dtype}, on "
        f"{device}, torch {torch.__version__}; {kind}.",
        "",
        "| way | reference pairs seen | seconds | against full | peak growth | difference to dense mask |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        error = "" if "gathered" not in row.name and "Flex" not in row.name else f"{row.error:.1e}"
        speed = rows[0].seconds / row.seconds
        lines.append(
            f"| {row.name} | {row.share:.1%} | {row.seconds:.2f} | {speed:.2f}x as fast"
            f" | {row.peak_mib:.0f} MiB | {error} |"
        )
    alone = (main * main + tokens.num_references * (main + tokens.num_references)) / (
        main + tokens.num_references
    ) ** 2
    lines += [
        "",
        f"Only what the clip sees of its references is restricted: that is {main * tokens.num_references:,} "
        f"of {(main + tokens.num_references) ** 2:,} pairs, so no way can be faster than {1 / alone:.2f}x. "
        f"{seen_by:.0%} of the clip's tokens share a surface with some reference. Finding the pairs took "
        f"{found:.1f} s (once per clip). The dense mask is computed a frame at a time; whole it would take "
        f"{main * (main + tokens.num_references) * 4 / 2**30:.1f} GiB.",
        "",
        "Command: `python benchmarks/reference_attention.py`",
    ]
    return "\n".join(lines) + "\n"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if "model name" in line:
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=21, help="key frames")
    parser.add_argument("--rows", type=int, default=30, help="token rows (pixels / 16)")
    parser.add_argument("--columns", type=int, default=48, help="token columns")
    parser.add_argument("--references", type=int, default=8)
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--width", type=int, default=128, help="of a head")
    parser.add_argument("--radii", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--points", type=int, default=500_000)
    parser.add_argument("--no-flex", action="store_true", help="do not compile FlexAttention")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    if options.device == "cpu":
        torch.set_num_threads(1)
    with torch.inference_mode():
        tokens, found = pairs(options)
        text = report(options, run(options, tokens), tokens, found)
    print(text)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
