"""Point clouds: one pixel by hand, then selection, joining, merging and refusals."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.geometry.cameras import project
from worldstereo_core.geometry.point_cloud import Evidence, PointCloud, depth_to_points

H, W = 8, 10
K = torch.tensor([[12.0, 0, 5], [0, 11.0, 4], [0, 0, 1]])
EYE = torch.eye(4)


def random_cloud(count: int, seed: int = 0, normals: bool = False) -> PointCloud:
    generator = torch.Generator().manual_seed(seed)
    normal = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    return PointCloud(
        xyz=torch.randn(count, 3, generator=generator),
        rgb=torch.rand(count, 3, generator=generator),
        confidence=torch.rand(count, generator=generator),
        clip=torch.full((count,), seed, dtype=torch.int32),
        normal=normal if normals else None,
    )


def picture(seed: int = 0) -> torch.Tensor:
    return torch.rand(3, H, W, generator=torch.Generator().manual_seed(seed))


def test_a_pixel_becomes_the_point_worked_out_by_hand() -> None:
    image = picture()
    w2c = EYE.clone()
    w2c[2, 3] = 1.0  # the camera stands at world z = -1
    cloud = depth_to_points(image, torch.full((H, W), 6.0), K, w2c)
    assert cloud.num_points == H * W
    row, column = 1, 7  # x = (7.5 - 5) / 12 * 6, y = (1.5 - 4) / 11 * 6, z = 6 - 1
    point = row * W + column
    assert_close(cloud.xyz[point], torch.tensor([1.25, -15 / 11, 5.0]))
    assert torch.equal(cloud.rgb[point], image[:, row, column])
    assert cloud.confidence[point] == 1 and cloud.clip[point] == 0


def test_points_project_back_to_their_pixel_centres_and_depth() -> None:
    depth = 2 + torch.rand(H, W, generator=torch.Generator().manual_seed(1))
    w2c = EYE.clone()
    w2c[:3, 3] = torch.tensor([0.3, -0.2, 0.5])
    cloud = depth_to_points(picture(), depth, K, w2c, edge_threshold=0)
    xy, z = project(cloud.xyz, K, w2c)
    rows, columns = torch.meshgrid(torch.arange(H) + 0.5, torch.arange(W) + 0.5, indexing="ij")
    assert_close(xy, torch.stack([columns, rows], -1).reshape(-1, 2), atol=1e-4, rtol=0)
    assert_close(z, depth.flatten(), atol=1e-5, rtol=0)


def test_masked_pixels_and_pixels_without_data_make_no_points() -> None:
    depth = torch.full((H, W), 3.0)
    depth[0, 0], depth[0, 1] = 0.0, torch.nan
    mask = torch.zeros(H, W, dtype=torch.bool)
    mask[7, 9] = True
    cloud = depth_to_points(picture(), depth, K, EYE, mask=mask, edge_threshold=0)
    assert cloud.num_points == H * W - 3
    assert torch.isfinite(cloud.xyz).all()


def test_depth_edges_are_removed_beside_a_masked_sky() -> None:
    depth = torch.full((H, W), 1.0)
    depth[:, 5:] = 4.0
    depth[0] = 0.0
    by_mode = {
        mode: depth_to_points(picture(), depth, K, EYE, edge_mode=mode).num_points
        for mode in ("masked", "official")
    }
    assert by_mode["masked"] == (H - 2) * (W - 2)  # without the sky, its rim, and the two columns at the step
    assert by_mode["official"] == (H - 2) * W


def test_far_points_are_contracted() -> None:
    depth = torch.ones(H, W)
    depth[:, -1] = 1000.0
    cloud = depth_to_points(picture(), depth, K, EYE, edge_threshold=0)
    assert 15.9 < cloud.xyz[:, 2].max() < 16
    plain = depth_to_points(picture(), depth, K, EYE, edge_threshold=0, far_contraction=0)
    assert plain.xyz[:, 2].max() == 1000


def test_confidence_normals_and_clip_travel_with_the_points() -> None:
    confidence = torch.rand(H, W, generator=torch.Generator().manual_seed(3))
    normals = torch.nn.functional.normalize(torch.randn(H, W, 3), dim=-1)
    normals[2, 2] = torch.nan
    depth = torch.full((H, W), 2.0)
    cloud = depth_to_points(
        picture(), depth, K, EYE, clip=4, confidence=confidence, normals=normals, edge_threshold=0
    )
    kept = torch.ones(H, W, dtype=torch.bool)
    kept[2, 2] = False
    assert torch.equal(cloud.confidence, confidence[kept])
    assert cloud.normal is not None and torch.equal(cloud.normal, normals[kept])
    assert cloud.clip.dtype == torch.int32 and (cloud.clip == 4).all()


@pytest.mark.parametrize(
    ("depth", "message"),
    [
        (torch.zeros(H, W), "no pixel of the .* map has data"),
        (torch.full((H, W), torch.inf), "no pixel of the .* map has data"),
        (torch.full((H, W), -2.0), "smallest value is -2"),
        (torch.eye(H, W), "8 points are left of 8"),
    ],
    ids=["empty", "infinite", "negative", "eight points"],
)
def test_depth_without_enough_data_is_refused(depth: torch.Tensor, message: str) -> None:
    with pytest.raises(WorldStereoError, match=message):
        depth_to_points(picture(), depth, K, EYE, edge_threshold=0)


def test_nine_points_are_enough() -> None:
    depth = torch.eye(H, W)
    depth[0, 5] = 1.0
    assert depth_to_points(picture(), depth, K, EYE, edge_threshold=0).num_points == 9


def test_maps_of_another_size_than_the_image_are_refused() -> None:
    depth = torch.ones(H, W)
    with pytest.raises(ShapeError, match=r"depth: got a map of shape \[10, 8\], expected \[8, 10\]"):
        depth_to_points(picture(), depth.T, K, EYE)
    with pytest.raises(ShapeError, match="mask"):
        depth_to_points(picture(), depth, K, EYE, mask=torch.zeros(4, 5))
    with pytest.raises(ShapeError, match="confidence"):
        depth_to_points(picture(), depth, K, EYE, confidence=torch.zeros(4, 5))
    with pytest.raises(ShapeError, match="K"):
        depth_to_points(picture(), depth, K[None], EYE)


def test_a_cloud_whose_parts_differ_in_length_is_refused() -> None:
    with pytest.raises(ShapeError, match="colours"):
        PointCloud(torch.zeros(5, 3), torch.zeros(4, 3), torch.zeros(5), torch.zeros(5))


def test_concat_keeps_order_and_every_field() -> None:
    first, second = random_cloud(4, 1, normals=True), random_cloud(3, 2, normals=True)
    joined = PointCloud.concat([first, second])
    assert joined.clip.tolist() == [1, 1, 1, 1, 2, 2, 2]
    assert torch.equal(joined.xyz[4:], second.xyz)
    assert joined.normal is not None and torch.equal(joined.normal[:4], first.normal)


def test_concat_drops_normals_that_not_all_clouds_have_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        joined = PointCloud.concat([random_cloud(4, 1, normals=True), random_cloud(3, 2)])
    assert joined.normal is None
    assert "the result has none" in caplog.text


def test_select_takes_a_mask_or_indices_in_their_order() -> None:
    cloud = random_cloud(5, normals=True)
    mask = torch.tensor([True, False, False, True, False])
    assert torch.equal(cloud.select(mask).xyz, cloud.xyz[[0, 3]])
    assert torch.equal(cloud.select(torch.tensor([3, 0])).rgb, cloud.rgb[[3, 0]])


def test_voxels_merge_points_into_their_mean() -> None:
    cloud = PointCloud(
        xyz=torch.tensor([[0.1, 0.1, 0.1], [0.3, 0.5, 0.9], [1.5, 0.0, 0.0], [-0.1, 0.0, 0.0]]),
        rgb=torch.tensor([[0.0, 0, 0], [1.0, 0.5, 0], [0.2, 0.2, 0.2], [0.3, 0.3, 0.3]]),
        confidence=torch.tensor([1.0, 0.5, 0.25, 0.0]),
        clip=torch.tensor([3, 2, 1, 0], dtype=torch.int32),
    )
    merged = cloud.voxel_downsample(1.0)
    assert_close(merged.xyz, torch.tensor([[-0.1, 0, 0], [0.2, 0.3, 0.5], [1.5, 0, 0]]))
    assert_close(merged.rgb[1], torch.tensor([0.5, 0.25, 0]))
    assert merged.confidence.tolist() == [0.0, 0.75, 0.25]
    assert merged.clip.tolist() == [0, 2, 1]


def test_voxels_smaller_than_all_distances_keep_every_point() -> None:
    cloud = random_cloud(50, normals=True)
    merged = cloud.voxel_downsample(1e-5)
    assert merged.num_points == 50
    assert_close(merged.xyz.sum(0), cloud.xyz.sum(0), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), 1e-9])
def test_voxel_sizes_that_cannot_be_used_are_refused(size: float) -> None:
    with pytest.raises(WorldStereoError, match="voxel size"):
        random_cloud(5).voxel_downsample(size)


def test_evidence_travels_with_its_points_and_defaults_to_one_sighting() -> None:
    fused = replace(
        random_cloud(3),
        evidence=Evidence(torch.tensor([0.5, 2.0, 3.0]), torch.tensor([1, 4, 9]), torch.tensor([0, 1, 2])),
    )
    plain = random_cloud(2, seed=1)
    joined = PointCloud.concat([fused, plain]).select(torch.tensor([4, 2, 0]))
    assert joined.evidence is not None
    assert_close(joined.evidence.weight, torch.tensor([float(plain.confidence[1]), 3.0, 0.5]))
    assert joined.evidence.seen.tolist() == [1, 9, 1] and joined.evidence.missed.tolist() == [0, 2, 0]
    assert PointCloud.concat([plain, plain]).evidence is None
    one = replace(fused, xyz=fused.xyz.abs()).voxel_downsample(1e3).evidence
    assert one is not None and one.weight.tolist() == [5.5]
    assert (one.seen.tolist(), one.missed.tolist()) == ([14], [3])
    with pytest.raises(ShapeError, match="point seen counts"):
        replace(plain, evidence=fused.evidence and replace(fused.evidence, weight=torch.ones(2)))
