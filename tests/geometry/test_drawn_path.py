"""Lines on a picture become paths: numbers by hand in a scene of two flat surfaces."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import PathError
from worldstereo_core.geometry.cameras import Cameras, project
from worldstereo_core.geometry.drawn_path import draw_path, lift_pixel, lift_pixels, thinned_line
from worldstereo_core.geometry.path_picture import draw_on_picture
from worldstereo_core.geometry.path_spline import sample_path
from worldstereo_core.geometry.poses import invert_se3, quaternion_to_matrix

H, W = 40, 60
K = torch.tensor([[30.0, 0, 30], [0, 30, 20], [0, 0, 1]])
# Left half 2 away, right half 6 away, nothing known in the uppermost ten rows.
DEPTH = torch.full((H, W), 6.0)
DEPTH[:, :30] = 2.0
DEPTH[:10] = 0.0


def camera(c2w: torch.Tensor | None = None) -> Cameras:
    w2c = torch.eye(4) if c2w is None else invert_se3(c2w)
    return Cameras(w2c[None], K[None], H, W)


def draw(*xy: tuple[float, float], **settings):
    return draw_path(torch.tensor(xy), DEPTH, camera(), **settings)


def test_a_pixel_is_lifted_along_its_ray():
    # 15 pixels right of the middle at focal 30: half as far right as it is deep.
    assert lift_pixel("pixel", 45, 20, DEPTH, camera()) == pytest.approx((3, 0, 6))
    assert lift_pixel("pixel", 15, 35, DEPTH, camera()) == pytest.approx((-1, 1, 2))


def test_lifted_points_project_back_onto_their_pixels():
    c2w = torch.eye(4)
    c2w[:3, :3] = quaternion_to_matrix(torch.tensor([0.8, -0.3, 0.4, 0.2]))
    c2w[:3, 3] = torch.tensor([0.3, -1.2, 2.0])
    xy = torch.tensor([[5.0, 15], [29, 39], [31, 12], [59, 25]])
    points = lift_pixels("line", xy, DEPTH, K, invert_se3(c2w))
    back, z = project(points.float(), K[None], invert_se3(c2w)[None])
    assert_close(back[0], xy, atol=1e-3, rtol=0)
    assert_close(z[0], torch.tensor([2.0, 2, 6, 6]), atol=1e-4, rtol=0)


def test_one_wrong_pixel_does_not_count():
    depth = DEPTH.clone()
    depth[25, 50] = 0.1
    assert lift_pixel("pixel", 50.5, 25.5, depth, camera())[2] == 6


@pytest.mark.parametrize(
    ("xy", "message"),
    [
        ((61.0, 20.0), r"line: point 2 at \(61, 20\) lies outside the picture of 60 x 40 pixels"),
        ((10.0, -1.0), "line: point 2 at .* lies outside"),
        ((30.0, 3.0), r"line: there is no depth at point 2 \(30, 3\): sky"),
    ],
)
def test_points_that_cannot_be_lifted_are_named(xy: tuple[float, float], message: str):
    with pytest.raises(PathError, match=message):
        draw((20, 20), xy)


def test_towards_the_surface_goes_part_of_the_way_and_starts_at_the_picture():
    path = draw((15, 20), (45, 20), reach=0.5)
    assert [waypoint.position for waypoint in path.waypoints] == [
        (0, 0, 0),
        pytest.approx((-0.5, 0, 1)),
        pytest.approx((1.5, 0, 3)),
    ]
    assert path.waypoints[0].wxyz == (1, 0, 0, 0)
    # Times follow the distances: 1.118 and 2.828.
    assert path.waypoints[1].time == pytest.approx(
        math.hypot(0.5, 1) / (math.hypot(0.5, 1) + math.hypot(2, 2))
    )
    assert path.waypoints[0].fov_deg == pytest.approx(90)


def test_above_the_surface_is_up_by_median_depths():
    path = draw((15, 35), (45, 35), place="above the surface", height=0.5, scale=4.0, starts_at_camera=False)
    # Lifted to (-1, 1, 2) and (3, 3, 6); up is -y.
    assert path.waypoints[0].position == pytest.approx((-1, -1, 2))
    assert path.waypoints[1].position == pytest.approx((3, 1, 6))
    assert path.scale == 4.0


def test_the_camera_looks_where_it_goes():
    path = draw((15, 20), (45, 20), look="along the path", starts_at_camera=False)
    forward = path.waypoints[0].c2w[:3, 2]
    assert_close(forward, torch.tensor([1.0, 0, 1]).double() / math.sqrt(2))  # from (-0.5, 1) to (1.5, 3)


def test_the_camera_looks_at_the_end_of_the_line_or_as_at_the_start():
    path = draw((15, 20), (45, 20), look="at the end of the line")
    trajectory = sample_path(path, 3, easing="linear")
    xy, _ = project(torch.tensor([[3.0, 0, 6]]), trajectory.K[-1:], trajectory.w2c[-1:])
    assert_close(xy[0, 0], torch.tensor([30.0, 20]), atol=1e-2, rtol=0)
    assert path.waypoints[0].wxyz == (1, 0, 0, 0)
    fixed = draw((15, 20), (45, 20), look="as at the start")
    assert {waypoint.wxyz for waypoint in fixed.waypoints} == {(1, 0, 0, 0)}


def test_going_straight_up_keeps_looking_as_before():
    path = draw((45, 20), (45, 38), place="above the surface", height=0.0, look="along the path")
    assert all(math.isfinite(value) for waypoint in path.waypoints for value in waypoint.wxyz)


def test_a_freehand_line_is_thinned_evenly():
    line = torch.tensor([[0.0, 0], [1, 0], [2, 0], [3, 0], [4, 0], [4, 8]])
    assert_close(thinned_line(line, 4), torch.tensor([[0.0, 0], [4, 0], [4, 4], [4, 8]]))
    assert thinned_line(line, 6) is line
    path = draw(*((10 + 0.1 * x, 20.0) for x in range(300)), max_waypoints=5)
    assert len(path.waypoints) == 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reach": 1.5}, "reach: got 1.5, expected a number from 0 to 1"),
        ({"height": math.nan}, "height: got nan"),
        ({"look": "away"}, "look: got 'away'"),
        ({"place": "under"}, "place: got 'under'"),
        ({"max_waypoints": 1}, "waypoints: got 1"),
        ({"starts_at_camera": False}, "line: got 1 points, expected at least 2"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict, message: str):
    with pytest.raises(PathError, match=message):
        draw((20, 20), **settings)


def test_the_picture_shows_the_cameras_where_they_go():
    path = draw((45, 20), reach=0.5)
    image = torch.full((3, H, W), 0.5)
    picture = draw_on_picture(image, camera(), sample_path(path, 9), torch.tensor([[30.0, 20], [45, 20]]))
    assert picture.shape == (H, W, 3)
    changed = (picture - 0.5).abs().amax(-1) > 0.1
    assert changed[20, 44:47].any()
    assert not changed[:12].any() and not changed[30:].any()
