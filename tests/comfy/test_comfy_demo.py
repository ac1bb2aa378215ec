"""demo --comfy: the two-clip template on the drawn room, its results, and how it ends when it cannot run."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.commands import comfy_demo
from worldstereo_core.commands.comfy_stand_ins import SmallRun
from worldstereo_core.commands.outcome import CannotRun

current = pytest.mark.parametrize("comfyui", ["current"], indirect=True)
TINY = SmallRun("room.png", height=64, width=96, frames=3, steps=1, is_room=True)


@current
@pytest.mark.slow
def test_the_demo_writes_clips_cloud_memory_and_report(comfyui, tmp_path):
    output = tmp_path / "demo"
    assert comfy_demo.run_demo_on_comfyui(output, TINY) == 0
    names = {"clip_01.mp4", "clip_02.mp4", "world.ply", "memory.safetensors", "report.json"}
    assert {path.name for path in output.iterdir()} == names
    said = json.loads((output / "report.json").read_text())["said"]
    scales = [re.search(r"factor ([\d.]+) to ([\d.]+), median error", entry["text"]) for entry in said]
    # The room's exact depth fits the memory's scale; at this size points miss pixel centres a little.
    factors = [float(number) for found in scales if found for number in found.groups()]
    assert factors == pytest.approx([1.0] * 4, abs=0.03)


@pytest.fixture
def borrowed_server(comfy_server, monkeypatch):
    """The session's server in the place of the one that the demo starts."""

    class Borrowed:
        def __init__(self, checkout, python, base, packs):
            for folder in ("models", "input"):
                shutil.copytree(base / folder, comfy_server.base / folder, dirs_exist_ok=True)

        def __getattr__(self, name):
            return getattr(comfy_server, name)

        def stop(self):
            pass

    monkeypatch.setattr(comfy_demo, "ComfyServer", Borrowed)


@current
def test_a_failing_node_is_an_error_that_names_it_and_nothing_is_written(borrowed_server, tmp_path):
    wrong = SmallRun("room.png", height=64, width=100, frames=3, steps=1, is_room=True)
    with pytest.raises(WorldStereoError, match=r"WorldStereo_\w+ raised"):
        comfy_demo.run_demo_on_comfyui(tmp_path / "demo", wrong)
    assert not (tmp_path / "demo").exists()


def test_without_a_comfyui_the_demo_cannot_run_and_says_what_to_set(tmp_path, monkeypatch):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "nowhere"))
    with pytest.raises(CannotRun, match="COMFYUI_PATH"):
        comfy_demo.run_demo_on_comfyui(tmp_path / "demo")


def test_without_the_whole_repository_the_demo_cannot_run(tmp_path, monkeypatch):
    monkeypatch.setattr(comfy_demo, "find_comfyui", lambda: (tmp_path, tmp_path / "python"))
    monkeypatch.setattr(comfy_demo, "STAND_INS", tmp_path / "devnodes")
    with pytest.raises(CannotRun, match="git clone"):
        comfy_demo.run_demo_on_comfyui(tmp_path / "demo")
