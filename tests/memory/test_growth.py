"""Growing a memory by whole clips, one point per cell: a wall, a pillar, planted floaters; and bad input."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.geometry.cameras import Cameras, fov_to_K, pixel_directions, unproject
from worldstereo_core.geometry.point_cloud import PointCloud
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory
from worldstereo_core.memory.storage import load_memory, save_memory

H, W = 36, 48
K = fov_to_K(1.2, H, W)
WALL, BOX = 4.0, 2.0
CELL = 0.05
SETTINGS = {"keep_frames": 3, "edge_threshold": 0.0, "radius": 0.1, "fusion": "voxel", "cell": CELL}


def trucking(*shifts: float, size: tuple[int, int] = (H, W), unit: float = 1.0) -> Cameras:
    w2c = torch.eye(4).repeat(len(shifts), 1, 1)
    w2c[:, 0, 3] = -torch.tensor(shifts) * unit
    return Cameras(w2c, K.expand(len(shifts), 3, 3), H, W).resized(*size)


MOVES = trucking(0.0, 0.3, 0.6, 0.9)


def scene(cameras: Cameras, unit: float = 1.0) -> tuple[Tensor, Tensor]:
    """Pictures [T, 3, H, W] and depth [T, H, W] of a wall with a square pillar before its middle."""
    rays = pixel_directions(cameras.K, cameras.height, cameras.width)
    eyes = cameras.centers[:, 0, None, None] / unit
    depth = torch.full(rays.shape[:-1], WALL)
    side = (-0.4 - eyes) / rays[..., 0]
    front = (eyes + BOX * rays[..., 0]).abs() <= 0.4
    depth = torch.where((side > BOX) & (side < WALL) & (eyes < -0.4), side, depth)
    side = (0.4 - eyes) / rays[..., 0]
    depth = torch.where((side > BOX) & (side < WALL) & (eyes > 0.4), side, depth)
    depth = torch.where(front, BOX, depth) * unit
    points = unproject(depth, cameras.K, cameras.w2c) / unit
    colours = torch.stack([0.5 + 0.4 * torch.sin(1.5 * points[..., axis] + axis) for axis in range(3)], 1)
    return colours, depth


def start(unit: float = 1.0) -> GeometricMemory:
    frames, depths = scene(trucking(0.0), unit)
    return initialise_memory(frames[0], depths[0], K, edge_threshold=0.0)


def on_surfaces(xyz: Tensor) -> Tensor:
    """[N] distance of points to the nearest surface of the scene."""
    x, z = xyz[:, 0], xyz[:, 2]
    wall, front = (z - WALL).abs(), torch.hypot((z - BOX).abs(), (x.abs() - 0.4).clamp_min(0))
    sides = torch.hypot((x.abs() - 0.4).abs(), torch.maximum(BOX - z, z - WALL).clamp_min(0))
    return torch.minimum(torch.minimum(wall, front), sides)


def with_floaters(memory: GeometricMemory, clip: int, count: int = 40) -> GeometricMemory:
    """Points planted in the air between camera and scene."""
    spread = torch.rand(count, 3, generator=torch.Generator().manual_seed(1))
    xyz = spread * torch.tensor([0.6, 0.4, 0.4]) + torch.tensor([-0.3, -0.2, 1.0])
    floaters = PointCloud(
        xyz, torch.ones(count, 3), torch.ones(count), torch.full((count,), clip, dtype=torch.int32)
    )
    return replace(memory, points=PointCloud.concat([memory.points, floaters]))


def test_a_clip_fuses_into_cells_and_the_report_tells():
    memory = start()
    frames, depths = scene(MOVES)
    grown, report = memory.update(frames, MOVES, depths, **SETTINGS)
    assert memory.points.evidence is None and grown.points.evidence is not None
    assert on_surfaces(grown.points.xyz).max() < CELL
    cells = (grown.points.xyz / CELL).floor()
    assert len(cells.unique(dim=0)) == grown.points.num_points
    assert report.fusion is not None and report.fusion.num_carved == 0
    assert report.fusion.num_new == report.num_points > 0 and report.fusion.num_updated > 1000
    assert "merged into known points" in report.text and "cells of 0.05" in grown.history[-1]
    assert (grown.points.clip == 1).sum() == report.num_points
    assert int(grown.points.evidence.seen.max()) == 4
    assert report.residuals == pytest.approx([0, 0, 0], abs=0.01)
    assert report.table.count("\n") == 2 and report.table.startswith("frame 1, median error")


def test_known_cells_are_seen_again_and_the_cloud_stops_growing():
    memory, counts = start(), []
    frames, depths = scene(MOVES)
    for _ in range(4):
        memory, _ = memory.update(frames, MOVES, depths, **SETTINGS)
        counts.append(memory.points.num_points)
    assert counts[1] == counts[-1], "the same frames once more add nothing"
    naive, _ = start().update(frames, MOVES, depths, keep_frames=3, edge_threshold=0.0, radius=1e-6)
    assert counts[-1] < naive.points.num_points


def test_the_map_is_kept_between_clips_and_rebuilt_from_the_points_alone(tmp_path: Path):
    frames, depths = scene(MOVES)
    once, _ = start().update(frames, MOVES, depths, **SETTINGS)
    assert once.fused is not None and once.fused.points is once.points
    save_memory(tmp_path / "once.safetensors", once)
    loaded = load_memory(tmp_path / "once.safetensors")
    assert loaded.fused is None
    later = trucking(0.9, 1.2, 1.5, 1.8)
    frames, depths = scene(later)
    one, other = (memory.update(frames, later, depths, **SETTINGS)[0] for memory in (once, loaded))
    assert_close(one.points.xyz, other.points.xyz)
    assert one.points.evidence is not None and other.points.evidence is not None
    assert torch.equal(one.points.evidence.seen, other.points.evidence.seen)
    assert torch.equal(one.points.clip, other.points.clip)


def test_a_replaced_cloud_drops_the_map_and_moving_keeps_it():
    frames, depths = scene(MOVES)
    grown, _ = start().update(frames, MOVES, depths, **SETTINGS)
    edited = replace(grown, points=grown.points.select(grown.points.clip == 0))
    assert edited.fused is None
    moved = grown.to("cpu")
    assert moved.fused is not None and moved.fused.points is moved.points
    only_views, _ = grown.update(frames, MOVES, keep_frames=3)
    assert only_views.fused is grown.fused


@pytest.mark.parametrize(("clip", "carving", "left"), [(1, "clips", 0), (0, "clips", 40), (0, "all", 0)])
def test_floaters_a_clip_sees_through_are_removed(clip: int, carving: str, left: int):
    memory = with_floaters(start(), clip)
    frames, depths = scene(MOVES)
    grown, report = memory.update(frames, MOVES, depths, carving=carving, **SETTINGS)
    floating = int((on_surfaces(grown.points.xyz) > 0.2).sum())
    assert floating == pytest.approx(left, abs=4), "a few share a cell"
    assert report.fusion is not None and (report.fusion.num_carved > 30) == (left == 0)
    kept, _ = memory.update(frames, MOVES, depths, **{**SETTINGS, "carving": "off"})
    assert int((on_surfaces(kept.points.xyz) > 0.2).sum()) > 30


def test_uncertain_depth_does_not_carve_within_its_error():
    # Depth 8 % too far by an estimator's error, taken as it comes: the wall's own points are before it.
    memory = start()
    frames, depths = scene(MOVES)
    grown, report = memory.update(frames, MOVES, depths * 1.08, **{**SETTINGS, "carving": "all"})
    assert report.residuals == pytest.approx([0.08] * 3, abs=0.01)
    assert report.fusion is not None and report.fusion.num_carved == 0
    assert (grown.points.clip == 0).sum() >= 0.9 * (start().points.num_points * 0.5)


def test_sky_adds_no_points_and_clears_the_air_before_it():
    memory = with_floaters(start(), 1)
    frames, depths = scene(MOVES)
    sky = torch.zeros(4, H, W, dtype=torch.bool)
    sky[:, : H // 2] = True
    grown, _ = memory.update(frames, MOVES, depths, sky=sky, **SETTINGS)
    new = grown.points.xyz[grown.points.clip == 1]
    assert (new[:, 1] > -CELL).all(), "the upper half is sky"
    holes, _ = memory.update(frames, MOVES, depths, sky=sky, keep_frames=3, radius=0.1, edge_threshold=0.0)
    new = holes.points.xyz[memory.points.num_points :]
    assert len(new) and (new[:, 1] > -CELL).all()


def test_depth_of_low_confidence_is_not_used():
    frames, depths = scene(MOVES)
    sure = torch.ones(4, H, W)
    sure[:, :, W // 2 :] = 0.2
    grown, _ = start().update(frames, MOVES, depths, confidence=sure, min_confidence=0.5, **SETTINGS)
    view = grown.views[1]
    assert view.depth is not None
    assert not view.depth[:, W // 2 :].any() and view.depth[:, : W // 2].all()
    kept, _ = start().update(frames, MOVES, depths, confidence=sure, **SETTINGS)
    assert kept.points.confidence.min() == pytest.approx(0.2)


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("fusion", ["voxel", "holes"])
def test_clips_in_tiny_and_huge_units(unit: float, fusion: str):
    cameras = trucking(0.0, 0.3, 0.6, 0.9, unit=unit)
    frames, depths = scene(cameras, unit)
    memory = start(unit)
    settings = {**SETTINGS, "fusion": fusion, "cell": None, "align_scale": True, "alignment": "robust"}
    grown, report = memory.update(frames, cameras, depths * 3e3, **settings)
    assert report.alignment is not None and report.alignment.with_status("fitted") == (1, 2, 3)
    new = grown.points.xyz[grown.points.clip == 1] / unit
    assert len(new) > 50 and on_surfaces(new).median() < 0.01
    assert report.fusion is None or report.fusion.cell == pytest.approx(0.0015 * memory.median_depth)


@pytest.mark.parametrize("fusion", ["voxel", "holes"])
def test_no_overlap_at_all_is_said_and_without_alignment_the_clip_just_joins(fusion: str):
    away = trucking(100.0, 100.3, 100.6, 100.9)
    frames, depths = scene(away)
    settings = {**SETTINGS, "fusion": fusion}
    for alignment in ("robust", "ratio"):
        with pytest.raises(WorldStereoError, match=r"share 0 of 1728 pixels, expected at least"):
            start().update(frames, away, depths, align_scale=True, alignment=alignment, **settings)
    grown, report = start().update(frames, away, depths, **settings)
    # The clip's later frames overlap with its first, which has joined by then.
    assert report.residuals[0] is None and report.num_points > 1000
    assert "no overlap" in report.table and torch.isfinite(grown.points.xyz).all()


@pytest.mark.parametrize("fusion", ["voxel", "holes"])
@pytest.mark.parametrize("value", [0.0, math.nan, math.inf, -1.0])
def test_depth_without_any_data(fusion: str, value: float):
    frames, depths = scene(MOVES)
    nothing = torch.full_like(depths, value)
    settings = {**SETTINGS, "fusion": fusion}
    for alignment in ("robust", "ratio"):
        with pytest.raises(WorldStereoError, match=r"share 0 of 1728 pixels|none of the 3 frames"):
            start().update(frames, MOVES, nothing, align_scale=True, alignment=alignment, **settings)
    grown, report = start().update(frames, MOVES, nothing, **settings)
    assert report.points_per_frame == (0, 0, 0) and len(grown.views) == 4
    assert torch.isfinite(grown.points.xyz).all()


def test_a_single_point():
    frames, depths = scene(MOVES)
    single = torch.zeros_like(depths)
    single[2, H // 2, 2] = WALL
    grown, report = start().update(frames, MOVES, single, **SETTINGS)
    assert report.num_points <= 1 and torch.isfinite(grown.points.xyz).all()
    with pytest.raises(WorldStereoError, match=r"1 points are left of 1 pixels"):
        initialise_memory(frames[2], single[2], K, edge_threshold=0.0)
    one = replace(start(), points=start().points.select(slice(1)))
    with pytest.raises(WorldStereoError, match="expected at least"):
        one.update(frames, MOVES, depths, align_scale=True, alignment="robust", **SETTINGS)
    full, _ = one.update(frames, MOVES, depths, **SETTINGS)
    assert full.points.num_points > 1000


@pytest.mark.parametrize("fusion", ["voxel", "holes"])
def test_duplicate_frames_add_views_and_no_second_surface(fusion: str):
    cameras = MOVES[[0, 0, 0, 0]]
    frames, depths = scene(cameras)
    settings = {**SETTINGS, "fusion": fusion, "align_scale": True, "alignment": "robust"}
    memory = start()
    grown, report = memory.update(frames, cameras, depths, **settings)
    assert report.num_points == 0 and len(grown.views) == 4
    assert grown.points.num_points <= memory.points.num_points


@pytest.mark.parametrize("fusion", ["voxel", "holes"])
def test_cameras_inside_and_behind_geometry(fusion: str):
    # Inside the pillar, inside the wall, and behind it looking on.
    w2c = torch.eye(4).repeat(4, 1, 1)
    w2c[:, 2, 3] = -torch.tensor([0.0, BOX + 0.5, WALL, WALL + 1.0])
    cameras = replace(MOVES, w2c=w2c)
    frames = scene(MOVES)[0]
    depths = torch.full((4, H, W), 1.5)
    settings = {**SETTINGS, "fusion": fusion}
    grown, _ = start().update(frames, cameras, depths, **settings)
    assert torch.isfinite(grown.points.xyz).all() and len(grown.views) == 4
    image_points = grown.points.xyz[grown.points.clip == 0]
    assert on_surfaces(image_points).max() < CELL, "the input image's points stay"


def test_clips_of_another_resolution_join_and_of_another_aspect_are_refused():
    large = trucking(0.0, 0.3, 0.6, 0.9, size=(2 * H, 2 * W))
    frames, depths = scene(large)
    settings = {**SETTINGS, "align_scale": True, "alignment": "robust"}
    # The trajectory may still be that of the small size.
    grown, report = start().update(frames, MOVES, depths * 5, **settings)
    assert report.alignment is not None and report.alignment.with_status("fitted") == (1, 2, 3)
    assert grown.views[1].image.shape == (3, 2 * H, 2 * W)
    assert on_surfaces(grown.points.xyz[grown.points.clip == 1]).median() < 0.02
    with pytest.raises(ShapeError, match="another aspect"):
        start().update(frames[..., : 3 * W // 2], MOVES, depths[..., : 3 * W // 2], **settings)
    with pytest.raises(ShapeError, match=r"depths: got a tensor of shape \[4, 36, 48\]"):
        start().update(frames, MOVES, scene(MOVES)[1], **settings)
    with pytest.raises(ShapeError, match="sky: got a tensor"):
        start().update(frames, MOVES, depths, sky=torch.zeros(4, H, W, dtype=torch.bool), **settings)


def test_a_memory_never_holds_numbers_that_are_not_finite():
    memory = start()
    for name, values in (("positions", "xyz"), ("colours", "rgb"), ("confidence", "confidence")):
        for bad in (math.nan, math.inf, -math.inf):
            spoilt = getattr(memory.points, values).clone()
            spoilt[7] = bad
            with pytest.raises(WorldStereoError, match=f"the {name} of 1 of 1,728 points are not finite"):
                replace(memory, points=replace(memory.points, **{values: spoilt}))
    with pytest.raises(WorldStereoError, match="confidence"):
        frames, depths = scene(MOVES)
        initialise_memory(frames[0], depths[0], K, confidence=torch.full((H, W), math.nan))


def test_settings_that_are_none_are_named():
    frames, depths = scene(MOVES)
    for name, value in (("fusion", "mesh"), ("carving", "some"), ("alignment", "best")):
        with pytest.raises(WorldStereoError, match=f'{name}: got "{value}", expected'):
            start().update(frames, MOVES, depths, **{**SETTINGS, name: value})
    for cell in (0.0, -1.0, math.nan):
        with pytest.raises(WorldStereoError, match="cell: got"):
            start().update(frames, MOVES, depths, **{**SETTINGS, "cell": cell})
