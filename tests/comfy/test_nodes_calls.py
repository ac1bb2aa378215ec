"""Nodes called directly, as ComfyUI calls them."""

from __future__ import annotations

import pytest


def test_objects_on_sockets_are_never_changed(run_in_comfy):
    assert run_in_comfy("node_checks.py", "nodes_leave_their_inputs_alone") == []


def test_distances_count_in_median_depths_or_scene_units(run_in_comfy):
    facts = run_in_comfy("node_checks.py", "trajectories")
    assert facts["alone_travel"] == pytest.approx(0.5)
    assert facts["scaled_travel"] == pytest.approx(2.0), "half of the median depth, which is 4"
    assert facts["unit_travel"] == pytest.approx(0.5)


def test_without_a_memory_size_and_field_of_view_are_the_nodes_own(run_in_comfy):
    facts = run_in_comfy("node_checks.py", "trajectories")
    assert facts["alone_size"] == [480, 768]
    assert facts["alone_focal"] == pytest.approx(384), "90 degrees: half the width"


def test_a_trajectory_continues_another_at_another_size(run_in_comfy):
    facts = run_in_comfy("node_checks.py", "trajectories")
    assert facts["continues"]
    assert facts["resized"] == [64, 96, 48]


def test_pictures_and_renders_come_at_a_share_of_a_trained_size(run_in_comfy):
    facts = run_in_comfy("node_checks.py", "sizes")
    # 512 x 720 times 0.25 and 0.375, to the nearest multiples of 16.
    assert facts["small"] == [1, 128, 176, 3] and facts["large"] == [1, 192, 272, 3]
    assert facts["render"] == [2, 128, 176, 3] and facts["holes"] == [2, 128, 176]
    assert facts["first"] == 0.0, "frame 0 is the start picture"
    nothing, other = facts["errors"]
    assert nothing.startswith(
        "WorldStereoError: first_frame: nothing is connected, but size says first frame"
    )
    assert other.startswith("ShapeError: first_frame: it is 90x80") and "other proportions" in other
