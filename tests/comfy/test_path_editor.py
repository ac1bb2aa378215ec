"""The camera path editor's node: what it starts from, what it leaves for the browser, what it refuses."""

from __future__ import annotations

import json

import pytest

from tests.comfy.prompts import HEIGHT, WIDTH, picture, workflow
from worldstereo_core.commands.comfy_server import SubmitError
from worldstereo_core.formats.display_cloud import display_cloud_from_bytes

CHECKS = "path_editor_checks.py"
current = pytest.mark.parametrize("comfyui", ["current"], indirect=True)


@current
def test_an_empty_editor_starts_as_build_camera_path_does(run_in_comfy):
    facts = run_in_comfy(CHECKS, "drafts")
    assert facts["same_as_build"]
    assert facts["same_cameras"] == 0
    assert facts["wired"] == 2 and facts["drawn_wins"] == 5
    assert facts["sources"] == ["draft", "path", "camera_path"]
    assert facts["continued"] < 1e-5
    for row, expected in zip(facts["continued_view"]["c2w"], facts["end"], strict=True):
        assert row == pytest.approx(expected, abs=1e-6)
    assert facts["alone"] == ["text", "worldstereo_path"]
    assert facts["alone_view"] is None and facts["alone_scale"] == 1.0
    assert "drawn for a median depth of 1 scene units" in facts["other_world"][-1]


@current
def test_a_run_leaves_cloud_cameras_and_warnings_for_the_browser(run_in_comfy):
    facts = run_in_comfy(CHECKS, "shown")
    assert facts["keys"] == ["text", "worldstereo_cloud", "worldstereo_frames", "worldstereo_path"]
    assert facts["is_plain"]
    assert facts["size"] == [32, 32] and facts["centre"] == [16, 16]
    assert facts["frames"] == len(facts["holes"]) == facts["pictures"] == 7
    assert facts["holes"][0] < facts["holes"][-1] <= 1
    assert facts["cloud"]["type"] == "temp" and facts["cloud"]["filename"].startswith("worldstereo_cloud_")
    assert facts["cloud_bytes"] == 16 + 15 * facts["points"]
    assert facts["pictures_exist"]
    assert facts["same_cloud"], "a change of the path must not fetch the cloud again"
    assert facts["same_path"], "what the browser keeps comes back as it was"


@current
def test_the_editors_frames_show_points_where_the_renderer_draws_them(run_in_comfy):
    rows = run_in_comfy(CHECKS, "marked_points")
    assert len(rows) == 15
    for frame, x, y, drawn_x, drawn_y in rows:
        assert drawn_x == pytest.approx(x, abs=1) and drawn_y == pytest.approx(y, abs=1), frame
    # The camera moves: a renderer that ignored the frames would fail.
    assert abs(rows[0][1] - rows[-3][1]) > 10


@current
def test_texts_that_are_no_path_are_refused_by_name(run_in_comfy):
    said = run_in_comfy(CHECKS, "refusals")
    assert said["empty"] is True
    assert said["on_top"] is True, "two waypoints in one place are a path that waits"
    assert said["object"].startswith("camera_path: is an object written out by Python")
    assert said["no_json"].startswith("camera_path: is not JSON")
    assert said["version"].startswith("camera_path: the camera path has version 2, expected 1")
    assert "waypoint 2: position is (0.0, nan, 0.0)" in said["nan"]
    assert "waypoint 3: time is 1 after 1" in said["same_time"]


def test_the_editor_runs_alone_on_a_server(comfy_server):
    picture().save(comfy_server.base / "input" / "picture.png")
    prompt = {key: node for key, node in workflow("camera_paths").items() if key in ("picture", "geometry")}
    prompt["memory"] = workflow("camera_paths")["memory"]
    prompt["edited"] = {
        "class_type": "WorldStereo_EditPath",
        "inputs": {"memory": ["memory", 0], "frames": 3},
    }
    run = comfy_server.run(prompt)
    scene = run.outputs["edited"]["worldstereo_path"][0]
    assert (scene["height"], scene["width"]) == (HEIGHT, WIDTH)
    cloud = display_cloud_from_bytes(comfy_server.view(run.outputs["edited"]["worldstereo_cloud"][0]))
    assert len(cloud.xyz) > 1000
    assert len(run.outputs["edited"]["worldstereo_frames"]) == 3

    # A program that sends the object itself gets a sentence and no traceback.
    prompt["edited"]["inputs"]["camera_path"] = scene["path"]
    with pytest.raises(SubmitError) as refused:
        comfy_server.submit(prompt)
    assert "camera_path: is an object written out by Python" in str(refused.value)
    prompt["edited"]["inputs"]["camera_path"] = json.dumps(scene["path"])
    assert comfy_server.run(prompt).outputs["edited"]["worldstereo_path"][0]["path"] == scene["path"]
