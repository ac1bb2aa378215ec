"""The camera of a picture, found again in drawn worlds whose camera was moved by a known amount."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from worldstereo_core.training.camera_error import camera_error
from worldstereo_core.training.worlds.make import make_world
from worldstereo_core.training.worlds.render import Frames, render_world
from worldstereo_core.training.worlds.trajectories import world_trajectories


@pytest.fixture(scope="module")
def scene() -> tuple[Tensor, Tensor, Frames]:
    """Intrinsics, and frames: as intended, 2 degrees to the right, 3 % of the median depth to the side."""
    world = make_world(3)
    [move] = world_trajectories(world, 0, clips=1, frames=2)
    w2c, K = move.cameras.w2c[0], move.cameras.K[0]
    depth = render_world(world, w2c[None], K[None], 64, 96, smooth_edges=False).depth
    angle = math.radians(2)
    turn, shift = torch.eye(4), torch.eye(4)
    turn[0, 0] = turn[2, 2] = math.cos(angle)
    turn[0, 2], turn[2, 0] = -math.sin(angle), math.sin(angle)
    shift[0, 3] = 0.03 * float(depth[depth > 0].median())
    cameras = torch.stack([w2c, turn @ w2c, shift @ w2c])
    return w2c, K, render_world(world, cameras, K.expand(3, 3, 3), 64, 96)


def test_the_intended_camera_has_no_error(scene):
    _, K, frames = scene
    error = camera_error(frames.image[0], frames.image[0], frames.depth[0], K)
    assert error is not None and error.rotation_deg < 1e-3 and error.distance < 1e-4


def test_a_turned_camera_is_found(scene):
    _, K, frames = scene
    error = camera_error(frames.image[1], frames.image[0], frames.depth[0], K)
    assert error is not None and abs(error.rotation_deg - 2) < 0.2 and error.distance < 0.01


def test_a_moved_camera_is_found(scene):
    _, K, frames = scene
    error = camera_error(frames.image[2], frames.image[0], frames.depth[0], K)
    assert error is not None and abs(error.distance - 0.03) < 0.006 and error.rotation_deg < 0.3


def test_a_blurred_and_duller_picture_has_not_moved(scene):
    _, K, frames = scene
    soft = torch.nn.functional.avg_pool2d(frames.image[:1], 3, 1, 1, count_include_pad=False)[0]
    error = camera_error(0.6 * soft + 0.1, frames.image[0], frames.depth[0], K)
    assert error is not None and error.rotation_deg < 0.3 and error.distance < 0.005


def test_the_sky_has_no_camera():
    picture = torch.rand(3, 32, 48)
    assert camera_error(picture, picture, torch.zeros(32, 48), torch.eye(3)) is None
