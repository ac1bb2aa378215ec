"""World folders and whole servers: one that is killed, two on one folder, a disk that is full."""

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
NAME, STEPS = "worlds/room", 12


@pytest.fixture
def start(comfyui, tiny_weights, tmp_path):
    """Starts servers on one base folder; the later ones go on with its files."""
    place_tiny_models(tiny_weights, tmp_path / "models")
    servers = []

    def begin(*arguments: str):
        server = server_module.ComfyServer(comfyui, tmp_path, REPOSITORY, arguments)
        servers.append(server)
        server.wait_until_up()
        picture(HEIGHT, WIDTH).save(tmp_path / "input" / "picture.png")
        return server

    yield begin
    for server in servers:
        server.stop()


def prompt_of(num_clips: int, name: str = NAME) -> dict:
    prompt = loop_prompt(num_clips, name)
    prompt["sigmas"]["inputs"]["steps"] = STEPS
    return prompt


def kill(server) -> None:
    """What a crash of the server looks like from outside."""
    os.kill(server._process.pid, signal.SIGKILL)
    server._process.wait(20)


def test_a_killed_server_loses_the_running_clip_and_nothing_else(start, comfy_server):
    server = start()
    server.submit(prompt_of(3))
    wait_until(lambda: has_clips(server, NAME, 1))
    wait_until(lambda: sampler_runs(server, STEPS) == 2)
    kill(server)
    assert [clip["clip"] for clip in world_json(server)["clips"]] == [1]
    assert (folder_of(server) / "world.lock").exists(), "it had no chance to tidy up"
    made = clip_times(server)

    server = start()
    run = server.run(prompt_of(3))
    assert sampler_runs(server, STEPS) == 2, "only the missing clips are made"
    times = clip_times(server)
    assert sorted(times) == ["001", "002", "003"] and times["001"] == made["001"]
    assert [clip["clip"] for clip in world_json(server)["clips"]] == [1, 2, 3]
    assert ", 7 views" in run.outputs["summary"]["text"][0]
    server.run(prompt_of(3, "worlds/quiet"))
    for clip in ("002", "003"):
        one, other = (
            (folder_of(server, name) / "clips" / clip / "frames" / "0002.png").read_bytes()
            for name in (NAME, "worlds/quiet")
        )
        assert one == other, "as if nothing had happened"

    # A second server on the same folder, while the first is in it.
    id = server.submit(prompt_of(5))
    wait_until(lambda: sampler_runs(server, STEPS) >= 6)
    picture(HEIGHT, WIDTH).save(comfy_server.base / "input" / "picture.png")
    link = comfy_server.base / "output" / "shared"
    link.symlink_to(server.base / "output", target_is_directory=True)
    try:
        outside = comfy_server.post(
            "/prompt", {"prompt": prompt_of(5, "shared/worlds/room"), "client_id": "x"}
        )
        assert "world" in outside["node_errors"], "a link must not lead out of the output folder"
        comfy_server.wait(outside["prompt_id"])
    finally:
        link.unlink()
    server.interrupt(id)
    server.wait(id)


def test_two_servers_on_one_folder_and_a_full_disk(start, comfyui, tiny_weights, tmp_path, tmp_path_factory):
    small = tmp_path / "output"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(small)]
    is_mounted = subprocess.run(mount, capture_output=True).returncode == 0
    try:
        first = start()
        base = tmp_path_factory.mktemp("second")
        place_tiny_models(tiny_weights, base / "models")
        second = server_module.ComfyServer(comfyui, base, REPOSITORY, ("--output-directory", str(small)))
        try:
            second.wait_until_up()
            picture(HEIGHT, WIDTH).save(base / "input" / "picture.png")
            id = first.submit(prompt_of(2))
            wait_until(lambda: has_clips(first, NAME, 1))
            error = second.run_expecting_error(prompt_of(2))
            assert error["node_id"] == "loop"
            assert f"process {first._process.pid} on" in error["exception_message"]
            assert first.wait(id).error is None
            # The lock is given back within seconds after the run.
            wait_until(lambda: not (small / NAME / "world.lock").exists(), 10)
            run = second.run(prompt_of(2))
            assert sampler_runs(second, STEPS) == 0 and ", 5 views" in run.outputs["summary"]["text"][0]
        finally:
            second.stop()
        if not is_mounted:
            pytest.skip("no right to mount a small disk")
        error = first.run_expecting_error(prompt_of(40))
        assert "disk is full" in error["exception_message"] or "No space left" in error["exception_message"]
        count = len(world_json(first)["clips"])
        assert count > 2 and sorted(clip_times(first)) == [f"{clip:03d}" for clip in range(1, count + 1)]
    finally:
        if is_mounted:
            time.sleep(0.2)
            subprocess.run(["umount", "-l", str(small)], check=True)
