"""Is a clip better, or sooner done, when it is made at half its size first?

On held-out worlds, with the small model: the clip at the full size at once, against half the size first and
the full size from several noise levels on (worldstereo_core/model/scales.py), against the ray-traced truth.
Same memory, renders, noise and schedule throughout; "alone, enlarged" is the first size, brought up by the
picture filter. Prints a table and writes it as Markdown.

    python benchmarks/multi_scale.py --model FOLDER --output benchmarks/results/multi_scale_cpu.md
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from worldstereo_core.adapters.diffusers.loader import load_worldstereo
from worldstereo_core.adapters.diffusers.vae import KeyframeVAE
from worldstereo_core.commands.clips import Engine, make_clip
from worldstereo_core.commands.generate_run import parse_size, read_embeddings
from worldstereo_core.commands.model_folder import find_backbone, find_model
from worldstereo_core.geometry.pictures import fit_pictures
from worldstereo_core.geometry.trajectory import Trajectory
from worldstereo_core.model.checkpoint import load_checkpoint
from worldstereo_core.schedule import Schedule, UniPCSchedule, first_step
from worldstereo_core.training.geometry_errors import GeometryErrors
from worldstereo_core.training.picture_metrics import gradient_deviation, masked_psnr, ssim
from worldstereo_core.training.world_clips import HELD_OUT_SEED, WorldClips, WorldScene, quiet_retrieval

COLUMNS = (
    "PSNR, dB",
    "PSNR revisited, dB",
    "PSNR novel, dB",
    "SSIM",
    "gradient deviation",
    "processor seconds",
)
Figures = dict[str, dict[str, list[float]]]


def measure(frames: Tensor, scene: WorldScene) -> dict[str, float]:
    """Without the first frame, which is given."""
    got, truth, seen = frames[1:], scene.frames[1:], scene.seen_before()[1:]
    everywhere = torch.ones_like(seen)
    return {
        "PSNR, dB": float(masked_psnr(got, truth)),
        "PSNR revisited, dB": float(masked_psnr(got, truth, seen)),
        "PSNR novel, dB": float(masked_psnr(got, truth, ~seen)),
        "SSIM": float(ssim(got, truth, everywhere)),
        "gradient deviation": float(gradient_deviation(got, truth)),
    }


def table(results: Figures) -> str:
    lines = ["| clip | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for row, figures in results.items():
        cells = []
        for column in COLUMNS:
            values = [value for value in figures[column] if value == value]
            cells.append(f"{statistics.fmean(values):.4g}" if values else "")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def differences(results: Figures) -> str:
    """Mean difference to the clip at once, world by world, with its standard error."""
    plain, *others = (row for row in results if "VAE" not in row)
    lines = []
    for row in others:
        pairs = zip(results[row]["PSNR, dB"], results[plain]["PSNR, dB"], strict=True)
        gains = [ours - theirs for ours, theirs in pairs]
        error = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else float("nan")
        lines.append(f"- {row}: {statistics.fmean(gains):+.2f} ± {error:.2f} dB")
    return "\n".join(lines)


def add(results: Figures, row: str, figures: dict[str, float]) -> None:
    for column, value in figures.items():
        results.setdefault(row, defaultdict(list))[column].append(value)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="model folder, as of the generate command")
    parser.add_argument("--worldstereo", type=Path, help="WorldStereo file, where the folder has several")
    parser.add_argument("--worlds", type=int, default=9, help="held-out worlds, one clip each (9)")
    parser.add_argument("--size", default="128x192", help="height x width of the clips (128x192)")
    parser.add_argument("--scale", type=float, default=0.5, help="of the first size (0.5)")
    parser.add_argument("--levels", type=float, nargs="+", default=[0.95, 0.85, 0.7, 0.5, 0.3])
    parser.add_argument("--steps", type=int, default=8, help="UniPC steps; a distilled file has its own (8)")
    parser.add_argument("--shift", type=float, default=3.0, help="of the UniPC steps (3)")
    parser.add_argument("--radius", type=float, default=0.03, help="of points (0.03, the small model's)")
    parser.add_argument("--output", type=Path, help="Markdown file for the table")
    args = parser.parse_args()

    files = find_model(args.model, worldstereo=args.worldstereo)
    is_complete = load_checkpoint(files.worldstereo).is_complete
    model = load_worldstereo(None if is_complete else find_backbone(args.model), files.worldstereo)
    config = model.checkpoint.config
    context = read_embeddings(files.null_context, None, None)
    text, image = context.text, context.image
    assert text is not None and image is not None, f"{args.model} has no null_context.safetensors"
    schedule: Schedule = config.dmd
    if config.variant != "memory-dmd":
        schedule = UniPCSchedule(args.steps, args.shift)
    plain = Engine(
        model=model,
        vae=KeyframeVAE.from_file(files.vae, dtype=torch.float32),
        text_embeds=text,
        encode_image=lambda _: image,
        schedule=schedule,
        guidance=1.0,
        render_settings={"radius": args.radius},
    )
    height, width = parse_size(args.size)
    worlds = WorldClips(
        HELD_OUT_SEED, frames=config.num_keyframes, height=height, width=width, errors=GeometryErrors(share=0)
    )
    ways = {"the full size at once": plain}
    sigmas = schedule.sigmas()
    lowest = float(sigmas[schedule.num_steps - 1])
    if too_low := [level for level in args.levels if level < lowest]:
        print(f"left out, below the last step's {lowest:.3f}: {', '.join(map(str, too_low))}")
    for level in args.levels:
        if level < lowest:
            continue
        step = first_step(sigmas, level)
        row = f"{args.scale:g} first, then from {float(sigmas[step]):.2f} ({schedule.num_steps - step} steps)"
        ways[row] = replace(plain, scales=(args.scale, 1.0), start_level=level)
    small = f"{args.scale:g} alone, enlarged"

    results: Figures = {}
    for number in range(args.worlds):
        scene = worlds.scene((number + 1) * worlds.clips_per_world - 1)
        paths = {way: Trajectory(scene.cameras, name="held out") for way in ways}
        smaller = tuple(round(side * args.scale / 16) * 16 for side in (height, width))
        paths[small] = Trajectory(scene.cameras.resized(*smaller), name="held out")
        for way, path in paths.items():
            before = time.process_time()
            with quiet_retrieval():
                clip = make_clip(
                    ways.get(way, plain), scene.memory, path, torch.Generator().manual_seed(number), way
                )
            seconds = time.process_time() - before
            frames = fit_pictures(clip.frames, height, width, "stretch")
            add(results, way, {**measure(frames, scene), "processor seconds": seconds})
        vae = plain.vae
        through_vae = vae.decode_keyframes(vae.encode_keyframes(scene.frames))
        add(results, "limit of the VAE", measure(through_vae, scene))
        print(f"world {number + 1} of {args.worlds} ({scene.kind})", flush=True)
        print(table(results), flush=True)

    kind = "UniPC" if isinstance(schedule, UniPCSchedule) else "DMD"
    told = (
        f"{args.worlds} held-out worlds, a clip of {config.num_keyframes} frames of {height}x{width} each; "
        f"the model was trained at 64x96. Model: {args.model} ({config.variant}), {schedule.num_steps} "
        f"{kind} steps, point radius {args.radius:g}. {platform.processor() or platform.machine()}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}."
    )
    report = "\n".join([
        "# Half the size first",
        "",
        told,
        "",
        table(results),
        "",
        "PSNR against the clip at once, mean over worlds of the difference and its standard error:",
        "",
        differences(results),
        "",
        "Lower is better for gradient deviation (GMSD). Processor time, which other programs change little, "
        "of render, encoding, both sizes' steps and decoding. By benchmarks/multi_scale.py.",
        "",
    ])  # fmt: skip
    print(report)
    if args.output is not None:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(report)


if __name__ == "__main__":
    main()
