"""Points as GLB and LAS, depth as EXR, read back by libraries or by the published layout."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.formats.exr_writer import write_exr_depth
from worldstereo_core.formats.las import write_las
from worldstereo_core.formats.points_glb import write_points_glb
from worldstereo_core.geometry.point_cloud import PointCloud

VERIFIES = {"points GLB": "pygltflib", "points LAS": "laspy; published layout", "depth EXR": "OpenEXR"}


def cloud(count: int = 2) -> PointCloud:
    xyz = torch.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, 6.0]])[:count]
    rgb = torch.tensor([[1.0, 0.5, 0.0], [0.2, 0.4, 0.6]])[:count]
    normal = torch.tensor([[0.0, -1.0, 0.0], [0.0, 0.0, 0.0]])[:count]
    clip = torch.tensor([0, 3], dtype=torch.int32)[:count]
    return PointCloud(xyz, rgb, torch.tensor([0.5, 1.0])[:count], clip, normal)


def test_glb_holds_points_normals_and_linear_colours(tmp_path):
    pygltflib = pytest.importorskip("pygltflib")
    write_points_glb(tmp_path / "p.glb", cloud(), scale=0.5)
    file = pygltflib.GLTF2().load(str(tmp_path / "p.glb"))
    (primitive,) = file.meshes[0].primitives
    blob = file.binary_blob()

    def values(name: str, kind: str) -> np.ndarray:
        accessor = file.accessors[getattr(primitive.attributes, name)]
        view = file.bufferViews[accessor.bufferView]
        raw = blob[view.byteOffset : view.byteOffset + view.byteLength]
        return np.frombuffer(raw, kind).reshape(accessor.count, -1)

    assert primitive.mode == pygltflib.POINTS
    assert values("POSITION", "<f4").tolist() == [[0.5, 1, -1.5], [-2, -2.5, -3]]
    # A normal that cancelled points to the viewer, as the format has no word for none.
    assert values("NORMAL", "<f4").tolist() == [[0, 1, 0], [0, 0, 1]]
    # 0.5 on screen is 0.2140 of the light (IEC 61966-2-1).
    assert (values("COLOR_0", "<u2")[0] / 65535).tolist() == pytest.approx([1, 0.21404, 0, 1], abs=1e-5)
    bounds = file.accessors[primitive.attributes.POSITION]
    assert (bounds.min, bounds.max) == ([-2, -2.5, -3], [0.5, 1, -1.5])
    assert (
        len((tmp_path / "p.glb").read_bytes())
        == struct.unpack_from("<I", (tmp_path / "p.glb").read_bytes(), 8)[0]
    )


def test_las_has_the_published_layout(tmp_path):
    write_las(tmp_path / "p.las", cloud(), scale=2.0)
    content = (tmp_path / "p.las").read_bytes()
    assert content[:4] == b"LASF" and content[24:26] == bytes([1, 2]) and content[104] == 2
    start, (length, count) = struct.unpack_from("<I", content, 96)[0], struct.unpack_from("<HI", content, 105)
    assert (start, length, count, len(content)) == (227, 26, 2, 227 + 52)
    step, offset = struct.unpack_from("<3d", content, 131), struct.unpack_from("<3d", content, 155)
    # z up: x right, y forward, z up; two metres per unit.
    for number, expected in enumerate([[2, 6, 4], [-8, 12, -10]]):
        *xyz, intensity = struct.unpack_from("<3iH", content, start + number * length)
        assert np.array(xyz) * step + offset == pytest.approx(expected, abs=1e-8)
        assert intensity == round([0.5, 1][number] * 65535)
    source, red, green, blue = struct.unpack_from("<4H", content, start + 18)
    assert (source, red, green, blue) == (0, 65535, 128 * 257, 0)
    assert struct.unpack_from("<6d", content, 179) == pytest.approx((2, -8, 12, 6, 4, -10))


def test_laspy_reads_the_points_in_metres_with_their_colours(tmp_path):
    laspy = pytest.importorskip("laspy", reason="pip install laspy")
    write_las(tmp_path / "p.las", cloud(), scale=2.0)
    read = laspy.read(str(tmp_path / "p.las"))
    np.testing.assert_allclose(read.xyz, [[2, 6, 4], [-8, 12, -10]], atol=1e-8)
    assert (read.header.point_count, read.point_source_id.tolist()) == (2, [0, 3])
    np.testing.assert_allclose(read.red / 65535, [1, 0.2], atol=1 / 255)


@pytest.mark.parametrize("write", [write_las, write_points_glb])
def test_no_points_are_an_error_and_no_file(tmp_path, write):
    with pytest.raises(WorldStereoError, match="points: got 0"):
        write(tmp_path / "file", cloud(0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [write_las, write_points_glb])
def test_writing_stops_when_told(tmp_path, write):
    def stop(done: int, total: int) -> None:
        assert 0 < done <= total
        raise InterruptedError

    with pytest.raises(InterruptedError):
        write(tmp_path / "file", cloud(), progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_exr_depth_is_bit_for_bit_what_it_was(tmp_path):
    openexr = pytest.importorskip("OpenEXR")
    depth = torch.tensor([[0.0, 1.5, 3.25], [1e-3, 1e6, 2 / 3]])
    write_exr_depth(tmp_path / "d.exr", depth)
    with openexr.File(str(tmp_path / "d.exr"), separate_channels=True) as file:
        assert list(file.channels()) == ["Z"]
        np.testing.assert_array_equal(file.channels()["Z"].pixels, depth.numpy())
    with pytest.raises(ShapeError, match="depth"):
        write_exr_depth(tmp_path / "d.exr", depth[None])
