"""Saved workflows into API prompts, and templates cut down to tiny ones, on schemas written by hand."""

from __future__ import annotations

import pytest

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.commands.comfy_prompt import widget_inputs, workflow_to_prompt
from worldstereo_core.commands.comfy_stand_ins import SmallRun, play_in_world

SCHEMAS = {
    "Load": {"input": {"required": {"image": [["a.png", "b.png"], {"image_upload": True}]}}},
    "Blur": {"input": {"required": {"image": ["IMAGE", {}], "radius": ["FLOAT", {"default": 1.5}]}}},
    "Sample": {
        "input": {
            "required": {"seed": ["INT", {"default": 7, "control_after_generate": True}], "image": ["IMAGE"]},
            "optional": {"mode": ["COMBO", {"options": ["fast", "good"]}]},
        }
    },
    "Save": {
        "input": {
            "required": {
                "image": ["IMAGE", {}],
                "format": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {
                        "options": [
                            {"key": "auto", "inputs": {"required": {}}},
                            {
                                "key": "mp4",
                                "inputs": {"required": {"codec": ["COMBO", {"options": ["h264", "av1"]}]}},
                            },
                        ]
                    },
                ],
                "name": ["STRING", {"default": "out"}],
            }
        }
    },
}


def node(id, kind, values=(), link=None, mode=0):
    inputs = [] if kind == "Load" else [{"name": "image", "type": "IMAGE", "link": link}]
    outputs = [{"name": "IMAGE", "type": "IMAGE"}]
    return {
        "id": id,
        "type": kind,
        "mode": mode,
        "inputs": inputs,
        "outputs": outputs,
        "widgets_values": list(values),
    }


def chain(middle_mode=0):
    """Load -> Blur -> Save."""
    return {
        "nodes": [
            node(1, "Load", ["b.png", "image"]),
            node(2, "Blur", [3.0], link=10, mode=middle_mode),
            node(3, "Save", ["auto", "here"], link=11),
        ],
        "links": [[10, 1, 0, 2, 0, "IMAGE"], [11, 2, 0, 3, 0, "IMAGE"]],
    }


def test_widgets_stand_in_the_order_in_which_the_frontend_saves_them():
    assert widget_inputs(SCHEMAS["Sample"], {"seed": 3}) == [
        ("seed", 3),
        ("seed.control", "fixed"),
        ("mode", "fast"),
    ]


def test_a_dynamic_choice_brings_its_own_widgets():
    found = dict(widget_inputs(SCHEMAS["Save"], {"format": "mp4"}))
    assert found == {"format": "mp4", "format.codec": "h264", "name": "out"}
    workflow = {"nodes": [node(1, "Save", ["mp4", "av1", "film"])], "links": []}
    inputs = workflow_to_prompt(workflow, SCHEMAS)["1"]["inputs"]
    assert inputs == {"format": "mp4", "format.codec": "av1", "name": "film"}


def test_a_chain_becomes_a_prompt_without_the_frontends_own_widgets():
    assert workflow_to_prompt(chain(), SCHEMAS) == {
        "1": {"class_type": "Load", "inputs": {"image": "b.png"}},
        "2": {"class_type": "Blur", "inputs": {"radius": 3.0, "image": ["1", 0]}},
        "3": {"class_type": "Save", "inputs": {"format": "auto", "name": "here", "image": ["2", 0]}},
    }


def test_a_bypassed_node_hands_its_picture_on():
    prompt = workflow_to_prompt(chain(middle_mode=4), SCHEMAS)
    assert "2" not in prompt and prompt["3"]["inputs"]["image"] == ["1", 0]


def test_a_muted_node_cuts_the_link():
    assert "image" not in workflow_to_prompt(chain(middle_mode=2), SCHEMAS)["3"]["inputs"]


def test_widgets_that_came_later_keep_their_default():
    workflow = {"nodes": [node(1, "Sample", [5, "randomize"])], "links": []}
    assert workflow_to_prompt(workflow, SCHEMAS)["1"]["inputs"] == {"seed": 5, "mode": "fast"}


def test_a_node_that_the_server_lacks_is_named():
    workflow = {"nodes": [node(4, "Unheard")], "links": []}
    with pytest.raises(WorldStereoError, match="node 4: this ComfyUI has no node Unheard"):
        workflow_to_prompt(workflow, SCHEMAS)


def test_playing_in_a_world_sets_frames_steps_and_size_and_leaves_the_prompt_alone():
    prompt = {
        "1": {"class_type": "WorldStereo_FitImage", "inputs": {"image": ["9", 0], "resolution": "auto"}},
        "2": {"class_type": "WorldStereo_BuildTrajectory", "inputs": {"frames": 21}},
        "3": {"class_type": "WorldStereo_MakeSigmas", "inputs": {"steps": 40}},
        "4": {"class_type": "ImageFromBatch", "inputs": {"batch_index": 20}},
        "5": {"class_type": "CLIPVisionLoader", "inputs": {}},
    }
    small = play_in_world(prompt, SmallRun("", height=64, width=96, frames=5, steps=2), 7)
    assert small["1"]["class_type"] == "ImageScale"
    assert (small["1"]["inputs"]["width"], small["1"]["inputs"]["height"]) == (96, 64)
    assert small["2"]["inputs"]["frames"] == 5
    assert small["3"]["inputs"]["steps"] == 2
    assert small["4"]["inputs"]["batch_index"] == 4
    assert "5" not in small and prompt["2"]["inputs"]["frames"] == 21


def test_depth_of_a_clip_follows_the_cameras_that_it_was_made_with():
    prompt = {
        "1": {"class_type": "MoGeInference", "inputs": {"image": ["8", 0]}},
        "2": {"class_type": "MoGeInference", "inputs": {"image": ["9", 0]}},
        "3": {
            "class_type": "WorldStereo_UpdateMemory",
            "inputs": {"geometry": ["2", 0], "trajectory": ["7", 0], "keep_frames": 8},
        },
    }
    small = play_in_world(prompt, SmallRun("", 64, 96, 5, 2, has_depth=True), 7)
    first, second = small["1"], small["2"]
    assert first["class_type"] == second["class_type"] == "WorldStereo_DrawWorld"
    assert first["inputs"] == {"world": 7, "kind": "by number", "width": 96, "height": 64}
    assert second["inputs"] == {**first["inputs"], "trajectory": ["7", 0]}
    # Depth is the second output there.
    assert small["3"]["inputs"]["geometry"] == ["2", 1] and small["3"]["inputs"]["keep_frames"] == 4


def test_the_small_models_context_takes_the_place_of_text_and_vision():
    prompt = {
        "1": {"class_type": "CLIPTextEncode", "inputs": {"text": "x"}},
        "2": {"class_type": "WorldStereo_EncodeClipVision", "inputs": {}},
        "3": {
            "class_type": "WorldStereo_EncodeFirstFrame",
            "inputs": {"positive": ["1", 0], "clip_vision_output": ["2", 0], "mode": "full_vae"},
        },
    }
    small = play_in_world(prompt, SmallRun("", 64, 96, 5, 2), 7)
    assert {small[id]["class_type"] for id in "12"} == {"WorldStereo_MakeNullContext"}
    made = {"positive": ["1", 0], "clip_vision_output": ["2", 2], "mode": "first_frame_only"}
    assert small["3"]["inputs"] == made
