"""demo: the whole path in a drawn world with the small model that comes with the repository."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """\
Draw a world with exact depth that no model was trained on, and run everything that a real job runs, with the
small model in weights/small: memory from one picture, a camera move, point renders, references, the clip, its
depth back into the memory, and on: the last clip comes back to where the first began. Takes less than a
minute on 2 CPU cores.

Writes clip_01.mp4, ..., contact_sheet.png (beside every clip what the world really looks like), world.ply,
report.json, and the first picture as scene/image.png, scene/depth.npz and scene/camera.json, ready for the
render command."""
# Never learnt from: training takes seeds below 1,000,000. Most of what its moves see is known by then; what a
# model so small makes up is hardly recognised.
WORLD = 1_000_026
NUM_CLIPS = 3


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "demo",
        help="run the whole path in a drawn world with a small model",
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
    parser.add_argument(
        "--world",
        type=int,
        default=WORLD,
        metavar="SEED",
        help=f"which world: seed %% 3 = 0 room, 1 street, 2 landscape; from 1000000 on none was trained on "
        f"({WORLD})",
    )
    parser.add_argument("--clips", type=int, help=f"moves through it ({NUM_CLIPS})")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from .outcome import CannotRun

    for option, value, least in (("--world", args.world, 0), ("--clips", args.clips, 1)):
        if value is not None and value < least:
            raise CannotRun(f"{option}: got {value}, expected {least} or more.")
    if args.comfy:
        from .comfy_demo import run_demo_on_comfyui

        if args.clips is not None:
            raise CannotRun("--clips: the workflow of --comfy has two clips. Leave one of the two out.")
        return run_demo_on_comfyui(args.output or Path("outputs/demo_comfy"), args.world)
    from .demo_run import run_demo

    return run_demo(args.output or Path("outputs/demo"), args.world, args.clips or NUM_CLIPS)
