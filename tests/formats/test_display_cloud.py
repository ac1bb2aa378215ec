"""The point file of the 3D views: its bytes, its thinning, and what it refuses."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.formats.display_cloud import (
    display_cloud_from_bytes,
    display_cloud_to_bytes,
    read_display_cloud,
    write_display_cloud,
)
from worldstereo_core.geometry.point_cloud import PointCloud, spread_indices


def cloud(count: int = 5) -> PointCloud:
    index = torch.arange(count)
    return PointCloud(
        xyz=torch.stack([index, index + 0.25, -index], dim=1).float(),
        rgb=torch.stack([index / max(count, 1), torch.zeros(count), torch.ones(count)], dim=1),
        confidence=index / max(count, 1),
        clip=(index * 20_000).int(),
    )


def test_the_bytes_of_one_point_are_as_documented():
    point = PointCloud(
        torch.tensor([[1.0, -2.0, 0.5]]),
        torch.tensor([[1.0, 0.5, 0.0]]),
        torch.tensor([0.25]),
        torch.tensor([258], dtype=torch.int32),
    )
    header = b"WSPC" + struct.pack("<III", 1, 1, 3)
    body = struct.pack("<3f", 1.0, -2.0, 0.5) + bytes([255, 128, 0])
    content = display_cloud_to_bytes(point, confidence=True, clip=True)
    assert content == header + body + struct.pack("<f", 0.25) + b"\x02\x01"
    assert display_cloud_to_bytes(point) == b"WSPC" + struct.pack("<III", 1, 1, 0) + body


@pytest.mark.parametrize("confidence", [False, True])
@pytest.mark.parametrize("clip", [False, True])
def test_what_was_written_is_read(confidence: bool, clip: bool):
    points = cloud()
    read = display_cloud_from_bytes(display_cloud_to_bytes(points, confidence=confidence, clip=clip))
    order = np.argsort(read.xyz[:, 0])
    np.testing.assert_array_equal(read.xyz[order], points.xyz.numpy())
    np.testing.assert_array_equal(read.rgb[order], (points.rgb * 255).round().numpy())
    assert (read.confidence is not None) == confidence and (read.clip is not None) == clip
    if read.confidence is not None:
        np.testing.assert_array_equal(read.confidence[order], points.confidence.numpy())
    if read.clip is not None:
        assert read.clip[order].tolist() == [0, 20_000, 40_000, 60_000, 65_535]


def test_an_empty_cloud_is_a_file_of_its_header():
    read = display_cloud_from_bytes(display_cloud_to_bytes(cloud(0), clip=True))
    assert len(read.xyz) == 0 and read.clip is not None


def test_a_large_cloud_is_thinned_evenly_and_always_alike():
    points = cloud(1000)
    first = display_cloud_to_bytes(points, max_points=300)
    assert first == display_cloud_to_bytes(points, max_points=300)
    x = display_cloud_from_bytes(first).xyz[:, 0]
    assert len(x) == len(set(x.tolist())) == 300
    # One point of every part of 1000 / 300, and the beginning of the file is a sample of the whole.
    assert np.diff(np.sort(x)).max() <= 7
    assert [int(((x[:60] >= low) & (x[:60] < low + 250)).sum()) > 5 for low in (0, 250, 500, 750)] == [
        True
    ] * 4


@pytest.mark.parametrize(("count", "most"), [(0, 5), (1, 5), (7, 7), (7, 5), (9, 1), (10, 9)])
def test_spread_indices_differ_and_grow(count: int, most: int):
    found = spread_indices(count, most).tolist()
    assert len(found) == min(count, most)
    assert found == sorted(set(found)) and all(0 <= index < count for index in found)
    assert sorted(spread_indices(count, most, is_shuffled=True).tolist()) == found


def test_the_name_tells_the_content(tmp_path: Path):
    first = write_display_cloud(tmp_path, cloud())
    assert first.name.startswith("worldstereo_cloud_") and first.suffix == ".bin"
    assert write_display_cloud(tmp_path, cloud()) == first
    assert write_display_cloud(tmp_path, cloud(), clip=True) != first
    assert len(list(tmp_path.iterdir())) == 2
    assert len(read_display_cloud(first).xyz) == 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content[:-1], "has 90 bytes, expected 91 for 5 points: it was cut off"),
        (lambda content: content + b"\0", "has 92 bytes, expected 91"),
        (lambda content: content[:10], "10 bytes that begin with b'WSPC'"),
        (lambda content: b"PLY " + content[4:], "begin with b'PLY '"),
        (
            lambda content: content[:4] + b"\x02" + content[5:],
            "has version 2 and flags 0, expected version 1",
        ),
        (lambda content: content[:12] + b"\x04" + content[13:], "has version 1 and flags 4"),
    ],
)
def test_what_is_no_display_cloud_is_refused(tmp_path: Path, change, said: str):
    file = tmp_path / "cloud.bin"
    file.write_bytes(change(display_cloud_to_bytes(cloud())))
    with pytest.raises(WorldStereoError, match=r"^cloud\.bin: ") as error:
        read_display_cloud(file)
    assert said in str(error.value)


def test_a_missing_file_and_wild_points_are_named(tmp_path: Path):
    with pytest.raises(WorldStereoError, match="there is no such file"):
        read_display_cloud(tmp_path / "gone.bin")
    points = cloud()
    points.xyz[2, 1] = torch.nan
    with pytest.raises(WorldStereoError, match="memory: 1 of 5 positions are not finite"):
        display_cloud_to_bytes(points)
    with pytest.raises(WorldStereoError, match="does not exist, so nothing was written"):
        write_display_cloud(tmp_path / "no folder", cloud())
