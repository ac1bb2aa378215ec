"""train: teach a network from a configuration file."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """\
Train one stage (a VAE, a backbone, a control branch, adapters, a memory, a distilled student) as a small
YAML file says, on one CPU up to several GPUs; for several, start it with
accelerate launch -m worldstereo_core train ...

Writes into the output folder:
  checkpoints/   everything --resume needs to go on exactly where it stopped
  samples/       pictures that show how far it is
  tensorboard/   tensorboard --logdir OUTPUT/tensorboard
  export/        at the end, the weights in the released formats and card.json: what trained where, how long

Ctrl-C finishes the step, saves, exports and leaves; a second Ctrl-C leaves at once."""

EPILOG = """\
examples:
  python -m worldstereo_core train training/vae_small.yaml --output outputs/vae
  python -m worldstereo_core train training/vae_small.yaml --output outputs/vae --resume --set loop.minutes=30
Export the newest checkpoint without training on: --resume --set loop.minutes=0"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "train",
        help="train a small or your own model from a configuration file",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "config", type=Path, metavar="CONFIG", help="YAML file with stage, seed, loop, settings"
    )
    parser.add_argument("--output", type=Path, help="folder of the run (outputs/train/<name of CONFIG>)")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the newest checkpoint of the output"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one setting of the file, e.g. loop.steps=100; may be given several times",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..training.config import read_config
    from ..training.loop import train

    config = read_config(args.config, args.set)
    output = args.output or Path("outputs/train") / args.config.stem
    result = train(config, output, resume=args.resume, report=lambda line: print(line, flush=True))
    for path in result.files:
        print(f"exported {path} ({path.stat().st_size / 1e6:.2f} MB)")
    ends = {
        "steps": "done",
        "minutes": "stopped: the time is up; --resume goes on",
        "interrupt": "stopped as asked; --resume goes on",
    }
    print(f"{ends[result.stopped_by]}: {result.step} steps in {result.seconds / 60:.1f} minutes")
    return 0
