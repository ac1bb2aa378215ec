"""Calls the camera path editor as ComfyUI does; run under ComfyUI's Python."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent


def edit(**inputs: Any) -> Any:
    """Run the editor with the temp folder elsewhere; its output with what it left for the browser."""
    import folder_paths

    folder_paths.set_temp_directory(tempfile.mkdtemp())
    return _checks().nodes()["EditPath"].execute(**inputs)


def _checks() -> Any:
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    import camera_path_checks

    return camera_path_checks


def drafts() -> dict[str, Any]:
    """What an empty editor starts from: nothing, a memory, a wired path, the end of a clip."""
    checks = _checks()
    memory = checks.memory()
    built = checks.nodes()["BuildPath"].execute(memory=memory)
    wired = checks.nodes()["BuildPath"].execute(
        waypoints='{"version": 1, "waypoints": [{"position": [0, 0, 0]}, {"position": [0, 0, 1]}]}'
    )[0]
    clip = checks.orbit(preset="truck right", distance=1.0)
    alone, with_memory = edit(), edit(memory=memory)
    continued = edit(memory=memory, continue_from=clip)
    facts: dict[str, Any] = {
        "same_as_build": with_memory[2] == built[2 - 1],
        "wired": len(edit(memory=memory, path=wired)[0].waypoints),
        "drawn_wins": len(edit(memory=memory, path=wired, camera_path=built[1])[0].waypoints),
        "continued": float((continued[1].w2c[0] - clip.w2c[-1]).abs().max()),
        "continued_view": continued.ui["worldstereo_path"][0]["input_view"],
        "end": clip.cameras.c2w[-1].tolist(),
        "alone": sorted(alone.ui),
        "alone_view": alone.ui["worldstereo_path"][0]["input_view"],
        "alone_scale": alone.ui["worldstereo_path"][0]["median_depth"],
        "sources": [
            made.ui["worldstereo_path"][0]["source"]
            for made in (alone, edit(path=wired), edit(path=wired, camera_path=built[1]))
        ],
        "other_world": edit(memory=memory, path=wired).ui["worldstereo_path"][0]["notes"],
    }
    sampled = checks.sample(built[0], frames=21)
    facts["same_cameras"] = float((with_memory[1].w2c - sampled.w2c).abs().max())
    return facts


def shown() -> dict[str, Any]:
    """What a run leaves for the browser, and the same run again."""
    import folder_paths

    memory = _checks().memory()
    made = edit(memory=memory, frames=7, easing="linear", height=32, width=32)
    temp = Path(folder_paths.get_temp_directory())
    scene = made.ui["worldstereo_path"][0]
    cloud = made.ui["worldstereo_cloud"][0]
    facts: dict[str, Any] = {
        "keys": sorted(made.ui),
        "scene_keys": sorted(scene),
        "is_plain": json.loads(json.dumps(scene, allow_nan=False)) == scene,
        "size": [scene["height"], scene["width"]],
        "frames": len(scene["frames"]),
        "centre": [scene["frames"][0]["cx"], scene["frames"][0]["cy"]],
        "holes": scene["warnings"]["holes"],
        "pictures": len(made.ui["worldstereo_frames"]),
        "cloud": cloud,
        "cloud_bytes": (temp / cloud["filename"]).stat().st_size,
        "points": memory.points.num_points,
        "pictures_exist": all(
            (temp / entry["filename"]).is_file() for entry in made.ui["worldstereo_frames"]
        ),
    }
    again = _checks().nodes()["EditPath"].execute(memory=memory, frames=7, camera_path=made[2])
    facts["same_cloud"] = again.ui["worldstereo_cloud"] == made.ui["worldstereo_cloud"]
    facts["same_path"] = again[2] == made[2]
    return facts


def marked_points() -> list[list[float]]:
    """Pixels of single coloured points: projected with the editor's frames, and found in Render Memory.

    Rows of frame, projected x and y, drawn x and y.
    """
    from dataclasses import replace

    checks = _checks()
    memory = checks.memory()
    places = torch.tensor([[0.3, 0.2, 3.0], [-0.6, -0.4, 2.5], [0.1, -0.5, 4.0]])
    colours = torch.eye(3)
    points = replace(
        memory.points.select(slice(0, 3)),
        xyz=places,
        rgb=colours,
        confidence=torch.ones(3),
        clip=torch.zeros(3, dtype=torch.int32),
        normal=None,
    )
    marked = replace(memory, points=points)
    made = edit(memory=marked, frames=5, height=96, width=144)
    render = checks.nodes()["RenderMemory"].execute(marked, made[1], radius=0.02)[0]
    rows = []
    for frame, camera in enumerate(made.ui["worldstereo_path"][0]["frames"]):
        c2w = torch.tensor(camera["c2w"], dtype=torch.float64).reshape(4, 4)
        for place, colour in zip(places.double(), colours, strict=True):
            x, y, z = (c2w[:3, :3].T @ (place - c2w[:3, 3])).tolist()
            away = (render[frame] - colour).abs().sum(-1)
            found = (away < 1.2).nonzero().double().mean(dim=0) + 0.5
            rows.append(
                [
                    frame,
                    camera["fx"] * x / z + camera["cx"],
                    camera["fy"] * y / z + camera["cy"],
                    float(found[1]),
                    float(found[0]),
                ]
            )
    return rows


def refusals() -> dict[str, Any]:
    """What validation says of texts that are no path."""
    validate = _checks().nodes()["EditPath"].validate_inputs
    start = '{"version": 1, "waypoints": [{"position": [0, 0, 0]}, '
    texts = {
        "empty": "",
        "object": str({"version": 1, "waypoints": [{"position": [0, 0, 0]}]}),
        "no_json": "{",
        "version": '{"version": 2, "waypoints": []}',
        "nan": start + '{"position": [0, NaN, 0]}]}',
        "same_time": '{"version": 1, "waypoints": [{"position": [0, 0, 0], "time": 0}, '
        '{"position": [1, 0, 0], "time": 1}, {"position": [1, 0, 0], "time": 1}]}',
        "on_top": start + '{"position": [0, 0, 0]}]}',
    }
    return {name: validate(text) for name, text in texts.items()}
