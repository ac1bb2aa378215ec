"""Making a memory from one picture, looking at it, counting it."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from worldstereo_core.checks import PathError, ShapeError, WorldStereoError
from worldstereo_core.geometry.cameras import Cameras
from worldstereo_core.geometry.trajectory import Trajectory
from worldstereo_core.memory.memory import initialise_memory

H, W = 8, 10
K = torch.tensor([[10.0, 0, W / 2], [0, 10, H / 2], [0, 0, 1]])


def picture(seed: int = 0) -> Tensor:
    """Colours that 8 bits hold exactly."""
    return torch.randint(0, 256, (3, H, W), generator=torch.Generator().manual_seed(seed)) / 255


def flat_depth() -> Tensor:
    return torch.full((H, W), 2.0)


def test_bank_starts_with_the_input_image_alone():
    image = picture()
    memory = initialise_memory(image, flat_depth(), K)
    (view,) = memory.views
    assert (view.name, view.clip, view.height, view.width) == ("image", 0, H, W)
    assert torch.equal(view.image, (image * 255).round().to(torch.uint8))
    assert torch.equal(view.w2c, torch.eye(4))
    assert torch.equal(view.K, K)
    assert memory.points.clip.unique().tolist() == [0]


def test_points_lie_where_the_depth_says():
    memory = initialise_memory(picture(), torch.full((H, W), 2.0), K)
    # Pixel (0, 0) is centred at 0.5, 0.5: x = (0.5 - 5) / 10 * 2.
    assert_close(memory.points.xyz[0], torch.tensor([-0.9, -0.7, 2.0]))
    assert memory.points.num_points == H * W


def test_world_origin_follows_the_given_camera():
    w2c = torch.eye(4)
    w2c[:3, 3] = torch.tensor([0.0, 0.0, -1.0])  # the camera stands at z = 1
    memory = initialise_memory(picture(), torch.full((H, W), 2.0), K, w2c)
    assert_close(memory.points.xyz[:, 2], torch.full((H * W,), 3.0))
    assert torch.equal(memory.views[0].w2c, w2c)


def test_median_depth_is_taken_before_far_contraction_and_over_valid_pixels():
    depth = torch.full((H, W), 2.0)
    depth[:, 0] = 0.0
    depth[:, 1] = torch.nan
    depth[:, 2] = 50.0
    depth[:, 3:7] = 1000.0
    mask = torch.zeros(H, W, dtype=torch.bool)
    mask[:, 3:7] = True
    memory = initialise_memory(picture(), depth, K, mask=mask, far_contraction=8.0, edge_threshold=0.0)
    assert memory.median_depth == 2.0
    assert memory.far_limit == 16.0
    assert_close(memory.points.xyz[:, 2].max(), torch.tensor(2 * 16 - 16**2 / 50), atol=1e-4, rtol=0)


def test_depth_of_the_view_agrees_with_the_points():
    depth = flat_depth()
    depth[0, 0] = 90.0
    depth[1, 1] = torch.inf
    memory = initialise_memory(picture(), depth, K, edge_threshold=0.0)
    stored = memory.views[0].depth
    assert stored is not None
    assert stored[1, 1] == 0
    assert_close(stored[stored > 0], memory.points.xyz[:, 2])


def test_without_far_contraction_nothing_is_ever_contracted():
    memory = initialise_memory(picture(), flat_depth(), K, far_contraction=0)
    assert memory.far_limit == math.inf


def test_callers_tensors_are_left_alone():
    image, depth = picture(), flat_depth()
    depth[0, 0] = 500.0
    image_before, depth_before = image.clone(), depth.clone()
    initialise_memory(image, depth, K)
    assert torch.equal(image, image_before)
    assert torch.equal(depth, depth_before)


def test_a_memory_cannot_be_edited():
    memory = initialise_memory(picture(), flat_depth(), K)
    with pytest.raises(FrozenInstanceError):
        memory.median_depth = 1.0  # type: ignore[misc]


def test_rendering_from_the_source_camera_returns_the_image():
    image = picture()
    memory = initialise_memory(image, flat_depth(), K)
    cameras = Cameras(torch.eye(4)[None], K[None], H, W)
    rendered = memory.render(cameras, points_per_pixel=1)
    assert rendered.hole_mask.sum() == 0
    assert_close(rendered.image[0], image, atol=1e-3, rtol=0)
    again = memory.render(Trajectory(cameras), points_per_pixel=1)
    assert torch.equal(again.image, rendered.image)


def test_retrieval_from_a_young_memory_returns_the_input_image():
    memory = initialise_memory(picture(), flat_depth(), K)
    cameras = Cameras(torch.eye(4).expand(3, 4, 4), K.expand(3, 3, 3), H, W)
    references = memory.retrieve(Trajectory(cameras))
    assert references.slots.tolist() == [0]
    assert references.views == memory.views


def test_summary_counts_points_and_views():
    memory = initialise_memory(picture(), torch.full((H, W), 2.0), K)
    summary = memory.summary()
    assert (summary.num_points, summary.num_views) == (H * W, 1)
    assert_close(torch.tensor(summary.extent), torch.tensor([1.8, 1.4, 0.0]))
    assert [(count.clip, count.num_points, count.num_views) for count in summary.clips] == [(0, H * W, 1)]
    assert "80 points, 1 view\n" in summary.text
    assert "input image: 80 points" in summary.text


def test_depth_of_another_size_is_refused():
    with pytest.raises(ShapeError, match=r"depth: got a map of shape \[4, 5\], expected \[8, 10\]"):
        initialise_memory(picture(), torch.ones(4, 5), K)


def test_empty_depth_is_refused():
    with pytest.raises(WorldStereoError, match="depth: no pixel"):
        initialise_memory(picture(), torch.zeros(H, W), K)
    with pytest.raises(WorldStereoError, match="depth: no pixel"):
        initialise_memory(picture(), torch.ones(H, W), K, mask=torch.ones(H, W, dtype=torch.bool))


def test_a_camera_that_is_none_is_refused():
    with pytest.raises(PathError, match="image camera"):
        initialise_memory(picture(), flat_depth(), K, 2 * torch.eye(4))
    with pytest.raises(PathError, match="image camera"):
        initialise_memory(picture(), flat_depth(), K * torch.nan)


def test_a_picture_in_another_range_is_refused():
    with pytest.raises(WorldStereoError, match="image: got values from"):
        initialise_memory(picture() * 255, flat_depth(), K)
    with pytest.raises(WorldStereoError, match="image: got values from nan"):
        initialise_memory(picture() * torch.nan, flat_depth(), K)
