"""Cameras of ComfyUI's point cloud preview, which centres and shrinks what it shows: numbers by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import PathError
from worldstereo_core.formats.cameras.load3d import (
    from_preview,
    load3d_from_cameras,
    preview_frame,
    to_preview,
)
from worldstereo_core.geometry.cameras import fov_to_K
from worldstereo_core.geometry.poses import invert_se3
from worldstereo_core.geometry.trajectory import Trajectory, build_trajectory

# A box from (0, -1, 2) to (4, 1, 6): its middle is (2, 0, 4), a corner is 3 away.
CLOUD = torch.tensor([[0.0, -1, 2], [4, 1, 6], [1, 0, 3], [2, 0, 4]])


def orbit() -> Trajectory:
    start = (torch.eye(4), fov_to_K(math.radians(60), 48, 80))
    return build_trajectory("orbit up", start=start, height=48, width=80, num_frames=3, pivot_depth=4.0)


def test_the_preview_centres_the_box_and_shrinks_it_to_the_farthest_point():
    frame = preview_frame(CLOUD)
    assert frame.middle == (2, 0, 4)
    assert frame.radius == pytest.approx(3)


def test_the_first_camera_is_where_the_preview_would_show_it():
    (info, *_), _ = load3d_from_cameras(to_preview(orbit(), preview_frame(CLOUD)))
    # (0 - 2, 0 - 0, 0 - 4) / 3 in our axes; the viewer's y and z point the other way.
    assert [info["position"][axis] for axis in "xyz"] == pytest.approx([-2 / 3, 0, 4 / 3])
    assert info["quaternion"]["w"] == pytest.approx(1)


def test_cameras_come_back_from_the_preview():
    trajectory = orbit()
    frame = preview_frame(CLOUD)
    there = to_preview(trajectory, frame)
    assert_close(from_preview(there, frame).w2c, trajectory.w2c, atol=1e-6, rtol=0)
    assert from_preview(there, frame).pivot == pytest.approx(trajectory.pivot, abs=1e-6)
    # Directions stay, only places move.
    turns = invert_se3(there.w2c)[:, :3, :3]
    assert_close(turns, invert_se3(trajectory.w2c)[:, :3, :3], atol=1e-6, rtol=0)


def test_an_empty_or_pointlike_cloud():
    with pytest.raises(PathError, match="memory: has no points"):
        preview_frame(torch.zeros(0, 3))
    assert preview_frame(torch.ones(2, 3)).radius == 1.0
