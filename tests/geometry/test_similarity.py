"""Similarities: worked out by hand, as a group, and recovered from matches with wrong ones among them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.geometry.cameras import project
from worldstereo_core.geometry.poses import quaternion_to_matrix
from worldstereo_core.geometry.similarity import Similarity, fit_similarity, move_trajectory
from worldstereo_core.geometry.trajectory import build_trajectory


def some(seed: int, scale: float = 1.0) -> Similarity:
    generator = torch.Generator().manual_seed(seed)
    rotation = quaternion_to_matrix(torch.randn(4, generator=generator, dtype=torch.float64))
    return Similarity(scale, rotation, torch.randn(3, generator=generator, dtype=torch.float64))


def cloud(seed: int, count: int = 40) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_quarter_turn_with_scale_two_worked_out_by_hand():
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    moved = Similarity.of(2.0, turn, (10.0, 0.0, 0.0)).to_points(torch.tensor([[1.0, 0.0, 3.0]]))
    assert_close(moved, torch.tensor([[10.0, 2.0, 6.0]]))


def test_inverse_and_composition():
    a, b, x = some(0, 2.0), some(1, 0.3), cloud(2)
    assert_close(a.inverse.to_points(a.to_points(x)), x)
    assert_close(b.after(a).to_points(x), b.to_points(a.to_points(x)))


def test_moved_cameras_see_moved_points_at_scaled_camera_coordinates():
    move, x = some(3, 2.5), cloud(4)
    w2c = torch.eye(4, dtype=torch.float64)
    w2c[:3, :3], w2c[:3, 3] = some(5).rotation, torch.tensor([1.0, 2, 3])
    before = x @ w2c[:3, :3].mT + w2c[:3, 3]
    moved = move.to_w2c(w2c)
    after = move.to_points(x) @ moved[:3, :3].mT + moved[:3, 3]
    assert_close(after, 2.5 * before)


@pytest.mark.parametrize("scale", [1e-4, 0.7, 1e4])
def test_umeyama_recovers_a_similarity_exactly(scale: float):
    truth, x = some(6, scale), cloud(7)
    fit = fit_similarity(x, truth.to_points(x))
    assert fit.similarity.scale == pytest.approx(scale, rel=1e-9)
    assert_close(fit.similarity.rotation, truth.rotation)
    assert_close(fit.similarity.translation, truth.translation)
    assert fit.is_inlier.all()


def test_wrong_matches_have_no_say():
    truth, x = some(8, 1.7), cloud(9, 60)
    y = truth.to_points(x) + 1e-3 * cloud(10, 60)
    y[::3] = 5 * cloud(11, 20)
    y[1] = torch.nan
    fit = fit_similarity(x, y)
    assert fit.similarity.scale == pytest.approx(1.7, rel=1e-3)
    assert_close(fit.similarity.rotation, truth.rotation, atol=2e-3, rtol=0)
    assert not fit.is_inlier[::3].any() and not fit.is_inlier[1]
    assert fit.is_inlier.sum() >= 35 and fit.residual < 3e-3


def test_points_of_a_plane_are_never_mirrored():
    x = cloud(12)
    x[:, 2] = 0
    truth = some(13, 1.0)
    rotation = fit_similarity(x, truth.to_points(x)).similarity.rotation
    assert float(torch.linalg.det(rotation)) == pytest.approx(1.0)
    assert_close(rotation, truth.rotation)


def test_matches_that_determine_nothing_are_refused():
    line = torch.linspace(0, 1, 8)[:, None].double() * torch.tensor([1.0, 2, 3], dtype=torch.float64)
    with pytest.raises(WorldStereoError, match="all lie on one line"):
        fit_similarity(line, line)
    with pytest.raises(WorldStereoError, match="got 2 matches"):
        fit_similarity(cloud(0, 2), cloud(0, 2))


def test_what_is_no_similarity_is_refused():
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0]))
    for scale, rotation in (
        (0.0, None),
        (-1.0, None),
        (math.nan, None),
        (1.0, mirror),
        (1.0, 2 * torch.eye(3)),
    ):
        with pytest.raises(WorldStereoError, match=r"scale: got|rotation: got"):
            Similarity.of(scale, rotation)
    with pytest.raises(WorldStereoError, match="translation: got"):
        Similarity.of(translation=(0.0, math.inf, 0.0))


def test_cameras_that_move_with_the_world_see_the_same():
    start = (torch.eye(4), torch.tensor([[20.0, 0, 16], [0, 20.0, 12], [0, 0, 1]]))
    path = build_trajectory("orbit right", start=start, height=24, width=32, num_frames=3, pivot_depth=3.0)
    xyz = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) + torch.tensor([-0.5, -0.5, 3])
    similarity = Similarity.about((0, 0, 3), yaw=0.4, roll=0.2, scale=2.5, move=(1, -2, 3))
    moved = move_trajectory(path, similarity)
    before, z = project(xyz, path.K, path.w2c)
    after, new_z = project(similarity.to_points(xyz), moved.K, moved.w2c)
    assert_close(after, before, rtol=0, atol=1e-3)
    assert_close(new_z, 2.5 * z, rtol=1e-5, atol=0)
    assert path.pivot is not None and moved.pivot is not None
    assert_close(torch.tensor(moved.pivot), similarity.to_points(torch.tensor(path.pivot)))
