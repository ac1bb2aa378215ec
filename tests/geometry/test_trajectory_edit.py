"""Changes of whole trajectories: what moves, what stays, how many frames come out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import PathError
from worldstereo_core.geometry.cameras import Cameras, check_cameras, fov_to_K
from worldstereo_core.geometry.path_spline import path_lengths, turn_angles
from worldstereo_core.geometry.poses import invert_se3, quaternion_to_matrix
from worldstereo_core.geometry.trajectory import Trajectory, build_trajectory
from worldstereo_core.geometry.trajectory_edit import (
    backwards,
    even_speed,
    joined,
    loop_closed,
    mirrored,
    retimed,
    shaken,
    smoothed,
    starting_at,
    there_and_back,
)

H, W = 48, 80
K = fov_to_K(1.0, H, W)
EDITS = {
    "retimed": retimed,
    "even_speed": even_speed,
    "backwards": backwards,
    "there_and_back": there_and_back,
    "loop_closed": loop_closed,
    "mirrored": mirrored,
    "smoothed": smoothed,
    "shaken": shaken,
}


def build(preset: str = "orbit right", w2c: torch.Tensor | None = None, **options) -> Trajectory:
    options = {"pivot_depth": 4.0, "num_frames": 7} | options
    w2c = torch.eye(4) if w2c is None else w2c
    return build_trajectory(preset, start=(w2c, K), height=H, width=W, **options)


def along_x(*places: float) -> Trajectory:
    w2c = torch.eye(4).repeat(len(places), 1, 1)
    w2c[:, 0, 3] = -torch.tensor(places)
    return Trajectory(Cameras(w2c, K.repeat(len(places), 1, 1), H, W))


def some_pose() -> torch.Tensor:
    w2c = torch.eye(4)
    w2c[:3, :3] = quaternion_to_matrix(torch.tensor([0.8, -0.3, 0.4, 0.2]))
    w2c[:3, 3] = torch.tensor([0.3, -1.2, 2.0])
    return w2c


def x(trajectory: Trajectory) -> torch.Tensor:
    return trajectory.cameras.centers[:, 0]


def test_twice_the_speed_takes_half_the_frames():
    moved = retimed(along_x(0, 1, 2, 3, 4), 2.0)
    assert_close(x(moved), torch.tensor([0.0, 2, 4]))
    assert_close(x(retimed(along_x(0, 1, 2), 0.5)), torch.tensor([0, 0.5, 1, 1.5, 2]))


def test_easing_changes_the_pace_along_the_old_frames():
    assert_close(x(retimed(along_x(0, 1, 2, 3, 4), easing="ease in")), torch.tensor([0, 0.25, 1, 2.25, 4]))


def test_a_very_fast_clip_keeps_its_first_and_last_frame():
    assert_close(x(retimed(along_x(0, 1, 2, 3, 4), 100.0)), torch.tensor([0.0, 4]))


def test_even_speed_spreads_frames_along_the_way():
    assert_close(x(even_speed(along_x(0, 3, 4))), torch.tensor([0.0, 2, 4]))
    pan = build("pan right", easing="ease in", amount_deg=60)
    turns = turn_angles(invert_se3(even_speed(pan).w2c.double()))
    assert_close(turns, torch.full((6,), math.radians(10)).double(), atol=1e-4, rtol=0)


def test_backwards_twice_is_the_same():
    trajectory = build(w2c=some_pose())
    assert torch.equal(backwards(trajectory).w2c, trajectory.w2c.flip(0))
    twice = backwards(backwards(trajectory))
    assert torch.equal(twice.w2c, trajectory.w2c)
    assert twice.name == trajectory.name


def test_there_and_back_does_not_double_the_turning_point():
    assert_close(x(there_and_back(along_x(0, 1, 3))), torch.tensor([0.0, 1, 3, 1, 0]))


def test_a_closed_loop_ends_at_its_first_camera_without_a_jump():
    trajectory = build("orbit right", some_pose(), easing="linear", amount_deg=60, focal_end=1.5)
    closed = loop_closed(trajectory, 60)
    assert closed.num_frames == 67
    assert torch.equal(closed.w2c[:7], trajectory.w2c)
    assert torch.equal(closed.w2c[-1], trajectory.w2c[0])
    assert torch.equal(closed.K[-1], trajectory.K[0])
    steps = closed.cameras.centers.diff(dim=0)
    # The first new step goes on where the last old one was heading, and the last one leads into the first.
    assert torch.cosine_similarity(steps[6], steps[5], dim=0) > 0.95
    assert torch.cosine_similarity(steps[-1], steps[0], dim=0) > 0.95
    assert steps[6].norm() == pytest.approx(float(steps[5].norm()), rel=0.25)


def test_joining_moves_the_second_to_the_end_of_the_first():
    first, second = build("truck right", some_pose(), num_frames=4), build("dolly in", num_frames=3)
    both = joined(first, second)
    assert both.num_frames == 6
    assert torch.equal(both.w2c[:4], first.w2c)
    move = second.w2c[2] @ invert_se3(second.w2c[0])  # of the camera, in its own axes
    assert_close(both.w2c[5] @ invert_se3(first.w2c[3]), move, atol=1e-6, rtol=0)
    assert both.name == "truck right, then dolly in"
    cut = joined(first, second, moves_second=False)
    assert torch.equal(cut.w2c, torch.cat([first.w2c, second.w2c]))


def test_only_what_fits_together_is_joined():
    with pytest.raises(PathError, match="other: is made for 40 x 24 pixels, expected 80 x 48"):
        joined(build(), build().resized(24, 40))
    with pytest.raises(PathError, match="other: has 24 frames per second, expected 16"):
        joined(build(), replace(build(), fps=24.0))


def test_a_trajectory_starts_at_any_camera_with_its_pivot():
    trajectory = starting_at(build("orbit up"), some_pose())
    assert torch.equal(trajectory.w2c[0], some_pose())
    expected = build("orbit up", some_pose())
    assert_close(trajectory.w2c, expected.w2c, atol=1e-5, rtol=0)
    assert trajectory.pivot == pytest.approx(expected.pivot, abs=1e-5)


@pytest.mark.parametrize(
    ("preset", "mirror", "image"),
    [
        ("orbit right", "left-right", "orbit left"),
        ("truck left", "left-right", "truck right"),
        ("roll right", "left-right", "roll left"),
        ("tilt up", "left-right", "tilt up"),
        ("tilt up", "up-down", "tilt down"),
        ("orbit down", "up-down", "orbit up"),
        ("dolly in", "up-down", "dolly in"),
    ],
)
def test_a_mirror_image_goes_the_other_way(preset: str, mirror: str, image: str):
    found = mirrored(build(preset, some_pose()), mirror)
    expected = build(image, some_pose())
    assert_close(found.w2c, expected.w2c, atol=1e-5, rtol=0)
    assert found.pivot == pytest.approx(expected.pivot, abs=1e-5)


def test_smoothing_takes_tremor_away_and_keeps_even_motion():
    trajectory = build("orbit right", some_pose(), num_frames=41, easing="linear")
    smooth = smoothed(trajectory, 2.0)
    assert_close(smooth.w2c, trajectory.w2c, atol=0.02, rtol=0)
    straight = build("truck right", some_pose(), num_frames=41, easing="linear")
    assert_close(smoothed(straight, 3.0).w2c, straight.w2c, atol=1e-5, rtol=0)
    trembling = shaken(trajectory, 1.0, 0.02, frequency=8.0, seed=3)
    calm = smoothed(trembling, 2.0)

    def roughness(given: Trajectory) -> torch.Tensor:
        return given.cameras.centers[1:-1].diff(n=2, dim=0).norm(dim=-1).mean()

    assert roughness(calm) < 0.3 * roughness(trembling)
    for end in (0, -1):
        assert torch.equal(calm.w2c[end], trembling.w2c[end])


def test_smoothing_a_step_spreads_it():
    smooth = x(smoothed(along_x(0, 0, 0, 1, 1, 1), 1.0))
    assert_close(smooth, 1 - smooth.flip(0))  # symmetric as the step is
    assert (smooth.diff() >= 0).all()
    assert 0.2 < smooth[2] < 0.4


def test_handheld_shake_is_seeded_and_as_strong_as_asked():
    trajectory = build("static", num_frames=2000)
    shake = shaken(trajectory, 0.5, 0.1, seed=7)
    again, other = shaken(trajectory, 0.5, 0.1, seed=7), shaken(trajectory, 0.5, 0.1, seed=8)
    assert torch.equal(shake.w2c, again.w2c)
    assert (shake.w2c - other.w2c).abs().max() > 0.05
    assert torch.equal(shake.w2c[0], trajectory.w2c[0])
    assert_close(shake.cameras.centers.std(dim=0), torch.full((3,), 0.1), atol=0.01, rtol=0)
    yaw = torch.rad2deg(torch.asin(shake.cameras.c2w[:, 0, 2]))
    assert_close(yaw.std(), torch.tensor(0.5), atol=0.05, rtol=0)


def test_handheld_shake_has_the_same_numbers_everywhere():
    # The seed decides, not the machine: these are from Python's own generator, seed 0.
    centers = shaken(build("static", num_frames=4), 0.0, 1.0, seed=0).cameras.centers
    assert_close(centers, torch.tensor(SHAKE), atol=1e-4, rtol=0)


SHAKE = [[0, 0, 0], [0.7982, 0.5329, 0.0328], [0.2387, 0.8103, -0.7947], [0.8684, 1.7459, -2.3594]]


@pytest.mark.parametrize("edit", EDITS)
def test_edits_leave_what_they_are_given_alone_and_return_rigid_cameras(edit: str):
    trajectory = build("spiral", some_pose(), num_frames=9, focal_end=2.0)
    before = trajectory.w2c.clone(), trajectory.K.clone()
    edited = EDITS[edit](trajectory)
    check_cameras(edit, edited.cameras)
    assert torch.equal(trajectory.w2c, before[0]) and torch.equal(trajectory.K, before[1])
    assert edited.fps == trajectory.fps
    if edit != "backwards":
        assert torch.equal(edited.w2c[0], trajectory.w2c[0])


@pytest.mark.parametrize("edit", EDITS)
def test_edits_take_a_trajectory_of_one_frame(edit: str):
    edited = EDITS[edit](build(num_frames=1))
    check_cameras(edit, edited.cameras)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda given: retimed(given, 0.0), "speed: got 0"),
        (lambda given: retimed(given, 1e-6), "would have .* frames, expected at most 100000"),
        (lambda given: retimed(given, easing="bouncy"), "easing: got 'bouncy'"),
        (lambda given: even_speed(given, math.nan), "scale: got nan"),
        (lambda given: loop_closed(given, 0), "return frames: got 0"),
        (lambda given: mirrored(given, "inside out"), "mirror: got 'inside out'"),
        (lambda given: smoothed(given, -1.0), "smooth frames: got -1"),
        (lambda given: shaken(given, -1.0), "shake amount: got -1"),
        (lambda given: shaken(given, frequency=math.inf), "shake frequency: got inf"),
    ],
)
def test_numbers_out_of_range_are_named(edit, message: str):
    with pytest.raises(PathError, match=message):
        edit(build())


def test_a_hundred_thousand_frames_are_edited_in_seconds():
    trajectory = build(num_frames=50_000)
    assert there_and_back(trajectory).num_frames == 99_999
    long = even_speed(smoothed(trajectory))
    assert_close(path_lengths(invert_se3(long.w2c.double()), 1.0)[-1].item(), 2.1587, atol=2e-2, rtol=0)
