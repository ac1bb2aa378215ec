"""Procedural worlds: hits against a scalar ray caster, exact geometry, determinism, moves that return."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import pytest
import torch

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.geometry.cameras import fov_to_K, look_at, pixel_grid, project, unproject
from worldstereo_core.training.worlds.atlas import PER_TILE, Atlas
from worldstereo_core.training.worlds.bundles import BUNDLE, Bundles
from worldstereo_core.training.worlds.casting import FIRST_THING, cast, shadow
from worldstereo_core.training.worlds.make import KINDS, make_world
from worldstereo_core.training.worlds.rays import Rays
from worldstereo_core.training.worlds.render import render_world
from worldstereo_core.training.worlds.shapes import Shapes, Solid
from worldstereo_core.training.worlds.shells import Ground
from worldstereo_core.training.worlds.terrain import Terrain
from worldstereo_core.training.worlds.tiles import TILE
from worldstereo_core.training.worlds.trajectories import CLEARANCE, world_trajectories
from worldstereo_core.training.worlds.units import BALL, BOX, CONE, CYLINDER, FAR, GABLE
from worldstereo_core.training.worlds.world import Light

SPEC = importlib.util.spec_from_file_location("scalar_rays", Path(__file__).with_name("scalar_rays.py"))
scalar = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(scalar)

HEIGHT, WIDTH = 16, 24


@pytest.fixture(scope="module", params=KINDS)
def world(request: pytest.FixtureRequest):
    return make_world(1, request.param)


@pytest.fixture(scope="module")
def moves(world):
    return world_trajectories(world, 0, clips=3, frames=4, height=HEIGHT, width=WIDTH)


def solid(kind: int, center=(0.0, 0.0, 0.0), half=(1.0, 1.0, 1.0), **more) -> Solid:
    return Solid(kind, center, half, 0, 0, **more)


def enter(solids: list[Solid], origin: list[float], direction: list[float]) -> torch.Tensor:
    """[P] parameters of one ray, in the order of kinds."""
    units = Shapes.of(solids).units
    start, way = torch.tensor(origin)[:, None], torch.tensor(direction)[:, None]
    return units.enter(units.into_unit(start), units.turned(way))[:, 0]


@pytest.mark.parametrize(
    ("kind", "origin", "direction", "expected"),
    [
        (BOX, (0.2, 0.3, -5.0), (0.0, 0.0, 1.0), 4.0),
        (BOX, (0.2, 0.3, -5.0), (0.0, 0.0, 2.0), 2.0),  # the parameter, not the length
        (BALL, (0.6, 0.0, -5.0), (0.0, 0.0, 1.0), 4.2),
        (CYLINDER, (0.0, -4.0, 0.5), (0.0, 1.0, 0.0), 3.0),  # onto its lid
        (CYLINDER, (0.6, 0.9, -3.0), (0.0, 0.0, 1.0), 2.2),
        (CONE, (0.0, 0.0, -3.0), (0.0, 0.0, 1.0), 2.5),  # half as wide halfway up
        (CONE, (0.0, -3.0, 0.0), (0.0, 1.0, 0.0), 2.0),  # its tip
        (GABLE, (0.5, 0.0, -3.0), (0.0, 0.0, 1.0), 2.5),
        (GABLE, (0.5, -4.0, 0.0), (0.0, 1.0, 0.0), 3.0),  # its ridge
        (BOX, (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), FAR),  # from inside there is no way in
        (BALL, (0.0, 0.0, 3.0), (0.0, 0.0, 1.0), FAR),  # behind
    ],
)
def test_rays_enter_unit_solids_where_hand_calculation_says(kind, origin, direction, expected):
    torch.testing.assert_close(enter([solid(kind)], origin, direction)[0], torch.tensor(expected))


def test_yaw_turns_a_solid_from_z_towards_x():
    # A bar along z turned by a quarter lies along x.
    bar = solid(BOX, half=(0.1, 0.1, 2.0), yaw=math.pi / 2)
    torch.testing.assert_close(enter([bar], [-5.0, 0.0, 0.0], [1.0, 0.0, 0.0])[0], torch.tensor(3.0))


def test_solids_are_met_where_the_scalar_caster_meets_them():
    generator = torch.Generator().manual_seed(3)
    compared = 0
    for kind in (BOX, BALL, CYLINDER, CONE, GABLE):
        for _ in range(6):
            values = torch.rand(8, generator=generator)
            one = solid(
                kind,
                center=tuple((values[:3] - 0.5).tolist()),
                half=tuple((0.3 + values[3:6]).tolist()),
                yaw=float(values[6]) * 6,
            )
            start = torch.nn.functional.normalize(torch.randn(3, generator=generator), dim=0) * 4
            aim = torch.tensor(one.center) + 0.8 * (torch.rand(3, generator=generator) - 0.5) - start
            expected = scalar.first_inside(
                lambda p, s=one: scalar.inside(s, p), start.tolist(), aim.tolist(), 2.0
            )
            found = float(enter([one], start.tolist(), aim.tolist())[0])
            assert (found >= FAR) == (expected == math.inf), one
            if expected < math.inf:
                assert found == pytest.approx(expected, abs=2e-5), one
                compared += 1
    assert compared > 15


def solids_of(shapes: Shapes) -> list[Solid]:
    """The solids that a table was made from."""
    cosine = shapes.units.to_unit[0, :, 0] * shapes.half[:, 0]
    sine = -shapes.units.to_unit[0, :, 2] * shapes.half[:, 0]
    yaw = torch.atan2(sine, cosine)
    return [
        solid(int(kind), tuple(center.tolist()), tuple(half.tolist()), yaw=float(turn))
        for kind, center, half, turn in zip(shapes.kind, shapes.center, shapes.half, yaw, strict=True)
    ]


def test_every_pixel_of_a_picture_is_free_up_to_its_depth_and_solid_behind(world, moves):
    tr = moves[0]
    K = tr.K[:1] * torch.tensor([12 / WIDTH, 8 / HEIGHT, 1.0])[:, None]
    frames = render_world(world, tr.w2c[:1], K, 8, 12, smooth_edges=False)
    points = unproject(frames.depth, K, tr.w2c[:1])[0].reshape(-1, 3)
    is_solid = (frames.instance >= FIRST_THING).flatten()
    center = torch.linalg.inv(tr.w2c[0])[:3, 3]
    solids = solids_of(world.shapes)
    for point, on_solid in zip(points, is_solid.tolist(), strict=True):
        if not bool(torch.isfinite(point).all()):
            continue
        for share in (0.25, 0.5, 0.75, 0.9, 0.999):
            between = center + (point - center) * share
            assert not any(scalar.inside(one, between.tolist()) for one in solids)
            assert float(world.shell.distance(between[:, None])) > -1e-3
        behind = center + (point - center) * 1.0005
        if on_solid:
            assert any(scalar.inside(one, behind.tolist()) for one in solids)
        else:
            assert float(world.shell.distance(behind[:, None]).abs()) < 0.05


def test_bundles_miss_nothing_that_all_solids_would_show(world, moves, monkeypatch: pytest.MonkeyPatch):
    tr = moves[1]
    culled = render_world(world, tr.w2c[:2], tr.K[:2], HEIGHT, WIDTH)

    def everything(shapes: Shapes, center: torch.Tensor, *args: object) -> torch.Tensor:
        return torch.ones(len(args[0]), len(shapes), dtype=torch.bool)

    for name in ("in_cones", "in_beams", "near_boxes"):
        monkeypatch.setattr(Shapes, name, everything)
    whole = render_world(world, tr.w2c[:2], tr.K[:2], HEIGHT, WIDTH)
    assert torch.equal(culled.instance, whole.instance)
    assert torch.equal(culled.depth, whole.depth)
    assert torch.equal(culled.image, whole.image)


def test_normals_are_those_of_neighbouring_depths(world, moves):
    tr = moves[0]
    height, width = 48, 72
    K = tr.K[:1] * torch.tensor([3.0, 3.0, 1.0])[:, None]
    frames = render_world(world, tr.w2c[:1], K, height, width, smooth_edges=False)
    points = unproject(frames.depth, K, tr.w2c[:1])[0]
    right, down = points[:-1, 1:] - points[:-1, :-1], points[1:, :-1] - points[:-1, :-1]
    flat = torch.nn.functional.normalize(torch.linalg.cross(down, right), dim=-1)
    normal = frames.normal[0].permute(1, 2, 0)[:-1, :-1]
    same = frames.instance[0]
    inner = (same[:-1, 1:] == same[:-1, :-1]) & (same[1:, :-1] == same[:-1, :-1]) & (same[:-1, :-1] > 0)
    # Both axes of the picture stay on one flat face in most places; there the normals agree.
    agree = (flat * normal).sum(-1)[inner]
    assert float((agree > 0.99).float().mean()) > 0.75
    toward = (normal * (points[:-1, :-1] - torch.linalg.inv(tr.w2c[0])[:3, 3])).sum(-1)[same[:-1, :-1] > 0]
    assert float((toward < 1e-3).float().mean()) > 0.999  # normals look at the camera


def test_terrain_is_met_where_the_scalar_caster_meets_it():
    axis = torch.linspace(-10, 10, 33)
    heights = torch.sin(axis[:, None] * 0.7) + 0.5 * torch.cos(axis[None] * 0.9)
    ground = Terrain.of(heights, torch.ones(33, 33, 3), torch.ones(33, 33), 10.0, -9.0, 0, 1.0)
    origin = torch.tensor([[0.3], [-2.5], [-8.0]])
    ways = torch.tensor(
        [[-0.2, 0.3, 1.0], [0.1, 0.12, 1.0], [0.4, 0.9, 1.0], [0.0, 0.2, 1.0], [0.0, -0.5, 1.0]]
    ).T
    found = ground.enter(Rays(origin, ways, (ways.shape[1],)))

    def below(point) -> bool:
        if max(abs(point[0]), abs(point[2])) > 10:
            return False
        x, z = ((value + 10) / 20 * 32 for value in (point[0], point[2]))
        i, j = min(int(x), 31), min(int(z), 31)
        u, v = x - i, z - j
        corner = heights[j : j + 2, i : i + 2].tolist()
        top = (corner[0][0] * (1 - u) + corner[0][1] * u) * (1 - v) + (
            corner[1][0] * (1 - u) + corner[1][1] * u
        ) * v
        return -point[1] < top

    for ray in range(4):
        expected = scalar.first_inside(below, origin[:, 0].tolist(), ways[:, ray].tolist(), 18.0)
        assert float(found[ray]) == pytest.approx(expected, abs=1e-3)
    assert float(found[4]) >= FAR


def test_the_nearest_solid_is_found_with_its_number():
    shapes = Shapes.of([solid(BOX), solid(BOX), solid(BALL)])
    distances = torch.tensor([[3.0, 2.5, 9.0], [3.0, 7.0, 1.0], [FAR, FAR, FAR]])  # of a bundle to each solid
    chosen = torch.tensor([[True, True, True], [True, False, True], [False, False, False]])
    bundles = Bundles.of(torch.ones(3, 3 * BUNDLE))
    time, index = bundles.nearest(
        shapes,
        chosen,
        lambda pairs, *_: distances[pairs.bundle, pairs.solid][:, None].repeat(1, BUNDLE),
    )
    assert time.view(3, BUNDLE)[:, 5].tolist() == [2.5, 1.0, FAR]
    assert index.view(3, BUNDLE)[:2, 5].tolist() == [1, 2]


def test_each_cameras_rays_fill_bundles_of_their_own_and_come_back_in_order():
    first = BUNDLE + 3
    rays = torch.arange(3.0 * (first + 5)).view(3, -1)
    bundles = Bundles.of(rays, (first, 0, 5))
    assert bundles.camera.tolist() == [0, 0, 2]
    assert bundles.vectors[1, 0, -1] == first - 1 and bundles.vectors[2, 0, 0] == first
    assert torch.equal(bundles.unbundled(bundles.vectors[:, 1]), rays[1])


def test_the_sun_is_hidden_by_what_stands_towards_it():
    shapes = Shapes.of([solid(BOX, center=(0.0, -3.0, 0.0))])
    sun = Light(torch.tensor([0.0, -1.0, 0.0]), torch.ones(3), is_sun=True)
    points = torch.tensor([[0.5, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, -8.0, 0.0]]).T
    up = torch.tensor([[0.0, -1.0, 0.0]]).expand(3, 3).T
    assert shadow(shapes, sun, points, up).tolist() == [1.0, 0.0, 0.0]


def test_a_lamp_is_hidden_by_what_stands_between():
    shapes = Shapes.of([solid(BALL, center=(0.0, -2.0, 0.0), half=(0.5, 0.5, 0.5))])
    lamp = Light(torch.tensor([0.0, -4.0, 0.0]), torch.ones(3))
    points = torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, -3.0, 0.0]]).T
    up = torch.tensor([[0.0, -1.0, 0.0]]).expand(3, 3).T
    assert shadow(shapes, lamp, points, up).tolist() == [1.0, 0.0, 0.0]


def test_ground_ends_at_its_reach():
    ground = Ground(level=0.0, reach=50.0, tile=0, scale=1.0)
    origin = torch.tensor([[0.0], [-2.0], [0.0]])
    ways = torch.tensor([[0.0, 0.5, 1.0], [0.0, 0.02, 1.0], [0.0, -0.1, 1.0]]).T
    assert ground.enter(Rays(origin, ways, (ways.shape[1],))).tolist() == [4.0, FAR, FAR]


def test_texture_tiles_repeat_and_levels_are_means():
    tile = torch.rand(TILE, TILE, 3, generator=torch.Generator().manual_seed(0))
    atlas = Atlas.of([torch.zeros(TILE, TILE, 3), tile])
    assert atlas.texels.shape == (2 * PER_TILE, 4)
    index, sharp = torch.ones(2, dtype=torch.int64), torch.zeros(2)
    u = torch.tensor([0.5 / TILE, 3 + 0.5 / TILE])
    found = atlas.sample(index, u, torch.full((2,), 2.5 / TILE), sharp)
    torch.testing.assert_close(found, tile[2, 0][:, None].expand(3, 2), rtol=0, atol=1e-5)
    blurred = atlas.sample(index[:1], u[:1], u[:1], torch.ones(1))
    torch.testing.assert_close(blurred[:, 0], tile.mean((0, 1)), rtol=0, atol=1e-5)


def test_a_seed_gives_the_same_bytes(world, moves):
    again = make_world(1, world.kind)
    same_moves = world_trajectories(again, 0, clips=3, frames=4, height=HEIGHT, width=WIDTH)
    for first, second in zip(moves, same_moves, strict=True):
        assert torch.equal(first.w2c, second.w2c)
    tr = moves[0]
    one, two = (render_world(w, tr.w2c[:1], tr.K[:1], HEIGHT, WIDTH) for w in (world, again))
    for name in ("image", "depth", "normal", "instance"):
        assert torch.equal(getattr(one, name), getattr(two, name))


def test_another_seed_gives_another_world(world, moves):
    other = make_world(2, world.kind)
    tr = moves[0]
    one, two = (render_world(w, tr.w2c[:1], tr.K[:1], HEIGHT, WIDTH).image for w in (world, other))
    assert float((one - two).abs().mean()) > 0.03


def test_frames_have_what_they_promise(world, moves):
    tr = moves[0]
    frames = render_world(world, tr.w2c, tr.K, HEIGHT, WIDTH)
    assert frames.image.shape == (4, 3, HEIGHT, WIDTH) and frames.normal.shape == (4, 3, HEIGHT, WIDTH)
    assert frames.depth.shape == frames.instance.shape == (4, HEIGHT, WIDTH)
    assert (
        float(frames.image.min()) >= 0 and float(frames.image.max()) <= 1 and float(frames.image.std()) > 0.03
    )
    sky = frames.instance == 0
    assert torch.equal(sky, frames.depth == 0)
    assert torch.isfinite(frames.depth).all() and bool((frames.depth[~sky] > 0.1).all())
    length = frames.normal.norm(dim=1)
    torch.testing.assert_close(length, (~sky).float(), rtol=0, atol=1e-4)
    assert int(frames.instance.max()) < FIRST_THING + len(world.shapes)


def test_depth_of_one_view_lands_on_surfaces_of_another(world, moves):
    # What both of two near cameras see has one place in the world.
    tr = moves[0]
    frames = render_world(world, tr.w2c[:2], tr.K[:2], HEIGHT, WIDTH, smooth_edges=False)
    points = unproject(frames.depth[:1], tr.K[:1], tr.w2c[:1])[0].reshape(-1, 3)
    points = points[torch.isfinite(points).all(1)]
    xy, z = project(points, tr.K[1], tr.w2c[1])
    inside = (z > 0.1) & (xy[:, 0] > 0) & (xy[:, 0] < WIDTH) & (xy[:, 1] > 0) & (xy[:, 1] < HEIGHT)
    center = torch.linalg.inv(tr.w2c[1])[:3, 3:]
    hit = cast(world, Rays(center, points[inside].T - center, (int(inside.sum()),)))
    # Parameter 1 is the point itself; less means something stands in front of it.
    assert float((hit.time > 0.995).float().mean()) > 0.7
    assert float((hit.time < 1.01).float().mean()) > 0.97


def test_moves_keep_clear_and_the_last_one_returns(world, moves):
    for tr in moves:
        assert float(world.clearance(tr.cameras.centers).min()) > CLEARANCE * 0.6
    torch.testing.assert_close(moves[-1].w2c[-1], moves[0].w2c[0], rtol=0, atol=2e-4)
    starts = torch.stack([tr.w2c[0] for tr in moves[1:]])
    ends = torch.stack([moves[0].w2c[0], *(tr.w2c[-1] for tr in moves)])
    for start in starts:  # each begins where a viewer already was
        assert float((ends - start).abs().amax((1, 2)).min()) < 2e-4


def test_only_edges_get_more_rays(world, moves):
    tr = moves[0]
    plain, smooth = (
        render_world(world, tr.w2c[:1], tr.K[:1], HEIGHT, WIDTH, smooth_edges=smooth)
        for smooth in (False, True)
    )
    changed = (plain.image != smooth.image).any(1)
    assert 0 < int(changed.sum()) < changed.numel()
    assert torch.equal(plain.depth, smooth.depth)


def test_a_straight_look_along_an_axis_divides_by_nothing():
    world = make_world(0, "room")
    w2c = look_at(torch.tensor([[0.0, -1.4, 0.0]]), torch.tensor([[0.0, -1.4, 1.0]]))
    K = fov_to_K(1.2, 5, 5)  # an odd size puts a pixel's centre on the axis
    assert pixel_grid(5, 5)[2, 2].tolist() == [2.5, 2.5]
    frames = render_world(world, w2c, K, 5, 5)
    assert torch.isfinite(frames.depth).all() and torch.isfinite(frames.image).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_world(-1), "seed: got -1"),
        (lambda: make_world(0, "cave"), "kind: got 'cave', expected one of room, street, landscape"),
        (lambda: world_trajectories(make_world(0, "room"), 0, clips=0), "got 0 clips of 9 frames"),
    ],
)
def test_wrong_wishes_are_refused(call, message):
    with pytest.raises(WorldStereoError, match=message):
        call()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_draws_what_the_cpu_draws(world, moves):
    tr = moves[0]
    host = render_world(world, tr.w2c, tr.K, HEIGHT, WIDTH)
    device = torch.device("cuda")
    there = render_world(world.to(device), tr.w2c, tr.K, HEIGHT, WIDTH)
    assert float((host.instance != there.instance.cpu()).float().mean()) < 0.01
    assert float((host.image - there.image.cpu()).abs().mean()) < 2e-3
