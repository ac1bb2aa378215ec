"""g9: retrieval over a growing bank, view selection, trajectory order and export names as released."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...geometry.cameras import Cameras
from ...memory.export_views import describe_reconstruction_folder
from ...memory.order import (
    folder_name,
    sort_reconstruction_trajectories,
    sort_trajectories,
)
from ...memory.retrieval import (
    Frusta,
    References,
    best_views,
    cameras_to_frusta,
    frustum_corners,
    frustum_overlap,
    pose_distance,
)
from ...memory.selection import camera_features, farthest_points, picture_quality, standardise
from ...memory.view import View
from .checks import Check, compare, exact, failed, find_bound
from .golden import Golden
from .retrieval_replay import Step, find_scenes, initial_memory, replay

INPUT_GLOBS = (
    "*.bank0.*",
    "*.target_*",
    "*.sel.features",
    "*.sel.quality",
    "fps*.features",
    "fps*.quality",
    "quality.images",
)


def compute(golden: Golden, adapter: str) -> dict[str, Tensor]:
    """Recompute every stored output: references, selector inputs, overlaps, corners, features, quality."""
    computed: dict[str, Tensor] = {}
    for scene, prefix in find_scenes(golden).items():
        for step in replay(golden, golden.manifest[scene], prefix):
            computed[f"{step.prefix}.ref_w2c"] = step.references.w2c
            if step.found:
                computed[f"{step.prefix}.sel.w2c"] = torch.stack([view.w2c for view in step.found])
    for name in golden.names:
        result = _compute_one(golden, name)
        if result is not None:
            computed[name] = result
    return computed


def facts(golden: Golden, adapter: str) -> list[Check]:
    """Check what the manifest lists (indices, scores, orders, names) and tensors that no glob speaks of."""
    checks = []
    for scene, prefix in find_scenes(golden).items():
        checks += _scene_facts(golden, golden.manifest[scene], prefix)
    checks += _call_facts(golden) + _order_facts(golden)
    for name in golden.tensors:
        result = _compute_one(golden, name)
        if result is not None and find_bound(name, golden.checks) is None:
            checks.append(compare(name, result, golden.tensors[name], _bound_for(golden, name, result)))
    return checks


def _bound_for(golden: Golden, name: str, result: Tensor) -> dict[str, Any]:
    if not result.is_floating_point():
        return {"exact": True}
    return golden.checks["angles_deg" if name.endswith("angle") else "scores"]


def _scene_facts(golden: Golden, scene: dict[str, Any], prefix: str) -> list[Check]:
    checks: list[Check] = []
    views: list[View] = list(initial_memory(golden, scene, prefix).views)
    for step in replay(golden, scene, prefix):
        checks += _step_facts(golden, step)
        views += step.new_views
    if "final_size" in scene:
        checks.append(exact(f"{prefix}.final_size", len(views), scene["final_size"]))
    if "export" in scene:
        checks += _export_facts(golden, scene, prefix, views)
    return checks


def _step_facts(golden: Golden, step: Step) -> list[Check]:
    entry, matches = step.entry, step.references.matches
    ours, golden_indices = matches.bank_indices.tolist(), entry["global_indices"]
    checks = [
        exact(f"{step.prefix}.bank_size", step.bank_size, entry["bank_size"]),
        exact(f"{step.prefix}.added", [view.name for view in step.new_views], entry["added"]),
        exact(
            f"{step.prefix}.selected", list(step.references.selected_slots or ()), entry.get("selected", [])
        ),
    ]
    if len(ours) != len(golden_indices):
        return [
            *checks,
            failed(f"{step.prefix}.indices", f"{len(ours)} frames, expected {len(golden_indices)}"),
        ]

    score_bound, angle_bound = (float(golden.checks[name]["atol"]) for name in ("scores", "angles_deg"))
    by_frame = {
        int(frame): match for slot in entry["ref_index_dict"].values() for frame, match in slot.items()
    }
    expected = [by_frame[frame] for frame in sorted(by_frame)]
    scores = matches.scores - torch.tensor([match["score"] for match in expected])
    angles = matches.angles_deg - torch.tensor([match["angle_diff"] for match in expected])
    # With a selector there are two passes of margins; the indices are those of the last.
    margins = entry["score_margins"][-len(ours) :]
    differing = [slot for slot, index in enumerate(ours) if index != golden_indices[slot]]
    wrong = [slot for slot in differing if margins[slot] > score_bound]
    checks.append(
        failed(f"{step.prefix}.indices", f"slots {wrong}: got {[ours[slot] for slot in wrong]}")
        if wrong
        else exact(f"{step.prefix}.indices", 0, 0)
    )
    # A frame that took the other one of two tied views has another angle and may open another slot.
    angles[differing] = 0.0
    checks += [
        _largest(f"{step.prefix}.scores", scores, score_bound),
        _largest(f"{step.prefix}.angles", angles, angle_bound),
    ]
    if not differing:
        slots = {str(slot): sorted(map(int, chosen)) for slot, chosen in entry["ref_index_dict"].items()}
        checks += [
            exact(f"{step.prefix}.ref_index", step.references.slots.tolist(), entry["ref_index"]),
            exact(f"{step.prefix}.ref_index_dict", _frames_by_slot(step.references), slots),
            compare(
                f"{step.prefix}.ref_w2c",
                step.references.w2c,
                golden.input(f"{step.prefix}.ref_w2c"),
                golden.checks["*.w2c"],
            ),
        ]
    return checks


def _frames_by_slot(references: References) -> dict[str, list[int]]:
    """Target frames (from 1) that chose each reference, by its slot."""
    indices = references.matches.bank_indices.tolist()
    return {
        str(slot): [frame + 1 for frame, index in enumerate(indices) if index == indices[slot]]
        for slot in references.slots.tolist()
    }


def _largest(name: str, difference: Tensor, bound: float) -> Check:
    error = float(difference.abs().max())
    return Check(name, error, bound, error <= bound)


def _export_facts(golden: Golden, scene: dict[str, Any], prefix: str, views: Sequence[View]) -> list[Check]:
    export = scene["export"]
    bank_folder = scene["initial_fnames"][0].split("/")[0]
    # Where the bank's names begin with the steps' view, the scene stands in the trajectories' names.
    has_scene = all(step["view"] != bank_folder for step in scene["steps"])
    name = bank_folder if has_scene else scene["traj_order"][0].split("/")[0]
    contents = describe_reconstruction_folder(views, name)
    extrinsics, intrinsics = contents.cameras["extrinsics"], contents.cameras["intrinsics"]
    checks = [
        exact(f"{prefix}.export.files", contents.files, sorted(export["files"])),
        exact(f"{prefix}.export.keys", list(contents.cameras), export["cameras_json_keys"]),
        exact(f"{prefix}.export.num_cameras", contents.cameras["num_cameras"], export["num_cameras"]),
        exact(f"{prefix}.export.order", [row["camera_id"] for row in extrinsics], export["extrinsics_order"]),
        exact(f"{prefix}.export.name_map", contents.name_map, export["name_map"]),
    ]
    for key, rows in (("extrinsics", extrinsics), ("intrinsics", intrinsics)):
        pairs = [*zip(rows, export.get(f"{key}_first2", []), strict=False)]
        if f"{key}_last" in export:
            pairs.append((rows[-1], export[f"{key}_last"]))
        for row, stored in pairs:
            label = f"{prefix}.export.{key}.{stored['camera_id']}"
            checks.append(exact(label, row["camera_id"], stored["camera_id"]))
            matrices = torch.tensor(row["matrix"]), torch.tensor(stored["matrix"])
            checks.append(compare(label, *matrices, golden.checks["*.w2c"]))
    return checks


def _call_inputs(golden: Golden) -> tuple[dict[str, Any], Cameras, Cameras] | None:
    """The calls on single cameras, their targets and their bank; None when the manifest has no such calls."""
    calls = golden.manifest.get("find_closest_calls")
    if calls is None:
        return None
    width, height = calls["image_wh"]
    targets, bank = (
        Cameras(golden.input(glob.replace("*", "w2c")), golden.input(glob.replace("*", "K")), height, width)
        for glob in (calls["targets"], calls["bank"])
    )
    return calls, targets, bank


def _frusta(cameras: Cameras, near: float, far: float) -> Frusta:
    return cameras_to_frusta(cameras.w2c, cameras.K, _sizes(cameras), near, far)


def _sizes(cameras: Cameras) -> Tensor:
    return torch.tensor([[cameras.height, cameras.width]]).expand(cameras.num_frames, 2)


def _call_facts(golden: Golden) -> list[Check]:
    inputs = _call_inputs(golden)
    if inputs is None:
        return []
    calls, targets, bank = inputs
    score_bound, angle_bound = (float(golden.checks[name]["atol"]) for name in ("scores", "angles_deg"))
    checks = []
    for number, call in enumerate(calls["calls"]):
        label = f"find_closest {number}"
        target = targets[call["t"]]
        if call.get("method") == "distance":
            distance = pose_distance(target.w2c, bank.w2c)[0]
            checks.append(exact(label, int(distance.argmin()), call["best"]))
            checks.append(_largest(f"{label} distance", distance.min() - call["distance"], score_bound))
            continue
        matches = best_views(
            _frusta(target, call["near"], call["far"]),
            _frusta(bank, call["near"], call["far"]),
            [call.get("shortcut_index")],
            call["angle_penalty"],
            len(bank) if "topk" in call else 1,
        )
        if "topk" in call:
            # The stored order of exact ties is that of an unstable sort: compare the scores it names.
            ranked = dict(zip(matches.bank_indices[0].tolist(), matches.scores[0], strict=True))
            named = torch.stack([ranked[index] for index in call["indices"]])
            checks.append(exact(f"{label} count", len(set(call["indices"])), call["topk"]))
            checks.append(_largest(label, named - matches.scores[0, : len(named)], score_bound))
            continue
        checks.append(exact(label, int(matches.bank_indices), call["best"]))
        checks.append(_largest(f"{label} score", matches.scores - call["score"], score_bound))
        checks.append(_largest(f"{label} angle", matches.angles_deg - call["angle"], angle_bound))
    return checks


def _order_facts(golden: Golden) -> list[Check]:
    orders = golden.manifest.get("sort_trajs")
    if orders is None:
        return []
    checks = [
        exact("order", sort_trajectories(orders["tree"], orders.get("valid_analysis")), orders["order"]),
        exact("renamed_dirs", sorted({folder_name(name) for name in orders["tree"]}), orders["renamed_dirs"]),
    ]
    if "real_panorama_order" in orders:
        real = orders["real_panorama_order"]
        checks.append(exact("real_panorama_order", sort_trajectories(sorted(real)), real))
    if "reconstruction_order" in orders:
        real = orders["reconstruction_order"]
        checks.append(exact("reconstruction_order", sort_reconstruction_trajectories(sorted(real)), real))
    return checks


def _compute_one(golden: Golden, name: str) -> Tensor | None:
    """A stored output that stands for itself; its name says what it is."""
    given = golden.tensors
    if name == "quality.scores":
        return torch.stack([picture_quality(image.permute(2, 0, 1)) for image in given["quality.images"]])
    if match := re.fullmatch(r"(fps\d+)\.normalized", name):
        return standardise(given[f"{match[1]}.features"])
    if match := re.fullmatch(r"(fps\d+)\.indices_bias(\d+(?:\.\d+)?)", name):
        features, quality = given[f"{match[1]}.features"], given[f"{match[1]}.quality"]
        return torch.tensor(farthest_points(features, quality, golden.num_rows(name), float(match[2])))
    inputs = _call_inputs(golden)
    if inputs is None:
        return None
    _, targets, bank = inputs
    if match := re.fullmatch(r"fov\.t(\d+)\.near([\d.]+)\.far([\d.]+)\.(overlap|angle)", name):
        near, far = float(match[2]), float(match[3])
        overlap, angle = frustum_overlap(_frusta(targets[int(match[1])], near, far), _frusta(bank, near, far))
        return (overlap if match[4] == "overlap" else angle)[0]
    if name == "frustum.corners":
        first = targets[: golden.num_rows(name)]
        return frustum_corners(first.w2c, first.K, _sizes(first))
    if name == "camfeat.features":
        return camera_features(targets.w2c)
    if name == "camfeat.positions":
        return camera_features(targets.w2c)[:, :3].float()
    return None
