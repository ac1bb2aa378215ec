"""What the released weights were trained with: every oddity by hand, then the goldens."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.commands.verify.runner import verify_one
from worldstereo_core.geometry.cameras import look_at
from worldstereo_core.geometry.poses import invert_se3, quaternion_to_matrix
from worldstereo_core.model import upstream_quirks
from worldstereo_core.model.upstream_quirks import (
    normalize_camera_centers,
    released_camera_rays,
    released_rays,
    unified_camera_normalization,
    w2c_to_camera_tokens,
)

H, W = 8, 10
K = torch.tensor([[4.0, 0, 5], [0, 3, 4], [0, 0, 1]])


def cameras_at(*centers: tuple[float, float, float]) -> torch.Tensor:
    """Unrotated cameras; w2c's translation is minus the centre."""
    w2c = torch.eye(4).repeat(len(centers), 1, 1)
    w2c[:, :3, 3] = -torch.tensor(centers)
    return w2c


def centers_of(w2c: torch.Tensor) -> torch.Tensor:
    return invert_se3(w2c)[:, :3, 3]


def random_w2c(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    w2c = torch.eye(4).repeat(count, 1, 1)
    w2c[:, :3, :3] = quaternion_to_matrix(torch.randn(count, 4, generator=generator))
    w2c[:, :3, 3] = torch.randn(count, 3, generator=generator)
    return w2c


def test_first_camera_ends_two_from_the_mean_centre():
    # Centres 0, 1, 5 on x after the first camera became the world: mean 2, first at -2, so the scale is 1.
    w2c = cameras_at((7, 0, 0), (8, 0, 0), (12, 0, 0))
    expected = torch.tensor([[-2.0, 0, 0], [-1, 0, 0], [3, 0, 0]])
    assert_close(centers_of(normalize_camera_centers(w2c, 3)), expected)
    assert_close(centers_of(normalize_camera_centers(w2c, 3, scale=1.0)), expected / 2)


def test_identical_cameras_stay_where_they_are():
    assert_close(normalize_camera_centers(cameras_at(*[(1, 2, 3)] * 4), 4), torch.eye(4).repeat(4, 1, 1))


def test_a_first_camera_in_the_middle_doubles_translations():
    w2c = cameras_at((0, 0, 0), (3, 0, 0), (-3, 0, 0))
    expected = torch.tensor([[0.0, 0, 0], [6, 0, 0], [-6, 0, 0]])
    assert_close(centers_of(normalize_camera_centers(w2c, 3)), expected)


def test_the_median_of_an_even_count_is_the_lower_middle():
    # 50 centres at x = 0, 49 at 1, one at 10.5. 97 % of the distances from the median are at most 1 either
    # way, so cameras further than 10 are left out of the mean: from the lower middle, 0, the last one is,
    # from the upper middle, 1, it is not.
    centers = [(0.0, 0.0, 0.0)] * 50 + [(1.0, 0.0, 0.0)] * 49 + [(10.5, 0.0, 0.0)]
    normalized = centers_of(normalize_camera_centers(cameras_at(*centers), 100, scale=1.0))
    mean = 49 / 99
    assert_close(normalized[0], torch.tensor([-1.0, 0, 0]))
    assert_close(normalized[99, 0], torch.tensor((10.5 - mean) / mean), rtol=1e-5, atol=0)


def test_a_far_camera_counts_in_a_short_path():
    # Of three cameras the 97 % quantile lies near the farthest one, so ten times that keeps it.
    w2c = cameras_at((0, 0, 0), (1, 0, 0), (98, 0, 0))
    normalized = centers_of(normalize_camera_centers(w2c, 3))
    assert_close(normalized[0], torch.tensor([-2.0, 0, 0]))
    assert_close(normalized[2], torch.tensor([(98 - 33) * 2 / 33, 0, 0]))


def test_each_path_starts_at_its_own_first_camera():
    first, second = random_w2c(3, seed=1), random_w2c(3, seed=2)
    both = normalize_camera_centers(torch.cat([first, second]), 3)
    assert_close(both[0], both[3], atol=1e-5, rtol=0)
    assert_close(centers_of(both)[0].norm(), torch.tensor(2.0), atol=1e-5, rtol=0)


def test_the_side_of_the_first_inverse_is_the_other_one_when_not_w2c():
    # Turned cameras: left and right products differ.
    w2c = torch.stack([look_at(torch.tensor([x, 0.0, -2.0]), torch.zeros(3)) for x in (1.0, 2.0, 4.0)])
    right = normalize_camera_centers(w2c, 3)
    left = normalize_camera_centers(w2c, 3, is_w2c=False)
    # Relative rotation of camera 1: R1 R0^T on the right, R0^T R1 on the left (rotations about y commute, so
    # the rotations agree, and only the translations tell the sides apart).
    assert_close(right[1, :3, :3], w2c[1, :3, :3] @ w2c[0, :3, :3].T)
    assert_close(left[1, :3, :3], w2c[0, :3, :3].T @ w2c[1, :3, :3])
    assert (right[:, :3, 3] - left[:, :3, 3]).abs().max() > 0.1


def test_normalisation_ignores_which_world_the_cameras_were_given_in():
    w2c = random_w2c(5)
    world = random_w2c(1, seed=9)[0]
    moved = w2c @ world
    assert_close(normalize_camera_centers(moved, 5), normalize_camera_centers(w2c, 5), atol=1e-4, rtol=1e-4)


def test_references_are_normalised_by_what_the_path_says():
    targets, references = random_w2c(5, seed=1), random_w2c(2, seed=2)
    targets_only, _ = unified_camera_normalization(targets, references)
    assert_close(targets_only, normalize_camera_centers(targets, 5), atol=1e-5, rtol=0)
    _, same = unified_camera_normalization(targets, targets[1:3])
    assert_close(same, targets_only[1:3], atol=1e-5, rtol=0)
    far = references.clone()
    far[:, :3, 3] += 1e3
    assert_close(unified_camera_normalization(targets, far)[0], targets_only)


def test_camera_tokens_are_quaternion_then_translation():
    w2c = torch.eye(4)
    w2c[:3, :3] = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    w2c[:3, 3] = torch.tensor([5.0, 6, 7])
    half = math.sqrt(0.5)
    assert_close(w2c_to_camera_tokens(w2c), torch.tensor([half, 0, 0, half, 5, 6, 7]))
    assert w2c_to_camera_tokens(random_w2c(6).reshape(2, 3, 4, 4)).shape == (2, 3, 7)


def test_rays_are_sampled_a_pixel_left_of_the_centre():
    # Column 3, row 2: x = 2.5, y = 2.5; direction ((2.5 - 5) / 4, (2.5 - 4) / 3, 1) = (-0.625, -0.5, 1).
    origin, direction = released_camera_rays(K[None], torch.eye(4)[None], H, W)
    expected = torch.tensor([-0.625, -0.5, 1.0])
    assert_close(direction[0, 2, 3], expected / expected.norm())
    assert_close(origin, torch.zeros(1, 3))


def test_ray_channels_are_direction_then_moment():
    w2c = cameras_at((0, 0, -3))
    rays = released_rays(K[None], w2c, H, W, normalize=False)
    assert rays.shape == (1, 6, 1, H, W)
    origin, direction = torch.tensor([0.0, 0, -3]), rays[0, :3, 0, 2, 3]
    assert_close(rays[0, 3:, 0, 2, 3], torch.linalg.cross(origin, direction))


def test_one_bad_number_empties_the_whole_embedding():
    w2c = random_w2c(3)
    w2c[1, 0, 3] = float("nan")
    assert (released_rays(K.repeat(3, 1, 1), w2c, H, W, normalize=False) == 0).all()
    assert (released_rays(K.repeat(3, 1, 1), random_w2c(3), H, W) != 0).any()


def test_a_bad_camera_spoils_every_normalised_camera_without_raising():
    w2c = random_w2c(3)
    w2c[1, 0, 3] = float("inf")
    assert normalize_camera_centers(w2c, 3).isnan().all()


def check_goldens(folder: Path) -> None:
    verdict = verify_one(folder, "g5_cameras", "diffusers")
    assert len(verdict.checks) > 100
    assert not [check for check in verdict.checks if not check.passed]


def test_golden_g5_is_reproduced(golden_dir: Path):
    check_goldens(golden_dir)


@pytest.mark.shared
def test_whole_golden_g5_is_reproduced(shared_golden: Path):
    check_goldens(shared_golden)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RELEASED_PIXEL_OFFSET", (0.5, 0.5)),
        ("_STANDS_IN_THE_MIDDLE", -1.0),
        ("_OUTLIER_QUANTILE", 0.1),
        ("_OUTLIER_FACTOR", 0.5),
    ],
)
def test_golden_g5_notices_a_change(
    golden_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object
):
    monkeypatch.setattr(upstream_quirks, name, value)
    assert not verify_one(golden_dir, "g5_cameras", "diffusers").passed
