"""The plot: what is where, and that nothing breaks it."""

from __future__ import annotations

import math

import pytest
import torch

from worldstereo_core.geometry.cameras import fov_to_K
from worldstereo_core.geometry.point_cloud import PointCloud
from worldstereo_core.geometry.trajectory import PRESETS, Trajectory, build_trajectory
from worldstereo_core.geometry.trajectory_plot import END, PIVOT, START, plot_trajectory

SIZE = 256


def build(preset: str, **options) -> Trajectory:
    start = (torch.eye(4), fov_to_K(math.radians(60), 48, 80))
    return build_trajectory(preset, start=start, height=48, width=80, **options)


def where(picture: torch.Tensor, colour: tuple[int, ...]) -> torch.Tensor:
    """Mean (x, y) in pixels of what is drawn in a colour, legend below left out."""
    drawn = picture[: int(0.92 * SIZE)]
    near = (drawn - torch.tensor(colour) / 255).abs().amax(dim=-1) < 0.08
    assert near.any()
    return near.nonzero().flip(-1).double().mean(dim=0)


def panels(trajectory: Trajectory) -> tuple[torch.Tensor, torch.Tensor]:
    picture = plot_trajectory(trajectory, size=SIZE)
    return picture[:, : SIZE - 2], picture[:, SIZE + 2 :]


def test_picture_is_twice_as_wide_as_high():
    picture = plot_trajectory(build("orbit right"), size=SIZE)
    assert picture.shape == (SIZE, 2 * SIZE, 3) and picture.dtype == torch.float32
    assert picture.min() >= 0 and picture.max() <= 1


def test_truck_right_ends_on_the_right_seen_from_above():
    above, _ = panels(build("truck right"))
    assert where(above, END)[0] > where(above, START)[0] + 10


def test_dolly_in_ends_higher_from_above_and_further_right_from_the_side():
    above, aside = panels(build("dolly in"))
    assert where(above, END)[1] < where(above, START)[1] - 10
    assert where(aside, END)[0] > where(aside, START)[0] + 10


def test_pedestal_up_ends_higher_seen_from_the_side():
    _, aside = panels(build("pedestal up"))
    assert where(aside, END)[1] < where(aside, START)[1] - 10


def test_the_pivot_lies_ahead():
    above, aside = panels(build("orbit right"))
    assert where(above, PIVOT)[1] < where(above, START)[1] - 10
    assert where(aside, PIVOT)[0] > where(aside, START)[0] + 10


def test_the_plot_is_in_the_axes_of_the_first_camera():
    # The same move in a world that is turned and moved looks the same.
    turned = torch.tensor([[0.0, -1, 0, 3], [1, 0, 0, -2], [0, 0, 1, 7], [0, 0, 0, 1]])
    K = fov_to_K(math.radians(60), 48, 80)
    moved = build_trajectory("orbit up", start=(turned, K), height=48, width=80)
    difference = (plot_trajectory(moved, size=SIZE) - plot_trajectory(build("orbit up"), size=SIZE)).abs()
    assert difference.mean() < 0.01


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_drawn(preset: str):
    assert plot_trajectory(build(preset, num_frames=5), size=SIZE).isfinite().all()


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_any_scale_of_scene_can_be_drawn(scale: float):
    above, _ = panels(build("truck right", pivot_depth=scale))
    assert where(above, END)[0] > where(above, START)[0] + 10


def test_one_frame_without_a_pivot_can_be_drawn():
    trajectory = build("static", num_frames=1)
    bare = Trajectory(trajectory.cameras, name="x" * 500)
    assert plot_trajectory(bare, size=SIZE).isfinite().all()


def test_points_are_drawn_where_they_are_and_far_ones_do_not_shrink_the_path():
    near = torch.tensor([0.5, 0.0, 0.5]) + 0.02 * torch.rand(
        500, 3, generator=torch.Generator().manual_seed(0)
    )
    xyz = torch.cat([near, torch.full((5, 3), 1e5)])
    rgb = torch.tensor([1.0, 0.0, 1.0]).repeat(505, 1)
    cloud = PointCloud(xyz, rgb, torch.ones(505), torch.zeros(505, dtype=torch.int32))
    trajectory = build("truck right")
    without, with_points = (
        plot_trajectory(trajectory, points, SIZE)[:, : SIZE - 2] for points in (None, cloud)
    )
    magenta = tuple(int(0.62 * 255 * c + 0.38 * b) for c, b in zip((1, 0, 1), (24, 26, 31), strict=True))
    assert where(with_points, magenta)[0] > where(with_points, START)[0]
    span = [(where(p, END) - where(p, START))[0] for p in (without, with_points)]
    assert span[1] > 0.5 * span[0]
