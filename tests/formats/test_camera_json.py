"""camera.json in and out, and what is said about bad ones."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.formats.camera_json import read_camera_json, write_camera_json
from worldstereo_core.geometry.cameras import Cameras, fov_to_K
from worldstereo_core.geometry.trajectory import build_trajectory


def content(frames: int = 3) -> dict:
    w2c = [[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 2], [0, 0, 0, 1]]
    K = [[700.0, 0, 384], [0, 690.0, 256], [0, 0, 1]]
    return {
        "motion_list": ["left"],
        "extrinsic": [w2c] * frames,
        "intrinsic": [K] * frames,
        "width": 768,
        "height": 512,
    }


def write(tmp_path: Path, value: object) -> Path:
    path = tmp_path / "camera.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_extrinsic_is_w2c_and_intrinsic_is_in_pixels(tmp_path: Path):
    cameras = read_camera_json(write(tmp_path, content()))
    assert (cameras.num_frames, cameras.height, cameras.width) == (3, 512, 768)
    assert_close(cameras.w2c[2, :3, 3], torch.tensor([0.5, 0, 2]))
    assert_close(cameras.centers[0], torch.tensor([-0.5, 0, -2]))
    assert_close(cameras.K[1], torch.tensor([[700.0, 0, 384], [0, 690, 256], [0, 0, 1]]))


def test_what_is_written_is_read_back_exactly(tmp_path: Path):
    K = fov_to_K(math.radians(50), 48, 80)
    options = {"start": (torch.eye(4), K), "height": 48, "width": 80, "num_frames": 5}
    cameras = build_trajectory("orbit right", amount_deg=33.3, focal_end=1.7, **options).cameras
    path = tmp_path / "new folder" / "camera.json"
    write_camera_json(path, cameras)
    again = read_camera_json(path)
    assert torch.equal(again.w2c, cameras.w2c) and torch.equal(again.K, cameras.K)
    assert (again.height, again.width) == (48, 80)
    assert list(json.loads(path.read_text())) == ["extrinsic", "intrinsic", "width", "height"]
    assert [entry.name for entry in path.parent.iterdir()] == ["camera.json"]


def test_bad_cameras_are_not_written_and_an_old_file_stays(tmp_path: Path):
    path = write(tmp_path, "old")
    cameras = Cameras(torch.full((1, 4, 4), math.nan), torch.eye(3)[None], 48, 80)
    with pytest.raises(WorldStereoError, match="nan"):
        write_camera_json(path, cameras)
    assert path.read_text() == "old"


def test_a_failed_write_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cameras = read_camera_json(write(tmp_path, content()))
    path = write(tmp_path, "old")

    def full_disk(temporary: Path, text: str, **_: object) -> None:
        temporary.write_bytes(text.encode()[:100])
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_camera_json(path, cameras)
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["camera.json"]


def test_size_from_outside_serves_files_without_one(tmp_path: Path):
    sizeless = {key: value for key, value in content().items() if key not in ("width", "height")}
    path = write(tmp_path, sizeless)
    with pytest.raises(WorldStereoError, match="lacks 'height' and 'width'"):
        read_camera_json(path)
    cameras = read_camera_json(path, size=(512, 768))
    assert (cameras.height, cameras.width) == (512, 768)
    with pytest.raises(WorldStereoError, match="512x768 image"):
        read_camera_json(path, size=(1024, 1536))


def test_a_file_with_a_size_is_believed(tmp_path: Path):
    assert read_camera_json(write(tmp_path, content()), size=(100, 100)).height == 512


def spoiled(**changes: object) -> dict:
    return content() | changes


def without(key: str) -> dict:
    return {name: value for name, value in content().items() if name != key}


def with_number(key: str, frame: int, row: int, column: int, number: object) -> dict:
    value = json.loads(json.dumps(content()))
    value[key][frame][row][column] = number
    return value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "the file is empty"),
        ("{not json", "is not JSON"),
        ([1, 2], "a JSON list"),
        (without("extrinsic"), "'extrinsic' is missing .found: height, intrinsic, motion_list, width."),
        (without("intrinsic"), "'intrinsic' is missing"),
        (without("width"), "lacks 'width'"),
        (spoiled(extrinsic=[]), "'extrinsic' holds an empty list"),
        (spoiled(extrinsic="no"), "'extrinsic' holds str"),
        (
            spoiled(extrinsic=[[[1, 0, 0, 0]] * 3] * 3),
            "3x4 matrix, expected 4x4 numbers. Add the row 0, 0, 0, 1",
        ),
        (spoiled(intrinsic=content()["intrinsic"][0]), "'intrinsic' of frame 0 is a value that is no matrix"),
        (spoiled(intrinsic=content(2)["intrinsic"]), "3 world-to-camera matrices but 2 intrinsics"),
        (with_number("extrinsic", 1, 0, 0, "x"), 'frame 1 holds "x"'),
        (with_number("extrinsic", 1, 0, 0, None), "frame 1 holds null"),
        (with_number("extrinsic", 1, 0, 3, math.nan), "frame 1 holds nan"),
        (with_number("extrinsic", 2, 0, 3, math.inf), "frame 2 holds inf"),
        (with_number("extrinsic", 1, 0, 3, 10**400), "frame 1 holds inf"),
        (with_number("extrinsic", 1, 0, 0, 3.0), "not rigid"),
        (with_number("intrinsic", 1, 0, 0, -700.0), "focal lengths fx -700"),
        (spoiled(width=1536, height=1024), "512x768 image"),
        (spoiled(width=384, height=256), "512x768 image"),
        (spoiled(width="768"), "'width' is \"768\""),
        (spoiled(height=0), "'height' is 0"),
        (spoiled(height=511.5), "'height' is 511.5"),
    ],
)
def test_bad_files_are_refused_by_name_and_key(tmp_path: Path, value: object, words: str):
    with pytest.raises(WorldStereoError, match=words) as error:
        read_camera_json(write(tmp_path, value))
    assert str(error.value).startswith("camera.json: ")


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(WorldStereoError, match=r"nowhere\.json: there is no such file"):
        read_camera_json(tmp_path / "nowhere.json")


def test_a_binary_file_is_refused(tmp_path: Path):
    path = tmp_path / "camera.json"
    path.write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(WorldStereoError, match="cannot be read as text"):
        read_camera_json(path)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["traj_eloop", "traj_left", "traj_right", "traj_up"])
def test_official_files_are_read(kitchen_dir: Path, name: str):
    cameras = read_camera_json(kitchen_dir / name / "camera.json")
    assert (cameras.num_frames, cameras.height, cameras.width) == (21, 512, 768)
    assert cameras.w2c.isfinite().all()
