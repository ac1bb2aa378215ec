"""What the shipped templates need beside models: a picture, depth, a camera file, a saved memory, a world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from worldstereo_core.commands.comfy_stand_ins import SmallRun
from worldstereo_core.commands.small_model import RADIUS
from worldstereo_core.formats.cameras.registry import write_trajectory
from worldstereo_core.geometry.cameras import fov_to_K
from worldstereo_core.geometry.trajectory import build_trajectory
from worldstereo_core.memory.memory import initialise_memory
from worldstereo_core.memory.storage import save_memory
from worldstereo_core.training.worlds.example import draw_example
from worldstereo_core.world.clip_files import ClipContents
from worldstereo_core.world.world import add_clip, create_world

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = ROOT / "workflows"
BLUEPRINT = ROOT / "subgraphs" / "WorldStereo Clip.json"
FRAMES, HEIGHT, WIDTH, STEPS = 3, 64, 96, 2
WORLD = 1_000_026  # whose first picture the templates start from
SMALL = SmallRun("picture.png", HEIGHT, WIDTH, FRAMES, STEPS)


def write_inputs(base: Path) -> None:
    """Write the files that the templates name into a server's input and output folders."""
    pixels = draw_example(WORLD, HEIGHT, WIDTH).image[0]
    picture = Image.fromarray((255 * pixels).round().byte().movedim(0, -1).numpy())
    # The picture as an editor of masks saves it: transparent where something is painted.
    opaque = np.full((HEIGHT, WIDTH), 255, np.uint8)
    opaque[24:40, 36:60] = 0
    for name in ("picture.png", "example.png"):
        Image.merge("RGBA", (*picture.split(), Image.fromarray(opaque))).save(base / "input" / name)
    depth = torch.linspace(4.0, 2.0, HEIGHT)[:, None].expand(HEIGHT, WIDTH).contiguous()
    K = fov_to_K(np.deg2rad(60.0), HEIGHT, WIDTH)
    np.savez(base / "input" / "depth.npz", depth=depth.numpy())
    move = build_trajectory("dolly in", start=(torch.eye(4), K), height=HEIGHT, width=WIDTH, distance=0.5)
    write_trajectory(base / "input" / "camera.json", move, "camera_json")
    folder = base / "output" / "worldstereo"
    folder.mkdir(parents=True, exist_ok=True)
    memory = initialise_memory(pixels, depth, K)
    orbit = build_trajectory(
        "orbit right", start=(torch.eye(4), K), height=HEIGHT, width=WIDTH, amount_deg=10, num_frames=3
    )
    clip = memory.render(orbit, radius=RADIUS)
    grown, _ = memory.update(clip.image, orbit, clip.depth, keep_frames=2)
    save_memory(folder / "memory_00001_.safetensors", grown)
    if not (folder / "my_world").exists():
        world = create_world(folder / "my_world", memory)
        world, _ = add_clip(world, ClipContents(clip.image, orbit, grown), slot=1)
        again, _ = grown.update(clip.image, orbit, clip.depth, keep_frames=2)
        add_clip(world, ClipContents(clip.image, orbit, again), slot=2)
