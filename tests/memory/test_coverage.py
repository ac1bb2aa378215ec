"""Coverage of a wall that one picture sees whole and others in part: counts, heat map, shares on a path."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.geometry.cameras import Cameras
from worldstereo_core.memory.coverage import (
    COUNT_COLOURS,
    HOLE_COLOUR,
    column_means,
    counts_to_colours,
    coverage_along,
    measure_coverage,
)
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory
from worldstereo_core.memory.pictures import draw_coverage
from worldstereo_core.memory.view import View

H, W = 12, 16
K = torch.tensor([[8.0, 0, W / 2], [0, 8.0, H / 2], [0, 0, 1]])
HERE = Cameras(torch.eye(4)[None], K[None], H, W)
IMAGE = torch.zeros(3, H, W, dtype=torch.uint8)


def wall(z: float = 4.0) -> GeometricMemory:
    return initialise_memory(torch.full((3, H, W), 0.5), torch.full((H, W), z), K, edge_threshold=0.0)


def beside(right: float, depth: torch.Tensor | None) -> View:
    """A view whose camera stands to the right of the first."""
    w2c = torch.eye(4)
    w2c[0, 3] = -right
    return View(IMAGE, w2c, K, f"right {right}", 1, depth)


def test_the_picture_a_point_came_from_saw_it():
    coverage = measure_coverage(wall())
    assert (coverage.counts == 1).all() and coverage.num_views == 1
    assert coverage.text.endswith("0% of the points seen by no view, 100% by one, 0% by two or more.")


@pytest.mark.parametrize("has_depth", [True, False])
def test_a_view_counts_for_what_it_sees_and_no_more(has_depth: bool):
    # At depth 4 a pixel is half a unit wide: 4 units to the right is half the picture.
    memory = wall()
    view = beside(4.0, torch.full((H, W), 4.0) if has_depth else None)
    counts = measure_coverage(replace(memory, views=(*memory.views, view)), radius=0.2).counts
    expected = torch.ones(H, W)
    expected[:, 8:] = 2
    assert_close(counts.reshape(H, W).float(), expected)


def test_a_surface_in_front_hides_what_is_behind():
    memory = wall()
    depth = torch.full((H, W), 4.0)
    depth[:, :4] = 2.0  # something nearer in the view's first columns
    both = replace(memory, views=(*memory.views, beside(0.0, depth)))
    counts = measure_coverage(both).counts.reshape(H, W)
    assert (counts[:, :4] == 1).all() and (counts[:, 4:] == 2).all()


def test_pixels_without_depth_and_cameras_that_look_away_count_for_nothing():
    memory = wall()
    turned = torch.diag(torch.tensor([-1.0, 1, -1, 1]))
    views = (
        *memory.views,
        beside(0.0, torch.zeros(H, W)),
        View(IMAGE, turned, K, "back", 1, torch.full((H, W), 4.0)),
    )
    assert (measure_coverage(replace(memory, views=views)).counts == 1).all()


def test_shares_along_a_path_are_those_of_the_pixels():
    memory = wall()
    memory = replace(memory, views=(*memory.views, beside(4.0, torch.full((H, W), 4.0))))
    coverage = measure_coverage(memory)
    w2c = torch.eye(4).repeat(2, 1, 1)
    w2c[1, 0, 3] = -4.0
    path = coverage_along(memory, coverage, Cameras(w2c, K.expand(2, 3, 3), H, W), radius=0.08)
    assert_close(path.holes, torch.tensor([0.0, 0.5]))
    assert_close(path.once, torch.tensor([0.5, 0.0]))
    assert_close(path.often, torch.tensor([0.5, 0.5]))
    assert_close(path.picture[0, :, 5, 3], torch.tensor(COUNT_COLOURS[1]))
    assert_close(path.picture[0, :, 5, 12], torch.tensor(COUNT_COLOURS[2]))
    assert_close(path.picture[1, :, 5, 12], torch.tensor(HOLE_COLOUR))
    assert "Frame 1 has most holes: 50%." in path.text


def test_colours_lie_between_those_of_whole_counts_and_end_at_the_last():
    table = torch.tensor(COUNT_COLOURS)
    assert_close(counts_to_colours(torch.tensor([0, 3, 5, 99])), table[[0, 3, 5, 5]])
    assert_close(counts_to_colours(torch.tensor([1.5])), (table[1:2] + table[2:3]) / 2)


def test_a_column_of_the_heat_map_is_the_mean_over_its_height():
    xyz = torch.tensor([[0.0, 0, 0], [0, -3, 0], [1, 5, 1]])
    assert_close(column_means(xyz, torch.tensor([1, 4, 2]), cells=8), torch.tensor([2.5, 2.5, 2.0]))


def test_the_heat_map_shows_the_wall_in_the_colour_of_its_count():
    memory = wall()
    picture = draw_coverage(memory, measure_coverage(memory), HERE, size=128)
    is_once = (picture - torch.tensor(COUNT_COLOURS[1])).abs().amax(-1) < 0.01
    rows = torch.nonzero(is_once[24:])[:, 0]  # below the legend
    assert len(rows) > 100 and picture.shape == (128, 128, 3)


def test_coverage_of_another_memory_is_refused():
    memory = wall()
    coverage = replace(measure_coverage(memory), counts=torch.zeros(3, dtype=torch.int32))
    with pytest.raises(WorldStereoError, match="coverage: got counts of 3 points, expected the memory's 192"):
        coverage_along(memory, coverage, HERE)
