"""What the user sees while a clip is sampled, read from the server's websocket."""

from __future__ import annotations

import numpy as np
import pytest

from tests.comfy.listener import Listener
from tests.comfy.prompts import FRAMES, HEIGHT, WIDTH, picture, workflow

current = pytest.mark.parametrize("comfyui", ["current"], indirect=True)


@pytest.fixture
def server(comfy_server):
    picture().save(comfy_server.base / "input" / "picture.png")
    return comfy_server


def previews_of(server, prompt: dict, node: str, **extra) -> list[np.ndarray]:
    with Listener(server) as listener:
        heard = listener.run(prompt, **extra)
    assert heard[-1][0] == "execution_success", heard[-1]
    return [
        np.asarray(data[1].convert("RGB")) for kind, data in heard if kind == "preview" and data[0] == node
    ]


def with_ksampler(prompt: dict) -> dict:
    """The same clip through core's KSampler and without our samplers and sigmas."""
    prompt["sampled"] = {
        "class_type": "KSampler",
        "inputs": {
            "model": ["controlled", 0],
            "positive": ["first_frame", 0],
            "negative": ["first_frame", 1],
            "latent_image": ["first_frame", 2],
            "seed": 1,
            "steps": 3,
            "cfg": 1.0,
            "sampler_name": "euler",
            "scheduler": "simple",
            "denoise": 1.0,
        },
    }
    return prompt


@pytest.mark.parametrize("node", ["SamplerCustomAdvanced", "KSampler"])
def test_previews_show_every_key_frame_side_by_side(server, node):
    prompt = workflow("one_clip", "preview")
    steps = 4
    if node == "KSampler":
        prompt, steps = with_ksampler(prompt), 3
    server.free()
    previews = previews_of(server, prompt, "sampled", preview_method="latent2rgb")
    # The sampler's own preview of one frame, and right after it ours.
    assert len(previews) == 2 * steps
    own, sheets = previews[0::2], previews[1::2]
    # Five frames of 8 x 12 latent cells: three rows of two are nearest to a square.
    tile = (WIDTH // 8 + 1, HEIGHT // 8 + 1)
    ratio = (2 * tile[0] - 1) / (3 * tile[1] - 1)
    for sheet in sheets:
        assert sheet.shape[1] / sheet.shape[0] == pytest.approx(ratio, rel=0.02)
    # The sheet's first tile is the frame that core shows.
    scale = sheets[-1].shape[0] / (3 * tile[1] - 1)
    inside = sheets[-1][int(2 * scale) : int(6 * scale), int(2 * scale) : int(10 * scale)]
    core = own[-1]
    middle = core[core.shape[0] // 4 : -core.shape[0] // 4, core.shape[1] // 6 : -core.shape[1] // 6]
    assert np.abs(inside.mean(axis=(0, 1)) - middle.mean(axis=(0, 1))).max() < 12
    # The sixth place is empty.
    assert sheets[-1][-int(3 * scale) :, -int(3 * scale) :].mean() < 45


@current
def test_previews_switched_off_stay_off(server):
    server.free()
    assert previews_of(server, workflow("one_clip", "preview"), "sampled", preview_method="none") == []


def test_an_early_look_shows_every_frame_on_the_node(server):
    prompt = early_look(workflow("one_clip", "first_frame", "controlled"))
    with Listener(server) as listener:
        heard = listener.run(prompt, preview_method="latent2rgb")
    executed = {data["node"]: data["output"] for kind, data in heard if kind == "executed"}
    assert executed["look"]["animated"] == [True]
    maxima = [data["max"] for kind, data in heard if kind == "progress" and data["node"] == "look"]
    assert 1 in maxima and FRAMES in maxima, "sampling and decoding both move the bar"
    assert any(kind == "preview" and data[0] == "look" for kind, data in heard)


def early_look(prompt: dict, **inputs) -> dict:
    prompt["look"] = {
        "class_type": "WorldStereo_LookEarly",
        "inputs": {
            "model": ["controlled", 0],
            "positive": ["first_frame", 0],
            "negative": ["first_frame", 1],
            "latent": ["first_frame", 2],
            "vae": ["vae", 0],
            "seed": 1,
            "steps": 1,
            "size": "full",
            **inputs,
        },
    }
    return prompt
