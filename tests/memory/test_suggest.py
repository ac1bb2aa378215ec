"""Suggestions in scenes where it is known what lies hidden."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import PathError, WorldStereoError
from worldstereo_core.geometry.cameras import Cameras, check_cameras, fov_to_K, project
from worldstereo_core.geometry.point_cloud import PointCloud
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory
from worldstereo_core.memory.suggest import (
    KINDS,
    MOVES,
    Move,
    build_move,
    filled_depth,
    moves_of,
    new_area,
    suggest_trajectories,
    thinned,
)
from worldstereo_core.memory.suggest_picture import draw_suggestions
from worldstereo_core.memory.trajectory_check import CheckLimits

H, W = 40, 64
K = fov_to_K(math.radians(60), H, W)


def scene(depth: torch.Tensor) -> GeometricMemory:
    image = torch.rand(3, H, W, generator=torch.Generator().manual_seed(0))
    return initialise_memory(image, depth, K, edge_threshold=0.0)


def pillar(on_the_right: bool) -> GeometricMemory:
    """A wall 4 away, and a pillar 2 away on one side that hides a strip of it."""
    depth = torch.full((H, W), 4.0)
    columns = slice(40, 50) if on_the_right else slice(14, 24)
    depth[:, columns] = 2.0
    return scene(depth)


def start_of(memory: GeometricMemory) -> Cameras:
    view = memory.views[0]
    return view.camera


def test_holes_take_the_depth_of_the_background():
    depth = torch.tensor([[2.0, 0, 0, 4.0], [0, 0, 3.0, 0], [0, 0, 0, 0]])
    assert filled_depth(depth[None])[0].tolist() == [[2, 4, 4, 4], [3, 3, 3, 4], [2, 0, 3, 4]]
    assert filled_depth(torch.zeros(1, 2, 3)).tolist() == torch.zeros(1, 2, 3).tolist()


def test_new_area_is_what_lies_behind_the_edge_in_scene_units():
    memory = pillar(on_the_right=True)
    start = start_of(memory)
    # From 1 to the left nothing hides the strip right of the pillar's shadow any more: turned by none.
    w2c = torch.eye(4)[None].clone()
    w2c[0, 0, 3] = 1.0  # the camera stands at x = -1
    cameras = Cameras(w2c, start.K, H, W)
    rendered = memory.render(cameras, radius=0.06)
    cell = 0.1
    area = new_area(memory, rendered, cameras, cell)
    # What the pillar hides of the wall: 10 columns of 64 at depth 4, all 40 rows; and left of the picture's
    # edge a strip of 1 that no view has seen, as wide as the camera has moved.
    width_of_wall, height_of_wall = (2 * 4 * math.tan(math.radians(30)) * share for share in (1, H / W))
    hidden, beside = width_of_wall * 10 / 64, 1.0
    assert area == pytest.approx((hidden + beside) * height_of_wall, rel=0.25)


def test_nothing_new_is_seen_from_where_the_picture_was_taken():
    memory = pillar(on_the_right=True)
    start = start_of(memory)
    assert new_area(memory, memory.render(start, radius=0.06), start, 0.1) == 0


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_move_that_looks_around_the_corner_wins(side: str):
    # One half of the picture is a wall 2 away, the other one 6 away: what the near one hides shows from the
    # other side. A step of 1 away from it uncovers 2 of the far wall (and 1 beyond the picture's edge), a
    # step towards it only 1 of the near wall beyond the other edge.
    depth = torch.full((H, W), 6.0)
    near = slice(W // 2, W) if side == "left" else slice(0, W // 2)
    depth[:, near] = 2.0
    memory = scene(depth)
    moves = tuple(Move(f"truck {way}", distance=1 / memory.median_depth) for way in ("left", "right"))
    limits = CheckLimits(holes=1.0, travel=1.0)
    best, other = suggest_trajectories(memory, start_of(memory), 5, moves=moves, limits=limits)
    assert best.trajectory.name.startswith(f"truck {side}")
    height = 2 * math.tan(math.radians(30)) * H / W  # of the view at a depth of 1
    assert best.new_area == pytest.approx(3 * 6 * height / memory.median_depth**2, rel=0.3)
    assert other.new_area == pytest.approx(1 * 2 * height / memory.median_depth**2, rel=0.5)


def test_moves_that_collide_come_last_and_say_so():
    memory = scene(torch.full((H, W), 4.0))
    moves = (Move("dolly in", distance=0.99), Move("orbit right", 20), Move("static"))
    found = suggest_trajectories(
        memory, start_of(memory), 7, moves=moves, limits=CheckLimits(holes=1, travel=1)
    )
    assert [one.trajectory.name for one in found] == ["orbit right 20°", "static 0", "dolly in 0.99"]
    assert [one.is_usable for one in found] == [True, True, False]
    assert found[2].text.endswith("(collides)")
    assert found[1].new_area == 0


def test_every_move_starts_at_the_given_camera_and_is_a_camera():
    memory = pillar(on_the_right=True)
    start = start_of(memory)
    for move in MOVES:
        trajectory = build_move(move, start, memory.median_depth, 5, "smooth", 16.0)
        assert_close(trajectory.w2c[0], start.w2c[0], atol=1e-6, rtol=0)
        check_cameras(move.name, trajectory.cameras)
        assert trajectory.name == move.name


def test_an_arc_comes_closer_and_keeps_the_pivot_in_the_middle():
    memory = scene(torch.full((H, W), 4.0))
    move = Move("orbit right", 60, closer=0.25)
    trajectory = build_move(move, start_of(memory), 4.0, 9, "smooth", 16.0)
    pivot = torch.tensor([[0.0, 0, 4]])
    distance = (trajectory.cameras.centers - pivot).norm(dim=-1)
    assert_close(distance[[0, 4, 8]], torch.tensor([4.0, 3.5, 3.0]), atol=1e-4, rtol=0)
    xy, _ = project(pivot, trajectory.K, trajectory.w2c)
    assert_close(xy[:, 0], torch.tensor([W / 2, H / 2]).repeat(9, 1), atol=1e-2, rtol=0)
    assert move.name == "arc right 60°, 0.25 closer"


def test_candidates_are_ranked_and_progress_is_told():
    memory = pillar(on_the_right=False)
    calls = []
    found = suggest_trajectories(
        memory, start_of(memory), 5, moves=MOVES[:4], progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    order = [(not one.is_usable, bool(one.check.beyond.any()), -one.new_area) for one in found]
    assert order == sorted(order)
    assert all(one.trajectory.num_frames == 5 for one in found)


def test_kinds_of_moves_are_all_there():
    assert moves_of("all") == MOVES
    parts = [moves_of(kind) for kind in KINDS[1:]]
    assert sorted(move.name for part in parts for move in part) == sorted(move.name for move in MOVES)
    with pytest.raises(PathError, match="moves: got 'spins'"):
        moves_of("spins")


def test_nothing_to_look_at_or_to_try_is_an_error():
    memory = scene(torch.full((H, W), 4.0))
    with pytest.raises(PathError, match="moves: got none"):
        suggest_trajectories(memory, start_of(memory), 5, moves=())
    empty = GeometricMemory(memory.points.select(slice(0, 0)), memory.views, 4.0)
    with pytest.raises(WorldStereoError, match="memory: has no points"):
        suggest_trajectories(empty, start_of(memory), 5)


def test_clouds_are_thinned_evenly():
    count = 1000
    xyz = torch.arange(count, dtype=torch.float32)[:, None].expand(count, 3)
    cloud = PointCloud(xyz, xyz, torch.ones(count), torch.zeros(count, dtype=torch.int32))
    kept = thinned(cloud, 250).xyz[:, 0]
    assert len(kept) == pytest.approx(250, abs=2)
    assert sorted(set(kept.diff().tolist())) == [2, 3, 5]  # never far apart, in no fixed step
    assert thinned(cloud, 2000) is cloud


def test_the_best_are_drawn_side_by_side_with_the_taken_one_framed():
    memory = pillar(on_the_right=True)
    found = suggest_trajectories(memory, start_of(memory), 5, moves=MOVES[:4])
    picture = draw_suggestions(found, chosen=1, height=100)
    assert picture.shape == (200, 3 * 160, 3)
    green = (picture - torch.tensor([74, 208, 120]) / 255).abs().amax(-1) < 0.02
    assert green[:100, 160:320].sum() > 1000 and green[:, :160].sum() == 0 and green[:, 320:].sum() == 0
    assert (picture[100:, 160:] == 0).all()
