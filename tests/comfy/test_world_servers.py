"""World folders and whole servers: two on one folder, one that is killed, a disk that is full."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from tests.comfy.conftest import REPOSITORY, place_tiny_models, server_module
from tests.comfy.prompts import picture
from tests.comfy.world_prompt import (
    HEIGHT,
    WIDTH,
    clip_times,
    folder_of,
    has_clips,
    loop_prompt,
    sampler_runs,
    wait_until,
    world_json,
)

pytestmark = pytest.mark.parametrize("comfyui", ["current"], indirect=True)
STEPS = 12


@pytest.fixture
def server(comfy_server):
    """The server of the session: the one that goes on."""
    picture(HEIGHT, WIDTH).save(comfy_server.base / "input" / "picture.png")
    return comfy_server


@pytest.fixture
def victim(comfyui, tiny_weights, tmp_path, server):
    """A second server process that works on the first one's output folder."""
    place_tiny_models(tiny_weights, tmp_path / "models")
    arguments = ("--output-directory", str(server.base / "output"))
    second = server_module.ComfyServer(comfyui, tmp_path, REPOSITORY, arguments)
    second.wait_until_up()
    picture(HEIGHT, WIDTH).save(tmp_path / "input" / "picture.png")
    yield second
    second.stop()


def prompt_of(num_clips: int, name: str) -> dict:
    prompt = loop_prompt(num_clips, name)
    prompt["sigmas"]["inputs"]["steps"] = STEPS
    return prompt


def test_a_killed_server_loses_the_running_clip_and_another_goes_on(server, victim):
    name = "worlds/crash"
    victim.submit(prompt_of(3, name))
    wait_until(lambda: has_clips(server, name, 1))
    # Two processes on one folder: the second is told, and does nothing.
    error = server.run_expecting_error(prompt_of(3, name))
    assert error["node_id"] == "loop"
    assert f"process {victim._process.pid} on" in error["exception_message"]
    wait_until(lambda: sampler_runs(victim, STEPS) == 2)
    os.kill(victim._process.pid, signal.SIGKILL)
    victim._process.wait(20)
    assert [clip["clip"] for clip in world_json(server, name)["clips"]] == [1], "the second was running"
    assert (folder_of(server, name) / "world.lock").exists(), "it had no chance to tidy up"

    before, made = sampler_runs(server, STEPS), clip_times(server, name)
    run = server.run(prompt_of(3, name))
    assert sampler_runs(server, STEPS) == before + 2, "only the missing clips are made"
    times = clip_times(server, name)
    assert sorted(times) == ["001", "002", "003"] and times["001"] == made["001"]
    assert [clip["clip"] for clip in world_json(server, name)["clips"]] == [1, 2, 3]
    assert ", 7 views" in run.outputs["summary"]["text"][0]
    wait_until(lambda: not (folder_of(server, name) / "world.lock").exists(), 10)

    server.run(prompt_of(3, "worlds/quiet"))
    one, other = (
        (folder_of(server, world) / "clips/003/frames/0002.png").read_bytes()
        for world in (name, "worlds/quiet")
    )
    assert one == other, "as if nothing had happened"


def test_a_disk_that_gets_full_ends_the_loop_and_keeps_the_clips(server):
    small = server.base / "output" / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        error = server.run_expecting_error(loop_prompt(20, "small/room"))
        assert "disk is full" in error["exception_message"] or "No space left" in error["exception_message"]
        assert "the clip could not be saved" in error["exception_message"]
        count = len(world_json(server, "small/room")["clips"])
        assert count >= 2
        assert sorted(clip_times(server, "small/room")) == [f"{clip:03d}" for clip in range(1, count + 1)]
        reader = {"world": {"class_type": "WorldStereo_OpenWorld", "inputs": {"name": "small/room"}}}
        assert f"{count} clips" in server.run(reader).outputs["world"]["text"][0]
    finally:
        time.sleep(0.1)
        subprocess.run(["umount", "-l", str(small)], check=True)
