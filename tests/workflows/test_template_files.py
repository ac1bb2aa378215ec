"""The files in workflows/: what the frontend and the reader of a note rely on, without a ComfyUI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / "workflows"
FILES = sorted(WORKFLOWS.glob("*.json"))
TRY_IT = "try_it_in_one_minute"
BYPASSED = 4
# Files that come with the pack; the templates that use them run a model of 9 frames at 8 per second.
SHIPPED = {path.name for path in (ROOT / "weights").rglob("*.safetensors")}
# Widget that names the model file, by loader.
LOADERS = {
    "WorldStereo_LoadModel": (0, 1),
    "WorldStereo_ApplyWeights": (0,),
    "WorldStereo_SaveMergedModel": (0, 1),
    "UNETLoader": (0,),
    "CLIPLoader": (0,),
    "CLIPVisionLoader": (0,),
    "VAELoader": (0,),
    "LoadMoGeModel": (0,),
    "FrameInterpolationModelLoader": (0,),
    "LoraLoaderModelOnly": (0,),
}


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> dict:
    return json.loads(request.param.read_text(encoding="utf-8"))


def notes(workflow: dict) -> str:
    return "\n".join(
        node["widgets_values"][0] for node in workflow["nodes"] if node["type"] == "MarkdownNote"
    )


def test_the_folder_holds_templates_with_thumbnails_and_nothing_else():
    from scripts.build_workflows import template_file
    from scripts.templates import templates

    names = {template_file(name).removesuffix(".json") for name in templates()}
    assert {path.name for path in WORKFLOWS.iterdir() if path.is_file()} == {
        f"{name}{suffix}" for name in names for suffix in (".json", ".jpg")
    }
    for path in WORKFLOWS.glob("*.jpg"):
        assert path.stat().st_size <= 60_000
        assert Image.open(path).format == "JPEG"


def test_every_node_of_the_pack_is_in_a_template():
    # Every node has a help page: tests/comfy/test_nodes_schema.py.
    nodes = {path.stem for path in (ROOT / "web" / "dist" / "docs").glob("*.md")}
    used = {node["type"] for path in FILES for node in json.loads(path.read_text("utf-8"))["nodes"]}
    assert len(nodes) >= 21 and nodes - used == set()


def test_an_app_shows_widgets_and_outputs_that_exist():
    (path,) = WORKFLOWS.glob("*.app.json")
    app = json.loads(path.read_text(encoding="utf-8"))
    nodes = {node["id"]: node for node in app["nodes"]}
    shown = app["extra"]["linearData"]
    assert app["extra"]["linearMode"] is True
    assert [nodes[id]["type"] for id in shown["outputs"]] == ["SaveVideo"]
    assert {nodes[entry[0]]["type"] for entry in shown["inputs"]} == {
        "LoadImage",
        "WorldStereo_BuildTrajectory",
        "CLIPTextEncode",
    }


def test_links_join_outputs_to_inputs_of_a_type_they_take(workflow):
    nodes = {node["id"]: node for node in workflow["nodes"]}
    assert len(nodes) == len(workflow["nodes"]) == workflow["last_node_id"]
    for id, origin, out_slot, target, in_slot, kind in workflow["links"]:
        output, socket = nodes[origin]["outputs"][out_slot], nodes[target]["inputs"][in_slot]
        assert id in output["links"] and socket["link"] == id
        assert kind in socket["type"].split(",") or socket["type"] == "*"


def chosen_files(node: dict) -> set[str]:
    return {node["widgets_values"][index] for index in LOADERS.get(node["type"], ())} - {"none"}


def runs_shipped_model(workflow: dict) -> bool:
    files = set().union(*(chosen_files(node) for node in workflow["nodes"]))
    return bool(files) and files <= SHIPPED


def test_one_template_needs_no_download():
    workflows = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FILES}
    assert [name for name, saved in workflows.items() if runs_shipped_model(saved)] == [TRY_IT]
    # Nor a picture of the user's.
    assert not any(node["type"] == "LoadImage" for node in workflows[TRY_IT]["nodes"])


def test_each_loader_names_a_file_and_where_to_download_it(workflow):
    for node in workflow["nodes"]:
        models = node["properties"].get("models", [])
        chosen = chosen_files(node) - SHIPPED
        assert {model["name"] for model in models} == chosen, node["type"]
        for model in models:
            assert model["url"].startswith("https://huggingface.co/")
            assert "/resolve/main/" in model["url"] and model["url"].endswith(".safetensors")
            assert model["url"] in notes(workflow), f"no manual step for {model['name']}"
            assert model["directory"] in notes(workflow)


def samplers(workflow: dict) -> list[dict]:
    kinds = ("SamplerCustom", "WorldStereo_GenerateClips")
    return [node for node in workflow["nodes"] if node["type"] in kinds]


def makes_video(workflow: dict) -> bool:
    return any(81 in node.get("widgets_values", ()) for node in workflow["nodes"])


def test_notes_say_how_long_a_clip_is(workflow):
    length = (
        "81 frames at 16 frames per second, 5 seconds"
        if makes_video(workflow)
        else "21 key frames at 16 frames per second: 1.3 seconds"
    )
    is_small = runs_shipped_model(workflow)
    assert (length in notes(workflow)) == (bool(samplers(workflow)) and not is_small)
    videos = [node for node in workflow["nodes"] if node["type"] == "CreateVideo"]
    rate = {8.0 if is_small else 16.0}
    assert {node["widgets_values"][0] for node in videos} == (rate if samplers(workflow) else set())


def test_only_the_branch_for_a_longer_video_is_bypassed(workflow):
    bypassed = [node["type"] for node in workflow["nodes"] if node["mode"] == BYPASSED]
    branch = ["FrameInterpolationModelLoader", "FrameInterpolate", "CreateVideo", "SaveVideo"]
    # Beside it only ways to choose from: pictures to paint on, and paths from elsewhere.
    assert [kind for kind in bypassed if not kind.startswith(("Image", "WorldStereo_"))] in ([], branch)
    assert bypassed or "switch it on" not in notes(workflow)
    assert all(node["mode"] in (0, BYPASSED) for node in workflow["nodes"])


def test_a_run_is_repeatable_since_the_seed_is_fixed(workflow):
    assert all("fixed" in node["widgets_values"] for node in samplers(workflow))
    # Without one, nothing is made up and no model file is needed.
    assert samplers(workflow) or not any(node["properties"].get("models") for node in workflow["nodes"])
