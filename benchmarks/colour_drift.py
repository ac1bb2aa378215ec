"""Measure how far colours drift over six clips on a loop, with and without latent reuse and the colour
anchor.

The pack's own world folder, retrieval, conditioning, memory update and anchor run; VAE and model are
stand-ins
whose faults are planted, because random weights have no colours to drift: the VAE loses a little contrast and
tint on every encoding, and the model goes on in the look of what it is shown and adds a tint of its own per
clip.

Run: python benchmarks/colour_drift.py [--output benchmarks/results/colour_drift.md]
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from worldstereo_core.geometry.cameras import Cameras, unproject
from worldstereo_core.geometry.pictures import paste_first_frame
from worldstereo_core.geometry.render import render_points
from worldstereo_core.geometry.trajectory import Trajectory
from worldstereo_core.memory.colour_anchor import anchor_colours
from worldstereo_core.memory.memory import initialise_memory
from worldstereo_core.model.conditioning import build_condition, image_condition_latents, with_first_latent
from worldstereo_core.model.config import ControlSizes, WorldStereoConfig
from worldstereo_core.model.latents import carry_change, denormalise_latents, normalise_latents
from worldstereo_core.world.clip_files import ClipContents
from worldstereo_core.world.plan import find_start, without_latents
from worldstereo_core.world.world import World, add_clip, create_world

HEIGHT, WIDTH, FRAMES, CLIPS = 48, 80, 5, 6
WALL, FOCAL, RADIUS = 4.0, 40.0, 0.06
K = torch.tensor([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
# What one encoding does to colours 0..1, and what the model adds by the end of each clip (red, green, blue).
VAE_GAIN, VAE_SHIFT = 0.985, (0.0, 0.002, -0.002)
MODEL_TINT = (0.004, 0.001, -0.003)
# How much the model's look follows its first frame, the renders and the references.
FOLLOWS = (0.6, 0.2, 0.2)
CONFIG = WorldStereoConfig(
    ControlSizes(
        in_channels=36,
        embed_width=32,
        width=32,
        num_heads=2,
        ffn_width=32,
        num_blocks=1,
        time_width=32,
        output_width=32,
        mask_channels=7,
        mask_width=16,
        mask_kernel=1,
    ),
    camera_token_width=7,
    variant="memory",
)


class PlantedVAE:
    """Four colours per cell of 8 x 8 pixels. Decoding is exact; every encoding shifts colours a little."""

    def __init__(self, is_exact: bool = False):
        self.is_exact = is_exact

    def encode_keyframes(self, images: Tensor, progress: Callable[[int, int], None] | None = None) -> Tensor:
        if not self.is_exact:
            images = VAE_GAIN * images + images.new_tensor(VAE_SHIFT)[:, None, None]
        means = avg_pool2d(images, 4).unflatten(2, (-1, 2)).unflatten(4, (-1, 2))  # [T, 3, h, 2, w, 2]
        cells = means.permute(1, 3, 5, 0, 2, 4).flatten(0, 2)  # [12, T, h, w]
        return normalise_latents(torch.cat([cells, torch.zeros_like(cells[:4])])[None])

    def encode_video(self, frames: Tensor) -> Tensor:
        single = self.encode_keyframes(frames)
        groups = [single[:, :, :1], *single[:, :, 1:].split(4, dim=2)]
        return torch.cat([group.mean(2, keepdim=True) for group in groups], dim=2)

    def decode_keyframes(self, latents: Tensor, progress: Callable[[int, int], None] | None = None) -> Tensor:
        cells = denormalise_latents(latents)[0, :12].unflatten(0, (3, 2, 2))  # [3, 2, 2, T, h, w]
        means = cells.permute(3, 0, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)  # [T, 3, 2 h, 2 w]
        return interpolate(means, scale_factor=4, mode="bilinear", align_corners=False).clamp(0, 1)


def colours_of(latents: Tensor) -> Tensor:
    """[1, 16, F, h, w] normalised -> [3, F, h, w] mean colour of every cell."""
    return denormalise_latents(latents)[0, :12].unflatten(0, (3, 4)).mean(dim=1)


def look(cameras: Cameras) -> tuple[Tensor, Tensor]:
    """What is really there: pictures [T, 3, H, W] of a painted wall, and depths [T, H, W]."""
    depths = torch.full((len(cameras), HEIGHT, WIDTH), WALL)
    points = unproject(depths, cameras.K, cameras.w2c)
    waves = [torch.sin(points[..., axis] * 0.8 + 2.0 * axis) * 0.25 + 0.5 for axis in range(3)]
    mixed = torch.stack(waves, dim=1)
    return (mixed + mixed.roll(1, dims=1)) / 2, depths


def loop_trajectories() -> list[Trajectory]:
    """Six moves to the right and back to the start, each beginning where the one before ended."""
    stops = [0.0, 2.0, 4.0, 6.0, 4.0, 2.0, 0.0]
    trajectories = []
    for number in range(CLIPS):
        w2c = torch.eye(4).repeat(FRAMES, 1, 1)
        w2c[:, 0, 3] = -torch.linspace(stops[number], stops[number + 1], FRAMES)
        trajectories.append(Trajectory(Cameras(w2c, K.expand(FRAMES, 3, 3), HEIGHT, WIDTH), name=f"{number}"))
    return trajectories


def generate(condition, first: Tensor, trajectory: Trajectory, references: Cameras | None, reference_latents):
    """The model: the true pictures, in the look of what it is shown, and a tint that grows over the clip."""
    exact = PlantedVAE(is_exact=True)
    truth = exact.encode_keyframes(look(trajectory.cameras)[0])
    off_start = (colours_of(first)[:, 0] - colours_of(truth)[:, 0]).mean(dim=(1, 2))
    seen = 1 - avg_pool2d(condition.hole_mask[0], 8)  # [1, T, h, w]
    seen = (seen > 0.99).float()
    off = (colours_of(condition.render_latents) - colours_of(truth)) * seen
    off_render = off.sum(dim=(1, 2, 3)) / seen.sum().clamp_min(1)
    true_references = exact.encode_keyframes(look(references)[0])
    off_references = (colours_of(reference_latents) - colours_of(true_references)).mean(dim=(1, 2, 3))
    look_of = FOLLOWS[0] * off_start + FOLLOWS[1] * off_render + FOLLOWS[2] * off_references
    time = torch.linspace(0, 1, FRAMES)
    # Frame 0 is the first frame as given; the look and the tint come in over the clip.
    tint = off_start[:, None] * (1 - time) + (look_of[:, None] + truth.new_tensor(MODEL_TINT)[:, None]) * time
    raw = denormalise_latents(truth)
    raw[:, :12] += tint.repeat_interleave(4, dim=0)[None, :, :, None, None]
    return normalise_latents(raw)


def make_clip(world: World, trajectories: list[Trajectory], slot: int, reuse: bool, anchor: bool) -> World:
    """One clip as the loop makes it."""
    trajectory, vae = trajectories[slot - 1], PlantedVAE()
    memory, start = world.memory(), find_start(world, trajectories, slot)
    if not reuse:
        memory, start = without_latents(memory), replace(start, latent=None)
    rendered = render_points(memory.points, trajectory.cameras, radius=RADIUS, points_per_pixel=8)
    rendered = paste_first_frame(rendered, start.image)
    chosen = memory.retrieve(trajectory, 4)
    condition = build_condition(
        CONFIG,
        vae,
        trajectory.cameras,
        rendered.image,
        rendered.hole_mask,
        chosen,
        start_latent=start.latent,
    )
    first = image_condition_latents(vae, start.image, FRAMES, "full_vae")
    if start.latent is not None:
        first = with_first_latent(first, start.latent)
    seen_from = Cameras(chosen.w2c, chosen.K, HEIGHT, WIDTH)
    latents = generate(condition, first, trajectory, seen_from, condition.reference_latents)
    frames = vae.decode_keyframes(latents)
    raw = denormalise_latents(latents)
    if anchor:
        anchored, _ = anchor_colours(frames, rendered.image, rendered.hole_mask)
        before, after = (
            denormalise_latents(vae.encode_keyframes(pictures)) for pictures in (frames, anchored)
        )
        frames, raw = anchored, carry_change(raw, before, after)
    grown, _ = memory.update(frames, trajectory, look(trajectory.cameras)[1], keep_frames=2, radius=RADIUS)
    contents = ClipContents(frames, trajectory, grown, raw[0])
    return add_clip(world, contents, slot=slot, start=start.text)[0]


@dataclass(frozen=True)
class Drift:
    """Mean colour error, of 255, of the last frame of every clip; the last one shows the first view again."""

    errors: tuple[float, ...]

    @property
    def revisited(self) -> float:
        """Of the view that the loop comes back to."""
        return self.errors[-1]


def measure(reuse: bool, anchor: bool) -> Drift:
    """Make the six clips in a new world folder."""
    trajectories = loop_trajectories()
    with tempfile.TemporaryDirectory() as folder:
        pictures, depths = look(trajectories[0].cameras[:1])
        world = create_world(Path(folder) / "world", initialise_memory(pictures[0], depths[0], K))
        errors = []
        for slot in range(1, CLIPS + 1):
            world = make_clip(world, trajectories, slot, reuse, anchor)
            clip = world.manifest.clips[-1].clip
            shown, true = world.frame(clip, FRAMES - 1), look(trajectories[slot - 1].cameras[-1:])[0][0]
            errors.append(255 * float((shown - true).mean(dim=(1, 2)).abs().mean()))
    return Drift(tuple(errors))


SETTINGS = {
    "nothing": (False, False),
    "latent reuse": (True, False),
    "colour anchor": (False, True),
    "both": (True, True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path)
    output = parser.parse_args().output
    rows = {name: measure(*setting) for name, setting in SETTINGS.items()}
    lines = [
        "# Colour drift over six clips on a loop",
        "",
        "Mean colour error (of 255, over the three channels) of the last frame of every clip; the sixth "
        f"shows the view of the input picture again. {FRAMES} key frames of {HEIGHT} x {WIDTH} pixels. VAE "
        f"and model are stand-ins with planted faults: every encoding maps colours to {VAE_GAIN} x colour + "
        f"{VAE_SHIFT}, and the model goes on in the look of its first frame ({FOLLOWS[0]:.0%}), renders "
        f"({FOLLOWS[1]:.0%}) and references ({FOLLOWS[2]:.0%}) and adds {MODEL_TINT} per clip. Everything "
        "else is the pack's own code.",
        "",
        "| | clip 1 | 2 | 3 | 4 | 5 | 6 (first view again) |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {name} | " + " | ".join(f"{error:.2f}" for error in drift.errors) + " |"
            for name, drift in rows.items()
        ),
        "",
        f"Machine: {platform.processor() or platform.machine()}, torch {torch.__version__}. "
        "Command: `python benchmarks/colour_drift.py`",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if output:
        output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
