"""Time one model call: the bare backbone, with control, and with control and references, in one run.

Run: python benchmarks/forward.py [--output benchmarks/results/forward_cpu.md]

Networks are random, with the released proportions: the control branch has half the backbone's blocks and a
fifth of its width. The released size, on a GPU: --width 5120 --blocks 40 --ffn 13825 --rows 60 --columns 96
--dtype bfloat16 --device cuda. On a CPU the processor time of one thread is counted, which other work on the
machine disturbs least.
"""

from __future__ import annotations

import argparse
import platform
import resource
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.calls import clip_conditions, clock_of, control_sizes, fastest
from worldstereo_core.adapters.diffusers.backbone import WanBackbone, controlled_forward
from worldstereo_core.adapters.diffusers.transformer import load_wan_transformer
from worldstereo_core.model.config import WorldStereoConfig
from worldstereo_core.model.tiny import random_tensors, wan_shapes
from worldstereo_core.model.world_control import WorldStereoControl


@dataclass(frozen=True)
class Row:
    """One way to call the model."""

    name: str
    num_tokens: int
    seconds: float


def build(options: argparse.Namespace) -> tuple[WanBackbone, WorldStereoControl]:
    """Random networks of the given sizes."""
    dtype = getattr(torch, options.dtype)
    with torch.device(options.device):
        sizes = control_sizes(options.width, options.blocks, options.ffn)
        control = WorldStereoControl(WorldStereoConfig(sizes, 7, "memory"), dtype=dtype)
    tensors = random_tensors(wan_shapes(options.width, options.blocks, options.ffn), 0)
    transformer = load_wan_transformer(tensors, dtype=dtype, device=options.device)
    return WanBackbone(transformer), control.requires_grad_(False).eval()


def measure(options: argparse.Namespace) -> list[Row]:
    backbone, control = build(options)
    dtype = getattr(torch, options.dtype)
    alone, with_references = (
        condition.to(options.device, dtype)
        for condition in clip_conditions(options.frames, options.rows, options.columns, options.references)
    )
    latents = torch.randn(1, 36, options.frames, options.rows, options.columns, device=options.device)
    inputs = (
        latents,
        torch.tensor([500.0], device=options.device),
        torch.zeros(1, 512, 4096, device=options.device),
        torch.zeros(1, 257, 1280, device=options.device),
    )
    per_frame = (options.rows // 2) * (options.columns // 2)
    main = options.frames * per_frame
    ways = (
        ("bare backbone", main, None, None),
        ("with control", main, control, alone),
        ("with control and references", main + options.references * per_frame, control, with_references),
    )
    calls = [
        partial(controlled_forward, backbone, used, condition, *inputs) for _, _, used, condition in ways
    ]
    seconds = fastest(calls, options.repeats, clock_of(options.device))
    return [Row(way[0], way[1], each) for way, each in zip(ways, seconds, strict=True)]


def report(options: argparse.Namespace, rows: list[Row]) -> str:
    bare = rows[0]
    share = rows[-1].num_tokens / bare.num_tokens
    if options.device == "cuda":
        device, kind = torch.cuda.get_device_name(), "wall time"
        peak = f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB on the device"
    else:
        device = f"{platform.processor() or platform.machine()} with 1 thread"
        kind = "processor time"
        peak = f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB in the process"
    size = f"{options.rows * 8}x{options.columns * 8}"
    lines = [
        "# One model call",
        "",
        f"Backbone of width {options.width}, {options.blocks} blocks, feed-forward {options.ffn}; "
        f"{options.frames} key frames of {size}, {options.references} references; {options.dtype} on "
        f"{device}, torch {torch.__version__}; fastest of {options.repeats}, all in one process; {kind}.",
        "",
        "| call | tokens in self-attention | seconds | against bare |",
        "|---|---:|---:|---:|",
    ]
    for row in rows:
        tokens = f"{row.num_tokens} ({row.num_tokens / bare.num_tokens:.2f}x)"
        lines.append(f"| {row.name} | {tokens} | {row.seconds:.3f} | {row.seconds / bare.seconds:.2f}x |")
    lines += [
        "",
        f"References make {share:.2f}x the tokens. That is their share of linear layers; of "
        f"self-attention it is {share**2:.2f}x; cross-attention and the head do not grow. Peak "
        f"memory: {peak}.",
        "",
        "Command: `python benchmarks/forward.py`",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=640, help="multiple of 640")
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--ffn", type=int, default=1730, help="feed-forward width, multiple of 5")
    parser.add_argument("--frames", type=int, default=21, help="key frames")
    parser.add_argument("--rows", type=int, default=12, help="latent rows (pixels / 8)")
    parser.add_argument("--columns", type=int, default=20, help="latent columns")
    parser.add_argument("--references", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    if options.device == "cpu":
        torch.set_num_threads(1)
    text = report(options, measure(options))
    print(text)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
