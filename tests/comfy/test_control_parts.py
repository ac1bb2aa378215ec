"""The control's optional parts on a real ComfyUI model."""

from __future__ import annotations

import pytest


@pytest.fixture
def check(run_in_comfy, tiny_weights, tmp_path):
    def call(function: str):
        return run_in_comfy("part_checks.py", function, weights=str(tiny_weights), folder=str(tmp_path))

    return call


def test_new_parts_change_nothing_to_the_bit(check):
    assert check("new_parts") == 0.0


def test_every_trained_part_acts_and_all_at_0_are_the_released_control(check):
    figures = check("trained_parts")
    assert figures.pop("none") == 0.0
    assert len(figures) == 6 and min(figures.values()) > 1e-3, figures


def test_a_part_acts_in_its_own_stage_of_the_sampling(check):
    # Wan's shift of 8: half way is sigma 0.889, between the second step (0.9) and the third (0.6).
    assert check("part_stage") == {"whole": 3, "first half": 2, "second half": 1}
