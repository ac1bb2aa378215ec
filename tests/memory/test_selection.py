"""The selector: camera and picture features, quality, farthest-point sampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.memory.selection import (
    camera_features,
    farthest_points,
    grid_colour_features,
    image_quality,
    picture_quality,
    select_views,
    standardise,
)
from worldstereo_core.memory.view import View

H, W = 8, 12


def view_of(image: torch.Tensor, w2c: torch.Tensor | None = None) -> View:
    return View(image.to(torch.uint8), torch.eye(4) if w2c is None else w2c, torch.eye(3), "view")


def random_image(seed: int, height: int = H, width: int = W) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), generator=generator).to(torch.uint8)


def test_camera_feature_is_centre_and_xyzw_quaternion():
    # Turned by 90 degrees about y in w2c, standing at (1, 2, 3).
    w2c = torch.tensor([[0.0, 0, 1, -3], [0, 1, 0, -2], [-1, 0, 0, 1], [0, 0, 0, 1]])
    half = math.sqrt(0.5)
    expected = torch.tensor([[1.0, 2, 3, 0, half, 0, half]], dtype=torch.float64)
    assert_close(camera_features(w2c[None]), expected)


def test_camera_feature_ignores_float32_rounding_of_the_rotation():
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).double())[0]
    rotation *= torch.linalg.det(rotation)
    w2c = torch.eye(4, dtype=torch.float64)
    w2c[:3, :3] = rotation
    rounded = camera_features(w2c.float()[None])[:, 3:]
    assert_close(rounded, camera_features(w2c[None])[:, 3:], atol=1e-7, rtol=0)
    assert_close(rounded.norm(dim=1), torch.ones(1, dtype=torch.float64), atol=1e-12, rtol=0)


def test_grid_colour_features_go_row_by_row_with_colour_fastest():
    image = torch.zeros(3, H, W)
    image[0, :2, 3:6] = 255  # red in row 0, column 1 of the 4 x 4 grid
    features = grid_colour_features([view_of(image)])[0]
    assert features.shape == (48,)
    assert features.nonzero().flatten().tolist() == [3]
    assert features[3] == 1


def test_quality_of_a_constant_picture_is_almost_nothing():
    assert abs(picture_quality(torch.full((3, H, W), 77, dtype=torch.uint8)).item()) < 1e-6


def test_quality_of_a_checkerboard_by_hand():
    # Black and white in equal parts: 1 bit, deviation 127.5; away from the border the Laplacian is +-4 * 255.
    board = (torch.arange(H)[:, None] + torch.arange(W)) % 2 * 255
    image = board.expand(3, H, W).to(torch.uint8)
    expected = 0.4 * math.log1p(1020.0**2) + 0.3 * 1.0 + 0.3 * 127.5 / 128
    assert_close(picture_quality(image).item(), expected, atol=1e-5, rtol=0)


def test_quality_agrees_with_opencv():
    cv2 = pytest.importorskip("cv2")
    for seed in range(4):
        image = random_image(seed, 37, 53)
        if seed == 3:
            image = image // 16 * 16
        grey = cv2.cvtColor(image.permute(1, 2, 0).numpy(), cv2.COLOR_BGR2GRAY)
        share = cv2.calcHist([grey], [0], None, [256], [0, 256]).flatten() / grey.size + 1e-10
        expected = (
            0.4 * np.log1p(cv2.Laplacian(grey, cv2.CV_64F, ksize=1).var())
            - 0.3 * (share * np.log2(share)).sum()
            + 0.3 * grey.std() / 128
        )
        assert_close(picture_quality(image).item(), float(expected), atol=1e-6, rtol=0)


def test_a_view_given_twice_is_measured_once_and_listed_twice():
    first, second = view_of(random_image(0)), view_of(random_image(1))
    quality = image_quality([first, second, first])
    assert quality[0] == quality[2] != quality[1]


def test_standardised_columns_have_mean_zero_and_population_deviation_one():
    features = torch.tensor([[1.0, 5], [3, 5]], dtype=torch.float64)
    assert_close(
        standardise(features), torch.tensor([[-1.0, 0], [1, 0]], dtype=torch.float64), atol=1e-7, rtol=0
    )


def test_farthest_points_on_a_line_by_hand():
    # The row nearest the centroid (4) comes first, then the end farthest from it, then the other end.
    line = torch.tensor([[0.0], [3.0], [4.0], [9.0]], dtype=torch.float64)
    assert farthest_points(line, torch.zeros(4, dtype=torch.float64), 3, bias=0) == [2, 3, 0]


def test_quality_decides_between_equally_far_points():
    line = torch.tensor([[-1.0], [0.0], [1.0]], dtype=torch.float64)
    quality = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    assert farthest_points(line, quality, 2) == [1, 2]
    assert farthest_points(line, 1 - quality, 2) == [1, 0]


def test_no_more_points_are_chosen_than_there_are():
    assert sorted(farthest_points(torch.eye(2).double(), torch.zeros(2).double(), 5)) == [0, 1]


def test_selection_needs_no_model():
    views = []
    for number in range(5):
        w2c = torch.eye(4)
        w2c[0, 3] = number
        views.append(view_of(random_image(number), w2c))
    chosen = select_views(views, 3)
    assert len(set(chosen)) == 3
