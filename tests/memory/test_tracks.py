"""Tracks of a memory of a card before a wall, and the drawing of matches."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.geometry.cameras import Cameras, fov_to_K, project, unproject
from worldstereo_core.geometry.point_cloud import PointCloud
from worldstereo_core.memory.match_pictures import draw_matches
from worldstereo_core.memory.memory import GeometricMemory, View
from worldstereo_core.memory.tracks import build_tracks

H, W = 24, 32
K = fov_to_K(1.2, H, W)


def at(x: float) -> Cameras:
    w2c = torch.eye(4)
    w2c[0, 3] = -x
    return Cameras(w2c[None], K[None], H, W)


def depth_of(camera: Cameras) -> Tensor:
    """A wall at z = 4 and a card of 1 x 0.8 at z = 2 before it."""
    direction = unproject(torch.ones(1, H, W), camera.K, camera.w2c)[0] - camera.centers[0]
    place = camera.centers[0] + 2 * direction
    on_card = (place[..., :2].abs() <= torch.tensor([0.5, 0.4])).all(-1)
    return torch.where(on_card, 2.0, 4.0)


def memory_of(*xs: float) -> GeometricMemory:
    views, clouds = [], []
    for number, x in enumerate(xs):
        camera = at(x)
        image = torch.full((3, H, W), 40 * number + 40, dtype=torch.uint8)
        views.append(View(image, camera.w2c[0], K, f"clip {number}/{number:04d}", number, depth_of(camera)))
        xyz = unproject(depth_of(camera)[None], K[None], camera.w2c)[0].reshape(-1, 3)
        count = len(xyz)
        rgb = torch.full((count, 3), (40 * number + 40) / 255)
        clouds.append(
            PointCloud(xyz, rgb, torch.ones(count), torch.full((count,), number, dtype=torch.int32))
        )
    return GeometricMemory(PointCloud.concat(clouds), tuple(views), 4.0)


def test_observations_are_projections_that_are_really_seen():
    """Of all observations none is behind the card (exact for points a pixel or more from its outline)."""
    memory = memory_of(0.0, 1.0, -0.7)
    tracks = build_tracks(memory, max_points=700)
    assert 300 < tracks.num_points <= 700
    for number, camera in enumerate(tracks.cameras):
        rows = tracks.view == number
        xyz = tracks.xyz[tracks.point[rows]]
        xy, z = project(xyz, camera.K[0], camera.w2c[0])
        torch.testing.assert_close(xy, tracks.xy[rows])
        assert (z > 0).all() and (xy >= 0).all() and (xy <= torch.tensor([W, H])).all()
        # By ray casting: where the line of sight crosses the card's plane.
        eye = camera.centers[0]
        crossing = eye + (2 / xyz[:, 2:]) * (xyz - eye)
        margin = 2.0 / float(K[0, 0])  # a pixel at the card
        behind = (xyz[:, 2] > 3) & (crossing[:, :2].abs() <= torch.tensor([0.5, 0.4]) - margin).all(dim=1)
        assert behind.sum() == 0


def test_tracks_are_in_order_and_long_enough():
    tracks = build_tracks(memory_of(0.0, 1.0, -0.7), max_points=500, min_views=3)
    key = tracks.point * 3 + tracks.view
    assert (key.diff() > 0).all()
    counts = torch.bincount(tracks.point, minlength=tracks.num_points)
    assert len(counts) == tracks.num_points and (counts == 3).all()
    assert tracks.names == ("0000_clip_0-0000.png", "0001_clip_1-0001.png", "0002_clip_2-0002.png")


def test_every_point_of_one_view_is_seen_by_it():
    memory = memory_of(0.0)
    tracks = build_tracks(memory, 10_000, min_views=1)
    assert tracks.num_points == tracks.num_observations == H * W
    with pytest.raises(WorldStereoError, match="min_views: none of 768 points is seen by 2 of 1 views"):
        build_tracks(memory)


def test_impossible_exports_are_refused():
    memory = memory_of(0.0)
    with pytest.raises(WorldStereoError, match="max_points and min_views: got 0 and 2"):
        build_tracks(memory, 0)
    with pytest.raises(WorldStereoError, match="768 points and 0 views"):
        build_tracks(replace(memory, views=()))


def test_lines_join_pixels_of_the_same_place():
    memory = memory_of(0.0, 0.5)
    drawn = draw_matches(memory, 0, 1, height=H)
    assert drawn.image.shape == (H, 2 * W + 8, 3)
    # Two flat pictures: whatever differs from them is a line or its ends.
    canvas = torch.cat([torch.full((H, W), 40.0), torch.zeros(H, 8), torch.full((H, W), 80.0)], 1) / 255
    touched = (drawn.image - canvas[..., None]).abs().amax(-1) > 0.02
    assert touched[:, :W].any() and touched[:, W : W + 8].any() and touched[:, W + 8 :].any()
    assert "clip 1/0001 sees" in drawn.text
    shift = float(K[0, 0]) * 0.5 / 4
    assert float(drawn.matches.xy[2, 20, 0]) == pytest.approx(20.5 - shift, abs=1e-3)


def test_the_colour_of_a_place_is_that_of_its_match():
    memory = memory_of(0.0, 0.5)
    drawn = draw_matches(memory, 0, 1, "colour map", height=H)
    match = drawn.matches
    red = drawn.image[:, :W, 0]
    inner = match.is_visible & (match.xy[..., 0] > 1) & (match.xy[..., 0] < W - 1)
    torch.testing.assert_close(red[inner], match.xy[..., 0][inner] / W, atol=0.01, rtol=0)
    hidden = ~match.is_visible
    assert hidden.any() and (red[hidden] < 0.05).all()


def test_views_that_are_not_there_are_refused():
    with pytest.raises(WorldStereoError, match="second: got 2, but the memory has 2 views, numbers 0 to 1"):
        draw_matches(memory_of(0.0, 1.0), 0, 2)
    assert draw_matches(memory_of(0.0, 1.0), -2, -1).matches.is_visible.any()
    with pytest.raises(WorldStereoError, match='style: got "dots"'):
        draw_matches(memory_of(0.0, 1.0), 0, 1, "dots")  # type: ignore[arg-type]
