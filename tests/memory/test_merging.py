"""Merging, comparing, recolouring and measuring memories of small procedural scenes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.geometry.point_cloud import Evidence
from worldstereo_core.geometry.poses import quaternion_to_matrix
from worldstereo_core.geometry.similarity import Similarity
from worldstereo_core.memory.editing import crop_to_box, remove_clip, transform_memory
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory
from worldstereo_core.memory.merging import diff_memories, merge_memories
from worldstereo_core.memory.recolour import match_colours, recolour
from worldstereo_core.memory.statistics import memory_statistics

H, W = 12, 16
K = torch.tensor([[8.0, 0, W / 2], [0, 8.0, H / 2], [0, 0, 1]])
MOVE = Similarity.of(2.5, quaternion_to_matrix(torch.tensor([0.8, 0.2, 0.4, -0.1])), (1.0, 2.0, -3.0))


def hill(seed: int = 0) -> GeometricMemory:
    generator = torch.Generator().manual_seed(seed)
    depth = 3 + torch.rand(H, W, generator=generator)
    picture = 0.3 + 0.4 * torch.rand(3, H, W, generator=generator)
    return initialise_memory(picture, depth, K, edge_threshold=0.0)


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_moved_copy_merges_back_onto_the_original_by_matched_points():
    memory = hill()
    elsewhere = transform_memory(memory, MOVE)
    there = elsewhere.points.xyz.clone()
    there[::4] += noise(1, *there[::4].shape)  # a quarter of the matches is wrong
    merged, report = merge_memories(memory, elsewhere, matches=(memory.points.xyz, there))
    assert report.similarity.scale == pytest.approx(1 / 2.5, rel=1e-4)
    assert report.fit is not None and report.fit.residual < 1e-4
    half = memory.points.num_points
    assert_close(merged.points.xyz[half:], memory.points.xyz, atol=1e-4, rtol=0)
    assert_close(merged.views[1].w2c, memory.views[0].w2c, atol=1e-4, rtol=0)
    assert_close(merged.views[1].depth, memory.views[0].depth, atol=1e-4, rtol=0)
    assert (merged.median_depth, merged.far_limit) == (memory.median_depth, memory.far_limit)


def test_clips_and_names_of_the_second_memory_stay_apart():
    first, second = hill(0), hill(1)
    merged, report = merge_memories(first, second)
    assert report.clip_offset == 1
    assert merged.points.clip.unique().tolist() == [0, 1]
    assert [(view.name, view.clip) for view in merged.views] == [("image", 0), ("image_2", 1)]
    assert "clips count from 1" in merged.history[-1]
    assert torch.equal(remove_clip(merged, 1).points.xyz, first.points.xyz)
    assert (first.points.num_points, len(second.views), second.views[0].clip) == (H * W, 1, 0)


def test_a_given_transform_is_used_as_it_is_and_voxels_join_doubles():
    memory = hill()
    merged, report = merge_memories(memory, transform_memory(memory, MOVE), transform=MOVE.inverse)
    assert report.fit is None
    assert_close(merged.points.xyz[H * W :], memory.points.xyz, atol=1e-5, rtol=1e-5)
    joined, _ = merge_memories(memory, memory, voxel_size=1e-3)
    assert joined.points.num_points == memory.points.num_points
    with pytest.raises(WorldStereoError, match="expected one of them"):
        merge_memories(memory, memory, transform=MOVE, matches=(memory.points.xyz, memory.points.xyz))


def test_diff_counts_what_went_and_what_came():
    before = hill()
    cut = crop_to_box(before, (-9, -9, 0), (0, 9, 9))
    gone = before.points.num_points - cut.points.num_points
    assert gone > 0
    diff = diff_memories(before, cut)
    assert (diff.num_removed, diff.num_added) == (gone, 0)
    back = diff_memories(cut, before)
    assert (back.num_removed, back.num_added) == (0, gone)
    assert f"{gone:,} points added, 0 removed" in back.text
    seen = diff.coloured()
    assert seen.num_points == before.points.num_points
    reds = seen.rgb[:, 0] > 0.8
    assert int(reds.sum()) == gone and (seen.xyz[reds][:, 0] > 0).all()


def test_diff_by_cubes_forgives_small_moves():
    before = hill()
    before = replace(before, points=replace(before.points, xyz=before.points.xyz.floor() + 0.5))
    moved = replace(before, points=replace(before.points, xyz=before.points.xyz + 0.01))
    assert diff_memories(before, moved).num_added == H * W
    assert diff_memories(before, moved, cube=1.0).num_added == 0
    merged, _ = merge_memories(before, before)
    diff = diff_memories(before, merged)
    assert diff.views_added == ("image_2",) and diff.num_added == 0


def test_colours_take_the_mean_and_covariance_of_the_reference():
    colours = 0.5 + 0.1 * noise(0, 500, 3) @ torch.tensor([[1.0, 0.5, 0], [0, 1, 0.3], [0.2, 0, 0.6]])
    reference = 0.4 + 0.08 * noise(1, 800, 3) @ torch.tensor([[1.0, 0, 0.4], [0.3, 0.7, 0], [0, 0, 1.0]])
    mapping = match_colours(colours, reference)
    mapped = colours.double() @ mapping.matrix.mT + mapping.offset
    assert_close(mapped.mean(0), reference.double().mean(0), atol=1e-6, rtol=0)
    assert_close(mapped.T.cov(), reference.double().T.cov(), atol=2e-5, rtol=0.01)
    same = match_colours(colours, colours)
    assert_close(same.matrix, torch.eye(3, dtype=torch.float64), atol=1e-9, rtol=0)


def test_a_colour_cast_is_undone_in_points_and_views_of_its_clip_only():
    clean = hill()
    merged, _ = merge_memories(clean, clean)
    gain, lift = torch.tensor([0.8, 1.0, 1.15]), torch.tensor([0.05, 0.0, -0.02])
    is_cast = merged.points.clip == 1
    rgb = torch.where(is_cast[:, None], merged.points.rgb * gain + lift, merged.points.rgb)
    picture = merged.views[1].image.float() / 255 * gain[:, None, None] + lift[:, None, None]
    cast = replace(
        merged,
        points=replace(merged.points, rgb=rgb),
        views=(merged.views[0], replace(merged.views[1], image=(picture * 255).round().to(torch.uint8))),
    )
    fixed = recolour(cast, clean.views[0].image.float() / 255, clips=[1])
    assert_close(fixed.points.rgb, merged.points.rgb, atol=0.005, rtol=0)
    assert (fixed.views[1].image.int() - merged.views[1].image.int()).abs().max() <= 2
    assert fixed.views[0] is cast.views[0]
    assert torch.equal(cast.points.rgb, rgb)
    assert_close(recolour(cast, torch.rand(3, 4, 4), strength=0.0).points.rgb, rgb, atol=1e-6, rtol=0)


def test_one_colour_and_bad_settings_are_handled():
    memory = hill()
    grey = recolour(memory, torch.full((3, 4, 5), 0.5))
    assert torch.isfinite(grey.points.rgb).all()
    assert_close(grey.points.rgb.mean(0), torch.full((3,), 0.5), atol=1e-3, rtol=0)
    assert grey.points.rgb.std() < 0.02
    flat = replace(memory, points=replace(memory.points, rgb=torch.full((H * W, 3), 0.2)))
    assert_close(recolour(flat, torch.full((3, 4, 5), 0.5)).points.rgb, torch.full((H * W, 3), 0.5))
    with pytest.raises(WorldStereoError, match=r"clips: got \[7\]"):
        recolour(memory, torch.rand(3, 4, 4), clips=[7])
    with pytest.raises(WorldStereoError, match="strength: got 2"):
        recolour(memory, torch.rand(3, 4, 4), strength=2)
    with pytest.raises(WorldStereoError, match="reference: got values"):
        recolour(memory, torch.full((3, 4, 4), torch.nan))


def test_statistics_measure_extent_confidence_coverage_and_bytes():
    memory, _ = merge_memories(hill(), hill(1))
    is_second = memory.points.clip == 1
    points = replace(memory.points, confidence=torch.where(is_second, 0.5, 1.0))
    numbers = memory_statistics(replace(memory, points=points), radius=0.15)
    assert [(c.clip, c.num_points, c.num_views, c.mean_confidence) for c in numbers.clips] == [
        (0, H * W, 1, 1.0),
        (1, H * W, 1, 0.5),
    ]
    # xyz, rgb, confidence, clip per point; image, w2c, K and depth per view.
    assert numbers.num_bytes == 2 * H * W * (12 + 12 + 4 + 4) + 2 * (3 * H * W + 64 + 36 + 4 * H * W)
    evidence = Evidence.of_one_sighting(points.confidence)  # three numbers per point
    fused = replace(memory, points=replace(points, evidence=evidence))
    latent = replace(memory.views[0], latent=torch.zeros(16, 1, 1))
    more = memory_statistics(replace(fused, views=(latent, memory.views[1])), longest_side=0)
    assert more.num_bytes == numbers.num_bytes + 2 * H * W * 12 + 16 * 4
    assert numbers.low is not None and 3.0 <= numbers.low[2] < 3.2
    assert numbers.coverage == (1.0, 1.0)
    half = crop_to_box(memory, (-99, -99, 0), (0, 99, 99))
    assert memory_statistics(half, radius=0.05).coverage[0] == pytest.approx(0.5, abs=0.05)
    assert "points cover 100% of the views" in numbers.text
    assert memory_statistics(memory, longest_side=0).coverage == ()
