"""Alembic cameras through alembic3d."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import PathError
from worldstereo_core.formats.cameras.registry import read_camera_file, write_trajectory
from worldstereo_core.geometry.trajectory import Trajectory

VERIFIES = {"alembic": "alembic3d"}
pytest.importorskip("alembic3d", reason="pip install alembic3d")


def test_alembic_finds_matrices_for_row_vectors_film_and_times(tmp_path: Path, sideways: Trajectory):
    from alembic3d import Abc, AbcGeom

    write_trajectory(tmp_path / "a.abc", sideways, "alembic", sensor_width_mm=20)
    archive = Abc.IArchive(str(tmp_path / "a.abc"))
    xform = AbcGeom.IXform(archive.getTop(), "camera")
    schema = xform.getSchema()
    assert schema.getNumSamples() == 2
    times = [schema.getTimeSampling().getSampleTime(index) for index in range(2)]
    assert times == pytest.approx([1 / 24, 2 / 24])
    value = schema.getValue(Abc.ISampleSelector(0)).getMatrix()
    rows = torch.tensor([[value[row][column] for column in range(4)] for row in range(4)])
    expected = torch.tensor([[0.0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [2, 3, -5, 1]])
    assert_close(rows, expected, atol=1e-6, rtol=0)
    sample = AbcGeom.ICamera(xform, "cameraShape").getSchema().getValue(Abc.ISampleSelector(0))
    assert sample.getFocalLength() == pytest.approx(10)
    assert (sample.getHorizontalAperture(), sample.getVerticalAperture()) == pytest.approx((2.0, 1.0))
    assert sample.getFieldOfView() == pytest.approx(90)


def test_film_offsets_have_alembics_sign(tmp_path: Path, rich: Trajectory):
    from alembic3d import Abc, AbcGeom

    write_trajectory(tmp_path / "a.abc", rich, "alembic")
    archive = Abc.IArchive(str(tmp_path / "a.abc"))
    camera = AbcGeom.ICamera(AbcGeom.IXform(archive.getTop(), "camera"), "cameraShape").getSchema()
    window = camera.getValue(Abc.ISampleSelector(0)).getScreenWindow()
    # The principal point is where the window has 0: 43.25 of 80 pixels from the left, 22.5 of 48 from the
    # top.
    assert -window["left"] / (window["right"] - window["left"]) == pytest.approx(43.25 / 80, abs=1e-5)
    assert window["top"] / (window["top"] - window["bottom"]) == pytest.approx(22.5 / 48, abs=1e-5)


def test_an_archive_without_camera_is_refused(tmp_path: Path):
    from alembic3d import Abc

    archive = Abc.OArchive(str(tmp_path / "a.abc"))
    del archive
    with pytest.raises(PathError, match=r"a\.abc: holds no camera"):
        read_camera_file(tmp_path / "a.abc", size=(48, 80))


def test_a_damaged_archive_is_refused(tmp_path: Path, plain: Trajectory):
    write_trajectory(tmp_path / "a.abc", plain, "alembic")
    (tmp_path / "b.abc").write_bytes((tmp_path / "a.abc").read_bytes()[:200])
    with pytest.raises(PathError, match=r"b\.abc"):
        read_camera_file(tmp_path / "b.abc")


def test_a_missing_alembic3d_is_named_and_nothing_is_written(
    tmp_path: Path, plain: Trajectory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "alembic3d", None)
    with pytest.raises(PathError, match="pip install alembic3d"):
        write_trajectory(tmp_path / "a.abc", plain, "alembic")
    assert list(tmp_path.iterdir()) == []
