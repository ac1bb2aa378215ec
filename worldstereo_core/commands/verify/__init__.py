"""verify: recompute golden results through the public code and compare."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """\
Recompute every golden of a folder (g1_… to g11_…: .json manifest, .safetensors, weights/) through the public
code and print one line each: name, largest error, bound, PASS or FAIL. Shapes, seeds, steps and bounds all
come from the files. Exit code 0: all passed; 1: at least one failed; 2: could not run."""


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "verify",
        help="recompute golden results and compare",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the golden set, e.g. tests/data/golden")
    parser.add_argument(
        "--adapter",
        choices=("diffusers", "comfy"),
        default="diffusers",
        help="the library that runs backbone and VAE; comfy restarts the command under ComfyUI's Python "
        "(COMFYUI_PATH, else ~/ComfyUI)",
    )
    parser.add_argument(
        "--dump", type=Path, metavar="OUT", help="also write what was computed to OUT/<golden>.safetensors"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from .runner import verify

    return verify(args.folder, args.adapter, args.dump)
