"""Whole clips on a real server with tiny weights, and every mistake the issue names."""

from __future__ import annotations

import copy
import io
import json
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.comfy.prompts import FRAMES, HEIGHT, WIDTH, picture, workflow

current = pytest.mark.parametrize("comfyui", ["current"], indirect=True)


@pytest.fixture
def server(comfy_server):
    picture().save(comfy_server.base / "input" / "picture.png")
    return comfy_server


def frames_of(server, run, node: str) -> np.ndarray:
    images = [Image.open(io.BytesIO(server.view(file))).convert("RGB") for file in run.files(node)]
    return np.stack([np.asarray(image) for image in images])


def refuse(server, prompt: dict, node: str, *sentences: str) -> None:
    """The prompt must fail at one node, with the sentences, and the server must still answer."""
    error = server.run_expecting_error(prompt)
    assert error["node_id"] == node, error
    for sentence in sentences:
        assert sentence in error["exception_message"]
    assert server.get("/system_stats")


def test_one_clip_of_a_memory_model_in_four_steps(server):
    run = server.run(workflow("one_clip"))
    frames = frames_of(server, run, "preview")
    assert frames.shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert frames.std() > 0
    assert "memory-dmd" in run.outputs["report"]["text"][0]


def test_two_clips_grow_the_memory_between_them_and_end_in_a_point_cloud(server):
    run = server.run(workflow("two_clips"))
    assert frames_of(server, run, "preview_2").shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert "clip_01: 2 views added" in run.outputs["grown_report"]["text"][0]
    summary = run.outputs["summary"]["text"][0]
    assert ", 5 views" in summary and "left: 2 views added" in summary
    ply = server.view(run.files("ply")[0])
    assert ply.startswith(b"ply\nformat binary_little_endian")
    assert int(summary.split(" points")[0].replace(",", "")) == int(
        ply.split(b"element vertex ")[1].split()[0]
    )


def test_a_clip_of_the_camera_model_with_guidance_and_unipc(server):
    run = server.run(workflow("camera_clip"))
    assert frames_of(server, run, "preview").shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert "camera" in run.outputs["report"]["text"][0]


@current
def test_a_uni3c_file_takes_four_renders_per_key_frame(server, tiny_weights):
    source = tiny_weights / "uni3c_layout_controlnet.safetensors"
    if not source.is_file():
        pytest.skip(f"no {source.name} among the tiny weights")
    target = server.base / "models" / "worldstereo" / "tiny-uni3c.safetensors"
    target.write_bytes(source.read_bytes())
    prompt = workflow("camera_clip", "preview", "report")
    prompt["model"]["inputs"]["worldstereo"] = target.name
    prompt["trajectory"]["inputs"]["frames"] = 4 * (FRAMES - 1) + 1
    run = server.run(prompt)
    assert "one per video frame" in run.outputs["report"]["text"][0]
    assert len(run.files("preview")) == FRAMES
    prompt["trajectory"]["inputs"]["frames"] = FRAMES
    refuse(server, prompt, "condition", "render: got 5 frames, expected 17")


@current
def test_the_control_changes_the_clip_and_strength_zero_is_the_model_alone(server):
    with_control = frames_of(server, server.run(workflow("camera_clip", "preview")), "preview")
    prompt = workflow("camera_clip", "preview")
    prompt["controlled"]["inputs"]["strength"] = 0.0
    without = frames_of(server, server.run(prompt), "preview")
    prompt["guider"]["inputs"]["model"] = ["model", 0]
    alone = frames_of(server, server.run(prompt), "preview")
    assert (without == alone).all()
    assert np.abs(with_control.astype(int) - without.astype(int)).mean() > 1


@current
def test_sigmas_from_control_are_those_of_the_file(server):
    by_hand = frames_of(server, server.run(workflow("one_clip", "preview")), "preview")
    prompt = workflow("one_clip", "preview")
    # Steps and shift of the widgets do not count then.
    prompt["sigmas"]["inputs"] = {
        "schedule": "from control",
        "steps": 1,
        "shift": 1.0,
        "control": ["model", 1],
    }
    assert (frames_of(server, server.run(prompt), "preview") == by_hand).all()


@current
def test_a_memory_model_without_references_takes_the_first_render_and_says_so(server):
    prompt = workflow("one_clip", "preview")
    del prompt["condition"]["inputs"]["references"]
    server.run(prompt)
    assert "the first rendered frame is the memory model's only reference" in server.log()


@current
def test_references_on_a_camera_model_are_ignored_and_that_is_said(server):
    whole = workflow("one_clip")
    prompt = workflow("camera_clip", "preview")
    prompt["references"] = whole["references"]
    prompt["condition"]["inputs"]["references"] = ["references", 0]
    server.run(prompt)
    assert "views ignored" in server.log()


@current
def test_guidance_on_a_distilled_model_works_and_is_said_once(server):
    said = "CFG is above 1 with a memory-dmd file"
    before = server.log().count(said)
    prompt = workflow("one_clip", "preview")
    prompt["guider"]["inputs"]["cfg"] = 2.0
    assert len(server.run(prompt).files("preview")) == FRAMES
    assert server.log().count(said) == before + 1


@current
def test_a_missing_clip_vision_is_said(server):
    prompt = workflow("one_clip", "preview")
    del prompt["first_frame"]["inputs"]["clip_vision_output"]
    server.run(prompt)
    assert "the conditioning has no clip_vision_output" in server.log()


@current
def test_eighty_one_poses_are_sampled_down_to_the_key_frames_and_that_is_said(server):
    prompt = workflow("two_clips", "preview", "grown_report")
    prompt["trajectory"]["inputs"]["frames"] = 17
    run = server.run(prompt)
    assert "2 views added (frames 2, 4)" in run.outputs["grown_report"]["text"][0]
    assert "17 renders are sampled down to 5" in server.log()
    assert "17 frames and is sampled down to 5" in server.log()


@current
def test_parts_of_a_clip_run_alone_and_the_rest_comes_from_the_cache(server):
    prompt = workflow("one_clip", "render", "references")
    assert "sampled" not in prompt
    server.run(prompt)
    again = server.run(prompt)
    assert {"memory", "trajectory", "render"} <= set(again.cached)


@current
def test_a_running_clip_can_be_cancelled(server):
    prompt = workflow("camera_clip", "preview")
    prompt["sigmas"]["inputs"]["steps"] = 400
    prompt["noise"]["inputs"]["noise_seed"] = 5
    prompt_id = server.submit(prompt)
    time.sleep(2)
    server.interrupt(prompt_id)
    assert server.wait(prompt_id, 30).interrupted
    assert server.run(workflow("camera_clip", "preview")).files("preview")


# Bad input: each a sentence on the right node.


def write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    header, data = {}, b""
    for name, array in tensors.items():
        raw = np.ascontiguousarray(array, np.float32).tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": offsets}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@current
def test_a_missing_backbone_is_named(server):
    prompt = workflow("camera_clip", "preview")
    prompt["model"]["inputs"]["backbone"] = "none"
    refuse(server, prompt, "model", "backbone: got none", "Choose the Wan 2.1 image-to-video model")


@current
@pytest.mark.parametrize(
    ("channels", "width", "sentence"),
    [(16, 256, "text-to-video"), (48, 256, "Wan 2.2"), (36, 384, "width")],
)
def test_a_wrong_backbone_is_refused(server, channels, width, sentence):
    name = f"wrong_{channels}_{width}.safetensors"
    tensors = {
        "patch_embedding.weight": np.zeros((width, channels, 1, 2, 2)),
        "head.modulation": np.zeros((1, 2, width)),
        "blocks.0.cross_attn.k_img.weight": np.zeros((width, width)),
    }
    write_safetensors(server.base / "models" / "diffusion_models" / name, tensors)
    prompt = workflow("camera_clip", "preview")
    prompt["model"]["inputs"]["backbone"] = name
    refuse(server, prompt, "model", "backbone", sentence)


@current
def test_a_file_that_is_no_worldstereo_file_is_refused(server):
    name = "lonely_vae.safetensors"
    write_safetensors(
        server.base / "models" / "worldstereo" / name, {"decoder.conv1.weight": np.zeros((2, 2))}
    )
    prompt = workflow("camera_clip", "preview")
    prompt["model"]["inputs"]["worldstereo"] = name
    refuse(server, prompt, "model", name, "VAE")


@current
def test_a_truncated_worldstereo_file_is_refused(server):
    folder = server.base / "models" / "worldstereo"
    whole = (folder / "tiny-camera" / "model.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    prompt = workflow("camera_clip", "preview")
    prompt["model"]["inputs"]["worldstereo"] = "cut.safetensors"
    refuse(server, prompt, "model", "cut.safetensors")


@current
def test_a_file_without_config_is_understood_from_its_tensors_and_says_what_was_assumed(server):
    folder = server.base / "models" / "worldstereo"
    (folder / "bare.safetensors").write_bytes((folder / "tiny-camera" / "model.safetensors").read_bytes())
    prompt = workflow("camera_clip", "preview", "report")
    prompt["model"]["inputs"]["worldstereo"] = "bare.safetensors"
    run = server.run(prompt)
    assert "Assumed (no config.json or metadata): control head width 64" in run.outputs["report"]["text"][0]
    assert len(run.files("preview")) == FRAMES


@current
def test_control_of_another_size_than_the_model_is_refused(server):
    # A control branch for a backbone of another width, put on the model of the workflow.
    folder = server.base / "models" / "worldstereo"
    from_file = (folder / "tiny-camera" / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", from_file[:8])
    header = json.loads(from_file[8 : 8 + length])
    data = from_file[8 + length :]
    tensors = {}
    for key, entry in header.items():
        if key == "__metadata__":
            continue
        dtype = entry["dtype"]
        first, last = entry["data_offsets"]
        raw = np.frombuffer(data[first:last], np.uint16 if dtype == "BF16" else np.uint32).astype(np.uint32)
        values = (raw << 16 if dtype == "BF16" else raw).view(np.float32).reshape(entry["shape"])
        if key.startswith("controlnet.proj_out."):  # 256 channels out -> 384
            values = np.concatenate([values, values[:128]])
        tensors[key] = values
    write_safetensors(folder / "other_size.safetensors", tensors)
    prompt = workflow("camera_clip", "preview")
    prompt["model"]["inputs"]["worldstereo"] = "other_size.safetensors"
    refuse(server, prompt, "model", "backbone", "384")


@current
def test_a_picture_whose_sides_are_no_multiples_of_16_is_refused(server):
    picture(60, 90).save(server.base / "input" / "odd.png")
    prompt = workflow("one_clip", "preview")
    prompt["picture"]["inputs"]["image"] = "odd.png"
    error = server.run_expecting_error(prompt)
    assert error["node_type"] in ("WorldStereo_EncodeFirstFrame", "WorldStereo_EncodeControl")
    assert "height 60, width 90" in error["exception_message"]
    assert "multiples of 16" in error["exception_message"]


@current
def test_too_few_renders_are_refused_before_any_encoding(server):
    prompt = workflow("one_clip", "preview")
    prompt["condition"]["inputs"]["frames"] = 9
    prompt["references"]["inputs"]["frames"] = 9
    del prompt["condition"]["inputs"]["references"]
    refuse(server, prompt, "condition", "render: got 5 frames, expected 9")


@current
def test_references_of_another_length_are_refused(server):
    prompt = workflow("one_clip", "preview")
    prompt["trajectory"]["inputs"]["frames"] = 9
    prompt["references"]["inputs"]["frames"] = 9
    refuse(server, prompt, "condition", "references: they were retrieved for 9 key frames, expected 5")


@current
def test_a_condition_for_another_clip_than_the_latent_is_refused(server):
    prompt = workflow("one_clip", "preview")
    prompt["first_frame"]["inputs"]["frames"] = 7
    refuse(server, prompt, "sampled", "condition", "7")


@current
def test_a_condition_without_references_is_refused_where_the_control_needs_some(server):
    prompt = workflow("one_clip", "preview")
    prompt["camera_model"] = copy.deepcopy(prompt["model"])
    prompt["camera_model"]["inputs"].update(
        backbone="tiny_wan_i2v.safetensors", worldstereo="tiny-camera/model.safetensors"
    )
    prompt["condition"]["inputs"]["control"] = ["camera_model", 1]
    refuse(server, prompt, "controlled", "zero references")


@current
def test_two_controls_in_a_row_are_refused(server):
    prompt = workflow("one_clip", "preview")
    prompt["again"] = copy.deepcopy(prompt["controlled"])
    prompt["again"]["inputs"]["model"] = ["controlled", 0]
    prompt["guider"]["inputs"]["model"] = ["again", 0]
    refuse(server, prompt, "again", "applied to it already")


@current
def test_key_frames_decoded_as_a_video_are_recognised(server):
    prompt = workflow("two_clips", "grown_report")
    prompt["images"]["inputs"]["samples"] = ["sampled", 0]
    refuse(server, prompt, "grown", "images: got 17 pictures for 5 cameras", "Key Frames to Images")


@current
def test_a_control_of_another_kind_is_refused(server):
    prompt = workflow("one_clip", "preview")
    prompt["sigmas"]["inputs"]["schedule"] = "from control"
    refuse(server, prompt, "sigmas", "control: nothing is connected")
