"""Cameras, projection, rays: worked by hand first, then properties."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import PathError, ShapeError, WorldStereoError
from worldstereo_core.geometry.cameras import (
    Cameras,
    check_cameras,
    focal_to_fov,
    fov_to_focal,
    fov_to_K,
    look_at,
    pixel_grid,
    project,
    scale_K,
    unproject,
    w2c_to_plucker,
)
from worldstereo_core.geometry.pictures import fit_pictures
from worldstereo_core.geometry.poses import invert_se3, quaternion_to_matrix

T, H, W = 3, 8, 10


def random_cameras(seed: int = 0) -> Cameras:
    generator = torch.Generator().manual_seed(seed)
    w2c = torch.eye(4).repeat(T, 1, 1)
    w2c[:, :3, :3] = quaternion_to_matrix(torch.randn(T, 4, generator=generator))
    w2c[:, :3, 3] = torch.randn(T, 3, generator=generator)
    K = torch.tensor([[9.0, 0, 4.8], [0, 7.0, 4.1], [0, 0, 1]]).repeat(T, 1, 1)
    return Cameras(w2c, K, H, W)


def test_w2c_maps_world_to_camera():
    # The camera stands at x = 2 and looks along world z; the origin is 2 to its left and 5 ahead.
    w2c = torch.eye(4)
    w2c[:3, 3] = torch.tensor([-2.0, 0.0, 5.0])
    K = torch.tensor([[4.0, 0, 5], [0, 4, 4], [0, 0, 1]])
    xy, z = project(torch.zeros(1, 3), K, w2c)
    assert_close(xy, torch.tensor([[5 - 4 * 2 / 5, 4.0]]))
    assert_close(z, torch.tensor([5.0]))
    assert_close(Cameras(w2c[None], K[None], H, W).centers, torch.tensor([[2.0, 0.0, -5.0]]))


def test_axes_are_x_right_y_down_z_forward():
    K = torch.tensor([[[4.0, 0, 5], [0, 4, 4], [0, 0, 1]]])
    xy, _ = project(torch.tensor([[1.0, 0, 2], [0, 1, 2]]), K, torch.eye(4)[None])
    assert_close(xy, torch.tensor([[[7.0, 4.0], [5.0, 6.0]]]))


def test_pixel_centre_is_half():
    grid = pixel_grid(H, W)
    assert grid.shape == (H, W, 2)
    assert_close(grid[0, 0], torch.tensor([0.5, 0.5]))
    assert_close(grid[7, 9], torch.tensor([9.5, 7.5]))
    # With the principal point at the middle of a 2 x 2 image, pixel (0, 0) looks half a pixel left and up.
    K = torch.tensor([[[1.0, 0, 1], [0, 1, 1], [0, 0, 1]]])
    points = unproject(torch.full((1, 2, 2), 4.0), K, torch.eye(4)[None])
    assert_close(points[0, 0, 0], torch.tensor([-2.0, -2.0, 4.0]))


def test_scaling_K_does_not_shift_by_half_pixels():
    K = torch.tensor([[100.0, 0, 384], [0, 90, 256], [0, 0, 1]])
    expected = torch.tensor([[200.0, 0, 768], [0, 45, 128], [0, 0, 1]])
    assert_close(scale_K(K, (512, 768), (256, 1536)), expected)


def test_depth_is_camera_z_and_zero_is_no_data():
    depth = torch.tensor([[[2.0, 0.0], [float("nan"), float("inf")]]])
    K = torch.tensor([[[1.0, 0, 1], [0, 1, 1], [0, 0, 1]]])
    points = unproject(depth, K, torch.eye(4)[None])
    assert_close(points[0, 0, 0, 2], torch.tensor(2.0))
    assert points[0, 0, 1].isnan().all() and points[0, 1].isnan().all()


def test_plucker_is_direction_then_moment():
    # From (0, 0, -3), through the middle of pixel (0, 0) of a 1 x 1 image: straight ahead.
    K = torch.tensor([[[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]]])
    w2c = torch.eye(4)[None].clone()
    w2c[0, :3, 3] = torch.tensor([-1.0, 0.0, 3.0])  # centre (1, 0, -3)
    rays = w2c_to_plucker(K, w2c, 1, 1)
    # (1, 0, -3) x (0, 0, 1) = (0, -1, 0)
    assert_close(rays[0, :, 0, 0], torch.tensor([0.0, 0, 1, 0, -1, 0]))


def test_unprojected_points_project_to_their_pixel_centres():
    cameras = random_cameras()
    depth = torch.rand(T, H, W, generator=torch.Generator().manual_seed(1)) + 0.5
    points = unproject(depth, cameras.K, cameras.w2c)
    xy, z = project(points.flatten(1, 2), cameras.K, cameras.w2c)
    assert_close(xy.reshape(T, H, W, 2), pixel_grid(H, W).expand(T, -1, -1, -1), atol=1e-4, rtol=1e-4)
    assert_close(z.reshape(T, H, W), depth, atol=1e-5, rtol=1e-5)


def test_plucker_rays_pass_through_the_unprojected_points():
    cameras = random_cameras()
    rays = w2c_to_plucker(cameras.K, cameras.w2c, H, W).permute(0, 2, 3, 1)
    points = unproject(torch.full((T, H, W), 2.0), cameras.K, cameras.w2c)
    direction, moment = rays[..., :3], rays[..., 3:]
    assert_close(direction.norm(dim=-1), torch.ones(T, H, W))
    assert_close(torch.linalg.cross(points, direction), moment, atol=1e-4, rtol=1e-4)
    ahead = ((points - cameras.centers[:, None, None]) * direction).sum(-1)
    assert (ahead > 0).all()


def test_look_at_puts_the_target_on_the_optical_axis_and_up_at_the_top():
    eye, target = torch.tensor([3.0, -1.0, 0.0]), torch.tensor([0.0, 0.0, 4.0])
    w2c = look_at(eye, target)
    assert_close(
        w2c @ torch.tensor([0.0, 0, 4, 1]), torch.tensor([0.0, 0, math.sqrt(26), 1]), atol=1e-5, rtol=0
    )
    assert_close(invert_se3(w2c)[:3, 3], eye)
    above = w2c[:3, :3] @ torch.tensor([0.0, -1.0, 0.0])
    assert above[1] < 0 and abs(above[0]) < 1e-6


def test_look_at_ahead_is_the_identity():
    assert_close(look_at(torch.zeros(3), torch.tensor([0.0, 0, 1])), torch.eye(4))


def test_look_at_refuses_a_view_along_up():
    with pytest.raises(PathError, match="roll"):
        look_at(torch.zeros(3), torch.tensor([0.0, -2.0, 0.0]))


def test_field_of_view_is_horizontal_and_in_radians():
    K = fov_to_K(math.pi / 2, 480, 768)
    assert_close(K, torch.tensor([[384.0, 0, 384], [0, 384, 240], [0, 0, 1]]))
    assert fov_to_focal(math.pi / 2, 768) == pytest.approx(384)
    assert focal_to_fov(384, 768) == pytest.approx(math.pi / 2)


def test_choosing_frames_keeps_matrices_and_size_together():
    cameras = random_cameras()
    assert_close(cameras[1:].w2c, cameras.w2c[1:])
    assert_close(cameras[torch.tensor([2, 0])].w2c, cameras.w2c[[2, 0]])
    assert cameras[[0, 2]].num_frames == 2
    assert cameras[-1].num_frames == 1
    assert_close(cameras[-1].w2c[0], cameras.w2c[2])
    assert len(list(cameras)) == T
    assert (cameras[0].height, cameras[0].width) == (H, W)


def test_resizing_cameras_moves_projections_with_the_picture():
    cameras = random_cameras()
    points = torch.randn(4, 3)
    xy, _ = project(points, cameras.K, cameras.w2c)
    resized = cameras.resized(16, 30)
    xy_resized, _ = project(points, resized.K, resized.w2c)
    assert_close(xy_resized, xy * torch.tensor([3.0, 2.0]))
    assert (resized.height, resized.width) == (16, 30)


def test_cropping_cameras_keeps_pixels_square_and_cuts_evenly():
    # 4 x 8 pixels, focal 6; a square of 8 cuts 2 columns on each side and doubles the rest.
    K = torch.tensor([[6.0, 0, 4], [0, 6, 2], [0, 0, 1]])
    cropped = Cameras(torch.eye(4)[None], K[None], 4, 8).cropped(8, 8)
    assert_close(cropped.K[0], torch.tensor([[12.0, 0, 4], [0, 12, 4], [0, 0, 1]]))
    assert (cropped.height, cropped.width) == (8, 8)


def test_cropped_cameras_see_what_the_cropped_picture_shows():
    picture = torch.zeros(1, 3, 40, 60)
    picture[..., 18:22, 38:42] = 1  # centred at x = 40, y = 20
    cameras = Cameras(torch.eye(4)[None], torch.tensor([[[50.0, 0, 30], [0, 50, 20], [0, 0, 1]]]), 40, 60)
    point = torch.tensor([[0.2, 0.0, 1.0]])  # 50 * 0.2 + 30 = 40
    shown = fit_pictures(picture, 32, 32)[0, 0]
    middle = (shown * (torch.arange(32) + 0.5)).sum() / shown.sum()
    cropped = cameras.cropped(32, 32)
    assert_close(project(point, cropped.K, cropped.w2c)[0][0, 0, 0], middle, atol=0.05, rtol=0)


def test_good_cameras_pass():
    check_cameras("trajectory", random_cameras())


def spoil(w2c: dict | None = None, K: dict | None = None) -> Cameras:
    cameras = random_cameras()
    for tensor, values in ((cameras.w2c, w2c), (cameras.K, K)):
        for index, value in (values or {}).items():
            tensor[index] = value
    return cameras


@pytest.mark.parametrize(
    ("cameras", "words"),
    [
        (spoil(w2c={(1, 0, 3): float("nan")}), "frame 1 holds nan"),
        (spoil(w2c={(2, 0, 0): float("inf")}), "frame 2 holds inf"),
        (spoil(K={(1, 0, 0): float("nan")}), "K of frame 1 holds nan"),
        (spoil(w2c={1: 2 * torch.eye(4)}), r"ends in the row \[0.0, 0.0, 0.0, 2.0\]"),
        (spoil(w2c={1: torch.diag(torch.tensor([2.0, 2, 2, 1]))}), "mean row length 2"),
        (spoil(w2c={1: torch.diag(torch.tensor([1.0, -1, 1, 1]))}), "mirrored"),
        (spoil(K={(0, 0, 0): -3.0}), "focal lengths fx -3"),
        (spoil(K={(0, 2, 0): 4.0}), "transposed"),
        (spoil(K={(0, 0, 2): 20.0, (0, 1, 2): 16.0}), "32x40 image"),
        (spoil(K={(0, 0, 2): 0.5, (0, 1, 2): 0.5}), "normalised"),
        (Cameras(torch.zeros(0, 4, 4), torch.zeros(0, 3, 3), H, W), "got no cameras"),
        (
            Cameras(torch.eye(4).repeat(2, 1, 1), torch.eye(3).repeat(3, 1, 1), H, W),
            "2 world-to-camera .* 3 intrin",
        ),
        (Cameras(torch.eye(4), torch.eye(3), H, W), r"expected \[frames, 4, 4\]"),
        (Cameras(torch.eye(4)[None], torch.eye(3)[None], 0, W), "height 0"),
    ],
)
def test_bad_cameras_are_refused_with_the_frame_and_the_reason(cameras: Cameras, words: str):
    with pytest.raises(WorldStereoError, match=words) as error:
        check_cameras("trajectory", cameras)
    assert str(error.value).startswith("trajectory")


def test_a_slightly_inexact_rotation_is_still_rigid():
    cameras = spoil(w2c={1: torch.diag(torch.tensor([1.0002, 1, 1, 1]))})
    check_cameras("trajectory", cameras)


def test_unproject_refuses_differing_frame_counts():
    cameras = random_cameras()
    with pytest.raises(ShapeError, match="K"):
        unproject(torch.ones(2, H, W), cameras.K, cameras.w2c)
