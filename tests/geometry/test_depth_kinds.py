"""Stored depth of other kinds, brought to camera z."""

from __future__ import annotations

import math

import pytest
import torch

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.geometry.depth_kinds import stored_to_depth

VALUES = torch.tensor([[[2.0, 4.0, 0.0, torch.inf, torch.nan]]])


def test_depth_is_multiplied_and_what_is_no_data_becomes_zero():
    assert stored_to_depth(VALUES, "depth", 0.5).flatten().tolist() == [1, 2, 0, 0, 0]


def test_disparity_is_inverted():
    assert stored_to_depth(VALUES, "disparity", 8.0).flatten().tolist() == [4, 2, 0, 0, 0]


def test_distance_along_the_ray_shrinks_towards_the_corners():
    # Focal length 1 pixel, centre in the middle of 3 pixels: rays (-1, 0, 1), (0, 0, 1), (1, 0, 1).
    K = torch.tensor([[[1.0, 0, 1.5], [0, 1, 0.5], [0, 0, 1]]])
    depth = stored_to_depth(torch.full((1, 1, 3), 2.0), "distance", 1.0, K)
    assert depth.flatten().tolist() == pytest.approx([math.sqrt(2), 2, math.sqrt(2)])


def test_distance_needs_a_field_of_view():
    with pytest.raises(WorldStereoError, match="Set the horizontal field of view in degrees"):
        stored_to_depth(torch.ones(1, 2, 3), "distance")


def test_an_unknown_kind_is_refused():
    with pytest.raises(WorldStereoError, match='kind: got "height"'):
        stored_to_depth(torch.ones(1, 2, 3), "height")  # type: ignore[arg-type]
