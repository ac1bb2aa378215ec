"""Splats from points, read back by plyfile and by a reader written from SPZ's description."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
import torch

from tests.formats.splat_files import read_spz
from worldstereo_core.checks import WorldStereoError
from worldstereo_core.formats import spz
from worldstereo_core.formats.splats import SH_C0, Splats, write_splat_ply
from worldstereo_core.formats.spz import write_spz
from worldstereo_core.geometry.point_cloud import PointCloud

VERIFIES = {"splats PLY": "plyfile", "splats SPZ": "own reader from the description"}


def splats(normal: list[list[float]] | None, scale: float = 1.0) -> Splats:
    xyz = torch.tensor([[1.0, -2.0, 3.0], [-0.25, 0.5, 0.125]]) * scale
    rgb = torch.tensor([[1.0, 0.5, 0.0], [0.25, 0.75, 1.0]])
    clip = torch.zeros(2, dtype=torch.int32)
    cloud = PointCloud(xyz, rgb, torch.ones(2), clip, None if normal is None else torch.tensor(normal))
    return Splats(cloud, torch.tensor([0.5, 0.25]) * scale, opacity=0.8)


def turn(wxyz: np.ndarray, vector: tuple[float, float, float]) -> np.ndarray:
    """A vector turned by a quaternion, q v q*, written out."""
    w, axis = wxyz[0], wxyz[1:]
    vector_ = np.array(vector)
    return vector_ + 2 * np.cross(axis, np.cross(axis, vector_) + w * vector_)


def test_the_ply_holds_what_viewers_and_trainers_expect(tmp_path):
    plyfile = pytest.importorskip("plyfile")
    write_splat_ply(tmp_path / "s.ply", splats(None), scale=2.0)
    row = plyfile.PlyData.read(str(tmp_path / "s.ply"))["vertex"][0]
    assert [row[axis] for axis in "xyz"] == [2, -4, 6]  # axes of COLMAP: as ours
    assert 0.5 + SH_C0 * row["f_dc_0"] == pytest.approx(1) and row["f_dc_1"] == 0
    assert 1 / (1 + math.exp(-row["opacity"])) == pytest.approx(0.8)
    assert [math.exp(row[f"scale_{axis}"]) for axis in range(3)] == pytest.approx([1, 1, 1])
    assert [row[f"rot_{place}"] for place in range(4)] == [1, 0, 0, 0]


@pytest.mark.parametrize("up_axis", ["-y", "y-left"])
def test_splats_with_normals_are_discs_on_the_surface(tmp_path, up_axis):
    plyfile = pytest.importorskip("plyfile")
    normals = [[0.6, 0.0, 0.8], [0.0, 0.0, -1.0]]
    write_splat_ply(tmp_path / "s.ply", splats(normals), up_axis=up_axis)
    for row in plyfile.PlyData.read(str(tmp_path / "s.ply"))["vertex"].data:
        shape = [row[f"scale_{axis}"] for axis in range(3)]
        assert shape[0] == shape[1] and math.exp(shape[2] - shape[0]) == pytest.approx(0.1)
        thin = turn(np.array([row[f"rot_{place}"] for place in range(4)]), (0, 0, 1))
        np.testing.assert_allclose(thin, [row["nx"], row["ny"], row["nz"]], atol=1e-6)


def test_a_point_whose_normals_cancelled_stays_a_ball(tmp_path):
    plyfile = pytest.importorskip("plyfile")
    write_splat_ply(tmp_path / "s.ply", splats([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    rows = plyfile.PlyData.read(str(tmp_path / "s.ply"))["vertex"]
    assert rows["scale_2"][0] == rows["scale_0"][0] and rows["scale_2"][1] < rows["scale_0"][1]


@pytest.mark.parametrize("scale", [1.0, 0.001, 4000.0])
def test_spz_keeps_positions_colours_sizes_and_turns_at_any_scale(tmp_path, scale):
    """Bounds are half a step of each: 23 bits of extent, 8 bits of colour, 1 / 16 of a log size."""
    write_spz(tmp_path / "s.spz", splats([[0.6, 0.0, 0.8], [0.0, 0.0, 1.0]], scale))
    read = read_spz(tmp_path / "s.spz")
    expected = np.array([[1, 2, -3], [-0.25, -0.5, -0.125]]) * scale  # y up
    # 3 units need 2 binary places before the point, so 20 or fewer of 22 stand after it.
    np.testing.assert_allclose(read["xyz"], expected, atol=max(2.0**-21, 3 * scale * 2.0**-22))
    rgb = 0.5 + SH_C0 * read["f_dc"]
    np.testing.assert_allclose(rgb, [[1, 0.5, 0], [0.25, 0.75, 1]], atol=0.5 / 255 / 0.15 * SH_C0 + 1e-6)
    assert read["alpha"] == pytest.approx([0.8, 0.8], abs=0.5 / 255)
    if 0.5 * scale < 300 and 0.025 * scale > math.exp(-10):
        sizes = np.log(np.array([0.5, 0.25]) * scale)
        np.testing.assert_allclose(read["log_scale"][:, 0], sizes, atol=1 / 32 + 1e-6)
    thin = [turn(quaternion, (0, 0, 1)) for quaternion in read["wxyz"]]
    np.testing.assert_allclose(thin, [[0.6, 0, -0.8], [0, 0, -1]], atol=0.02)


@pytest.mark.parametrize("sigma", [[0.0, 1.0], [float("nan"), 1.0]])
def test_sizes_that_are_none_are_refused(sigma):
    cloud = splats(None).cloud
    with pytest.raises(WorldStereoError, match="splat sizes"):
        Splats(cloud, torch.tensor(sigma))


def test_spz_refuses_what_its_numbers_cannot_hold(tmp_path):
    with pytest.raises(WorldStereoError, match="less than 4 million"):
        write_spz(tmp_path / "s.spz", splats(None, 1e7))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_noise", [True, False])
def test_spz_is_one_gzip_stream_of_many_blocks(tmp_path, monkeypatch, is_noise):
    """A reader that stops at the end of the first stream, as the format's own does, has everything."""
    monkeypatch.setattr(spz, "CHUNK", 7)
    generator = torch.Generator().manual_seed(0)
    xyz = torch.rand(100, 3, generator=generator) if is_noise else torch.ones(100, 3).cumsum(0) / 8
    cloud = PointCloud(xyz, xyz.frac(), torch.ones(100), torch.zeros(100, dtype=torch.int32))
    steps = []
    write_spz(
        tmp_path / "s.spz", Splats(cloud, torch.full((100,), 0.1)), progress=lambda *at: steps.append(at)
    )
    stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
    assert len(stream.decompress((tmp_path / "s.spz").read_bytes())) == 16 + 19 * 100
    assert stream.eof and stream.unused_data == b""
    np.testing.assert_allclose(read_spz(tmp_path / "s.spz")["xyz"] * [1, -1, -1], xyz.numpy(), atol=1e-5)
    assert steps == sorted(steps) and steps[-1] == (500, 500)
