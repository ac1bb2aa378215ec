"""The prompt of a multi-clip loop at tiny size, and what the tests ask of a run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FRAMES, HEIGHT, WIDTH = 3, 64, 96
NAME = "worlds/room"


def loop_prompt(num_clips: int, name: str = NAME, **settings: Any) -> dict[str, dict[str, Any]]:
    """One picture, a world folder, and trajectories of which each goes on where the one before ended.

    Args:
        settings: inputs of Generate Clips.
    """
    prompt: dict[str, dict[str, Any]] = {}

    def add(id: str, kind: str, **inputs: Any) -> None:
        prompt[id] = {"class_type": kind, "inputs": inputs}

    add("image", "LoadImage", image="picture.png")
    add("geometry", "WorldStereoDev_Geometry", image=["image", 0], near=2.0, far=4.0, fov_deg=60.0)
    add(
        "memory",
        "WorldStereo_CreateMemory",
        image=["image", 0],
        geometry=["geometry", 0],
        fov_deg=0.0,
        edge_threshold=0.35,
        far_contraction=8.0,
    )
    add("world", "WorldStereo_OpenWorld", name=name, memory=["memory", 0])
    for number in range(num_clips):
        inputs: dict[str, Any] = {"memory": ["memory", 0]}
        if number:
            inputs["continue_from"] = [f"path_{number - 1}", 0]
        add(
            f"path_{number}",
            "WorldStereo_BuildTrajectory",
            preset="orbit right",
            amount_deg=6.0,
            distance=0.5,
            easing="smooth",
            frames=FRAMES,
            focal_end=1.0,
            width=0,
            height=0,
            **inputs,
        )
    add(
        "paths",
        "WorldStereo_ListTrajectories",
        **{f"trajectories.trajectory{number}": [f"path_{number}", 0] for number in range(num_clips)},
    )
    add(
        "model",
        "WorldStereo_LoadModel",
        backbone="none",
        worldstereo="tiny-memory-dmd/model.safetensors",
        weight_dtype="default",
    )
    add("vae", "VAELoader", vae_name="tiny_wan_vae.safetensors")
    add("positive", "WorldStereoDev_Text", seed=1)
    add("negative", "WorldStereoDev_Text", seed=0)
    add("vision", "WorldStereoDev_ClipVisionModel", seed=2)
    add("moge", "WorldStereoDev_MogeModel", near=2.0, far=4.0, fov_deg=60.0)
    add("sampler", "KSamplerSelect", sampler_name="euler")
    add("sigmas", "WorldStereo_MakeSigmas", schedule="few-step (DMD)", steps=2, shift=5.0, start=250)
    add(
        "loop",
        "WorldStereo_GenerateClips",
        **{
            "world": ["world", 0],
            "trajectories": ["paths", 0],
            "model": ["model", 0],
            "control": ["model", 1],
            "vae": ["vae", 0],
            "positive": ["positive", 0],
            "negative": ["negative", 0],
            "sampler": ["sampler", 0],
            "sigmas": ["sigmas", 0],
            "cfg": 1.0,
            "seed": 7,
            "frames": FRAMES,
            "mode": "full_vae",
            "clip_vision": ["vision", 0],
            "moge_model": ["moge", 0],
            "keep_frames": 2,
            **settings,
        },
    )
    add("images", "PreviewImage", images=["loop", 2])
    add("report", "PreviewAny", source=["loop", 3])
    add("summary", "WorldStereo_InspectMemory", memory=["loop", 1])
    return prompt


def world_json(server: Any, name: str = NAME) -> dict[str, Any]:
    """The manifest of a world on a server's disk."""
    return json.loads((folder_of(server, name) / "world.json").read_text(encoding="utf-8"))


def folder_of(server: Any, name: str = NAME) -> Path:
    return server.base / "output" / name


def clip_times(server: Any, name: str = NAME) -> dict[str, int]:
    """When each clip's first picture was written."""
    clips = folder_of(server, name) / "clips"
    return {path.name: (path / "frames" / "0000.png").stat().st_mtime_ns for path in sorted(clips.iterdir())}


def sampler_runs(server: Any, steps: int) -> int:
    """How often the server has sampled with so many steps since it started: tqdm's first line of each run."""
    return server.log().count(f"| 0/{steps} [")


def has_clips(server: Any, name: str, count: int) -> bool:
    """Whether a world has so many clips by now."""
    return (folder_of(server, name) / "world.json").exists() and len(
        world_json(server, name)["clips"]
    ) >= count


def wait_until(is_true: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.05)
