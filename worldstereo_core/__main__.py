"""The headless command: python -m worldstereo_core demo | verify | render | generate | export | train."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings

from . import __version__
from .commands import demo, export, generate, render, train, verify

DESCRIPTION = """\
One picture, a camera path, consistent clips and a 3D world: WorldStereo 2.0 without ComfyUI.

  demo      draw an example scene and run the whole path on it with the small model
  render    draw a photo's points along a camera path (no model needed)
  generate  clips, a point cloud and a memory from a photo, its depth and camera paths
  export    write a memory's points as PLY
  train     teach a small or your own model from a configuration file
  verify    recompute golden results and compare

Exit code 0: done; 1: failed; 2: could not run (a file, a library or an argument is missing or wrong)."""

TRAINING_LIBRARIES = ("accelerate", "peft", "tensorboard", "yaml")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m worldstereo_core",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (demo, render, generate, export, train, verify):
        command.add_parser(commands)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; errors of the input become one readable line."""
    args = make_parser().parse_args(arguments)
    # Before torch is loaded: threads that wait for one another sleep. By default they spin, which on a busy
    # machine costs several times the work itself.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    # diffusers complains while it is imported on a machine without CUDA.
    warnings.filterwarnings("ignore", message="CUDA is not available", category=UserWarning)
    try:
        # Imported here so that --help works before anything is installed.
        from .checks import WorldStereoError
        from .commands.outcome import CannotRun
    except ModuleNotFoundError as error:
        print(f"error: {_explain(error)}", file=sys.stderr)
        return 2
    try:
        return args.run(args)
    except (CannotRun, ModuleNotFoundError) as error:
        print(f"error: {_explain(error)}", file=sys.stderr)
        return 2
    except (WorldStereoError, OSError) as error:
        if os.environ.get("WORLDSTEREO_TRACEBACK"):
            raise
        print(f"error: {_as_option(str(error), args)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing was written half", file=sys.stderr)
        return 130


def _as_option(text: str, args: argparse.Namespace) -> str:
    """Call a number that the core refuses by the option it came from: radius -> --radius."""
    name = text.partition(":")[0]
    if isinstance(getattr(args, name, None), (int, float)):
        return f"--{name.replace('_', '-')}{text.removeprefix(name)}"
    return text


def _explain(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        extra = "train" if error.name in TRAINING_LIBRARIES else "headless"
        return f"{error.name} is not installed: pip install '.[{extra}]'"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
