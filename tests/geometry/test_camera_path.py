"""Waypoint paths: what they accept, and moving, scaling and growing them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import PathError
from worldstereo_core.geometry.camera_path import (
    CameraPath,
    Waypoint,
    path_from_trajectory,
    spread_times,
    waypoint_from_camera,
)
from worldstereo_core.geometry.cameras import Cameras, fov_to_K
from worldstereo_core.geometry.path_spline import sample_path
from worldstereo_core.geometry.poses import invert_se3, quaternion_to_matrix
from worldstereo_core.geometry.trajectory import build_trajectory

HALF = math.sqrt(0.5)
START = Waypoint((0.0, 0.0, 0.0))
END = Waypoint((1.0, 0.0, 2.0), (HALF, 0.0, HALF, 0.0), time=1.0)


def pose(position: tuple[float, float, float], wxyz: tuple[float, ...]) -> torch.Tensor:
    c2w = torch.eye(4, dtype=torch.float64)
    c2w[:3, :3] = quaternion_to_matrix(torch.tensor(wxyz, dtype=torch.float64))
    c2w[:3, 3] = torch.tensor(position, dtype=torch.float64)
    return c2w


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"position": (0.0, math.nan, 0.0)}, "waypoint 2: position"),
        ({"wxyz": (0.0, 0.0, 0.0, 0.0)}, "waypoint 2: the quaternion wxyz .* has length 0, expected 1"),
        ({"wxyz": (1.0, 1.0, 0.0, 0.0)}, "waypoint 2: the quaternion wxyz .* has length 1.414"),
        ({"wxyz": (math.nan, 0.0, 0.0, 0.0)}, "waypoint 2: the quaternion"),
        ({"fov_deg": 180.0}, "waypoint 2: fov_deg is 180"),
        ({"roll_deg": math.inf}, "waypoint 2: roll_deg"),
        ({"easing": "bouncy"}, "waypoint 2: easing is 'bouncy', expected one of: auto, linear"),
        ({"time": 0.0}, "waypoint 2: time is 0 after 0; expected times that grow"),
        ({"time": 0.8}, "2 waypoints end at time 0.8; the last waypoint must have time 1"),
        ({"time": math.nan}, "waypoint 2: time is nan"),
        ({"handle_in": (0.0, math.inf, 0.0)}, "waypoint 2: handle_in"),
    ],
)
def test_a_waypoint_that_cannot_be_used_is_named_with_its_field(change: dict, message: str):
    with pytest.raises(PathError, match=message):
        CameraPath((START, replace(END, **change)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"waypoints": ()}, "got 0 waypoints"),
        ({"waypoints": (START, *[END] * 10_000)}, "got 10001 waypoints, expected 1 to 10000"),
        ({"waypoints": (END,)}, "first waypoint has time 1; expected 0"),
        ({"interpolation": "nurbs"}, "interpolation is 'nurbs'"),
        ({"speed": "fast"}, "speed is 'fast'"),
        ({"scale": 0.0}, "scale is 0"),
        ({"fps": math.nan}, "fps is nan"),
        ({"width": 0}, "height 480, width 0"),
        ({"look_at": (math.nan, 0.0, 0.0)}, "look_at"),
        ({"is_closed": True}, "is_closed needs at least 3 waypoints"),
    ],
)
def test_a_path_that_cannot_be_used_is_refused(change: dict, message: str):
    with pytest.raises(PathError, match=message):
        CameraPath(**{"waypoints": (START, END), **change})


def test_a_path_moves_rigidly_with_its_target_and_handles():
    path = CameraPath((replace(START, handle_out=(1.0, 0.0, 0.0)), END), "bezier", look_at=(0.0, 0.0, 5.0))
    # A quarter turn about y takes z to x, then three up (y down).
    moved = path.moved(pose((0.0, -3.0, 0.0), (HALF, 0.0, HALF, 0.0)))
    assert moved.look_at == pytest.approx((5, -3, 0))
    assert moved.waypoints[1].position == pytest.approx((2, -3, -1))
    assert moved.waypoints[0].handle_out == pytest.approx((0, 0, -1))
    assert moved.waypoints[0].wxyz == pytest.approx((HALF, 0, HALF, 0))


def test_a_path_can_start_at_any_camera_and_keeps_its_shape():
    c2w = pose((1.0, 2.0, 3.0), (0.5, 0.5, 0.5, 0.5))
    path = CameraPath((replace(START, position=(7.0, 0.0, 0.0)), END))
    moved = path.starting_at(invert_se3(c2w))
    assert_close(moved.waypoints[0].c2w, c2w)
    before = invert_se3(path.waypoints[0].c2w) @ path.waypoints[1].c2w
    assert_close(invert_se3(moved.waypoints[0].c2w) @ moved.waypoints[1].c2w, before)


def test_a_path_goes_half_way_into_a_world_of_any_scale():
    path = CameraPath((replace(START, position=(1.0, 0.0, 0.0)), END), look_at=(1.0, 0.0, 4.0), scale=4.0)
    grown = path.scaled_to(8.0)
    assert grown.waypoints[0].position == (1.0, 0.0, 0.0)
    assert grown.waypoints[1].position == (1.0, 0.0, 4.0)
    assert grown.look_at == (1.0, 0.0, 8.0)
    assert grown.scale == 8.0


def test_a_waypoint_is_added_after_as_long_a_part_as_those_before():
    path = CameraPath((START, replace(END, time=0.25), replace(END, position=(2.0, 0.0, 0.0), time=1.0)))
    longer = path.with_waypoint(Waypoint((9.0, 0.0, 0.0), time=0.3))
    assert [waypoint.time for waypoint in longer.waypoints] == pytest.approx([0, 1 / 6, 2 / 3, 1])
    assert CameraPath((START,)).with_waypoint(END).waypoints[0].time == 0
    with pytest.raises(PathError, match="duration: got 0"):
        path.with_waypoint(END, 0.0)


def test_times_follow_distances():
    places = [(0.0, 0.0, 0.0), (3.0, 0.0, 4.0), (3.0, 0.0, 4.0), (3.0, 15.0, 4.0)]
    spread = spread_times([Waypoint(place) for place in places])
    # 5, a pause that counts as the mean of 5 and 15, then 15.
    assert [waypoint.time for waypoint in spread] == pytest.approx([0, 1 / 6, 0.5, 1])
    assert [w.time for w in spread_times([START, START, START])] == [0.0, 0.5, 1.0]


def test_a_waypoint_holds_the_camera_it_is_taken_from():
    c2w = pose((1.0, -2.0, 3.0), (0.8, 0.0, 0.6, 0.0))
    cameras = Cameras(invert_se3(c2w).float()[None], fov_to_K(math.radians(70), 48, 80)[None], 48, 80)
    waypoint = waypoint_from_camera(cameras)
    assert_close(waypoint.c2w, c2w, atol=1e-6, rtol=0)
    assert waypoint.fov_deg == pytest.approx(70, abs=1e-4)


@pytest.mark.parametrize("interpolation", ["catmull_rom", "bezier", "linear"])
def test_a_path_through_every_frame_gives_the_trajectory_back(interpolation: str):
    start = (torch.eye(4), fov_to_K(1.0, 48, 80))
    trajectory = build_trajectory("spiral", start=start, height=48, width=80, num_frames=9, focal_end=2.0)
    path = path_from_trajectory(trajectory, 9, interpolation)
    again = sample_path(path, 9)
    assert_close(again.w2c, trajectory.w2c, atol=1e-5, rtol=0)
    assert_close(again.K, trajectory.K, atol=1e-3, rtol=0)
    assert (again.fps, again.name) == (trajectory.fps, trajectory.name)


def test_a_path_has_no_more_waypoints_than_the_trajectory_frames():
    start = (torch.eye(4), fov_to_K(1.0, 48, 80))
    trajectory = build_trajectory("static", start=start, height=48, width=80, num_frames=5)
    for count in (1, 6):
        with pytest.raises(PathError, match=f"waypoints: got {count} .* expected 2 to 5"):
            path_from_trajectory(trajectory, count)
