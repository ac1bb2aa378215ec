"""Cancel takes effect within two seconds in every node with a loop, and every loop moves the bar.

A prompt is interrupted after its node has reported the first step of many: the time to
`execution_interrupted` is measured at the client. Sizes are the released ones where tiny weights allow it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.comfy.listener import Listener
from tests.comfy.prompts import picture, workflow

LIMIT = 2.0  # seconds
MANY = 401

current = pytest.mark.parametrize("comfyui", ["current"], indirect=True)


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def memory_prompt(frames: int = MANY) -> dict[str, Any]:
    """A memory of one full-size picture, a long trajectory and as many pictures."""
    return {
        "picture": node("LoadImage", image="large.png"),
        "geometry": node("WorldStereoDev_Geometry", image=["picture", 0], near=2.0, far=4.0, fov_deg=60.0),
        "memory": node(
            "WorldStereo_CreateMemory",
            image=["picture", 0],
            geometry=["geometry", 0],
            fov_deg=0.0,
            edge_threshold=0.35,
            far_contraction=8.0,
        ),
        "trajectory": node(
            "WorldStereo_BuildTrajectory",
            preset="orbit right",
            amount_deg=30.0,
            distance=0.5,
            easing="smooth",
            frames=frames,
            focal_end=1.0,
            width=0,
            height=0,
            memory=["memory", 0],
        ),
        "many": node("RepeatImageBatch", image=["picture", 0], amount=frames),
        "vae": node("VAELoader", vae_name="tiny_wan_vae.safetensors"),
    }


def render() -> dict[str, Any]:
    return memory_prompt(frames=81) | {
        "target": node(
            "WorldStereo_RenderMemory",
            memory=["memory", 0],
            trajectory=["trajectory", 0],
            radius=0.02,
            points_per_pixel=64,
            min_confidence=0.0,
        )
    }


def check_trajectory() -> dict[str, Any]:
    return memory_prompt(frames=81) | {
        "target": node(
            "WorldStereo_CheckTrajectory",
            memory=["memory", 0],
            trajectory=["trajectory", 0],
            frames=81,
            max_holes=0.75,
            clearance=0.05,
            on_warning="go on",
            points_per_pixel=64,
            radius=0.02,
        )
    }


def suggest_trajectory() -> dict[str, Any]:
    return memory_prompt(frames=5) | {
        "target": node(
            "WorldStereo_SuggestTrajectory",
            memory=["memory", 0],
            rank=1,
            moves="all",
            frames=81,
            easing="smooth",
            max_holes=0.75,
            clearance=0.05,
        )
    }


def update_memory() -> dict[str, Any]:
    depth = node("WorldStereoDev_Geometry", image=["many", 0], near=2.0, far=4.0, fov_deg=60.0)
    return memory_prompt(frames=61) | {
        "depths": depth,
        "target": node(
            "WorldStereo_UpdateMemory",
            memory=["memory", 0],
            images=["many", 0],
            trajectory=["trajectory", 0],
            keep_frames=60,
            clip_name="",
            geometry=["depths", 0],
        ),
        "shown": node("WorldStereo_InspectMemory", memory=["target", 0]),
    }


def encode_control() -> dict[str, Any]:
    return memory_prompt() | {
        "model": node(
            "WorldStereo_LoadModel",
            backbone="none",
            worldstereo="tiny-memory-dmd/model.safetensors",
            weight_dtype="default",
        ),
        "holes": node("ImageToMask", image=["many", 0], channel="red"),
        "target": node(
            "WorldStereo_EncodeControl",
            control=["model", 1],
            vae=["vae", 0],
            trajectory=["trajectory", 0],
            render=["many", 0],
            holes=["holes", 0],
            frames=MANY,
        ),
        "shown": node("PreviewAny", source=["target", 0]),
    }


def encode_keyframes() -> dict[str, Any]:
    return memory_prompt() | {
        "target": node("WorldStereo_EncodeKeyframes", images=["many", 0], vae=["vae", 0], frames=MANY),
        "shown": node("PreviewAny", source=["target", 0]),
    }


def encode_first_frame() -> dict[str, Any]:
    return {
        "picture": node("LoadImage", image="middle.png"),
        "vae": node("VAELoader", vae_name="tiny_wan_vae.safetensors"),
        "text": node("WorldStereoDev_Text", seed=1),
        "target": node(
            "WorldStereo_EncodeFirstFrame",
            positive=["text", 0],
            negative=["text", 0],
            vae=["vae", 0],
            image=["picture", 0],
            frames=101,
            mode="full_vae",
        ),
        "shown": node("PreviewAny", source=["target", 2]),
    }


def sampling() -> dict[str, Any]:
    prompt = workflow("one_clip", "key_frames")
    prompt["sigmas"]["inputs"]["steps"] = 1000
    prompt["target"] = prompt.pop("sampled")
    prompt["shown"] = node("PreviewAny", source=["target", 0])
    del prompt["key_frames"]
    return prompt


def long_step() -> dict[str, Any]:
    """Steps of about a second, one of which is cancelled in its middle; enough of them for fast machines."""
    prompt = sampling()
    prompt["picture"]["inputs"]["image"] = "small.png"
    prompt["sigmas"]["inputs"]["steps"] = 8
    for name in ("trajectory", "references", "first_frame", "condition"):
        prompt[name]["inputs"]["frames"] = 13
    return prompt


def early_look() -> dict[str, Any]:
    prompt = sampling()
    inputs = prompt["target"]["inputs"]
    return {name: entry for name, entry in prompt.items() if name not in ("target", "shown")} | {
        "target": node(
            "WorldStereo_LookEarly",
            model=["controlled", 0],
            positive=["first_frame", 0],
            negative=["first_frame", 1],
            latent=inputs["latent_image"],
            vae=["vae", 0],
            seed=1,
            steps=50,
            size="full",
        )
    }


def along_path(kind: str, **inputs: Any) -> Callable[[], dict[str, Any]]:
    """A node that draws a memory of one full-size picture into 81 cameras; the rest is at its defaults."""
    return lambda: (
        memory_prompt(frames=81)
        | {
            "white": node("SolidMask", value=1.0, width=768, height=480),
            "target": node(kind, **inputs),
            "shown": node("PreviewAny", source=["target", 0]),
        }
    )


SCENE = {"memory": ["memory", 0], "trajectory": ["trajectory", 0]}


def panorama_memory() -> dict[str, Any]:
    return {
        "picture": node("LoadImage", image="panorama.png"),
        "target": node(
            "WorldStereo_CreatePanoramaMemory",
            image=["picture", 0],
            geometry=["picture", 0],
            width=1664,
            height=960,
        ),
        "shown": node("WorldStereo_InspectMemory", memory=["target", 0]),
    }


def large_world(kind: str, **inputs: Any) -> Callable[[], dict[str, Any]]:
    """A node that writes a memory of two million points."""

    def prompt() -> dict[str, Any]:
        prompt = memory_prompt(frames=5) | {"target": node(kind, memory=["memory", 0], **inputs)}
        prompt["picture"]["inputs"]["image"] = "panorama.png"
        return prompt

    return prompt


PROMPTS: dict[str, Callable[[], dict[str, Any]]] = {
    "render": render,
    "check trajectory": check_trajectory,
    "suggest trajectory": suggest_trajectory,
    "update memory": update_memory,
    "encode control": encode_control,
    "encode key frames": encode_keyframes,
    "sampling": sampling,
    "within a step": long_step,
    "early look": early_look,
    "warp views": along_path("WorldStereo_WarpViews", **SCENE),
    "render controls": along_path("WorldStereo_RenderControls", **SCENE),
    "draw coverage": along_path("WorldStereo_DrawCoverage", **SCENE),
    "carry mask": along_path(
        "WorldStereo_CarryMask",
        memory=["memory", 0],
        mask=["white", 0],
        painted_on=["trajectory", 0],
        trajectory=["trajectory", 0],
    ),
    "compare memories": along_path(
        "WorldStereo_CompareMemories", before=["memory", 0], after=["memory", 0], trajectory=["trajectory", 0]
    ),
    "panorama memory": panorama_memory,
    "export world": large_world("WorldStereo_ExportWorld", name="worldstereo/cancelled"),
}


@pytest.fixture
def server(comfy_server):
    inputs = comfy_server.base / "input"
    picture().save(inputs / "picture.png")
    picture(480, 768).save(inputs / "large.png")
    picture(240, 384).save(inputs / "middle.png")
    picture(160, 256).save(inputs / "small.png")
    picture(1024, 2048).save(inputs / "panorama.png")
    return comfy_server


@current
@pytest.mark.parametrize("name", PROMPTS)
def test_cancel_takes_less_than_two_seconds(server, name, record_property):
    seconds = fastest_cancel(server, PROMPTS[name](), after_progress=True)
    record_property("seconds", seconds)
    assert seconds < LIMIT, f"{seconds:.1f} s"


@current
def test_a_long_first_frame_encoding_is_cancelled_within(server, record_property):
    """ComfyUI's VAE encodes the clip as one video, and looks for the interrupt in every layer."""
    seconds = fastest_cancel(server, encode_first_frame(), after_progress=False)
    record_property("seconds", seconds)
    assert seconds < LIMIT, f"{seconds:.1f} s"


def completed(server, prompt: dict[str, Any]) -> dict[str, Any]:
    """The prompt with every widget that it leaves out at its default."""
    known = {kind: server.object_info(kind) for kind in {entry["class_type"] for entry in prompt.values()}}

    def defaults(kind: str) -> dict[str, Any]:
        inputs = known[kind]["input"].get("required", {})
        return {
            name: entry[1]["default"]
            for name, entry in inputs.items()
            if len(entry) > 1 and "default" in entry[1]
        }

    return {
        id: {**entry, "inputs": {**defaults(entry["class_type"]), **entry["inputs"]}}
        for id, entry in prompt.items()
    }


def fastest_cancel(server, prompt: dict[str, Any], after_progress: bool) -> float:
    """Seconds of the first attempt of three within the limit, else of the fastest: machines are shared."""
    found = []
    prompt = completed(server, prompt)
    for _ in range(3):
        found.append(cancel(server, prompt, after_progress))
        if found[-1] < LIMIT:
            break
    return min(found)


def cancel(server, prompt: dict[str, Any], after_progress: bool) -> float:
    """Interrupt a prompt while its node "target" works; seconds until the server says it has stopped."""
    server.free()
    sent = None
    with Listener(server) as listener:
        prompt_id = listener.submit(prompt, preview_method="none")
        for kind, data, now in listener.messages(timeout=300):
            assert kind not in ("execution_error", "execution_success"), data
            if sent is not None:
                if kind == "execution_interrupted":
                    assert data["node_id"] == "target"
                    return now - sent
                continue
            begins = kind == "executing" and data.get("node") == "target"
            moves = kind == "progress" and data["node"] == "target" and 0 < data["value"] < data["max"]
            if moves or (begins and not after_progress):
                # Into the next step, rather than between two.
                time.sleep(0.5)
                sent = time.monotonic()
                server.interrupt(prompt_id)
    raise AssertionError
