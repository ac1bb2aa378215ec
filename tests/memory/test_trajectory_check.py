"""Trajectories against memories whose geometry is known in closed form."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import PathError, ShapeError
from worldstereo_core.geometry.cameras import Cameras, fov_to_K
from worldstereo_core.geometry.poses import invert_se3, quaternion_to_matrix
from worldstereo_core.geometry.trajectory import Trajectory, build_trajectory
from worldstereo_core.memory.check_picture import draw_check
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory
from worldstereo_core.memory.trajectory_check import (
    MIN_HIT_POINTS,
    CheckLimits,
    check_trajectory,
    frames_text,
    path_clearance,
    unseen_places,
)

H, W = 40, 64
K = fov_to_K(math.radians(90), H, W)
WALL = 4.0


def wall(w2c: torch.Tensor | None = None) -> GeometricMemory:
    """A wall that faces the camera, 4 scene units away; 8 wide and 5 high."""
    image = torch.rand(3, H, W, generator=torch.Generator().manual_seed(0))
    return initialise_memory(image, torch.full((H, W), WALL), K, w2c, edge_threshold=0.0)


def move(preset: str, memory: GeometricMemory | None = None, **options) -> Trajectory:
    view = (wall() if memory is None else memory).views[0]
    options = {"pivot_depth": WALL, "num_frames": 21, "easing": "linear"} | options
    return build_trajectory(preset, start=(view.w2c, view.K), height=H, width=W, **options)


def through(*places: tuple[float, float, float]) -> Trajectory:
    w2c = torch.eye(4).repeat(len(places), 1, 1)
    w2c[:, :3, 3] = -torch.tensor(places)
    return Trajectory(Cameras(w2c, K.repeat(len(places), 1, 1), H, W))


def frames(chosen: torch.Tensor) -> list[int]:
    return chosen.nonzero()[:, 0].tolist()


def test_a_move_into_the_wall_collides_where_it_comes_near():
    # 21 frames to 0.98 of the way: frame k stands 4 (1 - 0.049 k) from the wall; 0.2 is 0.05 median depths.
    check = check_trajectory(wall(), move("dolly in", distance=0.98))
    assert check.median_depth == WALL
    # The middle of the picture lies between pixels: the nearest points are half of 0.125 away each way.
    assert_close(check.clearance[-1].item(), math.hypot(0.08, 0.0625, 0.0625) / 4, atol=1e-5, rtol=0)
    assert frames(check.collides) == [20]
    assert_close(check.clearance[15].item(), 1 - 0.049 * 15, atol=0.01, rtol=0)
    assert check.clearance[0] == math.inf  # a whole median depth away
    assert check.warnings[0].startswith(
        "Collision: frame 20: the camera comes within 0.03 median depths (0.12 "
    )


def test_a_wall_passed_between_two_frames_is_hit():
    # Both frames are half a unit from the wall: only the way between them touches it.
    check = check_trajectory(wall(), through((0, 0, 3.5), (0, 0, 4.5)))
    assert frames(check.collides) == [1]


def test_a_single_floater_is_no_collision():
    way = torch.tensor([[0.0, 0, 0], [0, 0, 2]])
    floater = torch.tensor([[0.01, 0, 1.0]])
    assert path_clearance(floater, way, 1.0).tolist() == [math.inf, math.inf]
    several = floater.repeat(MIN_HIT_POINTS, 1)
    assert path_clearance(several, way, 1.5).tolist() == pytest.approx([1.00005, 0.01], rel=1e-5)


def test_clearance_is_that_of_every_point_against_every_part():
    generator = torch.Generator().manual_seed(1)
    xyz, way = torch.randn(500, 3, generator=generator), torch.randn(6, 3, generator=generator)
    found = path_clearance(xyz, way, 100.0)
    for part in range(6):
        a, b = way[max(part - 1, 0)].double(), way[part].double()
        shares = torch.linspace(0, 1, 4001, dtype=torch.float64)[:, None]
        points = a + shares * (b - a)
        nearest = torch.cdist(points, xyz.double()).amin(dim=0).sort().values[MIN_HIT_POINTS - 1]
        assert_close(found[part], nearest, atol=1e-3, rtol=0)


def test_clearance_reports_progress_and_can_be_stopped():
    calls = []
    path_clearance(torch.zeros(5, 3), torch.zeros(2, 3), 1.0, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 1)]

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        path_clearance(torch.zeros(5, 3), torch.zeros(2, 3), 1.0, stop)


def test_speed_is_measured_per_frame_in_degrees_and_median_depths():
    check = check_trajectory(wall(), move("pan right", amount_deg=60))
    assert_close(check.turn_deg[1:], torch.full((20,), 3.0).double(), atol=1e-3, rtol=0)
    assert check.turn_deg[0] == 0
    check = check_trajectory(wall(), move("truck left", distance=0.5))
    assert_close(check.travel[1:], torch.full((20,), 0.025).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("count", "amount", "is_fast"),
    # 9 degrees from one of 21 key frames to the next; 81 poses are four times as close.
    [(21, 179, False), (21, 181, True), (81, 179, False), (81, 181, True), (3, 17, False), (3, 19, True)],
)
def test_the_speed_limit_is_that_of_the_released_paths(count: int, amount: float, is_fast: bool):
    check = check_trajectory(wall(), move("pan right", amount_deg=amount, num_frames=count))
    assert bool(check.is_too_fast.any()) is is_fast
    assert any(line.startswith("Too fast") for line in check.warnings) is is_fast


@pytest.mark.shared
def test_the_released_paths_pass_their_own_limits(kitchen_dir):
    from worldstereo_core.formats.camera_json import read_camera_json

    memory = replace(wall(), median_depth=0.8254)  # of the kitchen's depth
    for name in ("traj_up", "traj_eloop", "traj_left", "traj_right"):
        trajectory = Trajectory(read_camera_json(kitchen_dir / name / "camera.json"))
        assert not check_trajectory(memory, trajectory).is_too_fast.any(), name


def test_holes_are_the_share_of_each_frame_and_judged_by_the_limit():
    memory = wall()
    # Panned right by 45 degrees a camera of 90 degrees loses sight of the left half of the wall: what was its
    # right half is now in its left one.
    trajectory = move("pan right", amount_deg=45, num_frames=9)
    rendered = memory.render(trajectory, radius=0.06)
    check = check_trajectory(memory, trajectory, rendered, CheckLimits(holes=0.3))
    assert check.hole_share is not None
    assert check.hole_share[0] < 0.01
    assert check.hole_share[-1] == pytest.approx(0.5, abs=0.06)
    assert frames(check.has_big_holes) == [
        frame for frame, share in enumerate(check.hole_share.tolist()) if share > 0.3
    ]
    assert "Holes: frames" in check.text and "expected at most 30%" in check.text
    assert check_trajectory(memory, trajectory).hole_share is None


def test_a_render_of_another_length_is_refused():
    memory = wall()
    rendered = memory.render(move("static", num_frames=2))
    with pytest.raises(ShapeError, match="render: has 2 frames, expected 21"):
        check_trajectory(memory, move("static"), rendered)


def test_places_behind_a_wall_or_outside_the_world_are_unseen():
    places = torch.tensor(
        [
            [0.0, 0, 0],  # where the picture was taken
            [0.0, 0, 2],  # in front of the wall
            [1.0, 0.5, 4.5],  # behind it, but no part of the world reaches so far: also beyond
            [0.0, 0, -1],  # backwards, out of the world
            [3.0, 0, 1],  # beside the picture's view, within the box
            [9.0, 0, 2],  # far to the right
        ]
    )
    behind, beyond = unseen_places(wall(), places, 0.2)
    assert frames(behind) == [2]
    assert frames(beyond) == [2, 3, 5]


def test_a_place_that_another_view_saw_free_is_not_behind():
    memory = wall()
    c2w = torch.eye(4)
    c2w[:3, :3] = quaternion_to_matrix(torch.tensor([0.0, 0, 1, 0]))  # looks back, from behind the wall
    c2w[:3, 3] = torch.tensor([0.0, 0, 8])
    seen = replace(memory.views[0], w2c=invert_se3(c2w), depth=torch.full((H, W), 3.9))
    both = replace(memory, views=(memory.views[0], seen))
    place = torch.tensor([[0.0, 0, 6]])
    assert unseen_places(memory, place, 0.2)[0].tolist() == [True]
    assert unseen_places(both, place, 0.2)[0].tolist() == [False]


def test_a_path_behind_the_wall_and_out_of_the_world_says_so():
    check = check_trajectory(wall(), through((0, 0, 0), (0, 0, 5), (0, 0, 6)))
    assert any(line.startswith("Unseen: frames 1 to 2: the camera goes behind") for line in check.warnings)
    assert any("leaves the volume" in line for line in check.warnings)


def test_a_good_path_has_figures_and_no_warnings():
    memory = wall()
    trajectory = move("dolly in", distance=0.3, num_frames=9)
    check = check_trajectory(memory, trajectory, memory.render(trajectory, radius=0.05))
    assert check.warnings == ()
    assert check.text.startswith("9 frames; holes 0% to ")
    assert "no points within 0.5 median depths (2 scene units)" in check.text
    assert check.text.endswith("fastest step 0° and 0.0375 median depths (up to 9° and 0.17).")


def test_the_memory_may_be_anywhere():
    c2w = torch.eye(4)
    c2w[:3, :3] = quaternion_to_matrix(torch.tensor([0.8, 0.0, 0.6, 0.0]))
    c2w[:3, 3] = torch.tensor([10.0, -20.0, 30.0])
    memory = wall(invert_se3(c2w))
    here, there = (
        check_trajectory(given, move("dolly in", given, distance=0.98)) for given in (wall(), memory)
    )
    assert_close(there.clearance[10:], here.clearance[10:], atol=1e-4, rtol=0)
    assert frames(there.behind) == frames(here.behind)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"holes": 1.5}, "max holes: got 1.5, expected a number from 0 to 1"),
        ({"clearance": -0.1}, "clearance: got -0.1"),
        ({"turn_deg": math.nan}, "max turn: got nan"),
        ({"travel": math.inf}, "max travel: got inf"),
    ],
)
def test_limits_out_of_range_are_named(limits: dict[str, float], message: str):
    with pytest.raises(PathError, match=message):
        CheckLimits(**limits)


def test_frames_are_written_as_people_do():
    def text(*chosen: int) -> str:
        return frames_text(torch.isin(torch.arange(30), torch.tensor(chosen)))

    assert text(3) == "frame 3"
    assert text(3, 4, 5, 9) == "frames 3 to 5, 9"
    assert text(0, 2, 4, 6, 8) == "frames 0, 2, 4, 6, and others"


def test_the_picture_marks_holes_and_troubles_frame_by_frame():
    memory = wall()
    trajectory = through(*((0, 0, 3.96 * k / 3) for k in range(4)))
    check = check_trajectory(memory, trajectory, memory.render(trajectory, radius=0.05))
    check = replace(check, hole_share=torch.tensor([0.0, 0.5, 1.0, 0.25]))
    picture = draw_check(memory, trajectory, check, size=256)
    assert picture.shape == (256 + 75, 512, 3)
    strip = picture[256:]
    blue = (strip[..., 2] > 0.7) & (strip[..., 0] < 0.5)
    red = (strip[..., 0] > 0.9) & (strip[..., 1] < 0.35)
    step = (512 - 26 - 12) / 4
    left, floor = 26, 52
    middles = [round(left + (frame + 0.5) * step) for frame in range(4)]
    # Bars: 37 pixels are 100 percent.
    assert [int(blue[15:floor, x].sum()) for x in middles] == pytest.approx([0, 18, 0, 9], abs=2)
    assert int(red[15:floor, middles[2]].sum()) == pytest.approx(37, abs=2)
    collided = [
        frame for frame, x in enumerate(middles) if bool(red[floor + 1 : floor + 6, x - 2 : x + 3].any())
    ]
    assert collided == frames(check.collides) == [3]
