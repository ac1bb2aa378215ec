"""Correspondences on analytic scenes: a wall at z = 4, a card at z = 2 in front of it, a slanted floor.

Largest errors on the card and wall over four source cameras, against ray casting in float64:

    24 x 32     places 2.9e-6 pixels   visibility wrong at 2.5 % of pixels
    240 x 320   places 6.0e-5 pixels   visibility wrong at 0.27 %
    480 x 640   places 1.2e-4 pixels   visibility wrong at 0.17 %

All wrong ones lie within a pixel of the card's outline.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.geometry.cameras import Cameras, fov_to_K, look_at, unproject
from worldstereo_core.memory.correspondence import correspond, correspond_views
from worldstereo_core.memory.memory import initialise_memory
from worldstereo_core.memory.warping import blend_sources, carry_over, warp_views

H, W = 24, 32
K = fov_to_K(1.2, H, W)
FOCAL = float(K[0, 0])
WALL, CARD = 4.0, 2.0
# The card covers |x| <= 0.5 and |y| <= 0.4.
CARD_HALF = torch.tensor([0.5, 0.4])


def at(x: float, y: float = 0.0, z: float = 0.0, size: tuple[int, int] = (H, W)) -> Cameras:
    w2c = torch.eye(4)
    w2c[:3, 3] = -torch.tensor([x, y, z])
    return Cameras(w2c[None], K[None], H, W).resized(*size)


def looking(x: float, y: float, z: float, target: tuple[float, float, float] = (0.0, 0.0, WALL)) -> Cameras:
    return Cameras(look_at(torch.tensor([x, y, z]), torch.tensor(target))[None], K[None], H, W)


def rays(camera: Cameras) -> Tensor:
    """[H, W, 3] per unit of camera z, world axes."""
    ones = torch.ones(1, camera.height, camera.width)
    return unproject(ones, camera.K, camera.w2c)[0] - camera.centers[0]


def hits_card(origin: Tensor, direction: Tensor) -> Tensor:
    """Whether rays meet the card, and how far along."""
    along = (CARD - origin[..., 2]) / direction[..., 2]
    place = origin + along[..., None] * direction
    return torch.where((place[..., :2].abs() <= CARD_HALF).all(-1) & (along > 0), along, torch.inf)


def scene(camera: Cameras, has_card: bool = True) -> Tensor:
    """Exact depth [H, W]."""
    direction = rays(camera)
    wall = (WALL - camera.centers[0, 2]) / direction[..., 2]
    depth = torch.where(wall > 0, wall, torch.inf)
    if has_card:
        depth = torch.minimum(depth, hits_card(camera.centers[0].expand_as(direction), direction))
    return torch.where(torch.isfinite(depth), depth, 0.0)


def truly_visible(target: Cameras, source: Cameras) -> Tensor:
    """[H, W] by ray casting: the target's surface points that the source sees."""
    world = unproject(scene(target)[None], target.K, target.w2c)[0]
    eye = source.centers[0]
    blocked = hits_card(eye.expand_as(world), world - eye) < 1 - 1e-4
    in_camera = world @ source.w2c[0, :3, :3].mT + source.w2c[0, :3, 3]
    xy = (in_camera @ source.K[0].mT)[..., :2] / in_camera[..., 2:]
    inside = (in_camera[..., 2] > 0) & ((xy >= 0) & (xy <= torch.tensor([W, H]))).all(-1)
    return inside & ~blocked


def paint(world: Tensor) -> Tensor:
    """[H, W, 3] -> [3, H, W], smooth."""
    return torch.stack([0.5 + 0.3 * torch.sin(world[..., axis] * 1.5 + axis) for axis in range(3)])


def picture(camera: Cameras, has_card: bool = True) -> Tensor:
    return paint(unproject(scene(camera, has_card)[None], camera.K, camera.w2c)[0])


def test_a_step_to_the_side_shifts_a_wall_by_focal_times_step_over_depth():
    match = correspond(scene(at(0), False), at(0), scene(at(1), False), at(1))
    shift = FOCAL * 1.0 / WALL
    own = torch.stack(torch.meshgrid(torch.arange(W) + 0.5, torch.arange(H) + 0.5, indexing="xy"), -1)
    assert_close(match.xy, own - torch.tensor([shift, 0.0]), atol=1e-4, rtol=0)
    assert torch.equal(match.is_visible, match.xy[..., 0] >= 0)
    cosine = 1 / math.sqrt(1 + (1.0 / WALL) ** 2)  # a point straight ahead of the target
    row, column = H // 2, W // 2
    assert float(match.confidence[row, column]) == pytest.approx(cosine, abs=0.01)


def test_a_view_corresponds_to_itself():
    camera = looking(1.0, -0.5, 0.0)
    match = correspond(scene(camera), camera, scene(camera), camera)
    own = torch.stack(torch.meshgrid(torch.arange(W) + 0.5, torch.arange(H) + 0.5, indexing="xy"), -1)
    assert_close(match.xy, own, atol=2e-3, rtol=0)
    assert match.is_visible.all()
    assert match.confidence.min() > 0.99


@pytest.mark.parametrize(
    "source",
    [at(1.0), at(-0.7, 0.3), looking(1.5, 0.5, -0.5), looking(-1.0, -1.0, 0.5), at(0.0, 0.0, 1.0)],
    ids=["right", "left and down", "turned", "turned and nearer", "forward"],
)
def test_hidden_places_are_those_of_ray_casting(source: Cameras):
    target = at(0)
    match = correspond(scene(target), target, scene(source), source)
    expected = truly_visible(target, source)
    # Only pixels whose place is within one source pixel of the card's outline may differ.
    wrong = match.is_visible != expected
    xy = torch.nan_to_num(match.xy)
    corners = torch.tensor([[-0.5, -0.4], [0.5, -0.4], [0.5, 0.4], [-0.5, 0.4]])
    share = torch.linspace(0, 1, 200)[:, None]
    sides = zip(corners, corners.roll(-1, 0), strict=True)
    edge = torch.cat([torch.lerp(start, end, share) for start, end in sides])
    edge = torch.cat([edge, torch.full((len(edge), 1), CARD)], 1)
    in_camera = edge @ source.w2c[0, :3, :3].mT + source.w2c[0, :3, 3]
    outline = (in_camera @ source.K[0].mT)[:, :2] / in_camera[:, 2:]
    distance = torch.cdist(xy.reshape(-1, 2), outline).amin(1).reshape(H, W)
    assert (distance[wrong] < 1.0).all()
    assert wrong.float().mean() < 0.03
    assert expected.any() and not expected.all()
    assert (match.confidence[~match.is_visible] == 0).all()


def test_there_and_back_again_is_the_same_pixel():
    a, b = at(0), looking(0.8, 0.2, 0.0)
    there = correspond(scene(a, False), a, scene(b, False), b)
    back = correspond(scene(b, False), b, scene(a, False), a)
    own = torch.stack(torch.meshgrid(torch.arange(W) + 0.5, torch.arange(H) + 0.5, indexing="xy"), -1)
    returned = carry_over(back.xy.permute(2, 0, 1), there).permute(1, 2, 0)
    inner = there.is_visible & (there.xy > 1).all(-1) & (there.xy < torch.tensor([W - 1, H - 1])).all(-1)
    assert inner.sum() > 200
    assert (returned - own)[inner].abs().max() < 0.05  # bilinear sampling of a projective map


def test_slanted_surfaces_are_seen_at_grazing_angles():
    # A floor one unit below both cameras; its depth doubles within a few rows.
    def floor(camera: Cameras) -> Tensor:
        down = rays(camera)[..., 1]
        return torch.where(down > 0.08, (1.0 - camera.centers[0, 1]) / down, 0.0)

    a, b = at(0), at(0.3, 0.0, 0.2)
    match = correspond(floor(a), a, floor(b), b)
    inside = (match.xy >= 0).all(-1) & (match.xy <= torch.tensor([W, H])).all(-1) & (floor(a) > 0)
    inside &= match.xy[..., 1] > H / 2 + 0.08 * FOCAL + 1
    assert inside.sum() > 150
    assert match.is_visible[inside].float().mean() > 0.99


def test_no_depth_behind_and_outside_are_not_visible():
    depth = scene(at(0))
    depth[0] = 0
    depth[1] = torch.nan
    behind = correspond(depth, at(0), scene(at(0)), at(0.0, 0.0, 10.0))
    assert not behind.is_visible.any() and torch.isnan(behind.xy).all()
    match = correspond(depth, at(0), scene(at(0)), at(0))
    assert not match.is_visible[:2].any() and torch.isnan(match.xy[:2]).all()
    assert match.is_visible[2:].all() and torch.isfinite(match.confidence).all()
    unknown = correspond(scene(at(0)), at(0), torch.zeros(H, W), at(0))
    assert not unknown.is_visible.any()


def test_sizes_of_the_views_may_differ():
    small = at(0.4, size=(H // 2, W // 2))
    match = correspond(scene(at(0), False), at(0), scene(small, False), small)
    full = correspond(scene(at(0), False), at(0), scene(at(0.4), False), at(0.4))
    assert_close(2 * match.xy, full.xy, atol=1e-4, rtol=0)


@pytest.mark.parametrize("unit", [1e-4, 1e4])
def test_tiny_and_huge_scenes_correspond_alike(unit: float):
    def scaled(camera: Cameras) -> Cameras:
        w2c = camera.w2c.clone()
        w2c[:, :3, 3] *= unit
        return replace(camera, w2c=w2c)

    a, b = at(0), looking(0.8, 0.2, 0.0)
    plain = correspond(scene(a), a, scene(b), b)
    match = correspond(scene(a) * unit, scaled(a), scene(b) * unit, scaled(b))
    assert_close(match.xy, plain.xy, atol=1e-3, rtol=0, equal_nan=True)
    assert (match.is_visible != plain.is_visible).float().mean() < 0.01


def test_carried_over_pictures_show_the_targets_surface():
    target, source = at(0), at(0.5)
    match = correspond(scene(target, False), target, scene(source, False), source)
    shown = carry_over(picture(source, False), match)
    visible = match.is_visible & (match.xy[..., 0] > 0.5)
    assert (shown - picture(target, False)).abs()[:, visible].max() < 0.01
    assert (shown[:, ~match.is_visible] == 0).all()


def test_features_of_another_resolution_span_the_same_picture():
    match = correspond(scene(at(0), False), at(0), scene(at(0), False), at(0))
    ramp = (torch.arange(W // 4) + 0.5).expand(
        1, H // 4, -1
    ) * 4  # x in picture pixels at a quarter of the size
    carried = carry_over(ramp, match)[0]
    inner = slice(2, W - 2)
    assert_close(carried[:, inner], (torch.arange(W) + 0.5)[inner].expand(H, -1), atol=1e-3, rtol=0)


def test_two_sources_fill_each_others_holes():
    target = at(0)
    sources = [at(0.6), at(-0.6)]
    matches = [correspond(scene(target), target, scene(source), source) for source in sources]
    blend, hole = blend_sources([picture(source) for source in sources], matches)
    seen = matches[0].is_visible | matches[1].is_visible
    assert torch.equal(hole == 0, seen)
    assert hole.sum() < min((~match.is_visible).sum() for match in matches)
    error = (blend - picture(target)).abs()[:, seen]
    assert error.mean() < 0.01
    assert (blend[:, hole == 1] == 0).all()


def test_views_of_a_memory_are_warped_by_its_geometry():
    start = at(0)
    memory = initialise_memory(picture(start, False), scene(start, False), K, edge_threshold=0.0)
    shown, hole = (part[0] for part in warp_views(memory, at(0.3), memory.views, radius=0.1))
    # What the memory draws but the view never saw cannot be: everything it has comes from this view.
    inner = (slice(2, H - 2), slice(2, W - 6))
    assert hole[inner].sum() == 0
    assert (shown - picture(at(0.3), False)).abs()[:, inner[0], inner[1]].max() < 0.03
    match = correspond_views(memory.views[0], memory.views[0])
    assert match.is_visible.all()
    with pytest.raises(WorldStereoError, match="view image: it has no depth"):
        correspond_views(memory.views[0], replace(memory.views[0], depth=None))


def test_bad_input_is_refused():
    with pytest.raises(ShapeError, match="expected one camera of the depth's size"):
        correspond(torch.ones(H, W + 1), at(0), scene(at(0)), at(0))
    with pytest.raises(WorldStereoError, match="tolerance: got 0"):
        correspond(scene(at(0)), at(0), scene(at(0)), at(0), tolerance=0)
    with pytest.raises(ShapeError, match="got 1 maps and 0 correspondences"):
        blend_sources([torch.ones(3, H, W)], [])
