"""Growth and panoramas through the nodes."""

from __future__ import annotations

import pytest


def test_a_panorama_as_core_packs_it_becomes_a_world_that_is_upright(run_in_comfy):
    facts = run_in_comfy("growth_checks.py", "core_panorama")
    assert facts["on_wall"] < 1e-4 and facts["colour_error"] < 1e-4
    assert facts["bank"] == [27, 64, 96, 3]
    assert "27 views" in facts["report"] and "panorama:" in facts["report"]
    # The clip's start picture and the memory's render from the same camera agree.
    assert facts["start_holes"] < 0.01 and facts["start_error"] < 0.03
    assert facts["confidence"] == pytest.approx([1.0, 1.0], abs=1e-4)


def test_cores_panorama_estimate_becomes_the_room_that_its_model_saw(run_in_comfy):
    facts = run_in_comfy("growth_checks.py", "estimated_panorama")
    # Core joins twelve views by their gradients: the scale of the whole is lost, its shape nearly kept.
    assert facts["off_wall"] < 0.04 and facts["views"] == 6
    assert facts["median_depth"] == pytest.approx(1, abs=0.1)


def test_what_is_no_panorama_is_refused_with_the_numbers(run_in_comfy):
    said = run_in_comfy("growth_checks.py", "panorama_errors")
    for name in ("aspect", "crop"):
        assert "image: got 185 x 100 pixels (width x height), that is 1.85 : 1" in said[name]
    assert "geometry of an ordinary picture" in said["perspective"]
    assert "Take both from the same panorama" in said["size"]


def test_what_the_estimator_hardly_trusts_becomes_a_hole_hard_or_soft(run_in_comfy):
    found = run_in_comfy("growth_checks.py", "uncertain_half")
    # Holes left and right, then confidence left and right.
    assert found["plain"] == pytest.approx([0, 0, 0.2, 0.8], abs=0.01)
    assert found["cut"][:2] == pytest.approx([1, 0], abs=0.01)
    assert found["soft"][:2] == pytest.approx([0.8, 0.2], abs=0.01)
    assert found["left out"][0] > 0.9 and found["left out"][1:] == pytest.approx([0, 0, 0.8], abs=0.1)


def test_a_clip_is_aligned_repaired_fused_and_reported(run_in_comfy):
    facts = run_in_comfy("growth_checks.py", "update_with_everything")
    assert "frame 2 adds no points" in facts["report"]
    assert "factor 0.2, shift" in facts["report"] and facts["text"] == facts["report"]
    assert "frame 2, rejected" in facts["report"] and "cells of" in facts["report"]
    assert facts["seen"] == 4 and facts["finite"]
    assert facts["confidence"] == pytest.approx(0.8, abs=0.05) or facts["confidence"] >= 0.8
    assert "geometry: got depth of 5 pictures of 18 x 48" in facts["said"]["size"]
    assert "sky: got 3 masks for 5 pictures" in facts["said"]["masks"]
