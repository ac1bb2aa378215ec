"""Errors of estimated depth, worked out by hand and as properties."""

from __future__ import annotations

import pytest
import torch

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.training.geometry_errors import GeometryErrors, bleed, blur

NONE = {"share": 1.0, "bleeding": 0, "blur": 0.0, "scale_waves": 0.0, "dropped": 0.0, "dropped_areas": 0}


def step() -> torch.Tensor:
    """A wall at 1 before one at 4, and one pixel without data."""
    depth = torch.full((6, 9), 4.0)
    depth[:, :4] = 1.0
    depth[2, 8] = 0.0
    return depth


def test_near_depth_spreads_over_far_depth():
    spread = bleed(step(), 2, flies=False)
    assert torch.equal(spread[0], torch.tensor([1.0, 1, 1, 1, 1, 1, 4, 4, 4]))
    assert spread[2, 8] == 0


def test_flying_points_lie_between_the_surfaces():
    spread = bleed(step(), 2, flies=True)
    # Half way in inverse depth: 2 / (1 / 1 + 1 / 4) = 1.6.
    torch.testing.assert_close(spread[0], torch.tensor([1.0, 1, 1, 1, 1, 1.6, 4, 4, 4]))


def test_blur_keeps_a_plane_and_what_has_no_data():
    plane = torch.full((6, 9), 2.0)
    plane[1, 1] = 0
    torch.testing.assert_close(blur(plane, 1.0), plane)
    soft = blur(step(), 0.8)
    assert 1.0 < soft[0, 3] < soft[0, 4] < 4.0


def test_without_errors_depth_stays_as_it_is():
    depth = step()[None]
    errors = GeometryErrors(**NONE)
    disturbed, kept = errors.apply(depth, torch.Generator().manual_seed(0))
    assert torch.equal(disturbed, depth) and torch.equal(kept, depth > 0)


def test_points_drop_one_by_one_and_in_areas():
    depth = torch.ones(40, 20, 30)
    errors = GeometryErrors(**{**NONE, "dropped": 0.5})
    disturbed, kept = errors.apply(depth, torch.Generator().manual_seed(0))
    assert torch.equal(disturbed, depth)
    assert 0.7 < kept.float().mean() < 0.8  # the share itself is even over 0..0.5
    errors = GeometryErrors(**{**NONE, "dropped_areas": 3})
    kept = errors.apply(depth, torch.Generator().manual_seed(0))[1]
    assert 0.8 < kept.float().mean() < 1


def test_scale_waves_are_slow():
    depth = torch.ones(1, 24, 36)
    errors = GeometryErrors(**{**NONE, "scale_waves": 0.05})
    [waved] = errors.apply(depth, torch.Generator().manual_seed(1))[0]
    assert waved.std() > 0.01 and (waved[:, 1:] - waved[:, :-1]).abs().max() < 0.02


def test_the_same_generator_makes_the_same_errors():
    depth = torch.rand(3, 20, 30) + 1
    first = GeometryErrors().apply(depth, torch.Generator().manual_seed(5))
    again = GeometryErrors().apply(depth, torch.Generator().manual_seed(5))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], depth) and not bool(first[1].all())


def test_bad_shares_are_named():
    with pytest.raises(WorldStereoError, match=r"dropped: got 2, expected a share"):
        GeometryErrors(dropped=2)
