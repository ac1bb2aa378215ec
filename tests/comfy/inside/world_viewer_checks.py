"""Calls the world viewer and the nodes that take its selection; run under ComfyUI's Python."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
BOX = {"kind": "box", "centre": [0, 0, 2], "size": [100, 100, 1]}


def _checks() -> Any:
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    import camera_path_checks

    return camera_path_checks


def view(state: dict[str, Any] | None = None) -> Any:
    """Run the viewer on a wall 4 away whose left half is 2 away, the temp folder elsewhere."""
    import folder_paths

    folder_paths.set_temp_directory(tempfile.mkdtemp())
    text = "" if state is None else json.dumps({"version": 1, **state})
    return _checks().nodes()["ViewMemory"].execute(_checks().memory(), text)


def outputs() -> dict[str, Any]:
    """What a new viewer gives, and one with a view, a selection and recorded views."""
    import folder_paths

    memory = _checks().memory()
    new = view()
    cloud = Path(folder_paths.get_temp_directory()) / new.ui["worldstereo_cloud"][0]["filename"]
    world = new.ui["worldstereo_world"][0]
    facts: dict[str, Any] = {
        "keys": sorted(new.ui),
        "cloud_bytes": [cloud.stat().st_size, memory.points.num_points],
        "is_plain": json.loads(json.dumps(world, allow_nan=False)) == world,
        "world": {key: world[key] for key in ("clips", "points", "selected", "width", "height", "metric")},
        "views": [world["views"][0]["name"], len(world["views"])],
        "passes_on": new[0] is memory,
        "new_selects": new[1].is_empty,
        "new_camera": bool(torch.equal(new[4].w2c[0], memory.views[0].w2c)),
        "new_path": len(new[3].waypoints),
        "picture": list(new[5].shape),
    }
    looked = {"position": [1, 0, -1], "wxyz": [1, 0, 0, 0], "fov_deg": 90}
    steps = [{"position": [x, 0, 0], "wxyz": [1, 0, 0, 0], "fov_deg": 50} for x in (0, 1, 3)]
    told = view({"camera": looked, "selection": [BOX], "recorded": steps})
    facts["camera_info"] = told[2]
    facts["trajectory"] = [told[4].cameras.centers[0].tolist(), float(told[4].K[0, 0, 0]), told[4].width]
    facts["path"] = [[w.position[0], w.time, w.fov_deg] for w in told[3].waypoints]
    facts["selected"] = told.ui["worldstereo_world"][0]["selected"]
    facts["near"] = int((memory.points.xyz[:, 2] < 3).sum())
    facts["text"] = told.ui["text"][0]
    # Orange over random colours: more red than blue where the near half is seen.
    plain = view({"camera": looked})[5]
    changed = (told[5] - plain).abs().sum(-1)[0] > 0.05
    facts["tinted"] = [float(changed.float().mean()), float(told[5][0][changed].mean(0)[0])]
    added = _checks().nodes()["AddWaypoint"].execute(told[2], path=told[3])[0]
    facts["as_waypoint"] = list(added.waypoints[-1].position)
    return facts


def edits() -> dict[str, Any]:
    """What the nodes that take a selection do with the near half, and with an empty selection."""
    import folder_paths

    folder_paths.set_temp_directory(tempfile.mkdtemp())
    nodes, memory = _checks().nodes(), _checks().memory()
    near, none = view({"selection": [BOX]})[1], view()[1]
    count = memory.points.num_points
    facts: dict[str, Any] = {"count": count, "near": int((memory.points.xyz[:, 2] < 3).sum())}
    crop = nodes["CropMemory"].execute
    facts["kept"] = crop(memory, selection=near)[0].points.num_points
    facts["cut"] = crop(memory, selection=near, keep="outside")[0].points.num_points
    facts["cut_none"] = crop(memory, selection=none, keep="outside")[0].points.num_points
    mask = torch.ones(1, 32, 48)
    trajectory = memory.views[0].trajectory
    deleted = nodes["DeleteUnderMask"].execute(memory, mask, trajectory, selection=near)[0]
    facts["deleted"] = deleted.points.num_points
    moved = nodes["TransformMemory"].execute(
        memory, forward=0.5, unit="scene units", scale=2.0, pivot="middle of the points", selection=near
    )
    z = moved[0].points.xyz[:, 2]
    facts["moved"] = [int((z == 2.5).sum()), int((z == 4.0).sum())]
    facts["stays"] = bool(torch.equal(moved[3].w2c, trajectory.w2c))
    red = torch.zeros(1, 4, 4, 3)
    red[..., 0] = 1.0
    coloured = nodes["RecolourMemory"].execute(memory, red, selection=near)[0].points.rgb
    is_near = memory.points.xyz[:, 2] < 3
    facts["recoloured"] = coloured[is_near].mean(0).tolist()
    facts["left_alone"] = bool(torch.equal(coloured[~is_near], memory.points.rgb[~is_near]))
    for name, call in (
        ("keep_nothing", lambda: crop(memory, selection=none)),
        ("move_nothing", lambda: nodes["TransformMemory"].execute(memory, selection=none)),
        ("recolour_nothing", lambda: nodes["RecolourMemory"].execute(memory, red, selection=none)),
    ):
        try:
            call()
        except ValueError as error:
            facts[name] = str(error)
    return facts


def refusals() -> dict[str, Any]:
    """What validation says."""
    validate = _checks().nodes()["ViewMemory"].validate_inputs
    return {
        "empty": validate(""),
        "fine": validate(json.dumps({"version": 1, "selection": [BOX]})),
        "object": validate(str({"version": 1, "selection": []})),
        "version": validate('{"version": 2}'),
        "size": validate(json.dumps({"version": 1, "selection": [{**BOX, "size": [0, 1, 1]}]})),
    }
