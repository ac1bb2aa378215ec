"""Presets: which way, how far, what stays; then resampling."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import PathError
from worldstereo_core.geometry.cameras import check_cameras, fov_to_K, project
from worldstereo_core.geometry.poses import invert_se3, quaternion_to_matrix
from worldstereo_core.geometry.trajectory import EASINGS, PRESETS, Trajectory, build_trajectory

H, W = 48, 80
K = fov_to_K(math.radians(60), H, W)


def build(preset: str, w2c: torch.Tensor | None = None, **options) -> Trajectory:
    w2c = torch.eye(4) if w2c is None else w2c
    options = {"pivot_depth": 4.0, "num_frames": 7} | options
    return build_trajectory(preset, start=(w2c, K), height=H, width=W, **options)


def some_pose() -> torch.Tensor:
    w2c = torch.eye(4)
    w2c[:3, :3] = quaternion_to_matrix(torch.tensor([0.8, -0.3, 0.4, 0.2]))
    w2c[:3, 3] = torch.tensor([0.3, -1.2, 2.0])
    return w2c


def last_center(trajectory: Trajectory) -> torch.Tensor:
    return trajectory.cameras.centers[-1]


def view_directions(trajectory: Trajectory) -> torch.Tensor:
    return trajectory.cameras.c2w[:, :3, 2]


@pytest.mark.parametrize(
    ("preset", "moved"),
    [
        ("dolly in", (0, 0, 2)),
        ("dolly out", (0, 0, -2)),
        ("truck right", (2, 0, 0)),
        ("truck left", (-2, 0, 0)),
        ("pedestal up", (0, -2, 0)),
        ("pedestal down", (0, 2, 0)),
        ("static", (0, 0, 0)),
    ],
)
def test_travel_goes_where_its_name_says_in_units_of_the_pivot_depth(preset: str, moved: tuple[float, ...]):
    trajectory = build(preset, distance=0.5)  # 0.5 of 4
    assert_close(last_center(trajectory), torch.tensor(moved, dtype=torch.float32))
    assert_close(trajectory.w2c[:, :3, :3], torch.eye(3).repeat(7, 1, 1))


@pytest.mark.parametrize(
    ("preset", "looks"),
    [
        ("pan right", (0.5, 0, math.sqrt(0.75))),
        ("pan left", (-0.5, 0, math.sqrt(0.75))),
        ("tilt up", (0, -0.5, math.sqrt(0.75))),
        ("tilt down", (0, 0.5, math.sqrt(0.75))),
    ],
)
def test_pan_and_tilt_turn_in_place(preset: str, looks: tuple[float, ...]):
    trajectory = build(preset, amount_deg=30)
    assert_close(view_directions(trajectory)[-1], torch.tensor(looks, dtype=torch.float32))
    assert_close(trajectory.cameras.centers, torch.zeros(7, 3))


def test_pan_right_brings_what_lies_to_the_right_into_view():
    trajectory = build("pan right", amount_deg=60)
    xy, _ = project(
        torch.tensor([[math.sin(math.radians(60)), 0, math.cos(math.radians(60))]]), K, trajectory.w2c
    )
    assert xy[0, 0, 0] > W  # outside at first
    assert_close(xy[-1, 0], torch.tensor([W / 2, H / 2]), atol=1e-3, rtol=0)


def test_roll_right_lowers_the_right_side_of_the_camera():
    right_side = build("roll right", amount_deg=30).cameras.c2w[-1, :3, 0]
    assert_close(right_side, torch.tensor([math.sqrt(0.75), 0.5, 0]))
    assert_close(build("roll left", amount_deg=30).cameras.c2w[-1, 1, 0], torch.tensor(-0.5))


@pytest.mark.parametrize(
    ("preset", "center"),
    [
        ("orbit right", (2, 0, 4 - math.sqrt(12))),
        ("orbit left", (-2, 0, 4 - math.sqrt(12))),
        ("orbit up", (0, -2, 4 - math.sqrt(12))),
        ("orbit down", (0, 2, 4 - math.sqrt(12))),
    ],
)
def test_orbit_of_30_degrees_moves_half_the_pivot_depth_sideways(preset: str, center: tuple[float, ...]):
    trajectory = build(preset, amount_deg=30)
    assert_close(last_center(trajectory), torch.tensor(center, dtype=torch.float32))


@pytest.mark.parametrize("preset", ["orbit right", "orbit left", "orbit up", "orbit down"])
def test_orbit_keeps_its_distance_and_looks_at_the_pivot(preset: str):
    trajectory = build(preset, some_pose(), amount_deg=75)
    pivot = torch.tensor(trajectory.pivot)
    distance = (trajectory.cameras.centers - pivot).norm(dim=-1)
    assert_close(distance, torch.full((7,), 4.0), atol=1e-5, rtol=0)
    xy, z = project(pivot[None], trajectory.K, trajectory.w2c)
    assert_close(xy[:, 0], torch.tensor([W / 2, H / 2]).repeat(7, 1), atol=1e-3, rtol=0)
    assert (z > 0).all()


def test_spiral_makes_one_turn_outwards_and_looks_at_the_pivot():
    trajectory = build("spiral", distance=0.25, num_frames=9, easing="linear")
    # After a quarter of the time a quarter of the way out and a quarter of a turn: straight up.
    assert_close(trajectory.cameras.centers[2], torch.tensor([0.0, -0.25, 0]), atol=1e-6, rtol=0)
    assert_close(trajectory.cameras.centers[-1], torch.tensor([1.0, 0, 0]), atol=1e-6, rtol=0)
    xy, _ = project(torch.tensor([[0.0, 0, 4]]), trajectory.K, trajectory.w2c)
    assert_close(xy[:, 0], torch.tensor([W / 2, H / 2]).repeat(9, 1), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("preset", "focal_end", "ratio"),
    [
        ("zoom in", 2.0, 2.0),
        ("zoom in", 0.5, 2.0),
        ("zoom in", 1.0, 1.5),
        ("zoom out", 2.0, 0.5),
        ("zoom out", 1.0, 1 / 1.5),
    ],
)
def test_zoom_changes_the_focal_length_only(preset: str, focal_end: float, ratio: float):
    trajectory = build(preset, some_pose(), focal_end=focal_end)
    assert_close(trajectory.w2c, some_pose().repeat(7, 1, 1), atol=1e-6, rtol=0)
    assert_close(trajectory.K[-1, [0, 1], [0, 1]], K[[0, 1], [0, 1]] * ratio)
    assert_close(trajectory.K[:, :, 2], K[:, 2].repeat(7, 1))


def test_any_move_can_change_the_focal_length_on_the_way():
    trajectory = build("dolly in", focal_end=4.0, num_frames=3, easing="linear")
    assert_close(trajectory.K[:, 0, 0], K[0, 0] * torch.tensor([1.0, 2.0, 4.0]))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("pivot_depth", [4.0, 0.37, 123.456])
def test_every_preset_starts_exactly_at_the_start_camera(preset: str, pivot_depth: float):
    trajectory = build(preset, some_pose(), pivot_depth=pivot_depth)
    assert torch.equal(trajectory.w2c[0], some_pose())
    assert torch.equal(trajectory.K[0], K)
    check_cameras(preset, trajectory.cameras)


@pytest.mark.parametrize("preset", PRESETS)
def test_moves_are_those_of_the_start_cameras_own_axes(preset: str):
    # w2c of a move from any pose = w2c of the move from the identity, after that pose.
    expected = build(preset).w2c @ some_pose()
    assert_close(build(preset, some_pose()).w2c, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("preset", PRESETS)
def test_one_frame_is_the_start_camera(preset: str):
    assert torch.equal(build(preset, num_frames=1).w2c[0], torch.eye(4))


@pytest.mark.parametrize("easing", EASINGS)
def test_easing_rises_from_start_to_end(easing: str):
    x = build("truck right", easing=easing, num_frames=50).cameras.centers[:, 0]
    assert (x.diff() > 0).all()
    assert_close(x[[0, -1]], torch.tensor([0.0, 2.0]))


@pytest.mark.parametrize(
    ("easing", "quarter"), [("linear", 0.25), ("smooth", 5 / 32), ("ease in", 1 / 16), ("ease out", 7 / 16)]
)
def test_easing_after_a_quarter_of_the_time(easing: str, quarter: float):
    x = build("truck right", easing=easing, num_frames=5, distance=0.25).cameras.centers[:, 0]
    assert_close(x[1], torch.tensor(quarter))


def test_a_negative_amount_goes_the_other_way():
    assert_close(build("pan left", amount_deg=-30).w2c, build("pan right", amount_deg=30).w2c)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"preset": "orbit sideways"}, "preset: got 'orbit sideways', expected one of: static"),
        ({"easing": "bouncy"}, "easing: got 'bouncy'"),
        ({"num_frames": 0}, "frames: got 0"),
        ({"pivot_depth": 0.0}, "pivot depth: got 0.0"),
        ({"amount_deg": math.nan}, "amount: got nan"),
        ({"distance": math.inf}, "distance: got inf"),
        ({"focal_end": 0.0}, "focal length at end: got 0.0"),
    ],
)
def test_bad_numbers_are_refused_by_name(options: dict, words: str):
    with pytest.raises(PathError, match=words):
        build(options.pop("preset", "static"), **options)


def test_a_bad_start_camera_is_refused():
    with pytest.raises(PathError, match="start camera"):
        build("static", 2 * torch.eye(4))


def test_fewer_frames_are_picked_from_those_there_are():
    trajectory = build("spiral", num_frames=81)
    assert torch.equal(trajectory.resampled(21).w2c, trajectory.w2c[::4])
    assert torch.equal(trajectory.resampled(21).K, trajectory.K[::4])


def test_more_frames_keep_those_there_are_and_pass_between_them():
    trajectory = build(
        "orbit right", some_pose(), focal_end=2.0, num_frames=5, amount_deg=80, easing="linear"
    )
    finer = trajectory.resampled(9)
    assert torch.equal(finer.w2c[::2], trajectory.w2c)
    assert_close(finer.K[::2], trajectory.K)
    assert_close(finer.cameras.centers[1], trajectory.cameras.centers[:2].mean(dim=0))
    # Half of the 20 degrees between two frames.
    step = finer.w2c[1, :3, :3] @ finer.w2c[0, :3, :3].T
    assert_close(torch.acos((step.trace() - 1) / 2), torch.tensor(math.radians(10)), atol=1e-4, rtol=0)
    check_cameras("resampled", finer.cameras)


def test_one_frame_resampled_is_repeated():
    trajectory = build("pan right", some_pose(), num_frames=1)
    assert torch.equal(trajectory.resampled(3).w2c, some_pose().repeat(3, 1, 1))


def test_resampling_to_no_frames_is_refused():
    with pytest.raises(PathError, match="frames: got 0"):
        build("static").resampled(0)


def test_trajectory_says_what_it_is():
    trajectory = build("orbit right", amount_deg=30)
    assert (trajectory.name, trajectory.fps, trajectory.num_frames) == ("orbit right 30°", 16.0, 7)
    assert (trajectory.height, trajectory.width) == (H, W)
    assert trajectory.pivot == (0.0, 0.0, 4.0)
    assert build("static").name == "static"
    assert trajectory.resized(2 * H, W).K[0, 1, 1] == 2 * K[1, 1]
    assert invert_se3(trajectory.w2c).isfinite().all()


def test_key_frames_of_a_move_are_shown_slower_so_that_it_lasts_as_long():
    move = build("orbit right", num_frames=81, fps=16.0)
    # 80 steps of 1/16 s are 20 steps of 1/4 s.
    assert move.fps_of(21) == 4.0
    assert move.fps_of(81) == 16.0
    assert move.fps_of(1) == 16.0
