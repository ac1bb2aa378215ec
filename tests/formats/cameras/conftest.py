"""Trajectories that the tests of camera files share."""

from __future__ import annotations

import math

import pytest
import torch

from worldstereo_core.geometry.cameras import Cameras, fov_to_K, look_at
from worldstereo_core.geometry.trajectory import Trajectory, build_trajectory

HEIGHT, WIDTH, FPS = 48, 80, 23.976


@pytest.fixture
def plain() -> Trajectory:
    """21 frames of an orbit from an odd place, with a lens that every format can hold."""
    w2c = look_at(torch.tensor([0.7, -0.4, -1.3]), torch.tensor([0.1, 0.2, 1.0]))
    K = fov_to_K(math.radians(50), HEIGHT, WIDTH)
    return build_trajectory(
        "orbit right", start=(w2c, K), height=HEIGHT, width=WIDTH, amount_deg=77, num_frames=21, fps=FPS
    )


@pytest.fixture
def rich(plain: Trajectory) -> Trajectory:
    """The same path with a zoom, a principal point off the middle and pixels that are not square."""
    K = plain.K.clone()
    K[:, 0, 0] *= torch.linspace(1, 1.7, 21)
    K[:, 1, 1] = K[:, 0, 0] * 1.1
    K[:, 0, 2] += 3.25
    K[:, 1, 2] -= 1.5
    return Trajectory(Cameras(plain.w2c, K, HEIGHT, WIDTH), fps=FPS, name="rich")


@pytest.fixture
def sideways() -> Trajectory:
    """One camera 2 to the right, 3 up and 5 ahead of the origin that looks to the right, upright.

    In our axes (y down): centre (2, -3, 5), forward +x, down +y, so its right is -z. Focal length 100 pixels
    in a picture of 200 x 100 (width x height): 90 degrees wide, 53.13 degrees high. 24 frames per second,
    two frames.
    """
    w2c = torch.tensor([[0.0, 0, -1, 5], [0, 1, 0, 3], [1, 0, 0, -2], [0, 0, 0, 1]])
    K = torch.tensor([[100.0, 0, 100], [0, 100, 50], [0, 0, 1]])
    cameras = Cameras(w2c.repeat(2, 1, 1), K.repeat(2, 1, 1), 100, 200)
    return Trajectory(cameras, fps=24.0, name="sideways")
