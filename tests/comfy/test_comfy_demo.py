"""demo --comfy: the two-clip template in a drawn world, its results, and how it ends when it cannot run."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.commands import comfy_demo
from worldstereo_core.commands.comfy_stand_ins import SmallRun
from worldstereo_core.commands.outcome import CannotRun
from worldstereo_core.commands.small_model import FRAMES, HEIGHT, WIDTH
from worldstereo_core.formats.video import read_mp4
from worldstereo_core.training.picture_metrics import masked_psnr
from worldstereo_core.training.worlds.example import draw_example

current = pytest.mark.parametrize("comfyui", ["current"], indirect=True)
WORLD = 1_000_026


@current
@pytest.mark.slow
def test_the_demo_shows_the_world_and_writes_cloud_memory_and_report(comfyui, tmp_path):
    output = tmp_path / "demo"
    assert comfy_demo.run_demo_on_comfyui(output, WORLD) == 0
    names = {"clip_01.mp4", "clip_02.mp4", "world.ply", "memory.safetensors", "report.json"}
    assert {path.name for path in output.iterdir()} == names
    said = json.loads((output / "report.json").read_text())["said"]
    scales = [re.search(r"factor ([\d.]+) to ([\d.]+), median error", entry["text"]) for entry in said]
    # The world's exact depth fits the memory's scale; at this size points miss pixel centres a little.
    factors = [float(number) for found in scales if found for number in found.groups()]
    assert factors == pytest.approx([1.0] * 4, abs=0.03)
    # Both clips begin with a picture that is given; random weights have 12 dB there.
    first = draw_example(WORLD, HEIGHT, WIDTH).image[0]
    clip = read_mp4(output / "clip_01.mp4")
    assert clip.shape == (FRAMES, 3, HEIGHT, WIDTH)
    assert float(masked_psnr(clip[:1], first[None])) > 20


@pytest.fixture
def borrowed_server(comfy_server, monkeypatch):
    """The session's server in the place of the one that the demo starts."""

    class Borrowed:
        def __init__(self, checkout, python, base, packs):
            shutil.copytree(base / "models", comfy_server.base / "models", dirs_exist_ok=True)

        def __getattr__(self, name):
            return getattr(comfy_server, name)

        def stop(self):
            pass

    monkeypatch.setattr(comfy_demo, "ComfyServer", Borrowed)


@current
def test_a_failing_node_is_an_error_that_names_it_and_nothing_is_written(borrowed_server, tmp_path):
    wrong = SmallRun("", height=64, width=100, frames=3, steps=1, has_depth=True)
    with pytest.raises(WorldStereoError, match=r"WorldStereo_\w+ raised"):
        comfy_demo.run_demo_on_comfyui(tmp_path / "demo", WORLD, wrong)
    assert not (tmp_path / "demo").exists()


def test_without_a_comfyui_the_demo_cannot_run_and_says_what_to_set(tmp_path, monkeypatch):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "nowhere"))
    with pytest.raises(CannotRun, match="COMFYUI_PATH"):
        comfy_demo.run_demo_on_comfyui(tmp_path / "demo", WORLD)


def test_without_the_whole_repository_the_demo_cannot_run(tmp_path, monkeypatch):
    monkeypatch.setattr(comfy_demo, "find_comfyui", lambda: (tmp_path, tmp_path / "python"))
    monkeypatch.setattr(comfy_demo, "FOLDER", tmp_path / "small")
    with pytest.raises(CannotRun, match="git clone"):
        comfy_demo.run_demo_on_comfyui(tmp_path / "demo", WORLD)
