"""PLY: bytes worked out by hand, an independent reader, and the way back."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.formats import ply
from worldstereo_core.formats.ply import read_ply, write_ply
from worldstereo_core.geometry.point_cloud import PointCloud

VERIFIES = {"points PLY": "plyfile"}


def random_cloud(count: int = 7, normals: bool = True) -> PointCloud:
    generator = torch.Generator().manual_seed(0)
    normal = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    return PointCloud(
        xyz=torch.randn(count, 3, generator=generator),
        # Colours that 8 bits hold exactly.
        rgb=torch.randint(0, 256, (count, 3), generator=generator) / 255,
        confidence=torch.rand(count, generator=generator),
        clip=torch.arange(count, dtype=torch.int32),
        normal=normal if normals else None,
    )


def one_point() -> PointCloud:
    return PointCloud(
        torch.tensor([[1.0, 2.0, 3.0]]),
        torch.tensor([[1.0, 0.0, 0.5]]),
        torch.tensor([0.25]),
        torch.tensor([3], dtype=torch.int32),
    )


def written(cloud: PointCloud, **settings: object) -> bytes:
    buffer = io.BytesIO()
    write_ply(buffer, cloud, **settings)  # type: ignore[arg-type]
    return buffer.getvalue()


def test_one_point_is_written_as_these_bytes() -> None:
    header, _, body = written(one_point()).partition(b"end_header\n")
    assert header.splitlines() == [
        b"ply",
        b"format binary_little_endian 1.0",
        b"comment WorldStereo point cloud",
        b"comment up_axis y",
        b"element vertex 1",
        b"property float x",
        b"property float y",
        b"property float z",
        b"property uchar red",
        b"property uchar green",
        b"property uchar blue",
        b"property float confidence",
        b"property int clip",
    ]
    # Half of 255 is 127.5, which rounds to the even 128; y and z change sign for viewers.
    assert body == struct.pack("<fffBBBfi", 1.0, -2.0, -3.0, 255, 0, 128, 0.25, 3)


def test_opencv_axes_are_kept_on_request() -> None:
    body = written(one_point(), up_axis="-y").partition(b"end_header\n")[2]
    assert struct.unpack("<fff", body[:12]) == (1.0, 2.0, 3.0)


def test_z_up_puts_our_forward_on_y() -> None:
    body = written(one_point(), up_axis="z").partition(b"end_header\n")[2]
    assert struct.unpack("<fff", body[:12]) == (1.0, 3.0, -2.0)


def test_text_files_say_the_same() -> None:
    body = written(one_point(), binary=False).partition(b"end_header\n")[2]
    assert body == b"1 -2 -3 255 0 128 0.25 3\n"


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("up_axis", ["y", "z", "-y"])
@pytest.mark.parametrize("normals", [True, False])
def test_what_was_written_is_read_back(binary: bool, up_axis: str, normals: bool) -> None:
    cloud = random_cloud(normals=normals)
    back = read_ply(io.BytesIO(written(cloud, up_axis=up_axis, binary=binary)))
    assert torch.equal(back.xyz, cloud.xyz)
    assert_close(back.rgb, cloud.rgb)
    assert torch.equal(back.confidence, cloud.confidence)
    assert torch.equal(back.clip, cloud.clip)
    assert (back.normal is None) == (not normals)
    if back.normal is not None and cloud.normal is not None:
        assert torch.equal(back.normal, cloud.normal)


def test_chunks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = random_cloud(23)
    whole = written(cloud)
    monkeypatch.setattr(ply, "CHUNK", 5)
    assert written(cloud) == whole


def test_an_independent_reader_sees_the_same_points(tmp_path: Path) -> None:
    plyfile = pytest.importorskip("plyfile")
    cloud = random_cloud()
    write_ply(tmp_path / "world.ply", cloud)
    vertex = plyfile.PlyData.read(str(tmp_path / "world.ply"))["vertex"]
    assert vertex["y"].tolist() == (-cloud.xyz[:, 1]).tolist()
    assert vertex["nz"].tolist() == (-cloud.normal[:, 2]).tolist()  # type: ignore[index]
    assert vertex["green"].tolist() == (cloud.rgb[:, 1] * 255).round().int().tolist()
    assert vertex["confidence"].tolist() == cloud.confidence.tolist()
    assert vertex["clip"].tolist() == cloud.clip.tolist()


def test_files_of_other_programs_are_read() -> None:
    text = (
        b"ply\nformat ascii 1.0\ncomment made elsewhere\nelement vertex 2\n"
        b"property double x\nproperty double y\nproperty double z\n"
        b"property uint8 red\nproperty uint8 green\nproperty uint8 blue\n"
        b"element face 1\nproperty list uchar int vertex_indices\nend_header\n"
        b"1 2 3 255 0 51\n4 5 6 0 0 0\n3 0 1 1\n"
    )
    cloud = read_ply(io.BytesIO(text))
    assert cloud.xyz.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert_close(cloud.rgb[0], torch.tensor([1.0, 0.0, 0.2]))
    assert cloud.confidence.tolist() == [1, 1] and cloud.normal is None
    assert read_ply(io.BytesIO(text), up_axis="y").xyz[0].tolist() == [1, -2, -3]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-3], "ends after 6 of 7 points"),
        (lambda data: data[:40], "header of .* is incomplete"),
        (lambda data: b"PK" + data, "does not begin with 'ply'"),
        (lambda data: data.replace(b"uchar blue", b"uchar azul"), r"\['blue'\] are missing"),
        (lambda data: data.replace(b"float z\n", b"list uchar int z\n"), "expected plain numbers"),
        (lambda data: data.replace(b"element vertex", b"element camera"), "expected its vertices first"),
    ],
    ids=["truncated", "cut header", "other format", "no blue", "list", "no vertices"],
)
def test_damaged_files_are_refused(damage, message: str) -> None:
    with pytest.raises(WorldStereoError, match=message):
        read_ply(io.BytesIO(damage(written(random_cloud()))))


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "world.ply"
    write_ply(path, one_point())
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(ply, "_rows", fail)
    with pytest.raises(OSError, match="disk full"):
        write_ply(path, random_cloud())
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["world.ply"]


def test_missing_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(WorldStereoError, match="does not exist"):
        read_ply(tmp_path / "nothing.ply")
    with pytest.raises(WorldStereoError, match="nothing was written"):
        write_ply(tmp_path / "no" / "world.ply", one_point())
    with pytest.raises(WorldStereoError, match="up_axis"):
        write_ply(io.BytesIO(), one_point(), up_axis="x")  # type: ignore[arg-type]


def test_writing_tells_its_progress_and_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worldstereo_core.formats.ply.CHUNK", 2)
    points = PointCloud(
        torch.zeros(5, 3), torch.zeros(5, 3), torch.ones(5), torch.zeros(5, dtype=torch.int32)
    )
    calls: list[tuple[int, int]] = []
    write_ply(tmp_path / "whole.ply", points, progress=lambda *done: calls.append(done))
    assert calls == [(2, 5), (4, 5), (5, 5)]

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        write_ply(tmp_path / "stopped.ply", points, progress=stop)
    assert [file.name for file in tmp_path.iterdir()] == ["whole.ply"], "no half file is left"
