"""export: write the point cloud of a saved geometric memory."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """\
Write the points of a memory.safetensors (made by generate, demo or the ComfyUI node) as a file that 3D
programs open."""


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("export", help="write a memory's points as PLY", description=DESCRIPTION)
    parser.add_argument("memory", type=Path, metavar="MEMORY", help="memory.safetensors")
    parser.add_argument("--format", choices=("ply",), default="ply", help="file format (ply)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the file to write")
    parser.add_argument(
        "--up-axis",
        choices=("y", "opencv"),
        default="y",
        help="y: stands upright in viewers, where y points up; opencv: coordinates as they are, y down (y)",
    )
    parser.add_argument(
        "--min-confidence", type=float, default=0.0, help="leave out points below this confidence, 0 to 1 (0)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..checks import WorldStereoError
    from ..formats.ply import write_ply
    from ..memory.storage import load_memory
    from ..tensor_writer import saying_why_not
    from .outcome import CannotRun
    from .scene_files import require_file

    if args.output.is_dir():
        raise CannotRun(f"--output: {args.output} is a folder. Name a file in it.")
    if args.output.suffix.lower() != f".{args.format}":
        raise CannotRun(f"--output: got {args.output.name}, expected a name that ends in .{args.format}.")
    memory = load_memory(require_file("MEMORY", args.memory))
    points = memory.points.select(memory.points.confidence >= args.min_confidence)
    if points.num_points == 0:
        raise WorldStereoError(
            f"--min-confidence: none of the {memory.points.num_points:,} points reaches "
            f"{args.min_confidence:g}. Lower it."
        )
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with saying_why_not(f"--output: {args.output}"):
        write_ply(args.output, points, up_axis="y" if args.up_axis == "y" else "-y")
    print(f"{args.output}: {points.num_points:,} points")
    return 0
