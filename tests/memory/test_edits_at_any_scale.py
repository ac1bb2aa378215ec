"""The same world in units of 0.1 mm and of 10 km: every edit and signal says the same of both."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.geometry.similarity import Similarity, fit_similarity
from worldstereo_core.memory.controls import render_controls
from worldstereo_core.memory.coverage import column_means, measure_coverage
from worldstereo_core.memory.editing import crop_to_sphere, delete_by_mask, transform_memory
from worldstereo_core.memory.matching import match_shared_picture
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory
from worldstereo_core.memory.pictures import draw_memory
from worldstereo_core.memory.statistics import memory_statistics
from worldstereo_core.memory.view import View

H, W = 24, 32
K = torch.tensor([[20.0, 0, W / 2], [0, 20.0, H / 2], [0, 0, 1]])
RADIUS = 0.06


def hills() -> GeometricMemory:
    rows, columns = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    depth = 3 + 0.5 * torch.sin(columns / 5) + 0.5 * torch.cos(rows / 4)
    image = torch.rand(3, H, W, generator=torch.Generator().manual_seed(0))
    return initialise_memory(image, depth, K, edge_threshold=0.0)


@pytest.fixture(params=[1e-4, 1e4])
def pair(request: pytest.FixtureRequest) -> tuple[GeometricMemory, GeometricMemory, float]:
    memory = hills()
    return memory, transform_memory(memory, Similarity.of(request.param)), request.param


def test_edits_take_the_same_points(pair: tuple[GeometricMemory, GeometricMemory, float]):
    one, other, scale = pair
    mask = torch.zeros(H, W)
    mask[6:14, 8:20] = 1
    for memory, factor in ((one, 1.0), (other, scale)):
        cut = delete_by_mask(memory, mask, memory.views[0].camera, radius=RADIUS)
        assert memory.points.num_points - cut.points.num_points == 8 * 12
        ball = crop_to_sphere(memory, (0, 0, 3 * factor), 0.7 * factor)
        assert ball.points.num_points == crop_to_sphere(one, (0, 0, 3), 0.7).points.num_points


def test_signals_and_pictures_are_the_same(pair: tuple[GeometricMemory, GeometricMemory, float]):
    one, other, scale = pair
    a, b = (
        render_controls(m.points, m.views[0].camera, radius=RADIUS, low=40, high=80) for m in (one, other)
    )
    assert_close(b.depth / scale, a.depth, rtol=1e-5, atol=0)
    assert_close(b.normals, a.normals, rtol=0, atol=1e-2)
    assert_close(b.depth_pictures(), a.depth_pictures(), rtol=0, atol=1e-3)
    assert (a.edges != b.edges).float().mean() < 0.01
    # Without the captions, which name scene units.
    above, others = (draw_memory(memory)[40:480] for memory in (one, other))
    assert ((above - others).abs().amax(-1) > 0.01).float().mean() < 0.01


def test_measures_are_the_same(pair: tuple[GeometricMemory, GeometricMemory, float]):
    one, other, scale = pair
    assert torch.equal(measure_coverage(one).counts, measure_coverage(other).counts)
    counts = torch.arange(one.points.num_points)
    assert column_means(other.points.xyz, counts).shape == counts.shape
    numbers, others = memory_statistics(one, radius=RADIUS), memory_statistics(other, radius=RADIUS)
    assert numbers.coverage == others.coverage
    assert others.median_depth == pytest.approx(scale * numbers.median_depth)


def test_a_shared_picture_finds_the_scale(pair: tuple[GeometricMemory, GeometricMemory, float]):
    one, other, scale = pair
    fit = fit_similarity(*match_shared_picture(one, other))
    assert fit.similarity.scale == pytest.approx(scale, rel=1e-6)
    assert fit.is_inlier.all()


def test_a_camera_inside_the_points_and_a_single_point_give_no_nan():
    memory = hills()
    inside = torch.eye(4)
    inside[2, 3] = -3.0  # between the hills
    view = View(memory.views[0].image, inside, K, "inside", 1, torch.full((H, W), 0.5))
    both = replace(memory, views=(*memory.views, view))
    frames = render_controls(both.points, view.camera, radius=RADIUS)
    assert torch.isfinite(frames.normals).all() and torch.isfinite(frames.depth_pictures()).all()
    assert measure_coverage(both).counts.max() <= 2
    alone = replace(memory, points=memory.points.select(slice(5, 6)))
    frames = render_controls(alone.points, memory.views[0].camera, radius=RADIUS)
    assert torch.isfinite(frames.normals).all() and torch.isfinite(frames.depth_pictures()).all()
    assert torch.isfinite(draw_memory(alone)).all() and "1 points" in memory_statistics(alone).text
