"""Depth from the dicts of core's estimators, and back onto MoGe's."""

from __future__ import annotations

import math

import pytest
import torch

from worldstereo_core.adapters.comfy.geometry_input import (
    depth_to_geometry,
    geometry_to_depth,
    panorama_to_distance,
)
from worldstereo_core.checks import ShapeError, WorldStereoError


def moge(batch=1, height=8, width=10, **changes):
    depth = torch.full((batch, height, width), 2.0)
    return {
        "depth": depth,
        "points": torch.zeros(batch, height, width, 3),
        "mask": torch.ones(batch, height, width, dtype=torch.bool),
        "intrinsics": torch.tensor([[0.8, 0, 0.5], [0, 1.0, 0.5], [0, 0, 1]]).expand(batch, 3, 3),
        **changes,
    }


def test_moge_intrinsics_become_pixels():
    found = geometry_to_depth(moge())
    assert found.K is not None
    assert found.K[0].tolist() == [[8, 0, 5], [0, 8, 4], [0, 0, 1]]


def test_masked_and_infinite_moge_depth_is_no_data():
    geometry = moge()
    geometry["mask"][0, 0, 0] = False
    geometry["depth"][0, 0, 1] = torch.inf
    depth = geometry_to_depth(geometry).depth
    assert depth[0, 0, :3].tolist() == [0, 0, 2]
    assert geometry["depth"][0, 0, 0] == 2, "the estimator's own tensor must not change"


def test_a_moge_panorama_is_refused():
    geometry = moge()
    del geometry["intrinsics"]
    with pytest.raises(WorldStereoError, match="panorama"):
        geometry_to_depth(geometry)


def test_depth_anything_intrinsics_are_brought_to_the_size_of_the_depth():
    # The model ran at 56 x 70 (height x width); the depth came back at 8 x 10.
    K = torch.tensor([[70.0, 0, 35], [0, 70, 28], [0, 0, 1]]).expand(1, 2, 3, 3)
    geometry = {
        "depth": torch.ones(2, 8, 10),
        "mode": "multiview",
        "intrinsics": K,
        "image": torch.ones(2, 8, 10, 3),
    }
    found = geometry_to_depth(geometry)
    assert found.K is not None and found.K.shape == (2, 3, 3)
    torch.testing.assert_close(found.K[1], torch.tensor([[10.0, 0, 5], [0, 10, 4], [0, 0, 1]]))


def test_depth_anything_sky_is_no_data_and_mono_has_no_field_of_view():
    sky = torch.zeros(1, 8, 10)
    sky[0, :2] = 0.9
    found = geometry_to_depth({"depth": torch.ones(1, 8, 10), "mode": "mono", "sky": sky})
    assert found.depth[0, :, 0].tolist() == [0, 0, 1, 1, 1, 1, 1, 1]
    with pytest.raises(WorldStereoError, match="fov_deg: 0 takes the field of view from the geometry"):
        found.require_K(0)
    # 90 degrees across 10 pixels: the focal length is half the width.
    assert found.require_K(90)[0, 0, 0].item() == pytest.approx(5 / math.tan(math.pi / 4))


def test_a_depth_picture_may_hold_disparity():
    picture = torch.tensor([2.0, 0.5, 0.0]).reshape(1, 1, 3, 1).expand(1, 1, 3, 3)
    assert geometry_to_depth(picture).depth.flatten().tolist() == [2, 0.5, 0]
    assert geometry_to_depth(picture, picture_kind="disparity").depth.flatten().tolist() == [0.5, 2, 0]


@pytest.mark.parametrize("empty", [torch.zeros(1, 8, 10), torch.full((1, 8, 10), torch.nan)])
def test_depth_without_data_is_refused(empty):
    with pytest.raises(WorldStereoError, match="geometry: no pixel of the"):
        geometry_to_depth(moge(depth=empty))


def test_something_else_than_geometry_is_refused():
    with pytest.raises(WorldStereoError, match="expected geometry with depth"):
        geometry_to_depth({"vertices": 1})


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ShapeError, match="its mask is"):
        geometry_to_depth(moge(mask=torch.ones(1, 4, 5, dtype=torch.bool)))


def test_depth_goes_to_moge_geometry_and_back():
    depth = torch.rand(2, 8, 10, generator=torch.Generator().manual_seed(0)) + 1
    depth[0, 0, 0] = 0
    K = torch.tensor([[9.0, 0, 5], [0, 9, 4], [0, 0, 1]]).expand(2, 3, 3)
    geometry = depth_to_geometry(depth, K)
    assert geometry["points"][0, 0, 0].isinf().all() and not geometry["mask"][0, 0, 0]
    torch.testing.assert_close(geometry["points"][1, ..., 2], depth[1])
    found = geometry_to_depth(geometry)
    torch.testing.assert_close(found.depth, depth)
    torch.testing.assert_close(found.K, K.contiguous())


def test_depth_without_intrinsics_leaves_points_out():
    geometry = depth_to_geometry(torch.ones(1, 8, 10), None)
    assert sorted(geometry) == ["depth", "mask"]
    assert geometry_to_depth(geometry).K is None


def test_depth_anything_tells_how_sure_it_is_and_where_sky_is():
    geometry = {
        "depth": torch.ones(1, 8, 10),
        "mode": "mono",
        "confidence": torch.full((1, 8, 10), 4.0),
        "sky": torch.zeros(1, 8, 10),
    }
    geometry["confidence"][0, 0, :2] = torch.tensor([1.0, torch.nan])
    geometry["sky"][0, 1] = 0.9
    found = geometry_to_depth(geometry)
    assert found.confidence is not None and found.sky is not None
    assert found.confidence[0, 0, :3].tolist() == [0.0, 0.0, 0.75]
    assert found.sky[0, 1].all() and found.sky.sum() == 10 and not found.depth[0, 1].any()
    with pytest.raises(ShapeError, match="confidence"):
        geometry_to_depth({**geometry, "confidence": torch.ones(1, 8, 9)})
    assert geometry_to_depth(moge()).confidence is None


def test_a_moge_panorama_gives_its_distances():
    geometry = moge(height=8, width=16)
    del geometry["intrinsics"]
    geometry["mask"][0, 0, 0] = False
    distance = panorama_to_distance(geometry)
    assert distance.shape == (8, 16) and distance[0, 0] == 0 and distance[4, 5] == 2
    assert torch.equal(panorama_to_distance(torch.full((1, 8, 16, 3), 2.0)), torch.full((8, 16), 2.0))
    with pytest.raises(WorldStereoError, match="geometry of an ordinary picture"):
        panorama_to_distance(moge())
    with pytest.raises(ShapeError, match="distances of 2 pictures"):
        panorama_to_distance(torch.ones(2, 8, 16, 3))
