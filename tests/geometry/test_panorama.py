"""Panoramas: directions by hand, the released bank of views, and a sphere without a seam."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.commands.verify.golden import read_golden
from worldstereo_core.geometry.cameras import check_cameras, pixel_directions
from worldstereo_core.geometry.panorama import (
    check_panorama,
    directions_to_pixels,
    distance_to_view_depth,
    even_pixels,
    finer_panorama,
    look_around,
    panorama_cameras,
    panorama_directions,
    panorama_edges,
    panorama_to_views,
    sample_panorama,
)

H, W = 32, 64
# A box room around the viewpoint: low and high corner.
ROOM_LOW, ROOM_HIGH = torch.tensor([-3.0, -1.5, -2.0]), torch.tensor([4.0, 1.2, 5.0])


def room_distance(directions: Tensor) -> Tensor:
    """Exact distance [...] from the origin to the room's walls along unit directions [..., 3]."""
    safe = torch.where(directions.abs() < 1e-9, 1e-9, directions)
    return torch.maximum(ROOM_LOW / safe, ROOM_HIGH / safe).amin(-1)


def paint(points: Tensor) -> Tensor:
    """Smooth colours [3, ...] of world points [..., 3]."""
    return torch.stack([0.5 + 0.4 * torch.sin(1.3 * points[..., axis] + axis) for axis in range(3)])


def room_panorama(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Picture [3, H, W] and exact distance [H, W]."""
    directions = panorama_directions(height, width)
    distance = room_distance(directions)
    return paint(directions * distance[..., None]), distance


@pytest.mark.parametrize(
    ("x", "y", "direction"),
    [
        (W / 2, H / 2, (0, 0, 1)),
        (3 * W / 4, H / 2, (1, 0, 0)),
        (W / 4, H / 2, (-1, 0, 0)),
        (W, H / 2, (0, 0, -1)),
        (W / 2, H / 4, (0, -(0.5**0.5), 0.5**0.5)),
    ],
)
def test_directions_worked_out_by_hand(x: float, y: float, direction: tuple[float, float, float]):
    found = directions_to_pixels(torch.tensor(direction) * 3.0, H, W)
    assert found[1] == pytest.approx(y, abs=1e-4)
    assert float(found[0]) % W == pytest.approx(x % W, abs=1e-4)


def test_directions_and_pixels_are_each_others_inverse():
    directions = panorama_directions(H, W)
    assert_close(directions.norm(dim=-1), torch.ones(H, W))
    xy = directions_to_pixels(directions, H, W)
    x, y = torch.meshgrid(torch.arange(W) + 0.5, torch.arange(H) + 0.5, indexing="xy")
    assert_close(xy, torch.stack([x, y], dim=-1), atol=2e-3, rtol=0)


def test_only_exactly_two_to_one_is_a_panorama():
    check_panorama("image", 960, 1920)
    with pytest.raises(
        ShapeError, match=r"got 1851 x 1000 pixels .*1.851 : 1; expected exactly 2 : 1"
    ) as error:
        check_panorama("image", 1000, 1851)
    assert "2000 x 1000" in str(error.value) and "1851 x 925.5" in str(error.value)
    for height, width in ((961, 1920), (1, 2), (0, 0)):
        with pytest.raises(ShapeError, match="expected exactly 2 : 1"):
            check_panorama("image", height, width)


def test_sampling_at_pixel_centres_returns_the_pixels():
    values = torch.rand(3, H, W, generator=torch.Generator().manual_seed(0))
    for mode in ("bilinear", "nearest"):
        assert_close(sample_panorama(values, panorama_directions(H, W), mode), values, atol=2e-3, rtol=0)


def test_neither_seam_nor_pole_can_be_seen_in_samples():
    # A function of direction is known everywhere; the worst error at the seam is that of any other column.
    directions = panorama_directions(128, 256)
    values = paint(directions * 2)
    around = torch.rand(4000, 3, generator=torch.Generator().manual_seed(1)) - 0.5
    around = around / around.norm(dim=-1, keepdim=True)
    error = (sample_panorama(values, around) - paint(around * 2)).abs().amax(0)
    at_seam = (around[:, 2] < 0) & (around[:, 0].abs() < 0.03)
    at_pole = around[:, 1].abs() > 0.999
    seam = torch.tensor([[-0.001, 0.0, -1.0], [0.001, 0.1, -1.0], [0.0, -1.0, 0.0], [1e-4, 1.0, 1e-4]])
    seam = seam / seam.norm(dim=-1, keepdim=True)
    assert at_seam.any() and error[at_seam].max() <= 1.5 * error[~at_seam & ~at_pole].max()
    assert error.max() < 2e-3
    assert (sample_panorama(values, seam) - paint(seam * 2)).abs().max() < 2e-3


def test_the_released_bank_of_views(golden_dir: Path):
    golden = read_golden(golden_dir, "g9_retrieval").tensors
    cameras = panorama_cameras()
    check_cameras("views", cameras)
    # The released world has z up, and its first view looks along -x: our x is its y, our y its -z, our z -x.
    released_from_ours = torch.tensor([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])
    assert_close(
        cameras.w2c[:, :3, :3], golden["pano.bank0.w2c"][:, :3, :3] @ released_from_ours, atol=1e-5, rtol=0
    )
    assert not cameras.w2c[:, :3, 3].any()
    assert_close(cameras.K[:, 0, 0], golden["pano.bank0.K"][:, 0, 0], rtol=1e-5, atol=0)
    # The released pixels are 0.07 % lower than wide; ours are square.
    assert_close(cameras.K, golden["pano.bank0.K"], rtol=1e-3, atol=0)


def test_sets_of_views():
    horizon, cube = panorama_cameras("horizon", 48, 80, 90.0), panorama_cameras("cube", 64, 64, 90.0)
    assert (len(horizon), len(cube)) == (9, 6)
    assert_close(
        horizon.w2c[3, 2, :3], torch.tensor([math.sin(2 * math.pi / 3), 0.0, math.cos(2 * math.pi / 3)])
    )
    forwards = [[0, 0, 1], [1, 0, 0], [0, 0, -1], [-1, 0, 0], [0, -1, 0], [0, 1, 0]]
    assert_close(cube.w2c[:, 2, :3], torch.tensor(forwards, dtype=torch.float32), atol=1e-6, rtol=0)
    with pytest.raises(WorldStereoError, match="view_set: got 'ring'"):
        panorama_cameras("ring")  # pyright: ignore[reportArgumentType]
    with pytest.raises(WorldStereoError, match="fov_deg: got 180"):
        look_around([(0.0, 0.0)], 8, 10, 180.0)


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (180, 0), (175, 30), (40, 89), (0, -90)])
def test_a_view_shows_what_a_camera_there_would_see(yaw: float, pitch: float):
    panorama, distance = room_panorama(256, 512)
    cameras = look_around([(yaw, pitch)], 48, 64, 80.0)
    rays = pixel_directions(cameras.K, 48, 64)[0] @ cameras.w2c[0, :3, :3]
    unit = rays / rays.norm(dim=-1, keepdim=True)
    truth = room_distance(unit)
    picture = panorama_to_views(panorama, cameras)[0]
    assert (picture - paint(unit * truth[..., None])).abs().mean() < 6e-3
    depth = distance_to_view_depth(distance, cameras)[0]
    error = (depth * rays.norm(dim=-1) / truth - 1).abs()
    assert error.median() < 1e-4 and error.max() < 0.03


def test_a_fine_panorama_is_averaged_and_not_picked_from():
    # Stripes finer than a view's pixel become grey instead of a moiré.
    panorama = (torch.arange(1024) % 2).float().expand(3, 512, 1024)
    view = panorama_to_views(panorama, look_around([(0.0, 0.0)], 12, 16, 60.0))[0]
    assert (view - 0.5).abs().max() < 0.1


def test_depth_of_a_view_is_not_invented_between_surfaces_or_where_there_is_none():
    distance = torch.full((H, W), 2.0)
    distance[:, W // 2 :] = 6.0
    distance[:4] = 0.0
    cameras = look_around([(0.0, 0.0), (0.0, 80.0)], 24, 32, 60.0)
    front, up = distance_to_view_depth(distance, cameras)
    lengths = pixel_directions(cameras.K[:1], 24, 32)[0].norm(dim=-1)
    found = (front * lengths).unique()
    assert all(min(abs(value - 2.0), abs(value - 6.0)) < 1e-3 for value in found.tolist())
    assert (up == 0).any() and torch.isfinite(up).all()


def test_edges_have_no_rim_at_seam_and_poles():
    distance = torch.full((H, W), 2.0)
    assert not panorama_edges(distance).any()
    # A pillar across the seam has two edges, and the seam inside it is none.
    distance[8:24, :3] = distance[8:24, -3:] = 1.0
    edges = panorama_edges(distance)
    assert edges[12, 2:4].any() and edges[12, -4:-2].any()
    assert not edges[12, :2].any() and not edges[12, -2:].any()


def test_points_thinned_towards_the_poles_cover_the_sphere_evenly():
    kept = even_pixels(H, W)
    assert kept[H // 2].all() and kept[0].sum() <= 4
    share = kept.float().mean()
    assert share == pytest.approx(2 / math.pi, abs=0.08)


def test_a_finer_panorama_keeps_seam_and_values():
    panorama, _ = room_panorama(64, 128)
    fine, truth = finer_panorama(panorama, 2), room_panorama(128, 256)[0]
    error = (fine - truth).abs()
    assert error.mean() < 3e-3
    assert error[..., [0, -1]].mean() < 2 * error.mean()
