"""demo --comfy: the two-clip template in a drawn world, its results, and how it ends when it cannot run."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.commands import comfy_demo
from worldstereo_core.commands.comfy_stand_ins import SmallRun
from worldstereo_core.commands.outcome import CannotRun
from worldstereo_core.commands.small_model import FRAMES, HEIGHT, WIDTH
from worldstereo_core.formats.video import read_mp4
from worldstereo_core.geometry.trajectory import Trajectory, build_trajectory
from worldstereo_core.memory.memory import initialise_memory
from worldstereo_core.training.picture_metrics import masked_psnr
from worldstereo_core.training.worlds.example import ExampleFrames, draw_example

current = pytest.mark.parametrize("comfyui", ["current"], indirect=True)
WORLD = 1_000_026


def template_move(first: ExampleFrames) -> Trajectory:
    """The first camera move of the two-clip template, from a world's first view."""
    workflow = json.loads(comfy_demo.WORKFLOW.read_text(encoding="utf-8"))
    node = next(node for node in workflow["nodes"] if node["type"] == "WorldStereo_BuildTrajectory")
    preset, amount = node["widgets_values"][:2]
    memory = initialise_memory(first.image[0], first.depth[0], first.K[0], edge_threshold=0.001)
    start = torch.eye(4), first.K[0]
    sizes = {"height": HEIGHT, "width": WIDTH, "num_frames": FRAMES, "pivot_depth": memory.median_depth}
    return build_trajectory(preset, start=start, amount_deg=amount, **sizes)


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
    # Random weights have 12 dB at the first frame, which is given.
    first = draw_example(WORLD, HEIGHT, WIDTH)
    one, two = read_mp4(output / "clip_01.mp4"), read_mp4(output / "clip_02.mp4")
    assert one.shape == two.shape == (FRAMES, 3, HEIGHT, WIDTH)
    assert float(masked_psnr(one[:1], first.image)) > 20
    # The second clip goes on where the first ended.
    assert float(masked_psnr(two[:1], one[-1:])) > 20
    # Away from the given picture: what the template's first move shows of the world.
    truth = draw_example(WORLD, HEIGHT, WIDTH, cameras=template_move(first).cameras).image
    away = slice(FRAMES // 2 + 1, None)
    moved = float(masked_psnr(one[away], truth[away]))
    still = float(masked_psnr(first.image.expand_as(truth[away]), truth[away]))
    assert moved > 18 and moved > still + 2, (moved, still)


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
