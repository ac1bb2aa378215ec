"""The point renderer: one point by hand, then against the slow reference, then pytorch3d's frames."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import PathError, ShapeError, WorldStereoError
from worldstereo_core.commands.verify.runner import verify_one
from worldstereo_core.geometry import rasterize
from worldstereo_core.geometry.cameras import Cameras
from worldstereo_core.geometry.point_cloud import PointCloud, depth_to_points
from worldstereo_core.geometry.rasterize import rasterize_points
from worldstereo_core.geometry.render import render_points
from worldstereo_core.geometry.render_reference import render_points_reference

H, W = 8, 10
K = torch.tensor([[10.0, 0, 5], [0, 10.0, 4], [0, 0, 1]])


def camera(height: int = H, width: int = W, K: torch.Tensor = K, frames: int = 1) -> Cameras:
    return Cameras(torch.eye(4).repeat(frames, 1, 1), K.repeat(frames, 1, 1), height, width)


def cloud(xyz: list[list[float]], rgb: list[list[float]] | None = None) -> PointCloud:
    count = len(xyz)
    return PointCloud(
        xyz=torch.tensor(xyz).reshape(count, 3),
        rgb=torch.tensor(rgb).reshape(count, 3) if rgb is not None else torch.ones(count, 3),
        confidence=torch.ones(count),
        clip=torch.zeros(count, dtype=torch.int32),
    )


def random_cloud(count: int, generator: torch.Generator) -> PointCloud:
    xyz = torch.randn(count, 3, generator=generator) * 2
    # Coarse steps of depth make many points equally deep; some lie behind the camera.
    xyz[:, 2] = (xyz[:, 2] * 4).round() / 4 + 1
    return PointCloud(
        xyz, torch.rand(count, 3, generator=generator), torch.ones(count), torch.zeros(count).int()
    )


def test_a_point_covers_the_pixel_centres_strictly_inside_its_radius() -> None:
    # At pixel (5.5, 3.5), the centre of column 5, row 3. Radius 0.25 of half of 8 rows is exactly 1 pixel.
    points = cloud([[0.05 * 4, -0.05 * 4, 4.0]])
    just_one = render_points(points, camera(), radius=0.25)
    assert just_one.hole_mask[0].eq(0).nonzero().tolist() == [[3, 5]]
    plus = render_points(points, camera(), radius=0.2501)
    assert plus.hole_mask[0].eq(0).nonzero().tolist() == [[2, 5], [3, 4], [3, 5], [3, 6], [4, 5]]


def test_radius_counts_in_halves_of_the_shorter_side_whichever_that_is() -> None:
    upright = camera(W, H, torch.tensor([[10.0, 0, 4], [0, 10.0, 5], [0, 0, 1]]))
    points = cloud([[0.0, 0.0, 4.0]])
    for cameras in (camera(), upright):
        covered = render_points(points, cameras, radius=0.3).hole_mask.eq(0).sum()
        assert covered == 4  # the point is on a pixel corner; 0.3 of 4 pixels reaches the 4 centres 0.71 away


def test_a_half_covered_pixel_fades_to_grey() -> None:
    # The point lies 0.6 px from the centre of pixel (row 3, column 5); radius 1 px: alpha = 1 - 0.36.
    points = cloud([[0.06 * 4 + 0.05 * 4, -0.05 * 4, 4.0]], [[1.0, 0.0, 0.5]])
    pixel = render_points(points, camera(), radius=0.25).image[0, :, 3, 5]
    assert_close(pixel, torch.tensor([0.64 + 0.36 * 0.5, 0.36 * 0.5, 0.5]))


def test_points_blend_front_to_back_without_normalising() -> None:
    near, far = [0.11 * 2, -0.05 * 2, 2.0], [0.05 * 4, -0.05 * 4, 4.0]  # 0.6 px off and right on the centre
    for order in ([near, far], [far, near]):
        colours = [[1.0, 0, 0] if point is near else [0, 1.0, 0] for point in order]
        frames = render_points(cloud(order, colours), camera(), radius=0.25)
        assert_close(frames.image[0, :, 3, 5], torch.tensor([0.64, 0.36, 0.0]))
        assert frames.depth[0, 3, 5] == 2.0


def test_only_the_nearest_points_of_a_pixel_count() -> None:
    near, far = [0.11 * 2, -0.05 * 2, 2.0], [0.05 * 4, -0.05 * 4, 4.0]
    frames = render_points(
        cloud([far, near], [[0, 1.0, 0], [1.0, 0, 0]]), camera(), radius=0.25, points_per_pixel=1
    )
    assert_close(frames.image[0, :, 3, 5], torch.tensor([0.82, 0.18, 0.18]))


def test_of_equally_deep_points_the_lower_index_comes_first() -> None:
    spot = [0.05 * 4, -0.05 * 4, 4.0]
    fragments = rasterize_points(torch.tensor([spot, spot, spot]), K, torch.eye(4), H, W, 0.25, 4)
    assert fragments.index[3, 5].tolist() == [0, 1, 2, -1]
    assert fragments.depth[3, 5].tolist() == [4.0, 4.0, 4.0, -1.0]
    assert fragments.distance2[3, 5, 3] == -1


def test_points_behind_the_camera_are_skipped_and_there_is_no_near_plane() -> None:
    frames = render_points(cloud([[0.0, 0.0, -1.0], [0.0, 0.0, 1e-4], [0.0, 0.0, 0.0]]), camera(), radius=0.3)
    assert frames.hole_mask.eq(0).sum() == 4
    assert frames.depth.max().item() == pytest.approx(1e-4)


def test_points_outside_the_image_still_cover_its_border() -> None:
    frames = render_points(cloud([[-0.55 * 4, 0.05 * 4, 4.0]]), camera(), radius=0.3)  # x = -0.5 px
    assert frames.hole_mask[0].eq(0).nonzero().tolist() == [[4, 0]]


def test_holes_take_the_background_and_covered_pixels_do_not() -> None:
    points = cloud([[0.11 * 4, -0.05 * 4, 4.0]])
    frames = render_points(points, camera(), radius=0.25, background=(0.1, 0.2, 0.3))
    hole = frames.hole_mask[0] > 0
    assert_close(frames.image[0][:, hole], torch.tensor([[0.1], [0.2], [0.3]]).expand(3, int(hole.sum())))
    assert_close(frames.image[0, :, 3, 5], torch.full((3,), 0.64 + 0.18))
    assert (frames.depth[0][hole] == 0).all()


@pytest.mark.parametrize("count", [0, 5])
def test_a_frame_that_sees_no_point_is_all_hole(count: int) -> None:
    points = cloud([[100.0, 0.0, 1.0]] * count) if count else random_cloud(0, torch.Generator())
    frames = render_points(points, camera(frames=2))
    assert frames.image.shape == (2, 3, H, W)
    assert (frames.hole_mask == 1).all() and (frames.image == 0.5).all() and (frames.depth == 0).all()


@pytest.mark.parametrize("radius", [0.05, 0.3, 1.1, 4.0])
@pytest.mark.parametrize(
    ("band_pixels", "candidates"),
    [(2**15 - 1, 2**20), (25, 2**20), (2**15 - 1, 1), (25, 60), (2**20, 2**24)],
    ids=["whole", "bands", "point by point", "bands in chunks", "as on a GPU"],
)
def test_rendering_equals_the_slow_reference(
    radius: float, band_pixels: int, candidates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rasterize, "CPU_BAND_PIXELS", band_pixels)
    monkeypatch.setattr(rasterize, "CPU_CANDIDATES", candidates)
    generator = torch.Generator().manual_seed(int(radius * 100) + band_pixels + candidates)
    points = random_cloud(120, generator)
    cameras = camera()
    for points_per_pixel in (1, 3, 200):
        fast = render_points(points, cameras, radius=radius, points_per_pixel=points_per_pixel)
        slow = render_points_reference(points, cameras, radius=radius, points_per_pixel=points_per_pixel)
        assert torch.equal(fast.hole_mask, slow.hole_mask)
        assert_close(fast.image, slow.image, atol=2e-5, rtol=0)
        assert_close(fast.depth, slow.depth)


def test_wide_frames_number_their_pixels_without_overflow() -> None:
    # One row of more than 2^15 pixels does not fit the 16-bit pixel numbers.
    width = 40_000
    K = torch.tensor([[10.0, 0, width / 2], [0, 10.0, 1], [0, 0, 1]])
    points = cloud([[(column + 0.5 - width / 2) / 10, -0.05, 1.0] for column in (0, 32_768, width - 1)])
    frames = render_points(points, camera(2, width, K), radius=0.1)
    assert frames.hole_mask[0].eq(0).nonzero().tolist() == [[0, 0], [0, 32_768], [0, width - 1]]


def test_rendering_at_the_source_view_gives_the_picture_back() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, H, W, generator=generator)
    depth = 2 + torch.rand(H, W, generator=generator)
    points = depth_to_points(image, depth, K, torch.eye(4), edge_threshold=0)
    frames = render_points(points, camera(), radius=0.2)
    assert (frames.hole_mask == 0).all()
    assert_close(frames.image[0], image, atol=1e-4, rtol=0)
    assert_close(frames.depth[0], depth)


def test_moving_the_camera_moves_the_picture_the_other_way() -> None:
    w2c = torch.eye(4)[None].clone()
    w2c[0, 0, 3] = -0.4  # the camera stands 0.4 to the right: at depth 4 and focal length 10, one pixel
    points = cloud([[0.05 * 4, -0.05 * 4, 4.0]])
    frames = render_points(points, Cameras(w2c, K[None], H, W), radius=0.25)
    assert frames.hole_mask[0].eq(0).nonzero().tolist() == [[3, 4]]


def test_points_of_low_confidence_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    base = cloud([[0.05 * 4, -0.05 * 4, 4.0], [-0.05 * 4, -0.05 * 4, 4.0]])
    points = PointCloud(base.xyz, base.rgb, torch.tensor([0.2, 0.9]), base.clip)
    frames = render_points(points, camera(), radius=0.25, min_confidence=0.5)
    assert frames.hole_mask[0].eq(0).nonzero().tolist() == [[3, 4]]
    with caplog.at_level(logging.WARNING):
        nothing = render_points(points, camera(), radius=0.25, min_confidence=0.95)
    assert (nothing.hole_mask == 1).all() and "every pixel is a hole" in caplog.text


def test_progress_is_told_after_each_frame_and_may_interrupt() -> None:
    calls: list[tuple[int, int]] = []
    render_points(cloud([[0.0, 0.0, 1.0]]), camera(frames=3), progress=lambda *done: calls.append(done))
    assert calls == [(1, 3), (2, 3), (3, 3)]

    def interrupt(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        render_points(cloud([[0.0, 0.0, 1.0]]), camera(frames=3), progress=interrupt)


def test_a_dense_frame_can_be_interrupted_within(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worldstereo_core.geometry.rasterize.CPU_CANDIDATES", 64)
    points = random_cloud(300, torch.Generator().manual_seed(0))
    calls: list[tuple[int, int]] = []
    render_points(
        points, camera(), radius=0.4, points_per_pixel=50, progress=lambda *done: calls.append(done)
    )
    assert calls[-1] == (1, 1)
    assert len(calls) > 3 and set(calls[:-1]) == {(0, 1)}


def test_rendering_twice_gives_the_same_bits() -> None:
    points = random_cloud(3000, torch.Generator().manual_seed(0))
    first, second = (render_points(points, camera(), radius=0.4) for _ in range(2))
    assert torch.equal(first.image, second.image) and torch.equal(first.depth, second.depth)


def test_what_cannot_be_drawn_is_refused() -> None:
    points = cloud([[0.0, 0.0, 1.0]])
    with pytest.raises(WorldStereoError, match="1 of 1 positions are not finite"):
        render_points(cloud([[0.0, torch.nan, 1.0]]), camera())
    with pytest.raises(PathError, match="not finite"):
        render_points(points, Cameras(torch.full((1, 4, 4), torch.nan), K[None], H, W))
    with pytest.raises(ShapeError, match="2 world-to-camera matrices but 1 intrinsics"):
        render_points(points, Cameras(torch.eye(4).repeat(2, 1, 1), K[None], H, W))
    with pytest.raises(PathError, match="no frame"):
        render_points(points, Cameras(torch.eye(4).repeat(0, 1, 1), K.repeat(0, 1, 1), H, W))
    with pytest.raises(WorldStereoError, match="radius"):
        render_points(points, camera(), radius=0)
    with pytest.raises(WorldStereoError, match="points_per_pixel"):
        render_points(points, camera(), points_per_pixel=0)
    with pytest.raises(ShapeError, match="background"):
        render_points(points, camera(), background=(0.0, 1.0))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_draws_what_the_cpu_draws() -> None:
    points = random_cloud(5000, torch.Generator().manual_seed(0))
    cameras = camera(48, 64, torch.tensor([[40.0, 0, 32], [0, 40.0, 24], [0, 0, 1]]), frames=2)
    on_cpu = render_points(points, cameras, radius=0.1)
    gpu = torch.device("cuda")
    on_gpu = render_points(points.to(gpu), cameras, radius=0.1)
    # The two round a position differently, so a pixel on the very rim of a disc may change sides.
    assert (on_cpu.hole_mask != on_gpu.hole_mask.cpu()).float().mean() <= 1e-3
    assert ((on_cpu.image - on_gpu.image.cpu()).abs() > 2e-3).float().mean() <= 2e-3


def test_renders_reproduce_the_small_golden(golden_dir: Path) -> None:
    verdict = verify_one(golden_dir, "g8_render", "diffusers")
    assert verdict.passed, verdict


@pytest.mark.shared
def test_renders_reproduce_the_whole_golden(shared_golden: Path) -> None:
    verdict = verify_one(shared_golden, "g8_render", "diffusers")
    assert verdict.passed, verdict


def test_confidence_is_blended_as_colour_is_but_does_not_fade():
    # Two points over one pixel centre, half and three quarters of their discs away, as in composite.
    xyz = torch.tensor([[0.0, 0.0, 2.0], [0.0, 0.0, 3.0]])
    points = PointCloud(xyz, torch.rand(2, 3), torch.tensor([0.2, 0.8]), torch.zeros(2, dtype=torch.int32))
    K = torch.tensor([[10.0, 0, 4.5], [0, 10.0, 4.5], [0, 0, 1]])
    camera = Cameras(torch.eye(4)[None], K[None], 9, 9)
    plain = render_points(points, camera, radius=0.4)
    drawn = render_points(points, camera, radius=0.4, with_confidence=True)
    assert plain.confidence is None and drawn.confidence is not None
    assert torch.equal(plain.image, drawn.image) and torch.equal(plain.hole_mask, drawn.hole_mask)
    # In the middle the near point is opaque; one pixel beside it both have alpha 1 - (1 / 1.8)^2.
    alpha = 1 - (1 / 1.8) ** 2
    beside = (0.2 * alpha + 0.8 * (1 - alpha) * alpha) / (alpha + (1 - alpha) * alpha)
    assert float(drawn.confidence[0, 4, 4]) == pytest.approx(0.2, abs=1e-5)
    assert float(drawn.confidence[0, 4, 5]) == pytest.approx(beside, abs=1e-5)
    assert not drawn.confidence[drawn.hole_mask > 0].any()
    assert drawn.to("cpu").confidence is not None
