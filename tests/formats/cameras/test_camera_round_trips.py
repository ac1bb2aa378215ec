"""Every format there and back: poses within 1e-5, frame counts exactly, the lens as far as it is held."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import PathError
from worldstereo_core.formats.cameras.colmap import write_colmap
from worldstereo_core.formats.cameras.exchange import CameraFile
from worldstereo_core.formats.cameras.registry import (
    BY_NAME,
    READABLE,
    WRITABLE,
    read_camera_file,
    write_trajectory,
)
from worldstereo_core.geometry.trajectory import Trajectory

BOTH = [name for name in READABLE if name in WRITABLE]
NEEDS = {"usd": "pxr", "alembic": "alembic3d"}
# What the reader has to be told because the file does not hold it.
TOLD = {"chan": ("size", "fps"), "colmap": ("fps",)}
# Formats that hold K whole; the others take a centred lens of square pixels.
WHOLE_LENS = {"camera_json", "nerfstudio", "colmap", "gltf", "usd", "alembic", "csv"}


def there_and_back(
    folder: Path, name: str, trajectory: Trajectory, **settings
) -> tuple[tuple[str, ...], CameraFile]:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"pip install {BY_NAME[name].package.split()[0]}")
    path = folder / f"shot{BY_NAME[name].suffixes[0]}"
    notes = write_trajectory(path, trajectory, name, **settings)
    told = {"size": (trajectory.height, trajectory.width), "fps": trajectory.fps}
    read = {key: value for key, value in settings.items() if key != "first_frame"}
    return notes, read_camera_file(path, **read, **{key: told[key] for key in TOLD.get(name, ())})


def check_same(found: Trajectory, expected: Trajectory) -> None:
    assert found.num_frames == expected.num_frames
    assert_close(found.w2c, expected.w2c, atol=1e-5, rtol=0)
    assert (found.height, found.width) == (expected.height, expected.width)
    assert found.fps == expected.fps


@pytest.mark.parametrize("name", BOTH)
def test_a_plain_camera_comes_back_whole(tmp_path: Path, plain: Trajectory, name: str):
    _, found = there_and_back(tmp_path, name, plain)
    assert found.format == name and found.notes == ()
    check_same(found.trajectory, plain)
    assert_close(found.trajectory.K, plain.K, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", BOTH)
def test_a_rich_lens_comes_back_or_its_loss_is_reported(tmp_path: Path, rich: Trajectory, name: str):
    notes, found = there_and_back(tmp_path, name, rich)
    check_same(found.trajectory, rich)
    if name in WHOLE_LENS:
        assert_close(found.trajectory.K, rich.K, atol=1e-3, rtol=0)
        return
    text = " ".join(notes)
    assert "principal point" in text and "3.25" in text and "non-square" in text
    focal = 0 if name == "after_effects" else 1
    assert_close(found.trajectory.K[:, focal, focal], rich.K[:, focal, focal], atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", BOTH)
def test_one_frame_comes_back_as_one_frame(tmp_path: Path, plain: Trajectory, name: str):
    single = replace(plain, cameras=plain.cameras[5])
    notes, found = there_and_back(tmp_path, name, single)
    if name == "csv":
        assert "frame rate" in notes[0] and "no frame rate" in found.notes[0]
        single = replace(single, fps=16.0)
    check_same(found.trajectory, single)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("up_axis", ["y", "z"])
def test_up_axis_and_units_are_explicit(tmp_path: Path, plain: Trajectory, name: str, up_axis: str):
    form = BY_NAME[name]
    if up_axis not in form.up_axes:
        with pytest.raises(PathError, match="up axis"):
            there_and_back(tmp_path, name, plain, up_axis=up_axis)
        return
    _, found = there_and_back(tmp_path, name, plain, up_axis=up_axis, unit_scale=0.01)
    check_same(found.trajectory, plain)


def test_units_scale_positions_only(tmp_path: Path, plain: Trajectory):
    write_trajectory(tmp_path / "cm.glb", plain, "gltf", unit_scale=0.01)
    found = read_camera_file(tmp_path / "cm.glb").trajectory
    assert_close(found.cameras.centers, plain.cameras.centers * 100, atol=1e-3, rtol=0)
    assert_close(found.w2c[:, :3, :3], plain.w2c[:, :3, :3], atol=1e-5, rtol=0)


@pytest.mark.parametrize("order", ["XYZ", "ZXY", "YZX"])
def test_chan_in_any_rotation_order(tmp_path: Path, plain: Trajectory, order: str):
    _, found = there_and_back(tmp_path, "chan", plain, rotation_order=order, first_frame=1001)
    check_same(found.trajectory, plain)


def test_colmap_text_and_binary_hold_the_same(tmp_path: Path, rich: Trajectory):
    for folder, is_binary in (("text", False), ("binary", True)):
        write_colmap(tmp_path / folder, rich, is_binary=is_binary)
        found = read_camera_file(tmp_path / folder, fps=rich.fps).trajectory
        check_same(found, rich)
        assert torch.equal(found.K, rich.K)
    assert sorted(path.name for path in (tmp_path / "text").iterdir()) == [
        "cameras.txt",
        "images.txt",
        "points3D.txt",
    ]


@pytest.mark.parametrize("name", WRITABLE)
def test_a_failed_write_leaves_the_old_file(tmp_path: Path, plain: Trajectory, name: str):
    form = BY_NAME[name]
    path = tmp_path / f"shot{form.suffixes[0]}"
    if not form.is_folder:
        path.write_text("old")
    broken = replace(plain, cameras=replace(plain.cameras, w2c=torch.full((21, 4, 4), torch.nan)))
    with pytest.raises(PathError):
        write_trajectory(path, broken, name)
    assert [entry.name for entry in tmp_path.iterdir()] == ([] if form.is_folder else [path.name])


@pytest.mark.slow
@pytest.mark.parametrize("name", BOTH)
def test_100000_frames_there_and_back(tmp_path: Path, plain: Trajectory, name: str):
    long = plain.resampled(100_000)
    _, found = there_and_back(tmp_path, name, long)
    check_same(found.trajectory, long)
