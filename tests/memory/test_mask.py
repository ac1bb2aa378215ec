"""Masks from view to view, on a box before a wall whose projections are known."""

from __future__ import annotations

import pytest
import torch

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.geometry.cameras import Cameras
from worldstereo_core.memory.editing import delete_by_mask
from worldstereo_core.memory.mask import carry_mask, painted_region
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory

H, W = 60, 80
K = torch.tensor([[40.0, 0, W / 2], [0, 40.0, H / 2], [0, 0, 1]])
HERE = Cameras(torch.eye(4)[None], K[None], H, W)
RADIUS = 0.03  # 0.9 pixels
BOX = (slice(20, 40), slice(30, 50))


@pytest.fixture(scope="module")
def memory() -> GeometricMemory:
    """A box at z = 2 before a wall at z = 4."""
    depth = torch.full((H, W), 4.0)
    depth[BOX] = 2.0
    image = torch.rand(3, H, W, generator=torch.Generator().manual_seed(0))
    return initialise_memory(image, depth, K, edge_threshold=0.0)


def beside(right: float) -> Cameras:
    w2c = torch.eye(4)
    w2c[0, 3] = -right
    return Cameras(w2c[None], K[None], H, W)


def box_mask() -> torch.Tensor:
    mask = torch.zeros(H, W)
    mask[BOX] = 1
    return mask


def test_a_mask_of_the_box_is_carried_to_where_another_camera_sees_the_box(memory: GeometricMemory):
    # One unit to the right moves the box at z = 2 by 20 pixels to the left and the wall by 10.
    carried = carry_mask(memory.points, box_mask(), HERE, beside(1.0), radius=RADIUS)[0]
    expected = torch.zeros(H, W)
    expected[20:40, 10:30] = 1
    wrong = (carried > 0.5) != (expected > 0.5)
    # Discs reach up to a pixel beyond the outline of 80 pixels.
    assert int(wrong.sum()) <= 84
    assert not wrong[21:39, 11:29].any() and carried[:, 31:].max() == 0


def test_a_mask_carried_to_the_view_it_was_painted_on_is_itself(memory: GeometricMemory):
    carried = carry_mask(memory.points, box_mask(), HERE, HERE, radius=0.01)[0]
    torch.testing.assert_close(carried, box_mask(), rtol=0, atol=1e-5)


def test_the_visible_surface_leaves_what_is_behind_and_everything_takes_it(memory: GeometricMemory):
    # Painted from the side, the box's pixels cover wall points that only the first view saw.
    side = beside(1.0)
    mask = torch.zeros(H, W)
    mask[20:40, 10:30] = 1
    visible = painted_region(memory.points, mask, side, radius=RADIUS)(memory.points.xyz)
    everything = painted_region(memory.points, mask, side, depth_tolerance=None)(memory.points.xyz)
    is_wall = memory.points.xyz[:, 2] == 4
    assert int((visible & ~is_wall).sum()) == 400 and int((visible & is_wall).sum()) == 0
    # 10 columns to the right of the mask the wall is not hidden: 20 columns less the 10 without points.
    assert int((everything & ~is_wall).sum()) == 400 and int((everything & is_wall).sum()) == 20 * 10


def test_a_mask_of_another_size_means_the_same_place(memory: GeometricMemory):
    fine = torch.nn.functional.interpolate(box_mask()[None, None], scale_factor=3.0)[0, 0]
    same = painted_region(memory.points, box_mask(), HERE, radius=RADIUS)(memory.points.xyz)
    finer = painted_region(memory.points, fine, HERE, radius=RADIUS)(memory.points.xyz)
    assert torch.equal(same, finer) and int(same.sum()) == 400


def test_masks_of_several_frames_cover_what_any_of_them_covers(memory: GeometricMemory):
    masks = torch.zeros(2, H, W)
    masks[0, :10] = 1
    masks[1, 50:] = 1
    cameras = Cameras(torch.eye(4).repeat(2, 1, 1), K.expand(2, 3, 3), H, W)
    edited = delete_by_mask(memory, masks, cameras, radius=RADIUS)
    assert memory.points.num_points - edited.points.num_points == 20 * W


def test_views_that_show_what_was_deleted_leave_the_bank_except_the_first(memory: GeometricMemory):
    depth = torch.full((H, W), 4.0)
    w2c = beside(1.0).w2c.expand(3, 4, 4).clone()
    w2c[2, 0, 3] = -9.0  # sees other parts of the wall
    cameras = Cameras(w2c, K.expand(3, 3, 3), H, W)
    seen = depth.clone()
    seen[20:40, 10:30] = 2.0
    depths = torch.stack([depth, seen, depth])
    grown = memory.update(torch.rand(3, 3, H, W), cameras, depths, keep_frames=2, edge_threshold=0.0)[0]
    assert len(grown.views) == 3
    all_kept = delete_by_mask(grown, box_mask(), HERE, radius=RADIUS)
    edited = delete_by_mask(grown, box_mask(), HERE, radius=RADIUS, max_lost=0.02)
    assert len(all_kept.views) == 3 and [view.name for view in edited.views] == ["image", "clip_01/0002"]
    assert "1 view that showed them left the bank" in edited.history[-1]


def test_masks_that_cannot_be_meant_are_refused(memory: GeometricMemory):
    points = memory.points
    with pytest.raises(WorldStereoError, match="nothing is painted"):
        painted_region(points, torch.zeros(5, 5), HERE)
    with pytest.raises(ShapeError, match=r"got 2 masks and 1 cameras"):
        painted_region(points, torch.ones(2, H, W), HERE)
    with pytest.raises(ShapeError, match="another aspect"):
        painted_region(points, torch.ones(W, H), HERE)
    with pytest.raises(WorldStereoError, match="depth_tolerance: got -1"):
        painted_region(points, torch.ones(H, W), HERE, depth_tolerance=-1)
    with pytest.raises(WorldStereoError, match="none of 4,800 points lies under it"):
        carry_mask(points, torch.ones(H, W), beside(50.0), HERE)
