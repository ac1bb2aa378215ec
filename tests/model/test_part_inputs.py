"""What the optional parts are shown, by hand-worked numbers."""

from __future__ import annotations

import math

import pytest
import torch

from worldstereo_core.checks import ShapeError
from worldstereo_core.geometry.cameras import Cameras, fov_to_K
from worldstereo_core.memory.memory import initialise_memory
from worldstereo_core.model.control_parts import GEOMETRY_CHANNELS, GLOBAL_INPUTS, PICTURE_CHANNELS, PartSizes
from worldstereo_core.model.part_inputs import (
    add_part_inputs,
    geometry_maps,
    global_features,
    picture_maps,
    warped_latents,
    with_part_inputs,
)

T, H, W = 3, 16, 32


def cameras(shift: float = 0.0, turn: float = 0.0) -> Cameras:
    """T cameras that move to the right by ``shift`` in all and turn right by ``turn`` radians in all."""
    c2w = torch.eye(4).repeat(T, 1, 1)
    for frame in range(T):
        share = frame / (T - 1)
        angle = torch.tensor(turn * share)
        c2w[frame, 0, 0] = c2w[frame, 2, 2] = torch.cos(angle)
        c2w[frame, 0, 2], c2w[frame, 2, 0] = torch.sin(angle), -torch.sin(angle)
        c2w[frame, 0, 3] = shift * share
    return Cameras(torch.linalg.inv(c2w), fov_to_K(1.2, H, W).repeat(T, 1, 1), H, W)


def test_the_global_vector_by_hand():
    depth, holes = torch.full((T, H, W), 2.0), torch.zeros(T, H, W)
    holes[-1, :, :8] = 1
    depth[-1, :, :8] = 0
    found = global_features(cameras(shift=3.0, turn=0.6), depth, holes)[0]
    assert found.shape == (GLOBAL_INPUTS,)
    away = math.log1p(1.5)  # 3 units at a median depth of 2
    expected = [away, 0, 0, away, 0, 0, away, 0.6 / math.pi, 0, 0.6 / math.pi, 0, 1.2, 0.25 / 3, 0.25, 0, 0]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=1e-5)


def test_the_global_vector_does_not_depend_on_unit_or_world():
    depth, holes = 1 + torch.rand(T, H, W, generator=torch.Generator().manual_seed(0)), torch.zeros(T, H, W)
    one = cameras(1.0, 0.3)
    moved = torch.eye(4)
    moved[:3, :3] = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]
    moved[:3, :3] *= torch.linalg.det(moved[:3, :3])
    w2c = one.w2c @ moved
    w2c[:, :3, 3] *= 7.0
    other = Cameras(w2c, one.K, H, W)
    torch.testing.assert_close(
        global_features(one, depth, holes), global_features(other, 7 * depth, holes), rtol=0, atol=1e-4
    )


def test_an_empty_render_still_gives_numbers():
    found = global_features(cameras(1.0), torch.zeros(T, H, W), torch.ones(T, H, W))
    assert torch.isfinite(found).all() and float(found[0, 12]) == 1


def test_picture_channels_by_hand():
    depth = torch.full((T, H, W), 4.0)
    depth[:, 0] = 0
    depth[:, 1] = 12
    edges, semantic = torch.ones(T, H, W), torch.rand(T, 3, H, W)
    maps = picture_maps(depth, edges, semantic)
    assert maps.shape == (1, PICTURE_CHANNELS, T, H, W)
    assert maps[0, 0, 0, :3, 0].tolist() == [0, 0.25, 0.5]  # none, three medians away, the median
    assert bool((maps[0, 1] == 1).all())
    assert torch.equal(maps[0, 2:].transpose(0, 1), semantic)
    alone = picture_maps(edges=edges)
    assert bool((alone[0, [0, 2, 3, 4]] == 0).all())
    with pytest.raises(ShapeError, match="got none"):
        picture_maps()
    with pytest.raises(ShapeError, match="edges"):
        picture_maps(depth, edges[:, :-1])


def test_geometry_of_a_wall_faces_the_camera():
    maps = geometry_maps(torch.full((T, H, W), 3.0), cameras().K)
    assert maps.shape == (1, GEOMETRY_CHANNELS, T, H, W)
    torch.testing.assert_close(maps[0, 0], torch.full((T, H, W), 0.5))
    torch.testing.assert_close(maps[0, 1:3], torch.zeros(2, T, H, W), rtol=0, atol=1e-5)
    inner = maps[0, 3:6, :, :-1, :-1]
    torch.testing.assert_close(inner[2], torch.full_like(inner[2], -1.0))
    assert float(inner[:2].abs().max()) < 1e-5 and bool((maps[0, 6] == 1).all())


def test_geometry_sees_a_post_before_a_wall_and_holes():
    depth = torch.full((1, H, W), 4.0)
    depth[:, :, 10:12] = 1.0
    depth[:, :, 20:] = 0.0
    maps = geometry_maps(depth, cameras().K[:1])[0, :, 0]
    # Nearness 0.5 of the wall and 0.8 of the post, in a window of three pixels.
    assert float(maps[2, 8, 10]) == pytest.approx(0.1 / 0.7) and float(maps[2, 8, 9]) == pytest.approx(
        -0.1 / 0.6
    )
    assert bool((maps[3:6, :, 9] == 0).all())  # no surface spans the step
    assert bool((maps[:, :, 22:] == 0).all())


class GreyVAE:
    """Latents that are the mean of each cell, in every channel."""

    def encode_keyframes(self, images, progress=None):
        cells = torch.nn.functional.avg_pool2d(images.mean(1, keepdim=True), 8)
        return cells.transpose(0, 1)[None].expand(-1, 16, -1, -1, -1)


def test_references_are_carried_over_by_geometry():
    picture = torch.rand(3, H, W, generator=torch.Generator().manual_seed(2))
    camera = cameras()
    memory = initialise_memory(picture, torch.full((H, W), 2.0), camera.K[0], edge_threshold=0.0)
    warped = warped_latents(GreyVAE(), memory, camera[:1], memory.views, radius=0.1)
    assert warped.shape == (1, 17, 1, H // 8, W // 8)
    expected = torch.nn.functional.avg_pool2d(picture.mean(0)[None], 8)
    torch.testing.assert_close(warped[0, 0], expected, rtol=0, atol=0.01)
    assert bool((warped[0, 16] == 1).all())
    aside = warped_latents(GreyVAE(), memory, cameras(shift=40.0)[2:], memory.views, radius=0.1)
    assert bool((aside[0, 16] == 0).all()) and bool((aside[0, 0] == 0.5).all())


def test_a_memory_gives_every_part_its_input_and_none_leaves_them_off(caplog: pytest.LogCaptureFixture):
    from tests.model.tiny_session import make_condition, make_control
    from worldstereo_core.model.control_parts import add_parts

    condition = make_condition()
    frames, height, width = condition.hole_mask.shape[2:]
    camera = Cameras(cameras().w2c[:frames], fov_to_K(1.2, height, width).repeat(frames, 1, 1), height, width)
    picture = torch.rand(3, height, width, generator=torch.Generator().manual_seed(2))
    memory = initialise_memory(picture, torch.full((height, width), 2.0), camera.K[0], edge_threshold=0.0)
    references = memory.retrieve(camera)
    holes = torch.zeros(frames, height, width)
    edges = torch.ones(frames, 3, height, width)
    control = make_control()
    same = add_part_inputs(condition, control.config, GreyVAE(), camera, holes, memory, references)
    assert same is condition
    config = add_parts(control, PartSizes.all()).config
    full = add_part_inputs(condition, config, GreyVAE(), camera, holes, memory, references, edges=edges)
    assert full.global_vector.shape == (1, GLOBAL_INPUTS)
    assert full.geometry.shape == (1, GEOMETRY_CHANNELS, frames, height, width)
    assert full.warped_references.shape == (1, 17, frames, height // 8, width // 8)
    assert bool((full.pictures[0, 1] == 1).all()) and float(full.pictures[0, 0].mean()) > 0.3
    without = add_part_inputs(condition, config, GreyVAE(), camera, holes, None, edges=edges)
    assert without.geometry is None and without.pictures is not None
    assert "take their inputs from the memory" in caplog.text
    with pytest.raises(ShapeError, match="edges"):
        add_part_inputs(condition, config, GreyVAE(), camera, holes, memory, edges=edges[:1])


def test_only_the_parts_of_a_control_are_given_inputs():
    from tests.model.tiny_session import make_condition, make_control
    from worldstereo_core.model.control_parts import add_parts

    condition = make_condition()
    frames, height, width = condition.hole_mask.shape[2:]
    move = Cameras(cameras(1.0).w2c[:frames], fov_to_K(1.2, H, W).repeat(frames, 1, 1), H, W)
    depth, holes = torch.full((frames, height, width), 2.0), torch.zeros(frames, height, width)
    control = make_control()
    bare = with_part_inputs(condition, control.config, move, depth, holes)
    assert bare.global_vector is None and bare.geometry is None
    grown = add_parts(control, PartSizes(global_inputs=GLOBAL_INPUTS, geometry_channels=GEOMETRY_CHANNELS))
    full = with_part_inputs(condition, grown.config, move, depth, holes)
    assert full.global_vector.shape == (1, GLOBAL_INPUTS) and full.pictures is None
    assert full.geometry.shape == (1, GEOMETRY_CHANNELS, frames, height, width)
