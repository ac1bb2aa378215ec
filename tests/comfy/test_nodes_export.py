"""Export World on a real server: every target in one prompt, shown by core, nothing overwritten."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.comfy.prompts import picture, workflow
from tests.formats.splat_files import read_spz

TARGETS = {
    "Blender": {"points.ply", "camera.py"},
    "Unreal": {"points.las", "camera.usda"},
    "Unity": {"points.glb", "points.ply", "splats.ply", "camera.glb"},
    "SuperSplat": {"splats.ply", "camera.json"},
    "three.js": {"points.glb", "points.ply", "splats.spz", "camera.glb"},
    "nerfstudio": {"points.ply", "images", "transforms.json", "camera_transforms.json"},
    "COLMAP": {"points.ply", "images", "sparse", "camera.json"},
    "raw": {"points.ply", "splats.ply", "camera.json"},
    "official reconstruction folder": {"images", "cameras.json", "name_map.json", "camera.json"},
}


def export(target: str, **settings) -> dict:
    inputs = {"memory": ["memory", 0], "target": target, "name": f"out/{target}", "if_exists": "number"}
    inputs |= {"min_confidence": 0.0, "metres_per_unit": 1.0, "trajectory": ["trajectory", 0]}
    return {"class_type": "WorldStereo_ExportWorld", "inputs": {**inputs, **settings}}


def prompt(exports: dict[str, dict]) -> dict:
    made = workflow("geometry", "trajectory")
    made["memory"]["inputs"]["edge_threshold"] = 0.0
    return {**made, **exports}


def test_every_target_is_written_by_one_prompt(comfy_server):
    picture().save(comfy_server.base / "input" / "picture.png")
    exports = {target: export(target) for target in TARGETS}
    exports["raw"]["inputs"] |= {"images": ["picture", 0], "depth": True, "fps": 10.0}
    run = comfy_server.run(prompt(exports))
    for target, files in TARGETS.items():
        folder = comfy_server.base / "output" / "out" / target
        more = {"frames", "depth", "video.mp4"} if target == "raw" else set()
        assert {path.name for path in folder.iterdir()} == files | more | {"scene.json"}
        assert json.loads((folder / "scene.json").read_text())["target"] == target
        assert str(folder) in run.outputs[target]["text"][0]
    assert not list(comfy_server.base.rglob("*.part*"))


def test_core_shows_the_files_and_reads_the_splats(comfy_server, comfyui):
    picture().save(comfy_server.base / "input" / "picture.png")
    viewer = {"viewport_state": {"camera_info": None}, "width": 64, "height": 64}
    run = comfy_server.run(
        prompt(
            {
                "out": export("three.js", name="shown/world"),
                "points": {
                    "class_type": "PreviewPointCloud",
                    "inputs": {"model_3d": ["out", 1], **viewer},
                },
                "splats": {
                    "class_type": "PreviewGaussianSplat",
                    "inputs": {"model_3d": ["out", 2], **viewer},
                },
            }
        )
    )
    spz = read_spz(comfy_server.base / "output" / "shown" / "world" / "splats.spz")
    heads = {}
    for node in ("points", "splats"):
        name = run.outputs[node]["result"][0]
        content = (comfy_server.base / "temp" / name).read_bytes()
        heads[node] = content[: content.index(b"end_header")].decode()
        assert f"element vertex {len(spz['xyz'])}" in heads[node]
    assert "f_dc_0" in heads["splats"] and "red" in heads["points"]


def test_an_earlier_export_stays_unless_asked(comfy_server):
    picture().save(comfy_server.base / "input" / "picture.png")
    for if_exists in ("number", "number", "replace"):
        node = export("Blender", name="again/world", if_exists=if_exists)
        # Another confidence, else the second run would come from the cache.
        node["inputs"]["min_confidence"] = float(np.random.default_rng().uniform(0, 0.01))
        comfy_server.run(prompt({"out": node}))
    folder = comfy_server.base / "output" / "again"
    assert sorted(path.name for path in folder.iterdir()) == ["world", "world_2"]
    error = comfy_server.run_expecting_error(
        prompt({"out": export("raw", name="again/world", if_exists="stop")})
    )
    assert "exists already" in str(error)


@pytest.mark.parametrize("name", ["../away", "a/../../away", "con", "bad:name", ""])
def test_a_name_that_leads_away_is_refused_before_anything_runs(comfy_server, name):
    picture().save(comfy_server.base / "input" / "picture.png")
    node = export("raw", name=name)
    answer = comfy_server.post("/prompt", {"prompt": prompt({"out": node})})
    (error,) = answer["node_errors"]["out"]["errors"]
    assert "Give a name like worldstereo/my_world" in error["details"]
