"""Every editing node in one prompt on a real server: what they say, show and save."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.comfy.prompts import FRAMES, HEIGHT, WIDTH, picture, workflow

current = pytest.mark.parametrize("comfyui", ["current"], indirect=True)


def painted() -> Image.Image:
    """A mask of the middle: rows 24 to 39, columns 36 to 59."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[24:40, 36:60] = 255
    return Image.fromarray(mask).convert("RGB")


@pytest.fixture
def server(comfy_server):
    picture().save(comfy_server.base / "input" / "picture.png")
    painted().save(comfy_server.base / "input" / "mask.png")
    return comfy_server


def frames_of(server, run, name: str) -> list[np.ndarray]:
    files = run.files(name)
    return [np.asarray(Image.open(io.BytesIO(server.view(file))).convert("RGB")) for file in files]


def test_every_editing_node_runs_and_says_what_it_did(server):
    run = server.run(workflow("edits"))
    texts = {name: out["text"][0] for name, out in run.outputs.items() if "text" in out}
    for name in ("box", "sphere", "seen", "erased", "forgotten", "moved", "graded", "merged", "compared"):
        assert run.files(name), f"{name} shows no picture"
    assert "Cut by a box, inside kept" in texts["box"]
    assert "Cut by a sphere, outside kept" in texts["sphere"]
    assert "Clip 1 removed" in texts["forgotten"]
    assert "scaled by 2" in texts["moved"] and "median depth is now" in texts["moved"]
    assert "Colours of clips 1 matched" in texts["graded"]
    # The moved copy finds back: half the size, all pixels of the shared picture agree.
    assert "scaled by 0.5 over" in texts["merged"]
    assert "clip_01/0004" in texts["view"]
    assert "Along 5 frames" in texts["coverage"]
    assert int(texts["added"]) == 0 and int(texts["removed"]) > 0
    assert f"{int(texts['removed']):,} points removed" in texts["erased"]
    assert "that showed them left the bank" in texts["erased"]
    assert len(frames_of(server, run, "depth_frames")) == len(frames_of(server, run, "along")) == FRAMES
    carried = Image.open(io.BytesIO(server.view(run.files("carried")[0])))
    assert carried.n_frames == FRAMES and carried.size == (WIDTH, HEIGHT)
    # The moved world seen by the moved cameras is the world before.
    before, after = (
        Image.open(io.BytesIO(server.view(run.files(name)[0]))) for name in ("render", "moved_render")
    )
    assert after.n_frames == before.n_frames == FRAMES
