"""Calls the camera path nodes as ComfyUI does; run under ComfyUI's Python."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent


@cache
def nodes() -> dict[str, Any]:
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    from node_checks import pack_nodes

    return {node.GET_SCHEMA().node_id.removeprefix("WorldStereo_"): node for node in pack_nodes()}


@cache
def memory() -> Any:
    """A wall 4 scene units away, its left half 2 away, at 32 x 48 pixels."""
    depth = torch.full((1, 32, 48), 4.0)
    depth[..., :24] = 2.0
    image = torch.rand(1, 32, 48, 3, generator=torch.Generator().manual_seed(0))
    return nodes()["CreateMemory"].execute(image, {"depth": depth}, fov_deg=60.0, edge_threshold=0.0)[0]


def orbit(**settings: Any) -> Any:
    return nodes()["BuildTrajectory"].execute(**{"frames": 5, "memory": memory(), **settings})[0]


def sample(path: Any, look_at: dict[str, Any] | None = None, **settings: Any) -> Any:
    look_at = look_at or {"look_at": "as the path says"}
    return nodes()["SamplePath"].execute(path, look_at, **settings)[0]


def the_checked_render_is_the_conditioning() -> dict[str, Any]:
    """Check and Render on one trajectory: whether pictures and masks agree to the last bit."""
    trajectory = orbit(frames=5)
    picture = torch.rand(1, 32, 48, 3, generator=torch.Generator().manual_seed(1))
    facts: dict[str, Any] = {}
    told: dict[str, Any] = {
        "radius": 0.03,
        "points_per_pixel": 4,
        "min_confidence": 0.5,
        "first_frame": picture,
    }
    for name, settings in (("defaults", {}), ("told", told)):
        rendered = nodes()["RenderMemory"].execute(memory(), trajectory, **settings)
        checked = nodes()["CheckTrajectory"].execute(memory(), trajectory, **settings)
        facts[name] = [torch.equal(rendered[0], checked[1]), torch.equal(rendered[1], checked[2])]
    facts["dtype"] = str(rendered[0].dtype)
    facts["is_not_empty"] = bool(0.05 < float(rendered[1].mean()) < 0.95)
    return facts


def paths() -> dict[str, Any]:
    """Facts about paths that the nodes make."""
    build, view = nodes()["BuildPath"].execute, memory().views[0]
    facts: dict[str, Any] = {}
    draft = build(memory=memory())
    facts["draft"] = [len(draft[0].waypoints), draft[0].scale, list(draft[0].waypoints[0].position)]
    again = build(waypoints=draft[1])
    facts["json_comes_back"] = again[1] == draft[1]
    facts["closed"] = build(waypoints=draft[1], closed=True)[0].is_closed
    facts["constant"] = build(waypoints=draft[1], speed="constant", interpolation="linear")[0].speed
    taken = build(trajectory=orbit(), waypoint_count=3)[0]
    facts["from_trajectory"] = [
        len(taken.waypoints),
        bool(torch.equal(sample(taken, frames=2).w2c[0], view.w2c)),
    ]
    looked = sample(
        draft[0], {"look_at": "pixel of the input picture", "x": 36.0, "y": 16.0}, memory=memory(), frames=3
    )
    facts["pixel_target"] = list(looked.pivot)
    point = sample(
        draft[0], {"look_at": "point", "right": 0.5, "down": 0.0, "forward": 1.0}, memory=memory(), frames=3
    )
    facts["point_target"] = list(point.pivot)
    end = orbit(preset="truck right", distance=1.0)
    moved = sample(draft[0], start="where continue_from ends", continue_from=end, frames=3)
    facts["starts_at_end"] = float((moved.w2c[0] - end.w2c[-1]).abs().max())
    small = build(
        waypoints='{"version": 1, "waypoints": [{"position": [0, 0, 0]}, {"position": [0, 0, 0.5]}]}'
    )[0]
    scaled = sample(small, distances="median depths", memory=memory(), frames=2)
    facts["scaled_way"] = scaled.way / memory().median_depth
    return facts


def viewers() -> dict[str, Any]:
    """LOAD3D_CAMERA out and in: a pose comes back, in the scene and in the preview's frame."""
    trajectory = orbit(preset="orbit up", frames=3, amount_deg=20.0)
    facts: dict[str, Any] = {}
    for viewer in ("scene units", "point cloud preview"):
        info, _ = nodes()["TakeCamera"].execute(trajectory, -1, viewer, memory())
        path = nodes()["AddWaypoint"].execute(info, memory=memory(), viewer=viewer)[0]
        last = sample(path, frames=2).w2c[-1]
        facts[viewer] = float((last - trajectory.w2c[-1]).abs().max())
        facts[f"{viewer} position"] = [info["position"][axis] for axis in "xyz"]
        facts[f"{viewer} waypoints"] = len(path.waypoints)
        more = nodes()["AddWaypoint"].execute(info, path=path, memory=memory(), viewer=viewer, duration=2.0)[
            0
        ]
        facts[f"{viewer} times"] = [waypoint.time for waypoint in more.waypoints]
    alone = nodes()["AddWaypoint"].execute(info)[0]
    facts["alone"] = [len(alone.waypoints), alone.width, alone.height]
    facts["fov"] = alone.waypoints[0].fov_deg
    return facts


def edits() -> dict[str, Any]:
    """Frames after every operation, by name."""
    trajectory, other = orbit(frames=5), orbit(preset="dolly in", frames=4)
    told = {
        "resample": {"frames": 81},
        "retime": {"speed": 2.0, "easing": "smooth"},
        "constant speed": {},
        "reverse": {},
        "there and back": {},
        "close the loop": {"return_frames": 6},
        "concatenate": {"other": other, "join": "continue where this one ends"},
        "start where another ends": {"other": other},
        "mirror": {"axis": "left-right"},
        "smooth": {"smooth_frames": 1.0},
        "handheld": {"shake_deg": 0.5, "shake_travel": 0.01, "frequency": 2.0, "seed": 3},
    }
    edit = nodes()["EditTrajectory"]
    schema = next(entry for entry in edit.GET_SCHEMA().inputs if entry.id == "operation")
    offered = {option.key: sorted(entry.id for entry in option.inputs) for option in schema.options}
    frames = {
        name: edit.execute(trajectory, {"operation": name, **settings}, memory())[0].num_frames
        for name, settings in told.items()
    }
    return {
        "offered": offered,
        "told": {name: sorted(entry) for name, entry in told.items()},
        "frames": frames,
    }


def checks() -> dict[str, Any]:
    """Reports of a good, a colliding and a too fast trajectory; the limits can be moved, the run stopped."""
    check = nodes()["CheckTrajectory"].execute
    good = check(memory(), orbit(preset="dolly in", distance=0.1, frames=9), radius=0.05)
    into = check(memory(), orbit(preset="dolly in", distance=1.4, frames=9), radius=0.05)
    fast = check(memory(), orbit(preset="pan right", amount_deg=40.0, frames=3), radius=0.05)
    allowed = check(
        memory(),
        orbit(preset="pan right", amount_deg=40.0, frames=3),
        radius=0.05,
        max_turn_deg=30.0,
        max_holes=1.0,
    )
    long = check(memory(), orbit(frames=41), frames=21, radius=0.05)
    try:
        check(memory(), orbit(preset="dolly in", distance=1.4, frames=9), radius=0.05, on_warning="stop")
        stopped = ""
    except ValueError as error:
        stopped = str(error)
    return {
        "good": [good[4], good[5]],
        "into": [into[4], into[5]],
        "fast": fast[4],
        "allowed": allowed[5],
        "frames": long[0].num_frames,
        "stopped": stopped,
        "picture": list(good[3].shape),
    }


def suggestions() -> dict[str, Any]:
    suggest = nodes()["SuggestTrajectory"].execute
    best = suggest(memory(), frames=7)
    second = suggest(memory(), rank=2, frames=7)
    try:
        suggest(memory(), rank=99, moves="pans", frames=7)
        refused = ""
    except ValueError as error:
        refused = str(error)
    return {
        "report": best[1],
        "best": best[0].name,
        "second": second[0].name,
        "frames": best[0].num_frames,
        "starts_at_picture": float((best[0].w2c[0] - memory().views[0].w2c).abs().max()),
        "picture": list(best[2].shape),
        "refused": refused,
    }


def drawn() -> dict[str, Any]:
    draw = nodes()["DrawPath"].execute
    # Pixel (36, 16) sees the far wall (4 away) a quarter of the width right of the middle, (12, 16) the near
    # one (2 away).
    made = draw(memory(), line="36,16", reach=0.5)
    near = draw(memory(), line="[[12, 16]]", reach=1.0, look="as at the start")
    try:
        draw(memory(), line="36,99")
        refused = ""
    except ValueError as error:
        refused = str(error)
    return {
        "far": list(made[0].waypoints[1].position),
        "near": list(near[0].waypoints[1].position),
        "picture": list(made[2].shape),
        "refused": refused,
    }


def errors() -> dict[str, str]:
    """What nodes say when a wire is missing."""
    path = nodes()["BuildPath"].execute()[0]
    calls = {
        "start": lambda: sample(path, start="at the input picture"),
        "end": lambda: sample(path, start="where continue_from ends"),
        "pixel": lambda: sample(path, {"look_at": "pixel of the input picture", "x": 1.0, "y": 1.0}),
        "viewer": lambda: nodes()["TakeCamera"].execute(orbit(), 0, "point cloud preview"),
        "frame": lambda: nodes()["TakeCamera"].execute(orbit(), 5),
        "version": lambda: nodes()["BuildPath"].execute('{"version": 7, "waypoints": []}'),
    }
    said = {}
    for name, call in calls.items():
        try:
            call()
            said[name] = ""
        except ValueError as error:
            said[name] = str(error)
    return said


def nodes_leave_their_inputs_alone() -> list[str]:
    """Every camera path node on shared objects; names what changed in them."""
    trajectory = orbit(frames=5)
    path = nodes()["BuildPath"].execute(memory=memory())[0]
    tensors = {
        "w2c": trajectory.w2c,
        "K": trajectory.K,
        "points": memory().points.xyz,
        "depth": memory().views[0].depth,
        "view": memory().views[0].w2c,
    }
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    kept = repr(path)
    for operation in ("reverse", "constant speed"):
        nodes()["EditTrajectory"].execute(trajectory, {"operation": operation}, memory())
    nodes()["CheckTrajectory"].execute(memory(), trajectory)
    nodes()["SuggestTrajectory"].execute(memory(), moves="pans", frames=3)
    nodes()["DrawPath"].execute(memory(), line="36,16")
    info = nodes()["TakeCamera"].execute(trajectory)[0]
    nodes()["AddWaypoint"].execute(info, path=path, memory=memory())
    sample(path, start="at the input picture", distances="median depths", memory=memory())
    changed = [name for name, tensor in tensors.items() if not torch.equal(tensor, before[name])]
    return changed + ([] if repr(path) == kept else ["path"])


def a_full_disk() -> dict[str, list[str]]:
    """What each node that writes says when the disk is full, and what it leaves in the folder."""
    import errno
    import os
    import shutil
    from unittest.mock import patch

    import folder_paths

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    output = Path(folder_paths.get_output_directory()) / "full"
    shutil.rmtree(output, ignore_errors=True)
    trajectory = orbit()
    saved = {
        f"SaveTrajectory {form}": lambda form=form: nodes()["SaveTrajectory"].execute(
            trajectory, f"full/{form}", form
        )
        for form in ("camera_json", "nerfstudio", "colmap", "gltf", "usd", "blender", "chan", "csv", "load3d")
    }
    saved["ExportPointCloud"] = lambda: nodes()["ExportPointCloud"].execute(
        memory(), filename_prefix="full/points"
    )
    saved["ExportCorrespondences"] = lambda: nodes()["ExportCorrespondences"].execute(
        memory(), "full/colmap_project", min_views=1
    )
    saved["ExportWorld"] = lambda: nodes()["ExportWorld"].execute(memory(), "raw", "full/world")
    said: dict[str, list[str]] = {}
    for name, save in saved.items():
        # The last step of every writer: what was written so far has to go.
        with patch.object(os, "replace", full), patch.object(os, "rename", full):
            try:
                save()
                said[name] = ["nothing"]
            except ValueError as error:
                said[name] = [f"{type(error).__name__}: {error}"]
        said[name] += sorted(path.name for path in output.rglob("*"))
    return said
