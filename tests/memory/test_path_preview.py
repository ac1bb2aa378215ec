"""The quick look at a path: small pictures whose holes are those of the full ones."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from worldstereo_core.geometry.cameras import fov_to_K
from worldstereo_core.geometry.trajectory import Trajectory, build_trajectory
from worldstereo_core.memory import path_preview
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory
from worldstereo_core.memory.path_preview import preview_path
from worldstereo_core.memory.trajectory_check import check_trajectory

H, W = 120, 192
WALL = 4.0


@pytest.fixture(scope="module")
def wall() -> GeometricMemory:
    image = torch.rand(3, H, W, generator=torch.Generator().manual_seed(0))
    return initialise_memory(
        image, torch.full((H, W), WALL), fov_to_K(math.radians(60), H, W), edge_threshold=0.0
    )


def move(memory: GeometricMemory, preset: str, **options) -> Trajectory:
    view = memory.views[0]
    options = {"pivot_depth": WALL, "num_frames": 5, "easing": "linear"} | options
    return build_trajectory(preset, start=(view.w2c, view.K), height=H, width=W, **options)


def test_every_frame_of_a_short_path_is_drawn_small(wall: GeometricMemory):
    trajectory = move(wall, "truck right", distance=0.5)
    preview = preview_path(wall, trajectory, longer_side=48)
    assert preview.drawn == (0, 1, 2, 3, 4)
    assert preview.image.shape == (5, 3, 30, 48)
    # The wall is 4.6 wide; the camera that moved by 2 sees 2 / 4.6 of its picture beside it.
    assert preview.holes[0] == pytest.approx(0, abs=0.02)
    assert preview.holes[-1] == pytest.approx(2 / (8 * math.tan(math.radians(30))), abs=0.03)
    assert preview.check.hole_share is not None
    assert preview.check.hole_share.tolist() == pytest.approx(preview.holes)


def test_small_pictures_tell_the_holes_of_the_full_ones(wall: GeometricMemory):
    trajectory = move(wall, "orbit right", amount_deg=40.0)
    # As many source pixels per disc as a memory of 480 lines has.
    full = check_trajectory(wall, trajectory, wall.render(trajectory, radius=0.02))
    assert full.hole_share is not None
    assert preview_path(wall, trajectory, longer_side=96).holes == pytest.approx(
        full.hole_share.tolist(), abs=0.04
    )


def test_fewer_points_of_a_large_memory_leave_no_more_holes(
    wall: GeometricMemory, monkeypatch: pytest.MonkeyPatch
):
    trajectory = move(wall, "dolly in", distance=0.2, num_frames=2)
    all_points = preview_path(wall, trajectory, longer_side=48)
    monkeypatch.setattr(path_preview, "MAX_DRAWN_POINTS", wall.points.num_points // 8)
    assert preview_path(wall, trajectory, longer_side=48).holes == pytest.approx(all_points.holes, abs=0.1)


def test_of_a_long_path_some_frames_are_drawn_and_all_are_checked(
    wall: GeometricMemory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(path_preview, "MAX_DRAWN_FRAMES", 3)
    trajectory = move(wall, "dolly in", distance=0.99, num_frames=21)
    preview = preview_path(wall, trajectory, longer_side=16)
    assert preview.drawn == (0, 10, 20)
    assert [frame for frame, share in enumerate(preview.holes) if share is not None] == [0, 10, 20]
    assert len(preview.check.collides) == 21 and bool(preview.check.collides[-1])
    assert preview.check.hole_share is None, "what was not drawn is not judged"


def test_a_memory_without_points_is_all_hole(wall: GeometricMemory):
    empty = replace(wall, points=wall.points.select(slice(0, 0)))
    assert preview_path(empty, move(wall, "static", num_frames=2), longer_side=16).holes == [1, 1]
