"""The world viewer's node, and what other nodes do with its selection, its view and its recorded views."""

from __future__ import annotations

import json
import math

import pytest

from tests.comfy.prompts import picture, workflow
from worldstereo_core.formats.display_cloud import display_cloud_from_bytes

CHECKS = "world_viewer_checks.py"
current = pytest.mark.parametrize("comfyui", ["current"], indirect=True)


@current
def test_the_viewer_gives_view_selection_and_path(run_in_comfy):
    facts = run_in_comfy(CHECKS, "outputs")
    assert facts["keys"] == ["text", "worldstereo_cloud", "worldstereo_world"]
    size, count = facts["cloud_bytes"]
    assert size == 16 + 21 * count
    assert facts["is_plain"] and facts["passes_on"] and facts["new_selects"] and facts["new_camera"]
    assert facts["world"] == {
        "clips": [{"clip": 0, "points": count, "views": 1}],
        "points": count,
        "selected": 0,
        "width": 48,
        "height": 32,
        "metric": None,
    }
    assert facts["views"] == ["image", 1] and facts["new_path"] == 1
    assert facts["picture"] == [1, 32, 48, 3]

    # y up, looking along -z there: (1, 0, -1) of ours is (1, 0, 1), and 90 degrees across 48 columns are
    # 2 atan(32 / 48) across 32 rows.
    info = facts["camera_info"]
    assert [info["position"][axis] for axis in "xyz"] == pytest.approx([1, 0, 1])
    assert info["fov"] == pytest.approx(math.degrees(2 * math.atan(32 / 48)))
    assert facts["trajectory"] == [pytest.approx([1, 0, -1]), pytest.approx(24), 48]
    assert facts["path"] == [[0, 0, 50], [1, pytest.approx(1 / 3), 50], [3, 1, 50]]
    assert facts["selected"] == facts["near"] > 0
    assert f"{facts['near']:,} of {count:,} points selected, 3 views recorded" in facts["text"]
    share, red = facts["tinted"]
    assert 0.02 < share < 0.6 and red > 0.6
    assert facts["as_waypoint"] == pytest.approx([1, 0, -1], abs=1e-6)


@current
def test_a_selection_feeds_the_edit_nodes(run_in_comfy):
    facts = run_in_comfy(CHECKS, "edits")
    near, count = facts["near"], facts["count"]
    assert facts["kept"] == near
    assert facts["cut"] == facts["deleted"] == count - near
    assert facts["cut_none"] == count
    assert facts["moved"] == [near, count - near]
    assert facts["stays"] and facts["left_alone"]
    assert facts["recoloured"] == pytest.approx([1, 0, 0], abs=0.05)
    assert "all 1,536 points would go" in facts["keep_nothing"]
    assert facts["move_nothing"].startswith("selection: no point is selected, so nothing can be moved")
    assert facts["recolour_nothing"].startswith("selection: no point of these clips is selected")


@current
def test_states_that_are_none_are_refused_by_name(run_in_comfy):
    said = run_in_comfy(CHECKS, "refusals")
    assert said["empty"] is True and said["fine"] is True
    assert said["object"].startswith("view_state: is an object written out by Python")
    assert said["version"].startswith("view_state: has version 2, expected 1")
    assert said["size"].startswith("selection: part 1: size is [0.0, 1.0, 1.0]")


def test_the_viewer_feeds_crop_and_render_on_a_server(comfy_server):
    picture().save(comfy_server.base / "input" / "picture.png")
    prompt = {key: workflow("camera_paths")[key] for key in ("picture", "geometry", "memory")}
    state = {"version": 1, "selection": [{"kind": "box", "centre": [0, 0, 2.5], "size": [100, 100, 2]}]}
    prompt["viewer"] = {
        "class_type": "WorldStereo_ViewMemory",
        "inputs": {"memory": ["memory", 0], "view_state": json.dumps(state)},
    }
    prompt["cropped"] = {
        "class_type": "WorldStereo_CropMemory",
        "inputs": {
            **{"memory": ["viewer", 0], "selection": ["viewer", 1], "shape": "box", "keep": "outside"},
            **{"right": 0.0, "down": 0.0, "forward": 1.0, "width": 2.0, "height": 2.0, "length": 2.0},
            "radius": 1.0,
        },
    }
    prompt["render"] = {
        "class_type": "WorldStereo_RenderMemory",
        "inputs": {
            "memory": ["cropped", 0],
            "trajectory": ["viewer", 4],
            "radius": 0.02,
            "points_per_pixel": 8,
            "min_confidence": 0.0,
        },
    }
    run = comfy_server.run(prompt)
    world = run.outputs["viewer"]["worldstereo_world"][0]
    cloud = display_cloud_from_bytes(comfy_server.view(run.outputs["viewer"]["worldstereo_cloud"][0]))
    assert len(cloud.xyz) == world["points"] > world["selected"] > 0
    assert cloud.clip is not None and set(cloud.clip.tolist()) == {0}
    assert f"{world['selected']:,} points removed" in run.outputs["cropped"]["text"][0]
    assert "1 frames" in run.outputs["render"]["text"][0]
