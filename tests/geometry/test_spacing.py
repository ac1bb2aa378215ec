"""Spacing of points: grids by hand, a curved surface against every distance."""

from __future__ import annotations

import pytest
import torch

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.geometry.spacing import local_spacing


def test_points_on_a_line_by_hand():
    """Neighbours of 0, 1, 3, 7: squares of the three distances of each, their mean, its root."""
    xyz = torch.tensor([0.0, 1.0, 3.0, 7.0])[:, None] * torch.tensor([1.0, 0, 0])
    squares = torch.tensor([[1.0, 9, 49], [1, 4, 36], [9, 4, 16], [49, 36, 16]])
    torch.testing.assert_close(local_spacing(xyz), squares.mean(1).sqrt())


def test_spacing_follows_the_scale_and_the_place():
    """A plane with a step of 0.1 on the left and of 0.4 far on the right."""
    grid = torch.cartesian_prod(torch.arange(24.0), torch.arange(24.0), torch.zeros(1))
    xyz = torch.cat([0.1 * grid, 0.4 * grid + torch.tensor([100.0, 0, 0])])
    fine, coarse = local_spacing(xyz).split(len(grid))
    # The three nearest lie one step away, in a corner two of them one step and the third root two of one.
    for spacing, step in ((fine, 0.1), (coarse, 0.4)):
        assert float(spacing.median()) == pytest.approx(step, rel=1e-4)
        assert step * (1 - 1e-4) <= float(spacing.min()) and float(spacing.max()) <= step * 1.3
    torch.testing.assert_close(local_spacing(4 * xyz), 4 * local_spacing(xyz))


def test_a_random_surface_is_near_the_exact_answer():
    points = torch.nn.functional.normalize(
        torch.randn(3000, 3, generator=torch.Generator().manual_seed(0)), dim=1
    )
    exact = torch.cdist(points.double(), points.double()).topk(4, largest=False).values[:, 1:]
    ratio = local_spacing(points) / exact.square().mean(1).sqrt()
    assert float(ratio.min()) > 0.999  # what is found along a curve is never nearer than the nearest
    assert float(ratio.median()) < 1.01 and float(ratio.quantile(0.9)) < 1.3


def test_doubles_do_not_count_and_a_lone_point_does_not_swell():
    grid = 0.1 * torch.cartesian_prod(torch.arange(10.0), torch.arange(10.0), torch.zeros(1))
    xyz = torch.cat([grid, grid, torch.tensor([[1e4, 0, 0]])])
    spacing = local_spacing(xyz)
    assert float(spacing.min()) >= 0.0999
    assert float(spacing[-1]) == pytest.approx(20 * float(spacing.median()))


def test_points_in_one_place_are_refused():
    with pytest.raises(WorldStereoError, match="all 5 stand in one place"):
        local_spacing(torch.ones(5, 3))
