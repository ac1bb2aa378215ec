"""The files in workflows/: what the frontend and the reader of a note rely on, without a ComfyUI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
FILES = sorted(WORKFLOWS.glob("*.json"))
BYPASSED = 4
# Widget that names the model file, by loader.
LOADERS = {
    "WorldStereo_LoadModel": (0, 1),
    "CLIPLoader": (0,),
    "CLIPVisionLoader": (0,),
    "VAELoader": (0,),
    "LoadMoGeModel": (0,),
    "FrameInterpolationModelLoader": (0,),
}


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> dict:
    return json.loads(request.param.read_text(encoding="utf-8"))


def notes(workflow: dict) -> str:
    return "\n".join(
        node["widgets_values"][0] for node in workflow["nodes"] if node["type"] == "MarkdownNote"
    )


def test_the_folder_holds_templates_with_thumbnails_and_nothing_else():
    names = {path.stem for path in FILES}
    assert names == {"one_clip_from_one_image", "two_clips_and_point_cloud", "camera_variant_40_steps"}
    assert {path.name for path in WORKFLOWS.iterdir()} == {
        f"{name}{suffix}" for name in names for suffix in (".json", ".jpg")
    }
    for path in WORKFLOWS.glob("*.jpg"):
        assert path.stat().st_size <= 60_000
        assert Image.open(path).format == "JPEG"


def test_links_join_outputs_to_inputs_of_a_type_they_take(workflow):
    nodes = {node["id"]: node for node in workflow["nodes"]}
    assert len(nodes) == len(workflow["nodes"]) == workflow["last_node_id"]
    for id, origin, out_slot, target, in_slot, kind in workflow["links"]:
        output, socket = nodes[origin]["outputs"][out_slot], nodes[target]["inputs"][in_slot]
        assert id in output["links"] and socket["link"] == id
        assert kind in socket["type"].split(",") or socket["type"] == "*"


def test_each_loader_names_a_file_and_where_to_download_it(workflow):
    for node in workflow["nodes"]:
        models = node["properties"].get("models", [])
        chosen = {node["widgets_values"][index] for index in LOADERS.get(node["type"], ())} - {"none"}
        assert {model["name"] for model in models} == chosen, node["type"]
        for model in models:
            assert model["url"].startswith("https://huggingface.co/")
            assert "/resolve/main/" in model["url"] and model["url"].endswith(".safetensors")
            assert model["url"] in notes(workflow), f"no manual step for {model['name']}"
            assert model["directory"] in notes(workflow)


def test_notes_say_how_long_a_clip_is(workflow):
    assert "21 key frames at 16 frames per second: 1.3 seconds" in notes(workflow)
    videos = [node for node in workflow["nodes"] if node["type"] == "CreateVideo"]
    assert {node["widgets_values"][0] for node in videos} == {16.0}


def test_only_the_branch_for_a_longer_video_is_bypassed(workflow):
    bypassed = [node["type"] for node in workflow["nodes"] if node["mode"] == BYPASSED]
    branch = ["FrameInterpolationModelLoader", "FrameInterpolate", "CreateVideo", "SaveVideo"]
    assert [kind for kind in bypassed if not kind.startswith("Image")] == branch
    assert all(node["mode"] in (0, BYPASSED) for node in workflow["nodes"])


def test_a_run_is_repeatable_since_the_seed_is_fixed(workflow):
    samplers = [node for node in workflow["nodes"] if node["type"] == "SamplerCustom"]
    assert samplers and all("fixed" in node["widgets_values"] for node in samplers)
