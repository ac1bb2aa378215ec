"""Model files on a real server: merged and saved, applied to other loaders' models, Uni3C, and bad ones."""

from __future__ import annotations

import io
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.comfy.prompts import HEIGHT, WIDTH, picture, workflow

current = pytest.mark.parametrize("comfyui", ["current"], indirect=True)
# Frames of a whole Uni3C clip, and of a short one: 4 k + 1.
WHOLE, SHORT = 81, 17
STOCK = {
    "class_type": "UNETLoader",
    "inputs": {"unet_name": "tiny_wan_i2v.safetensors", "weight_dtype": "default"},
}


@pytest.fixture
def server(comfy_server):
    picture().save(comfy_server.base / "input" / "picture.png")
    return comfy_server


@pytest.fixture
def models(server) -> Path:
    return server.base / "models"


@pytest.fixture
def uni3c(models: Path, tiny_weights: Path) -> str:
    shutil.copyfile(
        tiny_weights / "uni3c_layout_controlnet.safetensors",
        models / "worldstereo" / "tiny-uni3c.safetensors",
    )
    return "tiny-uni3c.safetensors"


def memory_clip(worldstereo: str = "tiny-memory/model.safetensors") -> dict:
    """The camera clip with a memory file: one reference, the first render."""
    prompt = workflow("camera_clip", "preview", "report")
    prompt["model"]["inputs"]["worldstereo"] = worldstereo
    return prompt


def applied(prompt: dict, stock: dict, worldstereo: str, weights: str = "apply") -> dict:
    """The prompt with the loader replaced by another loader and Apply WorldStereo Weights."""
    return {
        **prompt,
        "stock": stock,
        "model": {
            "class_type": "WorldStereo_ApplyWeights",
            "inputs": {"model": ["stock", 0], "worldstereo": worldstereo, "weights": weights},
        },
    }


def saving(**inputs: object) -> dict:
    return {
        "save": {
            "class_type": "WorldStereo_SaveMergedModel",
            "inputs": {
                "backbone": "tiny_wan_i2v.safetensors",
                "worldstereo": "tiny-memory/model.safetensors",
                "dtype": "as stored",
                "save_control": True,
                "filename_prefix": "diffusion_models/merged",
                **inputs,
            },
        }
    }


def frames_of(server, run, node: str = "preview") -> np.ndarray:
    images = [Image.open(io.BytesIO(server.view(file))).convert("RGB") for file in run.files(node)]
    return np.stack([np.asarray(image) for image in images])


def refusal(server, prompt: dict, node: str) -> str:
    """What the node says; the server must still answer after it."""
    error = server.run_expecting_error(prompt)
    assert error["node_id"] == node, error
    assert error["exception_type"].endswith(("CheckpointError", "WorldStereoError", "PathError")), error
    return error["exception_message"].strip()


def test_the_loader_says_on_the_node_what_the_file_is_and_needs(server):
    run = server.run(memory_clip())
    text = run.outputs["model"]["text"][0]
    assert text == run.outputs["report"]["text"][0]
    assert "This is a WorldStereo memory model" in text
    assert "Beside it: a Wan 2.1 I2V backbone of width 256, wan_2.1_vae, umt5_xxl" in text
    assert "Applied to tiny_wan_i2v.safetensors (Wan 2.1 image to video, width 256): 30 of its" in text


def test_every_way_to_the_weights_gives_the_same_clip(server):
    """Loader; saved file in core's loader with the saved control; weights applied to the stock model."""
    expected = frames_of(server, server.run(memory_clip()))
    shutil.rmtree(server.base / "output" / "diffusion_models", ignore_errors=True)
    saved = server.run(saving())
    assert "Saved merged_00001_.safetensors with the backbone" in saved.outputs["save"]["text"][0]
    merged = {**STOCK, "inputs": {"unet_name": "merged_00001_.safetensors", "weight_dtype": "default"}}
    control = "merged_00001_.safetensors"
    again = server.run(applied(memory_clip(), merged, control, "control only"))
    assert np.array_equal(frames_of(server, again), expected)
    onto = server.run(applied(memory_clip(), STOCK, "tiny-memory/model.safetensors"))
    assert np.array_equal(frames_of(server, onto), expected)
    without = server.run(applied(memory_clip(), STOCK, control, "control only"))
    assert not np.array_equal(frames_of(server, without), expected), "the weights must matter"


@current
def test_a_merged_file_has_native_names_in_the_types_asked_for(server, models):
    base = load_file(models / "diffusion_models" / "tiny_wan_i2v.safetensors")
    for dtype, block, other in (("fp16", "F16", "F16"), ("fp8_e4m3fn", "F8_E4M3", "BF16")):
        run = server.run(saving(dtype=dtype, save_control=False, filename_prefix=f"diffusion_models/{dtype}"))
        path = server.base / "output" / "diffusion_models" / run.outputs["save"]["files"][0]["filename"]
        with safe_open(path, framework="pt") as file:
            assert set(file.keys()) == set(base)
            assert file.get_slice("blocks.0.self_attn.q.weight").get_dtype() == block
            assert file.get_slice("head.modulation").get_dtype() == other


@current
def test_a_complete_file_is_saved_without_a_backbone(server):
    run = server.run(saving(backbone="none", worldstereo="tiny-memory-dmd/model.safetensors"))
    assert "complete and brings its own backbone" in run.outputs["save"]["text"][0]
    name = run.outputs["save"]["files"][0]["filename"]
    expected = memory_clip("tiny-memory-dmd/model.safetensors")
    expected["model"]["inputs"]["backbone"] = "none"
    prompt = memory_clip(name)  # the control file has the model's name in a folder of its own
    prompt["model"]["inputs"]["backbone"] = name
    run = server.run(prompt)
    report = run.outputs["report"]["text"][0]
    assert "memory-dmd model" in report and "no weight of it is changed" in report
    assert np.array_equal(frames_of(server, run), frames_of(server, server.run(expected)))


@current
def test_a_folder_that_cannot_be_written_leaves_nothing(server):
    blocked = server.base / "output" / "blocked"
    blocked.write_text("a file where the folder should be")
    message = refusal(server, saving(filename_prefix="blocked/merged"), "save")
    assert message.startswith("filename_prefix: ")
    assert not list((server.base / "output").rglob("*.part*"))


def uni3c_clip(uni3c: str, loader: str = "WorldStereo_LoadModel", frames: int = SHORT) -> dict:
    """Uni3C as it is used on stock Wan: a render, mask and rays per video frame, core's conditioning and
    sampler."""
    prompt = workflow("camera_clip", "preview", "report")
    prompt["trajectory"]["inputs"]["frames"] = frames
    prompt["condition"]["inputs"]["frames"] = (frames - 1) // 4 + 1
    prompt["first_frame"] = {
        "class_type": "WanImageToVideo",
        "inputs": {
            "positive": ["positive", 0],
            "negative": ["negative", 0],
            "vae": ["vae", 0],
            "width": WIDTH,
            "height": HEIGHT,
            "length": frames,
            "batch_size": 1,
            "clip_vision_output": ["clip_vision", 0],
            "start_image": ["picture", 0],
        },
    }
    prompt["sampled"] = {
        "class_type": "KSampler",
        "inputs": {
            "model": ["controlled", 0],
            "seed": 3,
            "steps": 2,
            "cfg": 1.0,
            "sampler_name": "euler",
            "scheduler": "simple",
            "positive": ["first_frame", 0],
            "negative": ["first_frame", 1],
            "latent_image": ["first_frame", 2],
            "denoise": 1.0,
        },
    }
    prompt["images"]["inputs"]["samples"] = ["sampled", 0]
    for unused in ("guider", "noise", "sigmas", "sampler", "key_frames"):
        prompt.pop(unused)
    if loader == "WorldStereo_ApplyWeights":
        return applied(prompt, STOCK, uni3c)
    prompt["model"]["inputs"]["worldstereo"] = uni3c
    return prompt


@current
def test_uni3c_makes_a_video_on_stock_wan(server, uni3c):
    clips = []
    for loader in ("WorldStereo_LoadModel", "WorldStereo_ApplyWeights"):
        run = server.run(uni3c_clip(uni3c, loader, WHOLE))
        assert "This is a Uni3C control" in run.outputs["report"]["text"][0]
        assert "no weight of it is changed" in run.outputs["report"]["text"][0]
        clips.append(frames_of(server, run))
    assert clips[0].shape == (WHOLE, HEIGHT, WIDTH, 3)
    assert np.array_equal(*clips)


@current
def test_uni3c_with_holes_alone_needs_no_rays(server, uni3c, models, tiny_weights):
    tensors = load_file(models / "worldstereo" / uni3c)
    tensors |= load_file(tiny_weights / "uni3c_layout_mask1_override.safetensors")
    save_file(tensors, models / "worldstereo" / "tiny-uni3c-holes.safetensors")
    prompt = uni3c_clip("tiny-uni3c-holes.safetensors")
    run = server.run(prompt)
    assert "takes the hole mask alone, one per video frame" in run.outputs["report"]["text"][0]
    clip = frames_of(server, run)
    assert len(clip) == SHORT
    prompt["controlled"]["inputs"]["strength"] = 0.0
    assert not np.array_equal(frames_of(server, server.run(prompt)), clip), "the control must act"


@current
def test_wan_22_takes_uni3c_without_clip_vision_and_refuses_an_overlay(server, uni3c, models):
    base = load_file(models / "diffusion_models" / "tiny_wan_i2v.safetensors")
    lacking = {key: value for key, value in base.items() if "_img" not in key and "img_emb" not in key}
    save_file(lacking, models / "diffusion_models" / "tiny_wan22.safetensors")
    prompt = uni3c_clip(uni3c)
    prompt["model"]["inputs"]["backbone"] = "tiny_wan22.safetensors"
    del prompt["first_frame"]["inputs"]["clip_vision_output"], prompt["clip_vision"]
    run = server.run(prompt)
    report = run.outputs["report"]["text"][0]
    assert "no CLIP vision" in report and "high-noise model" in report
    assert len(run.files("preview")) == SHORT
    overlay = memory_clip()
    overlay["model"]["inputs"]["backbone"] = "tiny_wan22.safetensors"
    message = refusal(server, overlay, "model")
    assert message.startswith("backbone: ") and "this is Wan 2.2 image to video" in message


class _Code:
    def __reduce__(self):
        return (print, ("this must not run",))


def _bad_contents(good: bytes) -> dict[str, bytes]:
    return {
        "empty": b"",
        "text": b"This is a text file that somebody renamed.\n" * 4,
        "truncated": good[: len(good) * 2 // 3],
        "pickled": pickle.dumps(_Code()),
    }


@current
@pytest.mark.parametrize("node", ["LoadModel", "ApplyWeights", "SaveMergedModel"])
@pytest.mark.parametrize("name", ["worldstereo", "backbone"])
def test_bad_model_files_are_refused_by_the_name_of_their_input(server, models, node, name):
    if (node, name) == ("ApplyWeights", "backbone"):
        return  # it takes a MODEL
    folder = models / ("worldstereo" if name == "worldstereo" else "diffusion_models")
    good = models / "worldstereo" / "tiny-memory" / "model.safetensors"
    contents = _bad_contents(good.read_bytes())
    contents["family"] = (models / "vae" / "tiny_wan_vae.safetensors").read_bytes()
    for kind, content in contents.items():
        bad = f"bad_{node}_{kind}.safetensors"
        (folder / bad).write_bytes(content)
        (folder / bad).with_suffix(".pth").write_bytes(content)
        files = [bad, bad.replace(".safetensors", ".pth")] if kind == "pickled" else [bad]
        for file in files:
            prompt = _prompt_for(node, name, file)
            message = refusal(server, prompt, "node")
            assert message.startswith(f"{name}: {file}: "), message
            assert message.endswith("."), message
    assert "this must not run" not in server.log()


def _prompt_for(node: str, name: str, file: str) -> dict:
    inputs: dict = {
        "backbone": "tiny_wan_i2v.safetensors",
        "worldstereo": "tiny-memory/model.safetensors",
        "weight_dtype": "default",
        name: file,
    }
    prompt: dict = {"show": {"class_type": "PreviewAny", "inputs": {"source": ["node", 1]}}}
    if node == "ApplyWeights":
        prompt["stock"] = STOCK
        inputs = {"model": ["stock", 0], "worldstereo": file, "weights": "apply"}
    elif node == "SaveMergedModel":
        inputs = saving(**{name: file})["save"]["inputs"]
    return {**prompt, "node": {"class_type": f"WorldStereo_{node}", "inputs": inputs}}


@current
@pytest.mark.parametrize(
    ("node", "suffix", "output"),
    [
        ("LoadDepth", ".npz", 0),
        ("LoadDepth", ".exr", 0),
        ("LoadDepth", ".png", 0),
        ("LoadMemory", ".safetensors", 0),
        ("LoadTrajectory", ".json", 1),
    ],
)
def test_bad_input_files_are_refused_and_named(server, models, node, suffix, output):
    family = (models / "vae" / "tiny_wan_vae.safetensors").read_bytes()
    for kind, content in _bad_contents(b"{" + bytes(600)).items() | {("family", family)}:
        file = f"bad_{kind}{suffix}"
        (server.base / "input" / file).write_bytes(content)
        prompt = {
            "node": {
                "class_type": f"WorldStereo_{node}",
                "inputs": {"file": file, **_defaults(server, node)},
            },
            "show": {"class_type": "PreviewAny", "inputs": {"source": ["node", output]}},
        }
        message = refusal(server, prompt, "node")
        assert file in message, message
    assert "this must not run" not in server.log()


def _defaults(server, node: str) -> dict:
    """What the node's other inputs are when nobody touches them."""
    required = server.object_info(f"WorldStereo_{node}")["input"]["required"]
    chosen = {}
    for name, spec in required.items():
        options = spec[1] if len(spec) > 1 else {}
        if name != "file":
            chosen[name] = options.get("default", (options.get("options") or spec[0])[0])
    return chosen
