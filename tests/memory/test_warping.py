"""Pictures carried over on analytic scenes, against the picture painted directly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.geometry.cameras import Cameras, fov_to_K, look_at, unproject
from worldstereo_core.memory.correspondence import Correspondences, correspond
from worldstereo_core.memory.memory import GeometricMemory, View, initialise_memory
from worldstereo_core.memory.update import update_memory
from worldstereo_core.memory.warping import blend_sources, carry_over, coarser, view_depth, warp_views

H, W = 48, 64
K = fov_to_K(1.2, H, W)
WALL = 4.0


def at(x: float, z: float = 0.0, size: tuple[int, int] = (H, W)) -> Cameras:
    w2c = torch.eye(4)
    w2c[:3, 3] = -torch.tensor([x, 0.0, z])
    return Cameras(w2c[None], K[None], H, W).resized(*size)


def turned(x: float, z: float) -> Cameras:
    return Cameras(look_at(torch.tensor([x, 0.3, z]), torch.tensor([0.0, 0, WALL]))[None], K[None], H, W)


def wall_depth(camera: Cameras) -> Tensor:
    """Exact depth of the plane z = WALL."""
    direction = unproject(torch.ones(1, camera.height, camera.width), camera.K, camera.w2c)[0]
    direction = direction - camera.centers[0]
    return (WALL - camera.centers[0, 2]) / direction[..., 2]


def painted(camera: Cameras) -> Tensor:
    """[3, H, W] a smooth painting on the wall."""
    world = unproject(wall_depth(camera)[None], camera.K, camera.w2c)[0]
    return torch.stack([0.5 + 0.3 * torch.sin(world[..., axis] * 1.5 + axis) for axis in range(3)])


def matched(target: Cameras, source: Cameras) -> Correspondences:
    return correspond(wall_depth(target), target, wall_depth(source), source)


def test_scale_is_the_ratio_of_distances_and_resolutions():
    assert_close(matched(at(0), at(0, 2.0)).scale[20, 30], torch.tensor(2.0))  # half as far: twice as large
    assert_close(matched(at(0), at(0, -4.0)).scale[20, 30], torch.tensor(0.5))
    assert_close(matched(at(0), at(0, size=(2 * H, 2 * W))).scale[20, 30], torch.tensor(2.0))


def test_fine_stripes_seen_from_afar_are_averaged():
    """Stripes of one source pixel, four of which fall into a target pixel: mid-grey within 0.02; without the
    pyramid they would stay black and white."""
    target, source = at(0, size=(H // 4, W // 4)), at(0)
    stripes = (torch.arange(W) % 2).float().expand(1, H, W)
    match = matched(target, source)
    shown = carry_over(stripes, match)[0]
    assert (shown[:, 1:-1] - 0.5).abs().max() < 0.02
    assert carry_over(stripes, matched(at(0), at(0)))[0].std() > 0.45


def test_enlarged_pictures_are_not_blurred():
    match = matched(at(0, 2.0), at(0))
    picture = torch.rand(3, H, W, generator=torch.Generator().manual_seed(0))
    flat = Correspondences(**{**match.__dict__, "scale": torch.ones_like(match.scale)})
    assert torch.equal(carry_over(picture, match), carry_over(picture, flat))


def test_a_coarse_cell_averages_the_places_of_its_surest_surface_alone():
    # One cell of 2 x 2: two pixels of one surface, one of another (half as large), one that is hidden.
    match = Correspondences(
        xy=torch.tensor([[[10.0, 4], [12, 4]], [[99, 99], [torch.nan, torch.nan]]]),
        is_visible=torch.tensor([[True, True], [True, False]]),
        confidence=torch.tensor([[0.9, 0.7], [0.5, 0.0]]),
        scale=torch.tensor([[1.0, 1.05], [0.5, 0.0]]),
        source_height=100,
        source_width=100,
    )
    cell = coarser(match, 2)
    assert cell.xy.tolist() == [[[11.0, 4.0]]] and cell.is_visible.tolist() == [[True]]
    assert float(cell.confidence) == pytest.approx(0.8) and float(cell.scale) == pytest.approx(2.05)
    with pytest.raises(ShapeError, match="stride: got 3, expected a divisor of the target's 2 x 2"):
        coarser(match, 3)


def test_a_cell_that_nobody_sees_is_a_hole():
    target, source = at(0), at(9.0)
    cell = coarser(matched(target, source), 8)
    assert not cell.is_visible.any() and (cell.confidence == 0).all()
    assert (carry_over(torch.ones(1, H, W), cell) == 0).all()


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_features_of_every_scale_land_where_the_picture_lands(stride: int):
    """A feature map that holds its own place on the wall, at three scales: off by less than a tenth of a
    feature cell (0.086 units of the wall per pixel)."""
    target, source = at(0), turned(0.6, 0.3)
    world = unproject(wall_depth(source)[None], source.K, source.w2c)[0].movedim(-1, 0)
    features = torch.nn.functional.avg_pool2d(world[None], stride)[0]
    match = coarser(matched(target, source), stride)
    carried = carry_over(features, match)
    own = unproject(wall_depth(target)[None], target.K, target.w2c)[0].movedim(-1, 0)
    wanted = torch.nn.functional.avg_pool2d(own[None], stride)[0]
    # Border cells repeat their last value, which is half a cell off.
    inner = (
        match.is_visible & (match.xy > stride).all(-1) & (match.xy < torch.tensor([W, H]) - stride).all(-1)
    )
    assert inner.float().mean() > 0.3
    assert (carried - wanted)[:2, inner].abs().max() < 0.1 * stride * 0.086


def test_sharpness_leads_from_the_average_to_the_best_view():
    target, straight, aslant = at(0), at(0.1), turned(2.5, 1.0)
    matches = [matched(target, straight), matched(target, aslant)]
    values = [torch.zeros(1, H, W), torch.ones(1, H, W)]
    both = matches[0].is_visible & matches[1].is_visible
    even, _ = blend_sources(values, matches, 0.0)
    plain, _ = blend_sources(values, matches, 1.0)
    best, _ = blend_sources(values, matches, 8.0)
    assert_close(even[0, both], torch.full_like(even[0, both], 0.5))
    assert (plain[0, both] < 0.5).all() and (best[0, both] < plain[0, both]).all()
    assert best[0, both].mean() < 0.2


def test_a_view_from_far_away_weighs_less():
    target, near, far = at(0), at(0.0), at(0.0, -8.0)
    blend, _ = blend_sources(
        [torch.zeros(1, H, W), torch.ones(1, H, W)], [matched(target, near), matched(target, far)]
    )
    assert float(blend[0, H // 2, W // 2]) == pytest.approx((1 / 3) / (1 + 1 / 3), abs=0.02)


def two_views() -> GeometricMemory:
    start, other = at(0), at(0.8)
    memory = initialise_memory(painted(start), wall_depth(start), K, edge_threshold=0.0)
    frames = torch.stack([painted(start), painted(other)])
    cameras = Cameras(torch.cat([start.w2c, other.w2c]), K.expand(2, 3, 3), H, W)
    return update_memory(
        memory, frames, cameras, torch.stack([wall_depth(start), wall_depth(other)]), keep_frames=1
    )[0]


def test_a_memory_is_warped_along_a_trajectory():
    """Two pictures of a wall, warped to a camera between and one beyond: mean error below 0.003, at most
    0.03 of the colour range, where either sees it; holes only where neither does."""
    memory = two_views()
    cameras = Cameras(torch.cat([at(0.4).w2c, at(1.6).w2c]), K.expand(2, 3, 3), H, W)
    seen: list[tuple[int, int]] = []
    images, holes = warp_views(
        memory, cameras, memory.views, radius=0.05, progress=lambda done, total: seen.append((done, total))
    )
    assert images.shape == (2, 3, H, W) and holes.shape == (2, H, W) and seen == [(1, 2), (2, 2)]
    inner = (slice(2, H - 2), slice(2, W - 2))
    error = (images[0] - painted(at(0.4))).abs()[(slice(None), *inner)]
    assert holes[0][inner].sum() == 0
    assert error.mean() < 0.003 and error.max() < 0.03
    # The wall's part that only the camera further right sees: 0.8 units times focal over depth.
    missing = 0.8 * float(K[0, 0]) / WALL
    assert abs(float(holes[1].sum(dim=1).mean()) - missing) < 2
    assert (images[1][:, holes[1] == 1] == 0).all()


def test_a_view_without_depth_takes_the_memorys():
    memory = two_views()
    first = memory.views[0]
    bare = View(first.image, first.w2c, first.K, first.name)
    assert_close(
        view_depth(memory, bare, radius=0.05)[2:-2, 2:-2], wall_depth(at(0))[2:-2, 2:-2], rtol=1e-3, atol=0
    )
    images, holes = warp_views(memory, at(0.2), [bare], radius=0.05)
    inner = (slice(2, H - 2), slice(4, W - 8))
    assert holes[0][inner].sum() == 0
    assert (images[0] - painted(at(0.2))).abs()[(slice(None), *inner)].max() < 0.03


def test_bad_requests_are_refused():
    memory = two_views()
    with pytest.raises(WorldStereoError, match="views: got none"):
        warp_views(memory, at(0), [])
    with pytest.raises(WorldStereoError, match="sharpness: got 9"):
        warp_views(memory, at(0), memory.views, sharpness=9)
