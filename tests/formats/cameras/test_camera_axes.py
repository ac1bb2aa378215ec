"""Axes, rigid parts and Euler angles of camera files."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import PathError
from worldstereo_core.formats.cameras.axes import (
    UP_AXES,
    euler_to_matrix,
    file_from_ours,
    from_file_axes,
    matrix_to_euler,
    rigid_part,
    rotation_from_quaternion,
    to_file_axes,
)
from worldstereo_core.formats.cameras.exchange import Notes, even_rate, tidy_rate

VERIFIES = {"chan": "scipy (rotation orders)", "after_effects": "scipy (rotation order)"}
ORDERS = ["".join(order) for order in itertools.permutations("XYZ")]
FILE = Path("shot.usda")


def test_our_up_is_minus_y_and_lands_on_the_up_axis_of_each_world():
    up = torch.tensor([0.0, -1, 0]).double()
    assert_close(file_from_ours("y") @ up, torch.tensor([0.0, 1, 0]).double())
    assert_close(file_from_ours("z") @ up, torch.tensor([0.0, 0, 1]).double())
    assert_close(file_from_ours("-y") @ up, up)


def test_our_forward_is_into_the_picture_in_each_world():
    forward = torch.tensor([0.0, 0, 1]).double()
    assert_close(file_from_ours("y") @ forward, torch.tensor([0.0, 0, -1]).double())
    assert_close(file_from_ours("z") @ forward, torch.tensor([0.0, 1, 0]).double())


@pytest.mark.parametrize("up_axis", UP_AXES)
@pytest.mark.parametrize("camera_axes", ["opencv", "opengl"])
def test_axes_change_by_rotation_and_change_back(up_axis: str, camera_axes: str):
    torch.manual_seed(0)
    c2w = torch.eye(4).double().repeat(5, 1, 1)
    c2w[:, :3, :3] = euler_to_matrix(torch.randn(5, 3).double(), "XYZ")
    c2w[:, :3, 3] = torch.randn(5, 3)
    there = to_file_axes(c2w, camera_axes, up_axis, 0.01)
    assert_close(torch.linalg.det(there[:, :3, :3]), torch.ones(5).double())
    assert_close(there[:, :3, 3].norm(dim=1), c2w[:, :3, 3].norm(dim=1) * 100)
    assert_close(from_file_axes(there, camera_axes, up_axis, 0.01), c2w)


@pytest.mark.parametrize("order", ORDERS)
def test_euler_angles_agree_with_scipy(order: str):
    Rotation = pytest.importorskip("scipy.spatial.transform").Rotation
    torch.manual_seed(1)
    angles = torch.randn(20, 3).double()
    in_order = angles[:, ["XYZ".index(axis) for axis in order]].numpy()
    expected = torch.from_numpy(Rotation.from_euler(order.lower(), in_order).as_matrix())
    assert_close(euler_to_matrix(angles, order), expected)


@pytest.mark.parametrize("order", ORDERS)
def test_a_matrix_gives_angles_that_give_the_matrix_also_where_two_axes_meet(order: str):
    torch.manual_seed(2)
    angles = torch.randn(20, 3).double()
    angles[10:, "XYZ".index(order[1])] = math.pi / 2
    angles[15:, "XYZ".index(order[1])] = -math.pi / 2
    rotation = euler_to_matrix(angles, order)
    assert_close(euler_to_matrix(matrix_to_euler(rotation, order), order), rotation, atol=1e-7, rtol=0)


def test_angles_run_on_past_a_half_turn():
    angles = torch.zeros(9, 3).double()
    angles[:, 1] = torch.linspace(0, 2 * math.pi, 9)
    assert_close(matrix_to_euler(euler_to_matrix(angles, "ZXY"), "ZXY"), angles)


def test_an_even_scale_is_taken_off_and_noted():
    notes = Notes()
    matrix = torch.diag(torch.tensor([2.0, 2, 2, 1])).double()[None]
    matrix[0, 0, 3] = 7
    rigid = rigid_part(FILE, "transform", matrix, notes)
    assert_close(rigid[0, :3, :3], torch.eye(3).double())
    assert rigid[0, 0, 3] == 7
    assert "frame 0 by 2" in notes.lines[0] and "shot.usda" in notes.lines[0]


@pytest.mark.parametrize(
    ("diagonal", "message"),
    [
        ([1.0, 1, -1, 1], "shot.usda: transform of frame 0 is mirrored"),
        ([1.0, 2, 3, 1], "not rigid"),
        ([0.0, 1, 1, 1], "scale 0"),
        ([math.nan, 1, 1, 1], "holds nan"),
        ([1.0, 1, 1, 2], "ends in the row"),
    ],
)
def test_what_is_no_camera_pose_is_refused_with_file_field_and_frame(diagonal: list[float], message: str):
    with pytest.raises(PathError, match=message):
        rigid_part(FILE, "transform", torch.diag(torch.tensor(diagonal)).double()[None], Notes())


def test_a_quaternion_of_length_0_is_refused():
    with pytest.raises(PathError, match=r"shot.usda: quaternion of frame 1 has length 0"):
        rotation_from_quaternion(FILE, torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0]]).double(), Notes())


def test_a_quaternion_of_another_length_is_normalised_and_noted():
    notes = Notes()
    rotation = rotation_from_quaternion(FILE, torch.tensor([[0.0, 0, 3, 0]]).double(), notes)
    assert_close(rotation[0], torch.diag(torch.tensor([-1.0, 1, -1])).double())
    assert "frame 0: 3" in notes.lines[0]


def test_times_give_the_frame_rate():
    assert even_rate(FILE, "time", [2.0, 2.04, 2.08]) == 25.0
    assert even_rate(FILE, "time", [1.0]) is None


def test_rates_that_people_use_survive_float32_times():
    for fps in (16.0, 24.0, 23.976, 24000 / 1001, 29.97, 12.5):
        times = (torch.arange(100).double() / fps).float().tolist()
        assert even_rate(FILE, "time", times) == pytest.approx(fps, rel=1e-12)
    assert tidy_rate(23.98765) == 23.98765


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0.0, 0.1, 0.1], "shot.usda: time of frame 2 is 0.1 after 0.1"),
        ([0.0, 0.2, 0.1], "time of frame 2"),
        ([0.0, 0.1, 0.5], "evenly spaced"),
        ([0.0, math.inf], "no finite number"),
    ],
)
def test_times_that_are_no_frames_are_refused(times: list[float], message: str):
    with pytest.raises(PathError, match=message):
        even_rate(FILE, "time", times)
