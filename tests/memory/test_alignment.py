"""Estimated depth against known depth: random scale, shift, noise and outliers over procedural surfaces."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.geometry.cameras import Cameras, fov_to_K
from worldstereo_core.memory.alignment import DisparityFit, align_clip, comparable_pixels, fit_disparity
from worldstereo_core.memory.memory import initialise_memory

H, W = 36, 48
K = fov_to_K(1.2, H, W)


def room(seed: int = 0, unit: float = 1.0) -> Tensor:
    """Depth [H, W] of a floor, a curved wall and a box in front of it, about 1.5 to 5 units away."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.linspace(0, 1, H)[:, None]
    x = torch.linspace(0, 1, W)[None]
    phase, left = torch.rand(2, generator=generator).tolist()
    wall = 4.0 + 0.6 * torch.sin(6 * x + 6 * phase) + 0 * y
    floor = 1.2 / (y - 0.45).clamp_min(1e-3)
    depth = torch.minimum(wall, floor)
    is_box = ((x - 0.2 - 0.5 * left).abs() < 0.12) & ((y - 0.55).abs() < 0.2)
    return torch.where(is_box, 2.0 + 0.5 * x, depth) * unit


def estimate(
    depth: Tensor, scale: float, shift: float, seed: int = 0, noise: float = 0.0, outliers: float = 0.0
) -> Tensor:
    """What an estimator makes of a depth for which 1 / depth = scale / estimate + shift."""
    generator = torch.Generator().manual_seed(seed)
    result = scale / (1 / depth.double() - shift)
    result = result * (1 + noise * torch.randn(depth.shape, generator=generator))
    wrong = torch.rand(depth.shape, generator=generator) < outliers
    factor = torch.rand(depth.shape, generator=generator) * 3 + 0.2
    return torch.where(wrong, result * factor, result).float()


def fit(depth: Tensor, memory_depth: Tensor) -> DisparityFit:
    return fit_disparity(depth, memory_depth, comparable_pixels(depth, memory_depth, K))


def test_two_depths_worked_out_by_hand_give_the_line_between_them():
    # Disparities 1/2 and 1/4 of the memory against 1 and 1/3 of the estimate: slope 0.375, shift 0.125.
    memory_depth = torch.full((H, W), 2.0)
    memory_depth[:, W // 2 :] = 4.0
    guess = torch.full((H, W), 1.0)
    guess[:, W // 2 :] = 3.0
    line = fit_disparity(guess, memory_depth, torch.ones(H, W, dtype=torch.bool))
    assert line.scale == pytest.approx(0.375, rel=1e-6)
    assert line.shift == pytest.approx(0.125, rel=1e-6)
    assert line.inlier_share == 1.0 and not line.is_scale_only
    assert_close(line.apply(torch.tensor([1.0, 3.0, 0.0, torch.nan])), torch.tensor([2.0, 4.0, 0.0, 0.0]))


@pytest.mark.parametrize("seed", range(12))
def test_scale_is_recovered_within_one_percent_under_noise_and_outliers(seed: int):
    generator = torch.Generator().manual_seed(100 + seed)
    scale = float(torch.exp(2 * torch.randn((), generator=generator)))
    shift = float(torch.rand((), generator=generator) - 0.5) * 0.2
    depth = room(seed)
    line = fit(estimate(depth, scale, shift, seed, noise=0.02, outliers=0.3), depth)
    assert abs(line.scale / scale - 1) < 0.01
    aligned = line.apply(estimate(depth, scale, shift))
    assert ((aligned / depth - 1).abs() < 0.01).all()


@pytest.mark.parametrize("factor", [1e-4, 1e4])
@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
def test_tiny_and_huge_units_change_nothing(factor: float, unit: float):
    depth = room(unit=unit)
    line = fit(estimate(depth, factor, 0.05 / unit, noise=0.01, outliers=0.2), depth)
    assert abs(line.scale / factor - 1) < 0.01
    assert line.shift * unit == pytest.approx(0.05, abs=2e-3)
    assert torch.isfinite(line.apply(estimate(depth, factor, 0.05 / unit))).all()


def test_exact_depth_gives_an_exact_line_though_half_the_pixels_lie():
    depth = room()
    line = fit(estimate(depth, 0.7, -0.03, outliers=0.5), depth)
    assert abs(line.scale / 0.7 - 1) < 1e-4
    assert line.shift == pytest.approx(-0.03, abs=1e-4)


def test_noise_in_the_estimate_does_not_flatten_the_line():
    # Least squares from estimate to memory would come out too flat by the share of noise in its variance.
    errors = [fit(estimate(room(s), 2.0, 0.0, s, noise=0.05), room(s)).scale / 2.0 - 1 for s in range(6)]
    assert abs(sum(errors) / len(errors)) < 0.004


@pytest.mark.parametrize("seed", [30, 41])
def test_a_clear_shift_is_kept_though_few_noisy_pixels_show_it(seed: int):
    depth = room(seed)
    line = fit(estimate(depth, 1.7, -0.095, seed, noise=0.05, outliers=0.3), depth)
    assert not line.is_scale_only
    assert line.scale == pytest.approx(1.7, rel=0.03)


def test_a_flat_wall_gives_a_scale_and_no_shift():
    wall = torch.full((H, W), 4.0)
    line = fit(estimate(wall, 2.5, 0.0, noise=0.01), wall)
    assert line.is_scale_only and line.shift == 0.0
    assert line.scale == pytest.approx(2.5, rel=5e-3)


def test_a_confident_minority_outweighs_the_rest():
    depth = room()
    wrong = torch.zeros(H, W, dtype=torch.bool)
    wrong[:, : 2 * W // 3] = True
    guess = torch.where(wrong, estimate(depth, 1.0, 0.1), estimate(depth, 3.0, 0.0))
    sure = torch.where(wrong, 0.05, 1.0)
    usable = torch.ones(H, W, dtype=torch.bool)
    assert fit_disparity(guess, depth, usable).scale == pytest.approx(1.0, rel=0.01)
    assert fit_disparity(guess, depth, usable, confidence=sure).scale == pytest.approx(3.0, rel=0.01)


def test_sky_confidence_normals_and_extremes_are_left_out():
    depth = room()
    sky = torch.zeros(H, W, dtype=torch.bool)
    sky[:5] = True
    sure = torch.ones(H, W)
    sure[:, :4] = 0.1
    usable = comparable_pixels(depth, depth, K, valid=~sky, confidence=sure, min_confidence=0.5, percentile=0)
    assert torch.equal(usable, ~sky & (sure > 0.5))
    trimmed = comparable_pixels(depth, depth, K, percentile=10)
    inside = depth[trimmed]
    assert inside.min() >= depth.quantile(0.09) and inside.max() <= depth.quantile(0.91)


def test_surfaces_that_face_opposite_ways_are_not_compared():
    # Two steep roofs, one rising and one falling to the right: their normals are more than 90 degrees apart.
    x = torch.arange(W) - W / 2
    rising = (6 + 0.2 * x).clamp_min(0.5).expand(H, W)
    falling = (6 - 0.2 * x).clamp_min(0.5).expand(H, W)
    usable = comparable_pixels(rising, falling, K, percentile=0)
    assert usable[:, W // 2 - 3 : W // 2 + 3].sum() == 0
    assert comparable_pixels(rising, rising, K, percentile=0).all()


def test_no_overlap_all_invalid_and_a_single_point_are_said_clearly():
    depth = room()
    single = torch.zeros(H, W)
    single[3, 4] = 1.0
    for guess in (torch.zeros(H, W), torch.full((H, W), torch.nan), single):
        usable = comparable_pixels(guess, depth, K)
        with pytest.raises(WorldStereoError, match=rf"share \d of {H * W} pixels, expected at least 8"):
            fit_disparity(guess, depth, usable)


def test_maps_of_different_sizes_are_refused():
    with pytest.raises(ShapeError, match="rendered depth"):
        comparable_pixels(torch.ones(H, W), torch.ones(H, W + 1), K)


def test_pixels_behind_the_horizon_become_no_data():
    line = DisparityFit(1.0, -0.2, 10, 1.0, 0.0, False, farthest=1000.0)
    aligned = line.apply(torch.tensor([2.0, 4.9, 4.99, 50.0]))
    assert_close(aligned[0], torch.tensor(1 / 0.3))
    assert (aligned[1:] > 0).tolist() == [True, False, False]
    assert torch.isfinite(aligned).all()


def clip(count: int = 8) -> list[Tensor]:
    return [room(seed) for seed in range(count)]


def aligned(guesses: list[Tensor], truths: list[Tensor]):
    usable = [comparable_pixels(guess, truth, K) for guess, truth in zip(guesses, truths, strict=True)]
    return align_clip(guesses, truths, usable)


def test_a_clean_clip_is_fitted_throughout():
    truths = clip()
    report = aligned([estimate(d, 2.0, 0.02, i, noise=0.02) for i, d in enumerate(truths)], truths)
    assert report.with_status("fitted") == tuple(range(8))
    assert all(frame.residual < 0.03 and frame.deviation < 0.1 for frame in report.frames)
    assert "factor 0.4" in report.text or "factor 0.5" in report.text


def test_planted_outlier_frames_are_found_and_rejected():
    truths = clip()
    guesses = [estimate(d, 2.0, 0.02, i, noise=0.02, outliers=0.1) for i, d in enumerate(truths)]
    guesses[2] = torch.rand(H, W, generator=torch.Generator().manual_seed(1)) * 9 + 0.1
    guesses[5] = estimate(truths[5], 5.0, 0.0)
    report = aligned(guesses, truths)
    assert report.with_status("rejected") == (2, 5)
    assert report.with_status("fitted") == (0, 1, 3, 4, 6, 7)
    assert "frame 2 adds no points" in report.text and "frame 5 adds no points" in report.text
    assert report.frames[2].fit is None and report.frames[2].residual is not None


def test_a_frame_mostly_covered_by_something_new_takes_its_neighbours_line():
    # The estimate is right, but two thirds of what the memory draws there is another surface.
    truths = clip()
    guesses = [estimate(d, 2.0, 0.02, i, noise=0.01) for i, d in enumerate(truths)]
    seen = list(truths)
    seen[4] = truths[4].clone()
    seen[4][:, : 2 * W // 3] = 3 * truths[4][:, : 2 * W // 3]
    report = aligned(guesses, seen)
    assert report.with_status("repaired") == (4,)
    entry = report.frames[4]
    assert entry.source_frame in (3, 5) and entry.fit is not None
    assert ((entry.fit.apply(guesses[4]) / truths[4] - 1).abs().median()) < 0.02


def test_a_frame_that_left_the_memory_takes_the_clips_line_only_if_the_clip_has_one():
    truths = clip(4)
    seen = [*truths[:3], torch.zeros(H, W)]
    one_scale = [estimate(d, 2.0, 0.0) for d in truths]
    report = aligned(one_scale, seen)
    assert report.with_status("repaired") == (3,)
    assert report.frames[3].source_frame == 2 and report.frames[3].residual is None
    own_scales = [estimate(d, s, 0.0) for d, s in zip(truths, (1.0, 2.5, 0.3, 1.0), strict=True)]
    report = aligned(own_scales, seen)
    assert report.with_status("rejected") == (3,)
    assert report.with_status("fitted") == (0, 1, 2)


def test_a_clip_without_any_fit_is_an_error():
    truths = clip(3)
    with pytest.raises(WorldStereoError, match="none of the 3 frames could be aligned"):
        aligned([torch.zeros(H, W)] * 3, truths)


def trucking(*shifts: float) -> Cameras:
    w2c = torch.eye(4).repeat(len(shifts), 1, 1)
    w2c[:, 0, 3] = -torch.tensor(shifts)
    return Cameras(w2c, K.expand(len(shifts), 3, 3), H, W)


def stairs(cameras: Cameras) -> Tensor:
    """Depths [T, H, W] of two walls, z = 3 above the horizon and z = 5 below, everywhere to the sides."""
    depth = torch.full((H, W), 3.0)
    depth[H // 2 :] = 5.0
    return depth.expand(len(cameras), H, W).clone()


def test_update_aligns_by_lines_and_rejects_a_planted_frame():
    cameras = trucking(0.0, 0.5, 1.0, 1.5, 2.0)
    depths = stairs(cameras)
    frames = torch.rand(5, 3, H, W, generator=torch.Generator().manual_seed(3))
    memory = initialise_memory(frames[0], depths[0], K, edge_threshold=0.0)
    guesses = torch.stack(
        [estimate(d, 0.25, 0.04, i, noise=0.01, outliers=0.2) for i, d in enumerate(depths)]
    )
    guesses[2] = torch.rand(H, W, generator=torch.Generator().manual_seed(4)) + 0.1
    settings = {"keep_frames": 4, "align_scale": True, "edge_threshold": 0.0, "radius": 0.1}
    sure = torch.full_like(guesses, 0.5)
    grown, report = memory.update(frames, cameras, guesses, alignment="robust", confidence=sure, **settings)
    assert report.alignment is not None
    assert report.alignment.with_status("rejected") == (2,)
    assert report.points_per_frame[1] == 0 and min(report.points_per_frame[::2]) > 0
    assert grown.views[2].depth is None and grown.views[1].depth is not None
    assert "frame 2 adds no points" in grown.history[-1]
    new = grown.points.select(grown.points.clip == 1)
    assert (new.confidence == 0.5).all() and torch.isfinite(new.xyz).all()
    near_walls = torch.minimum((new.xyz[:, 2] / 3 - 1).abs(), (new.xyz[:, 2] / 5 - 1).abs())
    assert near_walls.median() < 0.012
    # The median ratio alone cannot follow the shift.
    _, plain = memory.update(frames, cameras, guesses, **settings)
    assert plain.alignment is None and len(plain.scale_ratios) == 4


def test_update_refuses_unknown_alignment_and_confidence_out_of_range():
    cameras = trucking(0.0, 0.5)
    depths = stairs(cameras)
    frames = torch.rand(2, 3, H, W)
    memory = initialise_memory(frames[0], depths[0], K)
    with pytest.raises(WorldStereoError, match='alignment: got "best"'):
        memory.update(frames, cameras, depths, keep_frames=1, align_scale=True, alignment="best")
    for value in (2.0, math.nan):
        with pytest.raises(WorldStereoError, match="confidence: got values from"):
            memory.update(frames, cameras, depths, keep_frames=1, confidence=torch.full_like(depths, value))


def test_report_of_an_aligned_clip_is_frozen():
    truths = clip(3)
    report = aligned([estimate(d, 2.0, 0.0) for d in truths], truths)
    with pytest.raises(AttributeError):
        report.frames[0].status = "rejected"
    assert replace(report.frames[0], frame=7).frame == 7


@pytest.mark.parametrize("unit", [1e-4, 1e4])
@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_a_whole_update_works_in_tiny_and_huge_units(unit: float, factor: float):
    cameras = trucking(0.0, 0.5 * unit, 1.0 * unit, 1.5 * unit)
    depths = stairs(cameras) * unit
    frames = torch.rand(4, 3, H, W, generator=torch.Generator().manual_seed(5))
    memory = initialise_memory(frames[0], depths[0], K, edge_threshold=0.0)
    guesses = torch.stack([estimate(depth, factor, 0.02 / unit, noise=0.01) for depth in depths])
    settings = {"align_scale": True, "alignment": "robust", "edge_threshold": 0.0, "radius": 0.1}
    grown, report = memory.update(frames, cameras, guesses, keep_frames=3, **settings)
    assert report.alignment is not None and report.alignment.with_status("fitted") == (1, 2, 3)
    new = grown.points.select(grown.points.clip == 1)
    assert new.num_points > 0 and torch.isfinite(new.xyz).all()
    z = new.xyz[:, 2] / unit
    assert torch.minimum((z / 3 - 1).abs(), (z / 5 - 1).abs()).median() < 0.012


def test_a_clip_without_depth_data_is_an_error_and_frames_without_it_add_nothing():
    cameras = trucking(0.0, 0.5, 1.0, 1.5)
    depths = stairs(cameras)
    frames = torch.rand(4, 3, H, W, generator=torch.Generator().manual_seed(6))
    memory = initialise_memory(frames[0], depths[0], K, edge_threshold=0.0)
    settings = {"align_scale": True, "alignment": "robust", "edge_threshold": 0.0, "radius": 0.1}
    with pytest.raises(WorldStereoError, match="none of the 3 frames could be aligned"):
        memory.update(frames, cameras, torch.full_like(depths, torch.nan), keep_frames=3, **settings)
    depths[2] = torch.nan
    grown, report = memory.update(frames, cameras, 2 * depths, keep_frames=3, **settings)
    assert report.points_per_frame[1] == 0 and report.points_per_frame[2] > 0
    assert torch.isfinite(grown.points.xyz).all()
