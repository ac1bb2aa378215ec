"""The shipped templates run on a real server: the small model under the real file names, short clips."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch

from tests.template_files import BLUEPRINT, FRAMES, HEIGHT, ROOT, SMALL, WIDTH, WORKFLOWS, WORLD, write_inputs
from worldstereo_core.commands.comfy_prompt import workflow_to_prompt
from worldstereo_core.commands.comfy_stand_ins import shrink_workflow
from worldstereo_core.commands.template_weights import write_template_weights
from worldstereo_core.training.picture_metrics import masked_psnr
from worldstereo_core.training.worlds.example import draw_example
from worldstereo_core.world.manifest import read_manifest

WRITTEN_WITH = "0.33."  # core nodes gain widgets from version to version
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
WITHOUT_MODEL = ("check_views_and_export_colmap", "export_a_world")
WITH_MODEL = [name for name in NAMES if name not in WITHOUT_MODEL]
# Frames between key frames; four of six clips share a frame with the one before: the fourth starts at the
# input picture again.
VIDEO_FRAMES = {"uni3c_on_stock_wan": 4 * (FRAMES - 1) + 1, "loop_of_six_trajectories": 6 * FRAMES - 4}
# Their clips do not begin with the picture of write_inputs.
START_ELSEWHERE = ("branch_a_world", "panorama_world")
# Have a test of their own.
OTHERS = ("two_clips_and_point_cloud", "export_a_world", "try_it_in_one_minute")
current = pytest.mark.parametrize("comfyui", ["current"], indirect=True)


def read_workflow(name: str) -> dict:
    return json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))


def node_of(prompt: dict, kind: str, nth: int = 0) -> str:
    """Id of the nth node of a class."""
    return [id for id, node in prompt.items() if node["class_type"] == kind][nth]


@pytest.fixture(scope="module")
def server(comfy_server):
    """The server with the small model under the names the templates load, and their other files."""
    write_template_weights(comfy_server.base / "models")
    write_inputs(comfy_server.base)
    return comfy_server


def small_prompt(server, workflow: dict) -> dict:
    schemas = server.object_info()
    return workflow_to_prompt(shrink_workflow(workflow, schemas, SMALL), schemas)


def count_video_frames(content: bytes) -> tuple[int, float]:
    av = pytest.importorskip("av")
    with av.open(io.BytesIO(content)) as video:
        stream = video.streams.video[0]
        return sum(1 for _ in video.decode(stream)), float(stream.average_rate)


def video_frames(content: bytes) -> np.ndarray:
    """[T, H, W, 3] float 0..1."""
    av = pytest.importorskip("av")
    with av.open(io.BytesIO(content)) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    return np.stack(frames).astype(np.float32) / 255


def clip_files(run, prompt: dict) -> list[dict]:
    ids = [id for id, node in prompt.items() if node["class_type"] == "SaveVideo"]
    return [file for id in ids for file in run.files(id)]


@pytest.mark.parametrize("name", [name for name in WITH_MODEL if name not in OTHERS])
def test_a_template_of_one_clip_makes_a_video_of_its_frames(server, name):
    prompt = small_prompt(server, read_workflow(name))
    run = server.run(prompt)
    (file,) = clip_files(run, prompt)
    content = server.view(file)
    assert count_video_frames(content) == (VIDEO_FRAMES.get(name, FRAMES), 16.0)
    if name not in START_ELSEWHERE:
        # The clip begins with the picture: 27 dB with the small model, 12 with random weights.
        first = torch.from_numpy(video_frames(content)[:1]).movedim(-1, 1)
        shown = draw_example(WORLD, *first.shape[-2:]).image
        assert float(masked_psnr(first, shown)) > 20


@pytest.mark.parametrize("name", sorted(set(NAMES) & set(WITHOUT_MODEL)))
def test_a_template_without_a_model_runs_and_every_node_of_it_speaks(server, name):
    workflow = read_workflow(name)
    run = server.run(small_prompt(server, workflow))
    schemas = server.object_info()
    speaking = {
        str(node["id"]) for node in workflow["nodes"] if schemas.get(node["type"], {}).get("output_node")
    }
    assert speaking and speaking <= set(run.outputs)


def test_a_branch_of_a_world_takes_the_clip_in_and_leaves_the_first_world_alone(server):
    folder = server.base / "output" / "worldstereo"
    prompt = small_prompt(server, read_workflow("branch_a_world"))
    run = server.run(prompt)
    clips = [len(read_manifest(folder / name).clips) for name in ("my_world", "my_world_branch")]
    assert clips[0] == 2 and clips[1] >= 3
    assert "3 clips" not in run.outputs[node_of(prompt, "WorldStereo_OpenWorld")]["text"][0]


@current
def test_the_report_says_what_was_loaded(server):
    for name, word in (("one_clip_from_one_image", "memory-dmd"), ("camera_only_from_one_image", "camera")):
        prompt = small_prompt(server, read_workflow(name))
        loader = node_of(prompt, "WorldStereo_LoadModel")
        # A loader whose model is still there says nothing again. A prompt that comes on the heels of the call
        # to free runs before it.
        for _ in range(3):
            server.free()
            run = server.run(prompt)
            if loader in run.outputs:
                break
        assert word in run.outputs[loader]["text"][0]


def test_two_clips_grow_the_memory_and_write_a_point_cloud(server):
    prompt = small_prompt(server, read_workflow("two_clips_and_point_cloud"))
    run = server.run(prompt)
    videos = clip_files(run, prompt)
    assert [count_video_frames(server.view(file)) for file in videos] == [(FRAMES, 16.0)] * 2
    (cloud,) = run.files(node_of(prompt, "WorldStereo_ExportPointCloud"))
    content = server.view(cloud)
    assert content.startswith(b"ply\nformat binary_little_endian")
    # One picture and two clips of which frame 0 is not kept: more points than the picture has pixels.
    assert ply_points(content) > HEIGHT * WIDTH


def test_a_world_is_exported_for_blender_and_supersplat(server):
    prompt = small_prompt(server, read_workflow("export_a_world"))
    run = server.run(prompt)
    output = server.base / "output" / "worldstereo"
    for nth, (folder, files) in enumerate(
        (
            ("for_blender", {"points.ply", "camera.py", "video.mp4", "frames", "scene.json"}),
            ("for_supersplat", {"splats.ply", "camera.json", "scene.json"}),
        )
    ):
        assert {path.name for path in (output / folder).iterdir()} == files
        shown = run.outputs[node_of(prompt, "WorldStereo_ExportWorld", nth)]
        assert {file["filename"] for file in shown["files"]} == files - {"frames"}


def ply_points(content: bytes) -> int:
    header = content[: content.index(b"end_header")].decode()
    return int(header.split("element vertex ")[1].split()[0])


@current
def test_a_second_run_of_a_template_comes_from_the_cache(server):
    prompt = small_prompt(server, read_workflow("one_clip_from_one_image"))
    server.run(prompt)
    assert node_of(prompt, "SamplerCustom") in server.run(prompt).cached


@current
@pytest.mark.parametrize("name", ["one_clip_from_one_image", "two_clips_and_point_cloud"])
def test_the_branch_for_a_longer_video_runs_once_switched_on(server, run_in_comfy, name):
    folder = server.base / "models" / "frame_interpolation"
    folder.mkdir(exist_ok=True)
    # A random RIFE network in the place of FILM, which core builds at full size only.
    run_in_comfy("interpolation_model.py", "write_tiny_rife", path=str(folder / "film_net_fp16.safetensors"))
    workflow = read_workflow(name)
    for node in workflow["nodes"]:
        node["mode"] = 0
    prompt = small_prompt(server, workflow)
    run = server.run(prompt)
    smooth = run.files(node_of(prompt, "SaveVideo", -1))[0]
    clips = 2 * FRAMES - 1 if "two" in name else FRAMES
    assert "smooth" in smooth["filename"]
    assert count_video_frames(server.view(smooth)) == ((clips - 1) * 4 + 1, 16.0)


@current
@pytest.mark.parametrize("name", NAMES)
def test_the_server_offers_a_template_with_its_picture(server, name):
    assert name in server.get("/workflow_templates")["ComfyUI-WorldStereo"]
    folder = "/api/workflow_templates/ComfyUI-WorldStereo"
    assert server.get(f"{folder}/{name}.json")["nodes"]


@current
def test_templates_are_what_the_script_writes_from_this_server(server):
    from scripts.build_workflows import build

    version = server.get("/system_stats")["system"]["comfyui_version"]
    if not version.startswith(WRITTEN_WITH):
        pytest.skip(f"the templates were written with ComfyUI {WRITTEN_WITH}, this is {version}")
    files = [*WORKFLOWS.rglob("*.json"), *(ROOT / "subgraphs").glob("*.json")]
    written = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files}
    assert build(server.object_info()) == written


def test_the_server_offers_the_blueprint(server):
    ours = [
        id
        for id, entry in server.get("/global_subgraphs").items()
        if entry["info"]["node_pack"] == "custom_nodes.ComfyUI-WorldStereo"
    ]
    (blueprint,) = [server.get(f"/global_subgraphs/{id}") for id in ours]
    assert blueprint["name"] == BLUEPRINT.stem
    assert blueprint["data"] == BLUEPRINT.read_text(encoding="utf-8")
