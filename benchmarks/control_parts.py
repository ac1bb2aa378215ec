"""What optional parts of a control take off the velocity error of held-out clips, part by part.

Much finer than comparing generated pictures: with and without the part, the same network sees the same clip
with the same noise at three noise levels. A gain above 0 means that the part knows what the control does not.

Run: python benchmarks/control_parts.py --backbone FILE --vae FILE --part-files FOLDER ... [--clips 36]
    [--drawn FOLDER --encoded FOLDER --inputs FOLDER] [--output FILE.md]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from worldstereo_core.model.checkpoint import load_checkpoint
from worldstereo_core.training.clip_batch import EncodedClips, ReferenceSettings
from worldstereo_core.training.encoded_clips import ClipSettings
from worldstereo_core.training.networks import NetworkSettings
from worldstereo_core.training.stages.parts import PartsStage, PartsStageSettings
from worldstereo_core.training.world_clips import WorldClips


@dataclass(frozen=True)
class Shown:
    """What the part ``pictures`` is shown: a name for the table, and factors on its five channels."""

    name: str
    channels: tuple[float, ...]


DEPTH_ALONE = Shown("depth of the memory alone", (1, 0, 0, 0, 0))
PICTURES = (DEPTH_ALONE, Shown("and edges", (1, 1, 0, 0, 0)), Shown("and edges, semantic", (1, 1, 1, 1, 1)))


def measure(stage: PartsStage, clips: list[EncodedClips], shown: Shown | None) -> str:
    """A line of the table: errors, and the gain with its standard error."""
    if shown is not None:
        factors = torch.tensor(shown.channels).view(1, -1, 1, 1, 1)
        clips = [{**clip, "pictures": clip["pictures"] * factors} for clip in clips]
    stage.held_out_clips = lambda: clips  # type: ignore[method-assign]
    figures = stage.validate(torch.Generator())
    gain, error = figures["held_out_gain"], figures["held_out_gain_error"]
    verdict = "helps" if gain > 2 * error else "harms" if gain < -2 * error else "no difference shown"
    names = " + ".join(stage.networks.control.config.parts.names)
    label = names if shown is None else f"{names} ({shown.name})"
    before, after = figures["held_out_without_parts"], figures["held_out_both"]
    taken = f"{gain:+.4f} ± {error:.4f} | {gain / before:+.1%}"
    return f"| {label} | {before:.4f} | {after:.4f} | {taken} | {verdict} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--backbone", type=Path, required=True, help="the Wan file that the control belongs to"
    )
    parser.add_argument("--vae", type=Path, required=True, help="the VAE it was trained on")
    parser.add_argument("--part-files", nargs="+", type=Path, required=True, help="controls with parts")
    parser.add_argument("--clips", type=int, default=36, help="held-out clips, one per world (36)")
    parser.add_argument("--frames", type=int, default=9, help="key frames of a clip (9)")
    parser.add_argument("--references", type=int, default=4, help="reference views of a clip (4)")
    for name in ("drawn", "encoded", "inputs"):
        parser.add_argument(f"--{name}", type=str, help="folder of the training run that keeps such data")
    parser.add_argument("--output", type=Path, help="Markdown file for the table")
    args = parser.parse_args()

    clips = ClipSettings(
        str(args.vae),
        WorldClips(frames=args.frames),
        held_out=args.clips,
        drawn=args.drawn,
        encoded=args.encoded,
    )
    lines = [
        "| part | without | with | gain ± its standard error | share | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for path in args.part_files:
        settings = PartsStageSettings(
            clips,
            NetworkSettings(backbone=str(args.backbone), worldstereo=str(path)),
            parts=load_checkpoint(path).config.parts.names,
            inputs=args.inputs,
            references=ReferenceSettings(args.references, args.references),
        )
        stage = PartsStage(settings, 0)
        batch = stage.held_out_clips()
        for shown in PICTURES if "pictures" in settings.parts else (None,):
            lines.append(measure(stage, batch, shown))
            print(lines[-1], flush=True)
    text = "\n".join(
        [
            f"Velocity error (mean square) of {args.clips} held-out clips of {args.frames} frames, three "
            "noise levels each, shown both memories; by benchmarks/control_parts.py.",
            "",
            *lines,
            "",
        ]
    )
    print(text)
    if args.output is not None:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(text)


if __name__ == "__main__":
    main()
