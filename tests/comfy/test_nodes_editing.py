"""A saved world is edited and a part of it made again, on a real server, by a prompt of all editing nodes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.comfy.prompts import FRAMES, HEIGHT, WIDTH, workflow
from worldstereo_core.geometry.trajectory import build_trajectory
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory
from worldstereo_core.memory.storage import load_memory, save_memory
from worldstereo_core.training.worlds.example import draw_example

ROOM = 1_000_026  # a world of tests/workflows/edit_and_regenerate.json, too
current = pytest.mark.parametrize("comfyui", ["current"], indirect=True)


def room_memory() -> GeometricMemory:
    """A drawn room, and one clip that moves to the right."""
    first = draw_example(ROOM, HEIGHT, WIDTH)
    memory = initialise_memory(first.image[0], first.depth[0], first.K[0], edge_threshold=0.0)
    start = torch.eye(4), first.K[0]
    orbit = build_trajectory(
        "orbit right", start=start, height=HEIGHT, width=WIDTH, amount_deg=20, num_frames=5
    )
    clip = draw_example(ROOM, HEIGHT, WIDTH, cameras=orbit.cameras)
    return memory.update(clip.image, orbit, clip.depth, keep_frames=3, edge_threshold=0.0, radius=0.02)[0]


@pytest.fixture
def server(comfy_server):
    folder = comfy_server.base / "input"
    save_memory(folder / "world.safetensors", room_memory())
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[24:40, 36:60] = 255
    Image.fromarray(mask).convert("RGB").save(folder / "mask.png")
    return comfy_server


def pictures(server, run, name: str) -> np.ndarray:
    """[T, H, W, 3] what a PreviewImage node saved."""
    files = [Image.open(io.BytesIO(server.view(file))).convert("RGB") for file in run.files(name)]
    return np.stack([np.asarray(file, np.int16) for file in files])


def test_a_saved_world_is_edited_and_a_part_made_again(server):
    run = server.run(workflow("edit_and_regenerate"), timeout=300)
    texts = {name: out["text"][0] for name, out in run.outputs.items() if "text" in out}
    edits = (
        "erased",
        "seen",
        "thing",
        "moved",
        "copied",
        "edited",
        "sphere",
        "forgotten",
        "scaled",
        "merged",
    )
    for name in (*edits, "compared", "coverage", "controls", "carried", "start", "shown", "statistics"):
        assert run.files(name), f"{name} shows no picture"

    assert "4 views" in texts["statistics"] and "view 3: clip_01/0004" in texts["statistics"]
    assert "input image: 6,144 points, 1 view" in texts["statistics"]
    assert texts["start"].startswith("image, clip 0") and texts["shown"].startswith("clip_01/0004, clip 1")

    # The mask covers 16 x 24 pixels of the first picture, whose own points go, and those of the clip there.
    removed = int(texts["removed"])
    assert removed >= 16 * 24 and int(texts["added"]) == 0
    assert f"{removed:,} points removed" in texts["erased"] and f"{removed:,} removed" in texts["compared"]
    assert "that showed them left the bank" in texts["erased"]
    assert "Clip 1 removed" in texts["forgotten"]
    assert "Colours of clips 1 matched" in texts["edited"]
    # The turned copy of twice the size finds back over all pixels of the shared picture.
    assert "scaled by 0.5 over 6144 of 6144 matched points" in texts["merged"]
    assert "Along 5 frames" in texts["coverage"]

    # A trajectory that moves along sees the same world.
    before, after = pictures(server, run, "before_frames"), pictures(server, run, "scaled_frames")
    assert before.shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert (np.abs(before - after).max(-1) > 8).mean() < 0.02
    depth = pictures(server, run, "depth_frames")
    assert depth.max() > 250 and (depth[0, 28:36, 40:56] == 0).mean() > 0.5  # what was cut is a hole
    carried = Image.open(io.BytesIO(server.view(run.files("carried")[0])))
    assert carried.n_frames == FRAMES and carried.size == (WIDTH, HEIGHT)

    (file,) = run.files("saved")
    path = Path(server.base) / "output" / file["subfolder"] / file["filename"]
    grown = load_memory(path)
    assert max(view.clip for view in grown.views) > 1 and "clip" in grown.views[-1].name
    assert any("Cut by a painted mask" in line for line in grown.history)


@current
def test_a_mask_that_was_not_painted_is_named_on_the_node(server):
    Image.new("RGB", (WIDTH, HEIGHT)).save(server.base / "input" / "mask.png")
    error = server.run_expecting_error(workflow("edit_and_regenerate", "erased"))
    assert error["node_id"] == "erased" and error["exception_message"].startswith("mask: nothing is painted")


@current
def test_a_frame_that_the_trajectory_does_not_have_is_named(server):
    prompt = workflow("edit_and_regenerate", "seen")
    prompt["seen"]["inputs"]["frame"] = 3
    error = server.run_expecting_error(prompt)
    assert error["exception_message"].startswith("frame: got 3, but the trajectory has 1 frames")
