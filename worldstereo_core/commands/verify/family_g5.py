"""g5: camera normalisation, rays, quaternions, buckets and key frames as the released code computes them."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from ...checks import WorldStereoError
from ...geometry.cameras import scale_K
from ...geometry.poses import matrix_to_quaternion
from ...model.upstream_quirks import (
    normalize_camera_centers,
    released_camera_rays,
    released_rays,
    unified_camera_normalization,
    w2c_to_camera_tokens,
)
from ...sizes import nearest_bucket, sample_align_frames, select_keyframes
from .checks import Check, exact, failed
from .golden import Golden

_COUNTS = {"two": 2, "three": 3, "four": 4}

INPUT_GLOBS = ("*.w2c", "*.w2c_ref", "*.K", "*.R")


def compute(golden: Golden, adapter: str) -> dict[str, Tensor]:
    """Recompute every stored tensor that is not an input; its name says what it is."""
    computed: dict[str, Tensor] = {}
    # Both cases and quantities may hold dots: the inputs' names tell where a case's name ends.
    cases = {name.rpartition(".")[0] for name in golden.tensors if name.endswith((".w2c", ".R"))}
    for name in golden.names:
        for case in cases:
            if name.startswith(f"{case}."):
                result = _compute_one(golden, case, name.removeprefix(f"{case}."))
                if result is not None:
                    computed[name] = result
    return computed


def _compute_one(golden: Golden, case: str, quantity: str) -> Tensor | None:
    def given(name: str) -> Tensor:
        return golden.input(f"{case}.{name}")

    if quantity == "q":
        return matrix_to_quaternion(given("R"))
    if quantity == "K_bucket":
        return scale_K(given("K"), _size(golden, case), golden.cases[case]["bucket_hw"])
    if match := re.fullmatch(r"center_norm_w2c([01])_s(\d+(?:\.\d+)?)", quantity):
        w2c = given("w2c")
        return normalize_camera_centers(w2c, _path_length(golden, case), float(match[2]), match[1] == "1")
    if match := re.fullmatch(r"plucker_(w2c0|w2c1|nonorm)", quantity):
        has_norm = match[1] != "nonorm"
        return released_rays(given("K"), given("w2c"), *_size(golden, case), has_norm, match[1] == "w2c1")
    if match := re.fullmatch(r"rays_o_first_and_d(\d+)\.([01])", quantity):
        origins, directions = released_camera_rays(given("K"), given("w2c"), *_size(golden, case))
        return origins if match[2] == "0" else directions[: int(match[1])].flatten(1, 2)
    if match := re.fullmatch(r"unified\.([0-3])", quantity):
        parts = unified_camera_normalization(given("w2c"), given("w2c_ref"))
        part = parts[int(match[1]) % 2]
        return part if int(match[1]) < 2 else w2c_to_camera_tokens(part)[None]
    return None


def _path_length(golden: Golden, case: str) -> int:
    """Cameras of one path. Several paths are stored as one list, which is no case of its own.

    The name counts them ("two_seq"), or the first of them stands in the golden as a case.
    """
    w2c = golden.input(f"{case}.w2c")
    if match := re.match(r"(two|three|four|\d+)_(?:seq|path)", case):
        return len(w2c) // int(_COUNTS.get(match[1], match[1]))
    for other in golden.cases if case not in golden.cases else ():
        path = golden.tensors.get(f"{other}.w2c")
        if path is not None and len(w2c) % len(path) == 0 and torch.equal(w2c[: len(path)], path):
            return len(path)
    return len(w2c)


def _size(golden: Golden, case: str) -> tuple[int, int]:
    return golden.cases[case]["h"], golden.cases[case]["w"]


def facts(golden: Golden, adapter: str) -> list[Check]:
    """Check the buckets and frame indices that the manifest lists."""
    manifest = golden.manifest
    checks = []
    for case, entry in golden.cases.items():
        if "bucket_hw" in entry:
            width, height = entry["orig_wh"]
            checks.append(exact(f"{case}.bucket_hw", list(nearest_bucket(height, width)), entry["bucket_hw"]))
        if entry.get("keyframe_indices"):
            indices = entry["keyframe_indices"]
            # The last key frame is the last frame, so the list tells how many there were.
            chosen = select_keyframes(indices[-1] + 1, len(indices))
            checks.append(exact(f"{case}.keyframe_indices", chosen, indices))
    for entry in manifest.get("assign_scale", []):
        name = f"assign_scale {entry['h']}x{entry['w']}"
        checks.append(exact(name, list(nearest_bucket(entry["h"], entry["w"])), entry["hw"]))
    for count, indices in manifest.get("keyframe_linspace", {}).items():
        chosen = select_keyframes(int(count), len(indices))
        checks.append(exact(f"keyframe_linspace {count}", chosen, indices))
    for entry in manifest.get("sample_align_nframe", []):
        name = f"sample_align_nframe {entry['N']} {entry['n']}"
        checks.append(exact(name, sample_align_frames(entry["N"], entry["n"]), entry["indices"]))
    checks += _refusals(manifest.get("sample_align_nframe_error", ""))
    return checks


def _refusals(text: str) -> list[Check]:
    """Counts that must raise, written as ``N=8,n=8 -> ValueError``."""
    checks = []
    for frames, count in re.findall(r"N=(\d+),\s*n=(\d+)", text):
        name = f"sample_align_nframe {frames} {count} refused"
        try:
            got = sample_align_frames(int(frames), int(count))
        except WorldStereoError:
            checks.append(exact(name, True, True))
        else:
            checks.append(failed(name, f"got {got}, expected an error"))
    return checks
