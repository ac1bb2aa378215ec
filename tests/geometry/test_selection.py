"""Selections as recipes: what strokes and outlines cover, and which of them are refused."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.geometry.cameras import project
from worldstereo_core.geometry.selection import BoxPart, PaintedPart, ViewPoint, WorldSelection

WIDE = ViewPoint((0.0, 0.0, 0.0), aspect=2.0)
TRIANGLE = ((0.25, 0.2), (0.75, 0.2), (0.25, 0.8))


def test_the_camera_of_a_view_has_its_horizontal_field_of_view_and_aspect():
    camera = ViewPoint((1.0, 2.0, 3.0), fov_deg=90.0, aspect=2.0).camera(10)
    assert (camera.height, camera.width) == (10, 20)
    assert_close(camera.K[0], torch.tensor([[10.0, 0, 10], [0, 10.0, 5], [0, 0, 1]]))
    # Straight ahead of the camera is the middle; as far right as ahead is the right edge.
    xy, _ = project(torch.tensor([[1.0, 2, 7], [5.0, 2, 7]]), camera.K[0], camera.w2c[0])
    assert_close(xy, torch.tensor([[10.0, 5], [20, 5]]))


def test_a_dab_is_a_disc_and_a_stroke_a_bar_with_round_ends():
    dab = PaintedPart(WIDE, ((0.5, 0.5),), radius=0.2).mask(10)
    # Radius 2 pixels about the corner between pixels 9 and 10, 4 and 5.
    assert dab.shape == (10, 20) and int(dab.sum()) == 12
    assert not dab[3, 8] and dab[3, 9] and dab[4, 8]
    stroke = PaintedPart(WIDE, ((0.25, 0.5), (0.75, 0.5)), radius=0.2).mask(10)
    assert int(stroke.sum()) == 12 + 10 * 4
    assert stroke[3:7, 5:15].all() and not stroke[:3].any() and not stroke[7:].any()


def test_an_outline_is_filled_by_the_even_odd_rule():
    mask = PaintedPart(WIDE, TRIANGLE).mask(10)
    # Right angle at column 5, row 2; legs of 10 columns and 6 rows.
    expected = torch.zeros(10, 20, dtype=torch.bool)
    for row in range(2, 8):
        end = 15 - (row + 0.5 - 2) * 10 / 6
        for column in range(5, 20):
            expected[row, column] = column + 0.5 < end
    assert torch.equal(mask, expected)
    star = PaintedPart(WIDE, ((0.1, 0.1), (0.9, 0.9), (0.9, 0.1), (0.1, 0.9))).mask(10)
    assert star[3, 3] == star[3, 16] and not star[1, 10]


def test_strokes_may_leave_the_picture():
    mask = PaintedPart(WIDE, ((-0.5, 0.5), (1.5, 0.5)), radius=0.1).mask(10)
    assert mask[4:6].all() and int(mask.sum()) == 40
    assert not PaintedPart(WIDE, ((3.0, 3.0),), radius=0.1).mask(10).any()


BOX = BoxPart((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
STROKE = PaintedPart(WIDE, ((0.5, 0.5),), radius=0.1)


@pytest.mark.parametrize(
    ("part", "changes", "said"),
    [
        (BOX, {"size": (1.0, 0.0, 1.0)}, "size is [1.0, 0.0, 1.0], expected three lengths above 0"),
        (BOX, {"centre": (math.nan, 0.0, 0.0)}, "centre is [nan, 0.0, 0.0], expected finite numbers"),
        (BOX, {"wxyz": (0.5, 0.0, 0.0, 0.0)}, "has length 0.5, expected 1"),
        (BOX, {"mode": "xor"}, "mode is 'xor', expected one of: add, subtract, intersect"),
        (STROKE, {"points": ()}, "has 0 points, expected 1 to 5000"),
        (STROKE, {"radius": None}, "has 1 points, expected 3 to 5000"),
        (STROKE, {"radius": 0.0}, "radius is 0.0, expected a share of the picture's height above 0"),
        (STROKE, {"points": ((0.5, math.inf),)}, "a point is [0.5, inf], expected finite numbers"),
        (STROKE, {"reach": "far"}, "reach is 'far', expected one of: visible surface, everything behind"),
        (STROKE, {"view": replace(WIDE, fov_deg=180.0)}, "fov_deg is 180 and aspect 2"),
        (STROKE, {"view": replace(WIDE, position=(0.0, 1e300, 0.0))}, "position is"),
    ],
)
def test_a_part_that_cannot_be_used_is_named(part: Any, changes: dict[str, Any], said: str):
    with pytest.raises(WorldStereoError, match=r"^selection: part 2: ") as error:
        WorldSelection((BOX, replace(part, **changes)))
    assert said in str(error.value)


def test_too_many_parts_are_refused():
    assert WorldSelection().is_empty and not WorldSelection((BOX,)).is_empty
    with pytest.raises(WorldStereoError, match="has 1001 parts, expected at most 1000"):
        WorldSelection((BOX,) * 1001)
