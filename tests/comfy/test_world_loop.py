"""The multi-clip loop on a real server: resume, decisions, branches, locks, crashes."""

from __future__ import annotations

import pytest

from tests.comfy.prompts import picture
from tests.comfy.world_prompt import FRAMES, HEIGHT, WIDTH, clip_times, loop_prompt, world_json

current = pytest.mark.parametrize("comfyui", ["current"], indirect=True)


@pytest.fixture
def server(comfy_server):
    picture(HEIGHT, WIDTH).save(comfy_server.base / "input" / "picture.png")
    return comfy_server


def test_three_clips_are_made_saved_and_not_made_again(server):
    prompt = loop_prompt(3)
    run = server.run(prompt)
    clips = world_json(server)["clips"]
    assert [clip["clip"] for clip in clips] == [1, 2, 3]
    assert [clip["seed"] for clip in clips] == [7, 8, 9]
    assert len(run.files("images")) == 3 * FRAMES - 2
    made = clip_times(server)
    again = server.run(prompt)
    assert clip_times(server) == made
    assert len(again.files("images")) == 3 * FRAMES - 2
