"""Sampling paths: numbers worked out by hand, then properties, then the golden file of the editor."""

from __future__ import annotations

import importlib.util
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import PathError
from worldstereo_core.geometry.camera_path import CameraPath, Waypoint
from worldstereo_core.geometry.cameras import check_cameras, project
from worldstereo_core.geometry.path_spline import evaluate_path, path_lengths, sample_path, turn_angles

DATA = Path(__file__).resolve().parents[1] / "data"
INTERPOLATIONS = ["catmull_rom", "bezier", "linear"]


def through(*places: tuple[float, float, float], times: list[float] | None = None, **settings) -> CameraPath:
    times = times or [index / (len(places) - 1) for index in range(len(places))]
    return CameraPath(
        tuple(Waypoint(place, time=time) for place, time in zip(places, times, strict=True)), **settings
    )


def turned(*degrees: float, **settings) -> CameraPath:
    """Waypoints on the spot, turned about y (to the right)."""
    return CameraPath(
        tuple(
            Waypoint(
                (0.0, 0.0, 0.0),
                (math.cos(math.radians(angle) / 2), 0.0, math.sin(math.radians(angle) / 2), 0.0),
                time=index / (len(degrees) - 1),
            )
            for index, angle in enumerate(degrees)
        ),
        **settings,
    )


def centers(path: CameraPath, *progress: float) -> torch.Tensor:
    return evaluate_path(path, torch.tensor(progress, dtype=torch.float64)).c2w[:, :3, 3]


def speed(path: CameraPath, progress: float) -> torch.Tensor:
    """Velocity from one side; negative progress means from before."""
    step = 1e-6
    at = abs(progress)
    a, b = centers(path, at - step, at) if progress < 0 else centers(path, at, at + step)
    return (b - a) / step


def test_catmull_rom_of_even_steps():
    path = through((0.0, 0, 0), (1.0, 0, 0), (1.0, 1, 0), (2.0, 1, 0))
    # Derivatives at the inner waypoints are (0.5, 0.5, 0); a quarter into the middle part:
    # 0.84375 P1 + 0.140625 T + 0.15625 P2 - 0.046875 T.
    expected = torch.tensor([[1.0, 0.5, 0], [1.046875, 0.203125, 0]], dtype=torch.float64)
    assert_close(centers(path, 0.5, 1.25 / 3), expected)


def test_catmull_rom_is_centripetal():
    path = CameraPath(
        tuple(
            Waypoint((x, 0.0, 0.0), time=time, easing="linear")
            for x, time in ((0.0, 0.0), (1.0, 0.5), (5.0, 1.0))
        )
    )
    # Knots 1 and 2 apart (roots of 1 and 4): derivative at the middle for the first part 1 - 5/3 + 4/2 = 4/3,
    # at the start 1; half way: 1/2 + (1 - 4/3) / 8.
    assert_close(centers(path, 0.25)[0, 0].item(), 0.5 - 1 / 24)


def test_automatic_speed_follows_a_monotone_curve_through_the_times():
    path = through((0.0, 0, 0), (1.0, 0, 0), (5.0, 0, 0))
    # Knots per time 2 and 4, their harmonic mean 8/3 in the middle; half way into the first part
    # 1/8 * 2/2 + 1/2 - 1/8 * 8/3/2 = 11/24 of it.
    share = 11 / 24
    hermite = (
        (share**3 - 2 * share**2 + share) + (3 * share**2 - 2 * share**3) + (share**3 - share**2) * 4 / 3
    )
    assert_close(centers(path, 0.25)[0, 0].item(), hermite)


@pytest.mark.parametrize("interpolation", ["catmull_rom", "bezier"])
def test_automatic_speed_does_not_jump_at_waypoints(interpolation: str):
    path = through(
        (0.0, 0, 0),
        (1.0, 0, 0),
        (1.0, 3, 0),
        (1.2, 3, 0),
        times=[0, 0.5, 0.6, 1],
        interpolation=interpolation,
    )
    for time in (0.5, 0.6):
        assert_close(speed(path, -time), speed(path, time), atol=1e-3, rtol=1e-3)


def test_bezier_uses_the_handles():
    path = CameraPath(
        (
            Waypoint((0.0, 0.0, 0.0), handle_out=(0.0, 1.0, 0.0)),
            Waypoint((1.0, 0.0, 0.0), time=1.0, handle_in=(0.0, 1.0, 0.0)),
        ),
        "bezier",
    )
    assert_close(centers(path, 0.5)[0], torch.tensor([0.5, 0.75, 0], dtype=torch.float64))


def test_linear_goes_straight_and_stops_nowhere():
    path = through((0.0, 0, 0), (1.0, 0, 0), (1.0, 4, 0), interpolation="linear")
    expected = torch.tensor([[0.5, 0, 0], [1, 1, 0]], dtype=torch.float64)
    assert_close(centers(path, 0.25, 0.625), expected)


@pytest.mark.parametrize(
    ("easing", "share"), [("linear", 0.25), ("smooth", 0.15625), ("ease in", 0.0625), ("ease out", 0.4375)]
)
def test_easing_shapes_one_part_alone(easing: str, share: float):
    path = CameraPath(
        (
            Waypoint((0.0, 0.0, 0.0), easing=easing),
            Waypoint((2.0, 0.0, 0.0), time=0.5, easing="linear"),
            Waypoint((4.0, 0.0, 0.0), time=1.0),
        ),
        "linear",
    )
    assert_close(centers(path, 0.125, 0.625)[:, 0], torch.tensor([2 * share, 2.5], dtype=torch.float64))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_rotations_at_even_angles_turn_evenly(interpolation: str):
    path = turned(0, 30, 60, 90, interpolation=interpolation)
    samples = evaluate_path(path, torch.linspace(0, 1, 10))
    angle = torch.atan2(samples.c2w[:, 0, 2], samples.c2w[:, 2, 2])
    assert_close(torch.rad2deg(angle), torch.linspace(0, 90, 10, dtype=torch.float64))


def test_squad_does_not_jump_in_turning_speed():
    path = turned(0, 60, 80, 140)
    step = 1e-5
    for waypoint in (1 / 3, 2 / 3):
        around = torch.tensor([waypoint - step, waypoint, waypoint + step], dtype=torch.float64)
        before, after = turn_angles(evaluate_path(path, around).c2w)
        assert_close(before, after, rtol=1e-3, atol=0)


def test_rotations_take_the_shorter_arc_whatever_the_sign_of_the_quaternion():
    path = turned(0, 40, 80)
    flipped = replace(path.waypoints[1], wxyz=tuple(-value for value in path.waypoints[1].wxyz))
    other = replace(path, waypoints=(path.waypoints[0], flipped, path.waypoints[2]))
    moments = torch.linspace(0, 1, 7)
    assert_close(evaluate_path(other, moments).c2w, evaluate_path(path, moments).c2w)


def test_roll_may_turn_more_than_once_and_lowers_the_right_side():
    first, last = Waypoint((0.0, 0.0, 0.0)), Waypoint((0.0, 0.0, 1.0), time=1.0, roll_deg=720.0)
    c2w = evaluate_path(CameraPath((first, last), "linear"), torch.tensor([0.125, 0.25])).c2w
    # After an eighth the camera has turned by 90 degrees: its right side points down (+y).
    assert_close(c2w[0, :3, 0], torch.tensor([0, 1.0, 0], dtype=torch.float64), atol=1e-12, rtol=0)
    assert_close(c2w[1, :3, 0], torch.tensor([-1.0, 0, 0], dtype=torch.float64), atol=1e-12, rtol=0)


def test_focal_length_changes_by_equal_ratios():
    wide = Waypoint((0.0, 0.0, 0.0), fov_deg=90.0)  # focal 0.5 widths
    narrow = Waypoint((0.0, 0.0, 0.0), fov_deg=math.degrees(2 * math.atan(0.25)), time=1.0)  # 2 widths
    trajectory = sample_path(CameraPath((wide, narrow), width=80, height=48), 3)
    assert_close(trajectory.K[:, 0, 0], torch.tensor([40.0, 80.0, 160.0]))
    assert_close(trajectory.K[:, 1, 2], torch.full((3,), 24.0))


def test_constant_speed_makes_equal_steps():
    path = through((0.0, 0, 0), (1.0, 0, 0), (1.0, 3, 0), (2.0, 4, 1), times=[0, 0.7, 0.8, 1])
    trajectory = sample_path(replace(path, speed="constant"), 30)
    steps = (trajectory.cameras.centers[1:] - trajectory.cameras.centers[:-1]).norm(dim=-1)
    # Chords of a bent way are a little shorter than the way.
    assert steps.max() / steps.min() < 1.04
    by_time = sample_path(path, 30).cameras.centers
    assert (by_time[1:] - by_time[:-1]).norm(dim=-1).max() > 5 * steps.max()


def test_constant_speed_counts_turning_too():
    # One unit of travel, then a quarter turn on the spot; with scale 2/pi that counts as one unit too.
    half = math.sqrt(0.5)
    path = CameraPath(
        (
            Waypoint((0.0, 0.0, 0.0)),
            Waypoint((0.0, 0.0, 1.0), time=0.1),
            Waypoint((0.0, 0.0, 1.0), (half, 0.0, half, 0.0), time=1.0),
        ),
        "linear",
        "constant",
        scale=2 / math.pi,
    )
    c2w = evaluate_path(path, torch.tensor([0.25, 0.5, 0.75])).c2w
    assert_close(c2w[:, 2, 3], torch.tensor([0.5, 1, 1], dtype=torch.float64), atol=1e-4, rtol=0)
    angle = torch.rad2deg(torch.atan2(c2w[:, 0, 2], c2w[:, 2, 2]))
    assert_close(angle, torch.tensor([0, 0, 45.0], dtype=torch.float64), atol=1e-2, rtol=0)
    assert_close(path_lengths(c2w, 2 / math.pi)[-1].item(), 1.0, atol=1e-4, rtol=0)


def test_the_target_stays_in_the_middle_of_the_picture():
    target = (0.3, -0.4, 6.0)
    path = through((0.0, 0, 0), (1.0, -1, 0), (2.0, 0.5, 1), look_at=target)
    trajectory = sample_path(path, 9)
    xy, z = project(torch.tensor([target]), trajectory.K, trajectory.w2c)
    assert_close(xy[:, 0], torch.tensor([384.0, 240.0]).repeat(9, 1), atol=1e-2, rtol=0)
    assert (z > 0).all()
    assert_close(trajectory.cameras.c2w[:, 1, 0], torch.zeros(9), atol=1e-6, rtol=0)  # upright
    assert trajectory.pivot == target


def test_a_camera_cannot_look_at_where_it_stands():
    with pytest.raises(PathError, match="stands on its target"):
        sample_path(through((0.0, 0, 0), (0.0, 0, 2), look_at=(0.0, 0.0, 2.0)), 3)


@pytest.mark.parametrize("interpolation", ["catmull_rom", "bezier"])
def test_a_closed_path_goes_on_smoothly_through_its_first_waypoint(interpolation: str):
    path = through((0.0, 0, 0), (1.0, 0, 0), (1.0, 1, 0), (0.0, 1, 0), interpolation=interpolation).closed()
    assert_close(centers(path, 0.0), centers(path, 1.0))
    assert_close(speed(path, 0.0), speed(path, -1.0), atol=1e-3, rtol=1e-3)
    opened = replace(path, is_closed=False)
    assert (speed(opened, 0.0) - speed(opened, -1.0)).norm() > 0.5


def test_a_waypoint_on_the_same_place_is_a_pause():
    for interpolation in INTERPOLATIONS[:1] + INTERPOLATIONS[2:]:
        path = through((0.0, 0, 0), (1.0, 0, 0), (1.0, 0, 0), (1.0, 2, 0), interpolation=interpolation)
        rest = centers(path, *torch.linspace(1 / 3, 2 / 3, 5).tolist())
        assert_close(rest, torch.tensor([1.0, 0, 0], dtype=torch.float64).repeat(5, 1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("seed", range(4))
def test_every_waypoint_is_passed_at_its_time(interpolation: str, seed: int):
    generator = torch.Generator().manual_seed(seed)
    count = 6
    places = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    turns = torch.nn.functional.normalize(
        torch.randn(count, 4, generator=generator, dtype=torch.float64), dim=-1
    )
    times = torch.rand(count - 1, generator=generator, dtype=torch.float64).add(0.1).cumsum(0)
    times = [0.0, *(times / times[-1]).tolist()]
    path = CameraPath(
        tuple(
            Waypoint(tuple(place), tuple(turn), 40.0 + 10 * index, times[index])
            for index, (place, turn) in enumerate(zip(places.tolist(), turns.tolist(), strict=True))
        ),
        interpolation,
    )
    samples = evaluate_path(path, torch.tensor(times, dtype=torch.float64))
    expected = torch.stack([waypoint.c2w for waypoint in path.waypoints])
    assert_close(samples.c2w, expected, atol=1e-9, rtol=0)
    assert_close(samples.fov_deg, 40 + 10 * torch.arange(count, dtype=torch.float64))
    check_cameras("path", sample_path(path, 50).cameras)


def test_another_aspect_is_cut_not_stretched():
    trajectory = sample_path(through((0.0, 0, 0), (1.0, 0, 0)), 2, height=480, width=480)
    assert (trajectory.height, trajectory.width) == (480, 480)
    assert_close(trajectory.K[:, 0, 0], trajectory.K[:, 1, 1])
    assert_close(trajectory.K[0, 0, 2].item(), 240.0)


def test_frames_and_easing_are_checked():
    path = through((0.0, 0, 0), (1.0, 0, 0))
    with pytest.raises(PathError, match="frames: got 0"):
        sample_path(path, 0)
    with pytest.raises(PathError, match="easing: got 'bouncy'"):
        sample_path(path, 3, easing="bouncy")
    assert sample_path(path, 1).num_frames == 1
    eased = sample_path(path, 3, easing="ease in").cameras.centers[:, 0]
    assert_close(eased, torch.tensor([0, 0.25, 1]))


def test_the_golden_file_holds_what_is_sampled_today():
    spec = importlib.util.spec_from_file_location("make_spline_golden", DATA / "make_spline_golden.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    golden = json.loads((DATA / "spline_golden.json").read_text(encoding="utf-8"))
    made = module.content()
    assert [case["name"] for case in made["cases"]] == [case["name"] for case in golden["cases"]]
    for case, kept in zip(made["cases"], golden["cases"], strict=True):
        assert case["path"] == kept["path"], case["name"]
        for field in ("position", "wxyz", "fov_deg"):
            assert_close(
                torch.tensor(case[field], dtype=torch.float64),
                torch.tensor(kept[field], dtype=torch.float64),
                atol=1e-8,
                rtol=0,
                msg=lambda text, name=case["name"], field=field: f"{name}.{field}: {text}",
            )
