"""Which way is up in an exported point cloud."""

from __future__ import annotations

import io

import pytest
import torch

from worldstereo_core.formats.ply import read_ply, write_ply
from worldstereo_core.geometry.point_cloud import PointCloud

# One point to the right (1), above the camera (2) and ahead (3): ours is x right, y down, z forward.
OURS = torch.tensor([[1.0, -2.0, 3.0]])


def cloud() -> PointCloud:
    return PointCloud(OURS, torch.zeros(1, 3), torch.ones(1), torch.zeros(1, dtype=torch.int32), normal=OURS)


@pytest.mark.parametrize(("up_axis", "in_file"), [("y", [1, 2, -3]), ("z", [1, 3, 2]), ("-y", [1, -2, 3])])
def test_up_is_up_and_nothing_is_mirrored(up_axis, in_file):
    file = io.BytesIO()
    write_ply(file, cloud(), up_axis=up_axis)
    file.seek(0)
    raw = read_ply(file, up_axis="-y")
    assert raw.xyz.tolist() == [in_file]
    assert raw.normal is not None and raw.normal.tolist() == [in_file]


@pytest.mark.parametrize("up_axis", ["y", "z", "-y"])
def test_reading_undoes_what_the_file_says(up_axis):
    file = io.BytesIO()
    write_ply(file, cloud(), up_axis=up_axis)
    file.seek(0)
    assert read_ply(file).xyz.tolist() == OURS.tolist()
