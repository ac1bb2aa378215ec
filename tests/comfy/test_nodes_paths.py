"""The camera path nodes called directly, and one prompt with all of them on a real server."""

from __future__ import annotations

import io
import json
import math

import pytest
from PIL import Image

from tests.comfy.prompts import HEIGHT, WIDTH, picture, workflow

CHECKS = "camera_path_checks.py"
# Half the width of the 48 pixel picture of the checks in focal lengths: horizontal field of view 60 degrees.
HALF = math.tan(math.radians(30))
current = pytest.mark.parametrize("comfyui", ["current"], indirect=True)


@current
def test_the_checked_render_is_the_conditioning_to_the_bit(run_in_comfy):
    facts = run_in_comfy(CHECKS, "the_checked_render_is_the_conditioning")
    assert facts["defaults"] == [True, True]
    assert facts["told"] == [True, True]
    assert facts["dtype"] == "torch.float32"
    assert facts["is_not_empty"], "a comparison of empty renders would prove nothing"


@current
def test_paths_are_written_taken_and_aimed(run_in_comfy):
    facts = run_in_comfy(CHECKS, "paths")
    scale = facts["draft"][1]
    assert facts["draft"] == [5, scale, [0.0, 0.0, 0.0]]
    assert facts["json_comes_back"]
    assert facts["closed"]
    assert facts["constant"] == "constant"
    assert facts["from_trajectory"] == [3, True]
    # A quarter of the width right of the middle, 4 away.
    assert facts["pixel_target"] == pytest.approx([4 * HALF / 2, 0, 4], abs=1e-5)
    assert facts["point_target"] == pytest.approx([scale / 2, 0, scale])
    assert facts["starts_at_end"] < 1e-5
    assert facts["scaled_way"] == pytest.approx(0.5), "made for a world of scale 1, half way in this one too"


@current
def test_cameras_go_to_viewers_and_come_back(run_in_comfy):
    facts = run_in_comfy(CHECKS, "viewers")
    for viewer in ("scene units", "point cloud preview"):
        assert facts[viewer] < 1e-5
        assert facts[f"{viewer} waypoints"] == 2
        assert facts[f"{viewer} times"] == pytest.approx([0, 1 / 3, 1])
    # Up is y there; the preview's coordinates are others.
    assert facts["scene units position"][1] > 0.5
    assert facts["point cloud preview position"] != pytest.approx(facts["scene units position"], abs=0.1)
    assert facts["alone"] == [1, 768, 480]


@current
def test_every_edit_does_what_it_says(run_in_comfy):
    facts = run_in_comfy(CHECKS, "edits")
    assert facts["offered"] == facts["told"]
    assert facts["frames"] == {
        "resample": 81,
        "retime": 3,
        "constant speed": 5,
        "reverse": 5,
        "there and back": 9,
        "close the loop": 11,
        "concatenate": 8,
        "start where another ends": 5,
        "mirror": 5,
        "smooth": 5,
        "handheld": 5,
    }


@current
def test_checks_warn_and_stop(run_in_comfy):
    facts = run_in_comfy(CHECKS, "checks")
    assert facts["good"][1] and "Warning:" not in facts["good"][0]
    assert not facts["into"][1] and "Collision: frame" in facts["into"][0]
    assert "Too fast: frames 1 to 2" in facts["fast"]
    assert facts["allowed"]
    assert facts["frames"] == 21
    assert facts["stopped"].startswith("trajectory: Collision")
    assert facts["picture"] == [1, 662, 1024, 3]


@current
def test_suggestions_start_at_the_picture_and_are_ranked(run_in_comfy):
    facts = run_in_comfy(CHECKS, "suggestions")
    lines = facts["report"].splitlines()
    assert lines[1].startswith(f"1. {facts['best']}: ")
    assert lines[2].startswith(f"2. {facts['second']}: ")
    assert facts["frames"] == 7
    assert facts["starts_at_picture"] < 1e-6
    assert "rank: got 99" in facts["refused"]


@current
def test_a_drawn_line_is_lifted_by_depth(run_in_comfy):
    facts = run_in_comfy(CHECKS, "drawn")
    assert facts["far"] == pytest.approx([2 * HALF / 2, 0, 2], abs=1e-5)
    assert facts["near"] == pytest.approx([-2 * HALF / 2, 0, 2], abs=1e-5)
    assert facts["picture"] == [1, 32, 48, 3]
    assert "line: point 1 at (36, 99) lies outside the picture of 48 x 32" in facts["refused"]


@current
def test_a_missing_wire_is_named(run_in_comfy):
    said = run_in_comfy(CHECKS, "errors")
    assert said["start"].startswith("memory: nothing is wired, but start needs")
    assert said["end"].startswith("continue_from: nothing is wired")
    assert said["pixel"].startswith("memory: nothing is wired, but look_at needs")
    assert said["viewer"].startswith("memory: nothing is wired, but viewer needs")
    assert said["frame"].startswith("frame: got 5, but the trajectory has 5 frames")
    assert said["version"].startswith("waypoints: the camera path has version 7, expected 1")


@current
def test_objects_on_sockets_are_never_changed(run_in_comfy):
    assert run_in_comfy(CHECKS, "nodes_leave_their_inputs_alone") == []


def test_all_path_nodes_run_in_one_prompt_on_a_server(comfy_server):
    picture().save(comfy_server.base / "input" / "picture.png")
    run = comfy_server.run(workflow("camera_paths"))

    path = json.loads(run.outputs["json"]["text"][0])
    assert path["version"] == 1 and len(path["waypoints"]) == 3
    assert (
        "1.0 = 1 median depth = 2.984 scene units, \N{ALMOST EQUAL TO} 3 m if the depth is metric"
        in (run.outputs["sampled"]["text"][0])
    )
    assert "5 frames became 9" in run.outputs["edited"]["text"][0]
    assert "frames; holes" in run.outputs["checked"]["text"][0]
    assert "Taken: 1. " in run.outputs["suggested"]["text"][0]
    assert "vertical field of view" in run.outputs["taken"]["text"][0]
    frames = Image.open(io.BytesIO(comfy_server.view(run.files("shown")[0])))
    assert frames.size == (WIDTH, HEIGHT)
    assert len(run.files("shown")) == 5
    assert Image.open(io.BytesIO(comfy_server.view(run.files("checked")[0]))).size == (1024, 662)
    assert Image.open(io.BytesIO(comfy_server.view(run.files("drawn")[0]))).size == (WIDTH, HEIGHT)


@current
def test_a_full_disk_is_said_in_words_by_every_node_that_writes(run_in_comfy):
    for name, (said, *left) in run_in_comfy(CHECKS, "a_full_disk").items():
        assert said.startswith(("WorldStereoError: ", "PathError: ")), f"{name}: {said}"
        assert "there is no room" in said or "the disk is full" in said, f"{name}: {said}"
        assert "othing was left behind" in said and left == [], f"{name}: {said}, {left}"
