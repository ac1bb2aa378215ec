"""Selections on a whole memory: a box at z = 2 before a wall at z = 4, and a second clip of the wall."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.geometry.cameras import Cameras
from worldstereo_core.geometry.point_cloud import PointCloud
from worldstereo_core.geometry.selection import (
    EVERYTHING,
    BoxPart,
    PaintedPart,
    SelectionPart,
    ViewPoint,
    WorldSelection,
)
from worldstereo_core.geometry.similarity import Similarity
from worldstereo_core.memory.editing import delete_by_mask
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory
from worldstereo_core.memory.recolour import recolour
from worldstereo_core.memory.selected_points import (
    crop_to_selection,
    middle_of_selection,
    select_points,
    selected_region,
    transform_selection,
)

H, W = 60, 80
K = torch.tensor([[40.0, 0, W / 2], [0, 40.0, H / 2], [0, 0, 1]])
HERE = Cameras(torch.eye(4)[None], K[None], H, W)
FOV = math.degrees(2 * math.atan(1))
FRONT = ViewPoint((0.0, 0.0, 0.0), fov_deg=FOV, aspect=W / H)
# Stands 1 to the right: the box then covers columns 10 to 30 of its picture.
SIDE = replace(FRONT, position=(1.0, 0.0, 0.0))
AROUND_THE_BOX = BoxPart((0.0, 0.0, 2.0), (1.2, 1.2, 0.2))


@pytest.fixture(scope="module")
def memory() -> GeometricMemory:
    depth = torch.full((H, W), 4.0)
    depth[20:40, 30:50] = 2.0
    image = torch.rand(3, H, W, generator=torch.Generator().manual_seed(0))
    start = initialise_memory(image, depth, K, edge_threshold=0.0)
    w2c = torch.eye(4)
    w2c[1, 3] = 0.5
    other = torch.rand(3, H, W, generator=torch.Generator().manual_seed(1))
    wall = initialise_memory(other, torch.full((H, W), 4.0), K, w2c, edge_threshold=0.0)
    second = replace(wall.points, clip=torch.ones_like(wall.points.clip))
    return replace(
        start,
        points=PointCloud.concat([start.points, second]),
        views=(start.views[0], replace(wall.views[0], clip=1)),
    )


def chosen(memory: GeometricMemory, *parts: SelectionPart) -> Tensor:
    return select_points(memory, WorldSelection(parts))


def is_box(memory: GeometricMemory) -> Tensor:
    return memory.points.xyz[:, 2] < 3


def test_a_box_takes_what_is_in_it(memory: GeometricMemory):
    assert int(is_box(memory).sum()) == 400
    assert torch.equal(chosen(memory, AROUND_THE_BOX), is_box(memory))


def test_a_turned_box_is_turned_about_its_centre(memory: GeometricMemory):
    # A bar 2 wide and 0.1 high; after a turn by 90 degrees about z it is 0.1 wide and 2 high.
    half = math.sqrt(0.5)
    bar = BoxPart((0.0, 0.0, 2.0), (2.0, 0.1, 0.1), (half, 0.0, 0.0, half))
    x, y, _ = memory.points.xyz[chosen(memory, bar)].T
    assert float(x.abs().max()) <= 0.05 and float(y.abs().max()) > 0.4


def test_the_same_box_means_the_same_part_of_a_thinned_memory(memory: GeometricMemory):
    few = replace(memory, points=memory.points.thinned(500))
    assert torch.equal(chosen(few, AROUND_THE_BOX), is_box(few))


def test_a_stroke_takes_the_visible_surface_or_everything_behind(memory: GeometricMemory):
    over_the_box = ((0.375, 0.33), (0.625, 0.33), (0.625, 0.67), (0.375, 0.67))
    seen = chosen(memory, PaintedPart(FRONT, over_the_box))
    assert int((seen & is_box(memory)).sum()) >= 380 and not bool((seen & ~is_box(memory)).any())
    through = chosen(memory, PaintedPart(FRONT, over_the_box, reach=EVERYTHING))
    # The second clip has wall points behind the box.
    assert bool((through & ~is_box(memory)).any())


def test_a_brush_takes_a_disc_of_what_it_sees(memory: GeometricMemory):
    dab = PaintedPart(FRONT, ((0.5, 0.5),), radius=6 / H)
    xyz = memory.points.xyz[chosen(memory, dab)]
    # Six pixels at depth 2 and 40 pixels of focal length are 0.3 across.
    assert len(xyz) > 90
    assert float(xyz[:, :2].norm(dim=1).max()) == pytest.approx(0.3, abs=0.02)


def test_parts_add_take_away_and_limit_in_order(memory: GeometricMemory):
    left = BoxPart((-5.0, 0.0, 2.0), (10.0, 20.0, 20.0))
    x, box = memory.points.xyz[:, 0], is_box(memory)
    assert torch.equal(chosen(memory, AROUND_THE_BOX, replace(left, mode="subtract")), box & (x > 0))
    assert torch.equal(chosen(memory, AROUND_THE_BOX, replace(left, mode="intersect")), box & (x <= 0))
    assert torch.equal(chosen(memory, left, AROUND_THE_BOX), box | (x <= 0))
    assert not chosen(memory, replace(left, mode="subtract")).any(), "nothing is there to take away from"
    assert not chosen(memory).any()


def test_strokes_of_one_view_and_kind_count_together_and_others_in_order(memory: GeometricMemory):
    left, right = (PaintedPart(FRONT, ((x, 0.5),), radius=0.1) for x in (0.42, 0.58))
    alone = chosen(memory, left) | chosen(memory, right)
    assert torch.equal(chosen(memory, left, right), alone)
    assert torch.equal(chosen(memory, left, AROUND_THE_BOX, right), alone | is_box(memory))
    from_side = chosen(memory, left, replace(right, view=SIDE, mode="subtract"))
    assert 0 < int(from_side.sum()) <= int(chosen(memory, left).sum())


def test_a_part_may_mean_some_clips_only_whose_points_alone_hide(memory: GeometricMemory):
    assert {0, 1} == set(memory.points.clip.tolist())
    everything = BoxPart((0.0, 0.0, 0.0), (100.0, 100.0, 100.0), clips=(1,))
    assert torch.equal(chosen(memory, everything), memory.points.clip == 1)
    # With the first clip hidden, its box hides nothing: the dab reaches the wall behind.
    dab = PaintedPart(FRONT, ((0.5, 0.5),), radius=0.15, clips=(1,))
    found = chosen(memory, dab)
    assert bool(found.any()) and bool((memory.points.xyz[found, 2] > 3).all())


def test_a_stroke_beside_the_picture_selects_nothing(memory: GeometricMemory):
    assert not chosen(memory, PaintedPart(FRONT, ((3.0, 3.0),), radius=0.1)).any()


def test_cutting_a_selection_takes_points_and_view_depth(memory: GeometricMemory):
    selection = WorldSelection((AROUND_THE_BOX,))
    without = crop_to_selection(memory, selection)
    assert not is_box(without).any()
    assert without.points.num_points == memory.points.num_points - 400
    depth = without.views[0].depth
    assert depth is not None and int((depth == 0).sum()) == 400
    only = crop_to_selection(memory, selection, keep="inside")
    assert only.points.num_points == 400
    assert len(crop_to_selection(memory, selection, keep="inside", max_lost=0.5).views) == 1
    assert crop_to_selection(memory, WorldSelection()).points is memory.points, "nothing was selected"
    with pytest.raises(WorldStereoError, match=r"selection: all .* points would go"):
        crop_to_selection(memory, WorldSelection(), keep="inside")


def test_moving_a_selection_leaves_the_rest_where_it_is(memory: GeometricMemory):
    selection = WorldSelection((AROUND_THE_BOX,))
    middle = middle_of_selection(memory, selection)
    assert middle.tolist() == pytest.approx([0, 0, 2], abs=0.03)
    moved = transform_selection(memory, selection, Similarity.about(middle, scale=2.0, move=(1.0, 0.0, 0.5)))
    box = is_box(memory)
    assert torch.equal(moved.points.xyz[~box], memory.points.xyz[~box])
    expected = middle + 2 * (memory.points.xyz[box] - middle) + torch.tensor([1.0, 0, 0.5])
    assert_close(moved.points.xyz[box], expected)
    assert moved.median_depth == memory.median_depth
    assert torch.equal(moved.views[0].w2c, memory.views[0].w2c)
    depth = moved.views[0].depth
    assert depth is not None and not depth[20:40, 30:50].any() and bool((depth[:20] == 4).all())
    assert "Selection of 400 points" in moved.history[-1]
    with pytest.raises(WorldStereoError, match="selection: no point is selected, so nothing can be moved"):
        transform_selection(memory, WorldSelection(), Similarity.of(1.0))


def test_recolouring_a_selection_changes_its_points_and_its_pixels(memory: GeometricMemory):
    red = torch.zeros(3, 4, 5)
    red[0] = 1.0
    region = selected_region(memory.points, WorldSelection((AROUND_THE_BOX,)))
    after = recolour(memory, red, within=region)
    box = is_box(memory)
    assert_close(after.points.rgb[box].mean(dim=0), torch.tensor([1.0, 0, 0]), atol=0.02, rtol=0)
    assert torch.equal(after.points.rgb[~box], memory.points.rgb[~box])
    changed = (after.views[0].image != memory.views[0].image).any(dim=0)
    assert int(changed.sum()) >= 399 and not changed[:20].any() and not changed[:, :30].any()
    assert after.views[1].image is memory.views[1].image, "the second view does not see the box"
    assert "400 selected points of all clips" in after.history[-1]
    with pytest.raises(WorldStereoError, match="no point of these clips is selected"):
        recolour(memory, red, clips=[1], within=region)


def test_a_selection_limits_a_painted_mask(memory: GeometricMemory):
    whole = torch.ones(H, W)
    region = selected_region(memory.points, WorldSelection((AROUND_THE_BOX,)))
    after = delete_by_mask(memory, whole, HERE, depth_tolerance=None, within=region)
    assert after.points.num_points == memory.points.num_points - 400
