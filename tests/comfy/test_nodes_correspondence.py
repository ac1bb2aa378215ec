"""Nodes about what views share, on a real server: warped views, drawn matches, exported tracks."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.comfy.prompts import HEIGHT, WIDTH, picture, workflow


def grown_prompt() -> dict:
    """A memory of three views, and every node that compares them."""
    prompt = workflow("geometry", "render")
    # A slope over so few pixels would count as one large edge.
    prompt["memory"]["inputs"]["edge_threshold"] = 0.0
    prompt["depths"] = {
        "class_type": "WorldStereoDev_Geometry",
        "inputs": {"image": ["render", 0], "near": 2.0, "far": 4.0, "fov_deg": 60.0},
    }
    prompt["grown"] = {
        "class_type": "WorldStereo_UpdateMemory",
        "inputs": {
            "memory": ["memory", 0],
            "images": ["render", 0],
            "trajectory": ["trajectory", 0],
            "keep_frames": 2,
            "clip_name": "",
            "geometry": ["depths", 0],
        },
    }
    prompt["references"] = {
        "class_type": "WorldStereo_RetrieveReferences",
        "inputs": {
            "memory": ["grown", 0],
            "trajectory": ["trajectory", 0],
            "max_references": 2,
            "method": "visible points",
            "frames": 5,
        },
    }
    warp = {"memory": ["grown", 0], "trajectory": ["trajectory", 0], "max_views": 2, "sharpness": 2.0}
    warp |= {"tolerance": 0.1, "radius": 0.03, "references": ["references", 0]}
    prompt["warped"] = {"class_type": "WorldStereo_WarpViews", "inputs": warp}
    alone = {**warp, "memory": ["memory", 0]}
    del alone["references"]
    prompt["alone"] = {"class_type": "WorldStereo_WarpViews", "inputs": alone}
    prompt["frames"] = {"class_type": "PreviewImage", "inputs": {"images": ["alone", 0]}}
    matches = {"memory": ["grown", 0], "first": 0, "second": 1, "lines": 20, "tolerance": 0.1}
    prompt["matches"] = {"class_type": "WorldStereo_MatchViews", "inputs": {**matches, "style": "lines"}}
    prompt["colours"] = {"class_type": "WorldStereo_MatchViews", "inputs": {**matches, "style": "colour map"}}
    prompt["tracks"] = {
        "class_type": "WorldStereo_ExportCorrespondences",
        "inputs": {
            "memory": ["grown", 0],
            "filename_prefix": "tracks/world",
            "max_points": 2000,
            "min_views": 2,
            "model": "COLMAP text",
            "tolerance": 0.1,
        },
    }
    return prompt


def test_views_are_matched_warped_and_exported(comfy_server):
    picture().save(comfy_server.base / "input" / "picture.png")
    run = comfy_server.run(grown_prompt())

    assert 1 <= len(run.files("references")) <= 2
    moving = Image.open(io.BytesIO(comfy_server.view(run.files("warped")[0])))
    assert moving.n_frames == 5 and moving.size == (WIDTH, HEIGHT)
    assert "5 frames from" in run.outputs["warped"]["text"][0]
    # Frame 0 is the start camera: the input image alone, carried over to itself.
    first = Image.open(io.BytesIO(comfy_server.view(run.files("frames")[0]))).convert("RGB")
    error = np.abs(np.asarray(first).astype(int) - np.asarray(picture()).astype(int))
    assert np.median(error) <= 3
    for node in ("matches", "colours"):
        drawn = Image.open(io.BytesIO(comfy_server.view(run.files(node)[0])))
        assert drawn.size == (2 * round(480 * WIDTH / HEIGHT) + 8, 480)
        assert "sees" in run.outputs[node]["text"][0]

    folders = sorted((comfy_server.base / "output" / "tracks").iterdir())
    assert str(folders[-1]) in run.outputs["tracks"]["text"][0]
    names = {path.relative_to(folders[-1]).as_posix() for path in folders[-1].rglob("*") if path.is_file()}
    assert {"sparse/0/points3D.txt", "sparse/0/images.txt", "correspondences.npz"} <= names
    assert sum(name.startswith("images/") for name in names) == 3


@pytest.mark.parametrize("comfyui", ["current"], indirect=True)
def test_a_second_export_gets_a_folder_of_its_own_and_a_lonely_view_is_refused(comfy_server):
    picture().save(comfy_server.base / "input" / "picture.png")
    prompt = workflow("geometry", "memory")
    export = {"memory": ["memory", 0], "filename_prefix": "lonely/world", "max_points": 100, "min_views": 2}
    prompt["tracks"] = {
        "class_type": "WorldStereo_ExportCorrespondences",
        "inputs": {**export, "model": "COLMAP binary"},
    }
    error = comfy_server.run_expecting_error(prompt)
    assert "min_views: none of 100 points is seen by 2 of 1 views" in error["exception_message"]
    assert not list((comfy_server.base / "output").glob("lonely/*"))
    prompt["tracks"]["inputs"]["min_views"] = 1
    comfy_server.run(prompt)
    prompt["tracks"]["inputs"]["max_points"] = 99
    comfy_server.run(prompt)
    folders = [path.name for path in sorted((comfy_server.base / "output" / "lonely").iterdir())]
    assert folders == ["world_00001_", "world_00002_"]
