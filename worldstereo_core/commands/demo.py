"""demo: the whole path on a drawn room with tiny random weights."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """\
Draw an example room with exact depth, make tiny random weights from a fixed seed, and run everything that a
real job runs: memory from the picture, a camera path, point renders, references, the memory-dmd model in 4
steps, the clip's depth back into the memory, a second clip, and the exports. Takes under 3 minutes on 2 CPU
cores.

Tiny random weights cannot draw pictures: the clips are noise. What is real is all around them: renders, hole
masks, cameras, references, the growing point cloud.

Writes clip_01.mp4, clip_02.mp4, contact_sheet.png, world.ply, report.json, and the room itself as
scene/image.png, scene/depth.npz and scene/camera.json, ready for the render command."""


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "demo",
        help="run the whole path on a drawn room with tiny weights",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--output", type=Path, help="folder for the results (outputs/demo, with --comfy outputs/demo_comfy)"
    )
    parser.add_argument(
        "--comfy",
        action="store_true",
        help="run the two-clip workflow on a headless ComfyUI instead (COMFYUI_PATH, else ~/ComfyUI)",
    )
    parser.add_argument("--size", default="160x256", metavar="HxW", help=argparse.SUPPRESS)
    parser.add_argument("--frames", type=int, default=21, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.comfy:
        from .comfy_demo import run_demo_on_comfyui

        return run_demo_on_comfyui(args.output or Path("outputs/demo_comfy"))
    from .demo_run import run_demo

    height, width = (int(part) for part in args.size.split("x"))
    return run_demo(args.output or Path("outputs/demo"), height, width, args.frames)
