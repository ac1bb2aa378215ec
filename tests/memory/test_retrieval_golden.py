"""Retrieval against the released code's goldens, and proof that the comparison notices what is wrong."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from worldstereo_core.commands.verify import family_g9
from worldstereo_core.commands.verify.golden import Golden, read_golden

NAME = "g9_retrieval"


def failures(golden: Golden) -> list[str]:
    return [check.name for check in family_g9.facts(golden, "diffusers") if not check.passed]


def assert_passes(folder: Path) -> None:
    golden = read_golden(folder, NAME)
    checks = family_g9.facts(golden, "diffusers")
    assert len(checks) > 20
    assert failures(golden) == []
    computed = family_g9.compute(golden, "diffusers")
    for name, result in computed.items():
        assert result.shape == golden.tensors[name].shape, name


def test_retrieval_equals_the_released_codes(golden_dir: Path):
    assert_passes(golden_dir)


@pytest.mark.shared
def test_retrieval_equals_the_released_codes_on_every_scene(shared_golden: Path):
    assert_passes(shared_golden)


def test_a_wrong_index_is_noticed(golden_dir: Path):
    golden = read_golden(golden_dir, NAME)
    manifest = copy.deepcopy(golden.manifest)
    step = manifest["panorama"]["steps"][0]
    step["global_indices"][0] += 1
    assert failures(replace(golden, manifest=manifest)) == ["pano.s00.indices"]


def test_a_wrong_index_where_two_views_tie_is_let_pass(golden_dir: Path):
    golden = read_golden(golden_dir, NAME)
    manifest = copy.deepcopy(golden.manifest)
    step = manifest["panorama"]["steps"][0]
    step["global_indices"][0] += 1
    step["score_margins"][0] = 0.0
    assert failures(replace(golden, manifest=manifest)) == []


def test_moved_cameras_are_noticed(golden_dir: Path):
    golden = read_golden(golden_dir, NAME)
    tensors = dict(golden.tensors)
    tensors["pano.bank0.w2c"] = tensors["pano.bank0.w2c"].roll(1, dims=0)
    failed = failures(replace(golden, tensors=tensors))
    assert "pano.s00.indices" in failed and any(name.startswith("fov.") for name in failed)


def test_other_frame_counts_and_names_need_no_change(golden_dir: Path):
    # A scene of another name, with other sizes, made from the first one's tensors; only the structure counts.
    golden = read_golden(golden_dir, NAME)
    scene = copy.deepcopy(golden.manifest["panorama"])
    scene["max_reference"] = 50
    scene["nframe"] = 10
    scene["align_nframe"] = 2
    scene["steps"] = scene["steps"][:1]
    tensors = {
        name.replace("pano.", "gard."): value
        for name, value in golden.tensors.items()
        if name.startswith(("pano.bank0", "pano.s00"))
    }
    other = replace(
        golden, manifest={**golden.manifest, "garden": scene}, tensors={**golden.tensors, **tensors}
    )
    computed = family_g9.compute(other, "diffusers")
    assert torch.is_tensor(computed["gard.s00.ref_w2c"])
    failed = failures(other)
    # 21 cameras are now decimated to 6, which the stored indices cannot know.
    assert "gard.s00.indices" in failed


def test_a_scene_whose_tensors_are_named_otherwise_is_found_by_its_sizes(golden_dir: Path):
    golden = read_golden(golden_dir, NAME)
    tensors = {name.replace("pano.", "x9."): value for name, value in golden.tensors.items()}
    manifest = copy.deepcopy(golden.manifest)
    calls = manifest["find_closest_calls"]
    for key in ("targets", "bank"):
        calls[key] = calls[key].replace("pano.", "x9.")
    renamed = replace(golden, tensors=tensors, manifest=manifest)
    assert failures(renamed) == []
    assert "x9.s00.ref_w2c" in family_g9.compute(renamed, "diffusers")
