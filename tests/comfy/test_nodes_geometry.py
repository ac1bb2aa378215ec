"""Nodes that cost seconds, on a real server: memory, trajectory, render, references, files in and out."""

from __future__ import annotations

import io
import json
import time

import numpy as np
import pytest
from PIL import Image

from tests.comfy.prompts import HEIGHT, WIDTH, picture, workflow

current = pytest.mark.parametrize("comfyui", ["current"], indirect=True)


@pytest.fixture
def server(comfy_server):
    picture().save(comfy_server.base / "input" / "picture.png")
    return comfy_server


def test_a_picture_becomes_a_memory_that_is_rendered_inspected_and_saved(server):
    run = server.run(workflow("geometry"))

    frames = Image.open(io.BytesIO(server.view(run.files("render")[0])))
    assert frames.n_frames == 5 and frames.size == (WIDTH, HEIGHT)
    assert run.outputs["render"]["animated"] == [True]
    assert "points, 1 view" in run.outputs["summary"]["text"][0]
    assert "1 median depth = 2.984 scene units" in run.outputs["trajectory"]["text"][0]
    assert len(run.files("references")) == 1

    saved = {name: run.files(name)[0]["filename"] for name in ("saved_memory", "saved_trajectory", "ply")}
    assert saved["saved_memory"].endswith(".safetensors")
    assert server.view(run.files("ply")[0]).startswith(b"ply\nformat binary_little_endian")
    camera = json.loads(server.view(run.files("saved_trajectory")[0]))
    assert len(camera["extrinsic"]) == 5 and (camera["height"], camera["width"]) == (HEIGHT, WIDTH)
    assert not list((server.base / "output").rglob("*.part*"))


def test_saved_files_are_numbered_and_can_be_loaded_again(server):
    names = ("saved_memory", "saved_trajectory")
    first = server.run(workflow("geometry", *names))
    prompt = workflow("geometry", *names)
    for name in names:
        prompt[name]["inputs"]["filename_prefix"] += "_again"
    server.run(prompt)

    offered = server.object_info("WorldStereo_LoadMemory")["input"]["required"]["file"]
    memory_file = f"worldstereo/{first.files('saved_memory')[0]['filename']} [output]"
    assert memory_file in str(offered)
    prompt = {
        "memory": {"class_type": "WorldStereo_LoadMemory", "inputs": {"file": memory_file}},
        "trajectory": {
            "class_type": "WorldStereo_LoadTrajectory",
            "inputs": {
                "file": f"worldstereo/{first.files('saved_trajectory')[0]['filename']} [output]",
                "frames": 3,
                "width": 48,
                "height": 32,
            },
        },
        "render": {
            "class_type": "WorldStereo_RenderMemory",
            "inputs": {
                "memory": ["memory", 0],
                "trajectory": ["trajectory", 0],
                "radius": 0.02,
                "points_per_pixel": 8,
                "min_confidence": 0.0,
            },
        },
    }
    frames = Image.open(io.BytesIO(server.view(server.run(prompt).files("render")[0])))
    assert frames.n_frames == 3 and frames.size == (48, 32)


def test_the_render_at_the_start_camera_is_the_picture(server):
    prompt = workflow("geometry", "render")
    prompt["trajectory"]["inputs"].update(preset="static", frames=2)
    prompt["memory"]["inputs"]["edge_threshold"] = 0.0
    del prompt["render"]["inputs"]["first_frame"]
    prompt["render"]["inputs"]["radius"] = 0.01
    prompt["frames"] = {"class_type": "PreviewImage", "inputs": {"images": ["render", 0]}}
    run = server.run(prompt)
    rendered = np.asarray(Image.open(io.BytesIO(server.view(run.files("frames")[1]))).convert("RGB"))
    assert np.abs(rendered.astype(int) - np.asarray(picture()).astype(int)).max() <= 3


@current
def test_depth_files_stand_in_for_an_estimator(server):
    depth = np.full((HEIGHT, WIDTH), 2.0, np.float32)
    K = np.array([[80, 0, WIDTH / 2], [0, 80, HEIGHT / 2], [0, 0, 1]], np.float32)
    np.savez(server.base / "input" / "depth.npz", depth=depth, K=K)
    prompt = workflow("geometry", "summary")
    prompt["geometry"] = {
        "class_type": "WorldStereo_LoadDepth",
        "inputs": {"file": "depth.npz", "scale": 3.0, "kind": "depth", "fov_deg": 0.0},
    }
    prompt["preview"] = {"class_type": "PreviewImage", "inputs": {"images": ["geometry", 1]}}
    # Core's own node takes the geometry too.
    prompt["moge"] = {
        "class_type": "MoGeRender",
        "inputs": {"moge_geometry": ["geometry", 0], "output": "depth"},
    }
    prompt["moge_preview"] = {"class_type": "PreviewImage", "inputs": {"images": ["moge", 0]}}
    run = server.run(prompt)
    assert "median depth of the input image 6 scene units" in run.outputs["summary"]["text"][0]
    assert len(run.files("moge_preview")) == 1


@current
def test_a_depth_picture_needs_a_field_of_view(server):
    prompt = workflow("geometry", "summary")
    prompt["memory"]["inputs"]["geometry"] = ["picture", 0]
    del prompt["geometry"]
    error = server.run_expecting_error(prompt)
    assert error["node_id"] == "memory"
    assert "fov_deg: 0 takes the field of view from the geometry" in error["exception_message"]
    prompt["memory"]["inputs"]["fov_deg"] = 60.0
    assert server.run(prompt).outputs["summary"]["text"]


@current
def test_a_picture_is_fitted_to_the_nearest_released_size(server):
    picture(90, 170).save(server.base / "input" / "wide.png")
    prompt = {
        "picture": {"class_type": "LoadImage", "inputs": {"image": "wide.png"}},
        "fit": {
            "class_type": "WorldStereo_FitImage",
            "inputs": {"image": ["picture", 0], "resolution": "auto", "fit": "crop"},
        },
        "preview": {"class_type": "PreviewImage", "inputs": {"images": ["fit", 0]}},
    }
    run = server.run(prompt)
    assert Image.open(io.BytesIO(server.view(run.files("preview")[0]))).size == (768, 480)


def camera_file(server, name: str, **changes) -> str:
    content = {
        "extrinsic": [np.eye(4).tolist()] * 3,
        "intrinsic": [[[80, 0, WIDTH / 2], [0, 80, HEIGHT / 2], [0, 0, 1]]] * 3,
        "width": WIDTH,
        "height": HEIGHT,
        **changes,
    }
    (server.base / "input" / name).write_text(json.dumps(content))
    return name


def load_trajectory(file: str) -> dict:
    return {
        "trajectory": {
            "class_type": "WorldStereo_LoadTrajectory",
            "inputs": {"file": file, "frames": 3, "width": 0, "height": 0},
        },
        "saved": {
            "class_type": "WorldStereo_SaveTrajectory",
            "inputs": {
                "trajectory": ["trajectory", 0],
                "filename_prefix": "bad/camera",
                "format": "camera_json",
            },
        },
    }


@current
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"extrinsic": [np.diag([2.0, 2, 2, 1]).tolist()] * 3}, "not rigid"),
        ({"extrinsic": [np.full((4, 4), np.nan).tolist()] * 3}, "finite"),
        ({"width": 4 * WIDTH, "height": 4 * HEIGHT}, "principal point"),
    ],
)
def test_unusable_cameras_are_refused_and_nothing_is_written(server, changes, sentence):
    name = camera_file(server, "bad_camera.json", **changes)
    error = server.run_expecting_error(load_trajectory(name))
    assert error["node_id"] == "trajectory" and sentence in error["exception_message"]
    assert not list((server.base / "output" / "bad").glob("*"))


@current
@pytest.mark.parametrize("name", ["absent.json", "../models/secret.json"])
def test_a_missing_or_outside_file_is_refused_before_anything_runs(server, name):
    with pytest.raises(RuntimeError) as refused:
        server.submit(load_trajectory(name))
    text = str(refused.value)
    assert "there is no file" in text or "lies outside" in text


@current
def test_a_changed_file_is_read_again(server):
    name = camera_file(server, "changing.json")
    prompt = load_trajectory(name)
    server.run(prompt)
    camera_file(
        server, name, width=2 * WIDTH, intrinsic=[[[80, 0, WIDTH], [0, 80, HEIGHT / 2], [0, 0, 1]]] * 3
    )
    saved = server.run(prompt).files("saved")[0]
    assert json.loads(server.view(saved))["width"] == 2 * WIDTH


@current
def test_empty_depth_is_refused(server):
    np.save(server.base / "input" / "empty.npy", np.zeros((HEIGHT, WIDTH), np.float32))
    prompt = workflow("geometry", "summary")
    prompt["geometry"] = {
        "class_type": "WorldStereo_LoadDepth",
        "inputs": {"file": "empty.npy", "scale": 1.0, "kind": "depth", "fov_deg": 60.0},
    }
    error = server.run_expecting_error(prompt)
    assert error["node_type"] in ("WorldStereo_LoadDepth", "WorldStereo_CreateMemory")
    assert "data" in error["exception_message"]


@current
def test_depth_of_another_size_is_refused(server):
    picture(32, 48).save(server.base / "input" / "small.png")
    prompt = workflow("geometry", "summary")
    prompt["small"] = {"class_type": "LoadImage", "inputs": {"image": "small.png"}}
    prompt["geometry"]["inputs"]["image"] = ["small", 0]
    error = server.run_expecting_error(prompt)
    assert error["node_id"] == "memory" and "expected 64 x 96" in error["exception_message"]


@current
@pytest.mark.parametrize("prefix", ["../outside", "bad:name", "."])
def test_a_name_outside_the_output_folder_is_refused(server, prefix):
    prompt = workflow("geometry", "saved_memory")
    prompt["saved_memory"]["inputs"]["filename_prefix"] = prefix
    error = server.run_expecting_error(prompt)
    assert error["exception_message"].startswith("filename_prefix:")


@current
def test_a_damaged_memory_file_is_refused(server):
    run = server.run(workflow("geometry", "saved_memory"))
    whole = server.view(run.files("saved_memory")[0])
    (server.base / "input" / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    prompt = {
        "memory": {"class_type": "WorldStereo_LoadMemory", "inputs": {"file": "cut.safetensors"}},
        "summary": {"class_type": "WorldStereo_InspectMemory", "inputs": {"memory": ["memory", 0]}},
    }
    error = server.run_expecting_error(prompt)
    assert "cut.safetensors" in error["exception_message"] and "damaged" in error["exception_message"]


@current
def test_a_running_render_can_be_cancelled(server):
    prompt = workflow("geometry", "render")
    prompt["trajectory"]["inputs"]["frames"] = 1024
    prompt["render"]["inputs"].update(points_per_pixel=64, radius=0.1)
    prompt_id = server.submit(prompt)
    time.sleep(1.5)
    began = time.monotonic()
    server.interrupt(prompt_id)
    assert server.wait(prompt_id, 30).interrupted
    assert time.monotonic() - began < 10


@current
@pytest.mark.parametrize(
    "format", ["camera_json", "nerfstudio", "colmap", "gltf", "blender", "chan", "after_effects", "csv"]
)
def test_cameras_leave_for_other_programs_and_come_back(server, format):
    saving = {
        "trajectory": {
            "class_type": "WorldStereo_LoadTrajectory",
            "inputs": {"file": camera_file(server, "exported.json"), "frames": 3, "width": 0, "height": 0},
        },
        "saved": {
            "class_type": "WorldStereo_SaveTrajectory",
            "inputs": {"trajectory": ["trajectory", 0], "filename_prefix": f"x/{format}", "format": format},
        },
        "shown": {"class_type": "PreviewAny", "inputs": {"source": ["saved", 0]}},
    }
    result = server.run(saving)
    name = result.outputs["shown"]["text"][0]
    assert f"x/{format}" in name
    if format == "blender":  # Blender writes camera.json back by a script of its own
        return
    loading = {
        "trajectory": {
            "class_type": "WorldStereo_LoadTrajectory",
            "inputs": {"file": name, "frames": 0, "width": WIDTH, "height": HEIGHT},
        },
        "shown": {"class_type": "PreviewAny", "inputs": {"source": ["trajectory", 1]}},
    }
    assert "3 frames" in server.run(loading).outputs["shown"]["text"][0]
