"""Rigid inverses and quaternions."""

from __future__ import annotations

import math

import torch
from torch.testing import assert_close

from worldstereo_core.geometry.poses import invert_se3, matrix_to_quaternion, quaternion_to_matrix, slerp

HALF = math.sqrt(0.5)
QUARTER_TURN_ABOUT_Z = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])


def random_quaternions(count: int = 200) -> torch.Tensor:
    quaternion = torch.randn(count, 4, generator=torch.Generator().manual_seed(0))
    quaternion = quaternion / quaternion.norm(dim=-1, keepdim=True)
    return torch.where(quaternion[:, :1] < 0, -quaternion, quaternion)


def test_quaternion_is_wxyz():
    assert_close(matrix_to_quaternion(torch.eye(3)), torch.tensor([1.0, 0, 0, 0]))
    assert_close(matrix_to_quaternion(QUARTER_TURN_ABOUT_Z), torch.tensor([HALF, 0, 0, HALF]))
    assert_close(quaternion_to_matrix(torch.tensor([HALF, 0, 0, HALF])), QUARTER_TURN_ABOUT_Z)


def test_half_turns_have_real_part_zero():
    half_turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))
    assert_close(matrix_to_quaternion(half_turn), torch.tensor([0.0, 0, 0, 1]))


def test_quaternions_survive_the_way_through_matrices():
    quaternions = random_quaternions()
    assert_close(matrix_to_quaternion(quaternion_to_matrix(quaternions)), quaternions, atol=1e-5, rtol=0)


def test_rotation_matrices_are_rotations_whatever_the_length():
    rotation = quaternion_to_matrix(3 * random_quaternions())
    assert_close(rotation @ rotation.mT, torch.eye(3).expand_as(rotation), atol=1e-5, rtol=0)
    assert_close(torch.linalg.det(rotation), torch.ones(len(rotation)), atol=1e-5, rtol=0)


def test_inverse_by_hand():
    transform = torch.eye(4)
    transform[:3, :3] = QUARTER_TURN_ABOUT_Z
    transform[:3, 3] = torch.tensor([1.0, 2, 3])
    expected = torch.tensor([[0.0, 1, 0, -2], [-1, 0, 0, 1], [0, 0, 1, -3], [0, 0, 0, 1]])
    assert_close(invert_se3(transform), expected)


def test_inverse_of_the_inverse_is_the_transform():
    transform = torch.eye(4).repeat(200, 1, 1)
    transform[:, :3, :3] = quaternion_to_matrix(random_quaternions())
    transform[:, :3, 3] = torch.randn(200, 3, generator=torch.Generator().manual_seed(1))
    assert_close(invert_se3(invert_se3(transform)), transform, atol=1e-5, rtol=0)
    assert_close(transform @ invert_se3(transform), torch.eye(4).expand_as(transform), atol=1e-5, rtol=0)


def test_slerp_halfway_of_a_quarter_turn_is_an_eighth():
    start, end = torch.tensor([1.0, 0, 0, 0]), torch.tensor([HALF, 0, 0, HALF])
    eighth = torch.tensor([math.cos(math.pi / 8), 0, 0, math.sin(math.pi / 8)])
    assert_close(slerp(start, end, torch.tensor(0.5)), eighth)


def test_slerp_takes_the_shorter_arc_and_keeps_its_ends():
    quaternions = random_quaternions()
    start, end = quaternions[:100], quaternions[100:]
    assert_close(slerp(start, end, torch.zeros(100)), start, atol=1e-6, rtol=0)
    assert_close(slerp(start, -end, torch.ones(100)), end, atol=1e-6, rtol=0)
    # Half way, both ends are equally far.
    middle = slerp(start, end, torch.full((100,), 0.5))
    assert_close((middle * start).sum(-1).abs(), (middle * end).sum(-1).abs(), atol=1e-5, rtol=0)


def test_slerp_of_equal_rotations_is_that_rotation():
    quaternions = random_quaternions()
    result = slerp(quaternions, quaternions, torch.full((200,), 0.3))
    assert_close(result, quaternions, atol=1e-6, rtol=0)
