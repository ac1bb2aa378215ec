"""What is said about camera files that are damaged or dishonest: file and field, never a crash."""

from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from worldstereo_core.checks import PathError, WorldStereoError
from worldstereo_core.formats.cameras.registry import BY_NAME, READABLE, read_camera_file, write_trajectory
from worldstereo_core.geometry.trajectory import Trajectory

# USD and Alembic are parsed by their own libraries; their damaged files are in the tests of those libraries.
OURS = [name for name in READABLE if name not in ("usd", "alembic")]
SIZE = (48, 80)
EYE = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


def refused(path: Path, message: str, **settings) -> str:
    with pytest.raises(PathError, match=message) as caught:
        read_camera_file(path, **{"size": SIZE, **settings})
    assert path.name in str(caught.value) or path.is_dir()
    return str(caught.value)


def save(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def transforms(frames: int = 3, **changes) -> dict:
    each = [{"file_path": f"images/{index}.png", "transform_matrix": EYE} for index in range(frames)]
    return {"w": 80, "h": 48, "fl_x": 70, "frames": each, **changes}


def load3d(**changes) -> dict:
    vector = {"x": 0, "y": 0, "z": 0}
    turn = {"x": 0, "y": 0, "z": 0, "w": 1}
    place = {"position": vector, "target": vector, "quaternion": turn}
    return {**place, "zoom": 1, "cameraType": "perspective", "fov": 40, **changes}


def test_left_handed_matrices(tmp_path: Path):
    content = transforms()
    content["frames"][1]["transform_matrix"] = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1]]
    refused(save(tmp_path / "transforms.json", content), "transform_matrix of frame 1 is mirrored")


def test_scaled_matrices_are_repaired_and_reported(tmp_path: Path):
    content = transforms()
    content["frames"][2]["transform_matrix"] = [[5, 0, 0, 1], [0, 5, 0, 2], [0, 0, 5, 3], [0, 0, 0, 1]]
    found = read_camera_file(save(tmp_path / "transforms.json", content), fps=24, up_axis="y")
    assert found.trajectory.cameras.centers[2].tolist() == [1, -2, -3]
    assert "transform_matrix is scaled in 1 of 3 frames (frame 2 by 5)" in found.notes[0]


def test_sheared_transposed_and_cut_matrices(tmp_path: Path):
    for matrix, message in (
        ([[1, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "not rigid"),
        ([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [4, 5, 6, 1]], "transposed"),
        ([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], "holds 3 entries, expected 4x4 numbers"),
        ([[1, 0, 0, 0], [0, "1", 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "is '1', expected a number"),
    ):
        content = transforms()
        content["frames"][1]["transform_matrix"] = matrix
        assert "frame 1" in refused(save(tmp_path / "transforms.json", content), message)


def test_quaternions_of_length_0(tmp_path: Path):
    zero = {"x": 0, "y": 0, "z": 0, "w": 0}
    refused(
        save(tmp_path / "a.json", [load3d(), load3d(quaternion=zero)]), "quaternion of frame 1 has length 0"
    )
    save(tmp_path / "cameras.txt", "1 PINHOLE 80 48 70 70 40 24\n")
    path = save(tmp_path / "images.txt", "1 0 0 0 0 1 2 3 1 a.png\n\n")
    refused(path, r"images\.txt: quaternion of frame 0 has length 0")
    refused(save(tmp_path / "a.csv", "x,y,z,qw,qx,qy,qz,fx\n0,0,0,0,0,0,0,70\n"), "quaternion of frame 0")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999", "1" * 400])
def test_numbers_that_are_not_finite(tmp_path: Path, text: str):
    before = '"images/1.png", "transform_matrix": [['
    content = json.dumps(transforms()).replace(before + "1", before + text)
    refused(save(tmp_path / "transforms.json", content), "transform_matrix of frame 1 holds (nan|inf)")
    rows = f"x,y,z,qw,qx,qy,qz,fx\n{text},0,0,1,0,0,0,70\n"
    refused(save(tmp_path / "a.csv", rows), "position of frame 0 holds (nan|inf)")


def test_missing_intrinsics(tmp_path: Path):
    content = transforms()
    del content["fl_x"]
    refused(save(tmp_path / "transforms.json", content), "frame 0 has neither fl_x nor camera_angle_x")
    refused(save(tmp_path / "a.chan", "1 0 0 0 0 0 0\n"), "line 1 has no vfov")
    refused(
        save(tmp_path / "a.csv", "x,y,z,qw,qx,qy,qz\n0,0,0,1,0,0,0\n"), "none of the columns fx, focal_mm"
    )
    refused(save(tmp_path / "a.json", load3d(fov=None)), "frame 0 has no fov")
    save(tmp_path / "cameras.txt", "2 PINHOLE 80 48 70 70 40 24\n")
    refused(
        save(tmp_path / "images.txt", "1 1 0 0 0 1 2 3 1 a.png\n\n"),
        "has the camera 1, which cameras.txt does not",
    )


def test_missing_size(tmp_path: Path):
    refused(save(tmp_path / "a.chan", "1 0 0 0 0 0 0 60\n"), "states no picture size", size=None)


@pytest.mark.parametrize("focal", [0, -70])
def test_focal_lengths_that_are_none(tmp_path: Path, focal: float):
    refused(save(tmp_path / "transforms.json", transforms(fl_x=focal)), "expected both above 0")


def test_mixed_sizes(tmp_path: Path):
    content = transforms()
    content["frames"][2].update(w=100, h=60)
    refused(save(tmp_path / "transforms.json", content), "frame 0 has w x h 80 x 48 but frame 2 100 x 60")
    head = "x,y,z,qw,qx,qy,qz,fx,width,height\n"
    rows = "0,0,0,1,0,0,0,70,80,48\n0,0,0,1,0,0,0,70,100,48\n"
    refused(save(tmp_path / "a.csv", head + rows), "width is 80 in row 0 but 100 in row 1")
    save(tmp_path / "cameras.txt", "1 PINHOLE 80 48 70 70 40 24\n2 PINHOLE 100 48 70 70 50 24\n")
    save(tmp_path / "images.txt", "1 1 0 0 0 0 0 0 1 a.png\n\n2 1 0 0 0 0 0 0 2 b.png\n\n")
    refused(tmp_path / "cameras.txt", "frame 1 is 100 x 48 pixels")


def test_fisheye_is_refused_and_distortion_is_reported(tmp_path: Path):
    refused(
        save(tmp_path / "transforms.json", transforms(camera_model="OPENCV_FISHEYE")),
        "camera_model of frame 0",
    )
    found = read_camera_file(save(tmp_path / "transforms.json", transforms(k1=0.1)), fps=24)
    assert "distortion (k1 = 0.1) was dropped" in found.notes[0]


def test_time_that_does_not_grow(tmp_path: Path):
    line = "{} 0 0 0 0 0 0 60\n"
    refused(save(tmp_path / "a.chan", "".join(map(line.format, (1, 3, 2)))), "frame of frame 2 is 2 after 3")
    refused(save(tmp_path / "a.chan", "".join(map(line.format, (1, 2, 2)))), "frame of frame 2 is 2 after 2")
    head = "time,x,y,z,qw,qx,qy,qz,fx\n"
    rows = "".join(f"{time},0,0,0,1,0,0,0,70\n" for time in (0, 0.1, 0.05))
    refused(save(tmp_path / "a.csv", head + rows), "time of frame 2 is 0.05 after 0.1")


def test_gaps_in_time(tmp_path: Path):
    lines = "".join(f"{frame} 0 0 0 0 0 0 60\n" for frame in (1, 2, 9, 10))
    refused(save(tmp_path / "a.chan", lines), "evenly spaced")


def test_a_wrong_version(tmp_path: Path, plain: Trajectory):
    write_trajectory(tmp_path / "a.txt", plain, "after_effects")
    text = (tmp_path / "a.txt").read_bytes().replace(b"Effects 8.0", b"Effects 4.0")
    (tmp_path / "a.txt").write_bytes(text)
    refused(tmp_path / "a.txt", "is of version 4.0, expected 8.0")


@pytest.mark.parametrize("bomb", ["[" * 200_000, '{"a":' * 200_000])
@pytest.mark.parametrize("name", ["camera_json", "nerfstudio", "load3d", "gltf"])
def test_deeply_nested_json(tmp_path: Path, bomb: str, name: str):
    refused(save(tmp_path / "bomb.json", bomb), "nested too deeply|is not JSON", format=name)


@pytest.mark.parametrize("name", OURS)
def test_huge_files_are_not_read(tmp_path: Path, name: str):
    path = tmp_path / ("cameras.bin" if name == "colmap" else f"huge{BY_NAME[name].suffixes[0]}")
    with path.open("wb") as file:
        os.truncate(file.fileno(), 600 * 2**20)  # a hole, takes no room on the disk
    refused(path, "has 600 MiB", format=name)


@pytest.mark.parametrize("name", OURS)
def test_zip_archives_and_empty_files(tmp_path: Path, name: str):
    path = tmp_path / ("cameras.bin" if name == "colmap" else f"a{BY_NAME[name].suffixes[0]}")
    path.write_bytes(b"PK\x03\x04" + b"\0" * 100)
    refused(path, "is a zip archive", format=name)
    path.write_bytes(b"")
    refused(path, "is empty", format=name)


def test_what_nothing_recognises(tmp_path: Path):
    (tmp_path / "a.json").write_bytes(b"PK\x03\x04" + b"\0" * 100)
    refused(tmp_path / "a.json", "is a zip archive")
    refused(save(tmp_path / "a.bin", "hello"), "is in no known camera format")
    refused(tmp_path / "none.json", "there is no such file")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "is in no known camera format")


def test_file_names_inside_datasets_are_never_opened(tmp_path: Path):
    content = transforms()
    for frame, name in zip(content["frames"], ("../../a/1.png", "/etc/2", "3\0"), strict=True):
        frame["file_path"] = name
    assert read_camera_file(save(tmp_path / "transforms.json", content), fps=24).trajectory.num_frames == 3


def test_colmap_binary_with_invented_counts(tmp_path: Path, plain: Trajectory):
    write_trajectory(tmp_path, plain, "colmap")
    for part in ("cameras.bin", "images.bin"):
        whole = (tmp_path / part).read_bytes()
        (tmp_path / part).write_bytes(struct.pack("<Q", 2**63) + whole[8:])
        refused(tmp_path / part, f"{part}: ends after")
        (tmp_path / part).write_bytes(whole[:-5])
        refused(tmp_path / part, f"{part}: ends after")
        (tmp_path / part).write_bytes(whole)


def test_after_effects_with_two_nodes_or_holes(tmp_path: Path, plain: Trajectory):
    write_trajectory(tmp_path / "a.txt", plain, "after_effects")
    text = (tmp_path / "a.txt").read_text()
    cut = text.replace("End of Keyframe Data", "")
    refused(save(tmp_path / "b.txt", cut), "'End of Keyframe Data' is missing")
    aim = "Transform\tPoint of Interest\n\tFrame\n\t0\t1\t2\t3\n\n"
    node = text.replace("Camera Options\tZoom", aim + "Camera Options\tZoom")
    refused(save(tmp_path / "b.txt", node), "Point of Interest, so the camera has two nodes")
    at = text.index("Transform\tPosition")
    hole = text[:at] + text[at:].replace("\n\t7\t", "\n\t70\t", 1)
    refused(save(tmp_path / "b.txt", hole), "Position has a key at frame 6 and the next at 70")
    wide = text.replace("Comp Pixel Aspect Ratio\t1", "Comp Pixel Aspect Ratio\t2")
    refused(save(tmp_path / "b.txt", wide), "Comp Pixel Aspect Ratio is 2, expected 1")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fps": 0}, "fps: got 0"),
        ({"fps": float("nan")}, "fps: got nan"),
        ({"size": (0, 80)}, "size: got"),
        ({"sensor_width_mm": -1}, "sensor width"),
        ({"unit_scale": 0}, "unit scale: got 0"),
        ({"up_axis": "x"}, "up axis: got 'x'"),
        ({"rotation_order": "XXY"}, "rotation order: got 'XXY'"),
        ({"format": "fbx"}, "format: got 'fbx'"),
    ],
)
def test_settings_that_make_no_sense(tmp_path: Path, settings: dict, message: str):
    path = save(tmp_path / "a.chan", "1 0 0 0 0 0 0 60\n")
    with pytest.raises(PathError, match=message):
        read_camera_file(path, **settings)


def mutations(data: bytes, count: int) -> list[bytes]:
    """Damaged copies: cut, with random bytes, with parts doubled or removed."""
    source = random.Random(0)

    def cut(copy: bytearray) -> bytearray:
        return copy[: source.randrange(len(copy))]

    def scribble(copy: bytearray) -> bytearray:
        for _ in range(source.randrange(1, 20)):
            copy[source.randrange(len(copy))] = source.randrange(256)
        return copy

    def swap(copy: bytearray) -> bytearray:
        for _ in range(source.randrange(1, 4)):
            copy[source.randrange(len(copy))] = source.choice(b'0-.,[]{}"ne \t\n')
        return copy

    def remove(copy: bytearray) -> bytearray:
        at = source.randrange(len(copy))
        del copy[at : at + source.randrange(1, 60)]
        return copy

    def double(copy: bytearray) -> bytearray:
        at = source.randrange(len(copy))
        return copy[: at + 50] + copy[at:]

    changes: list[Callable[[bytearray], bytearray]] = [cut, scribble, swap, remove, double]
    return [bytes(source.choice(changes)(bytearray(data))) for _ in range(count)]


@pytest.mark.parametrize("name", OURS)
def test_damaged_files_are_read_or_refused_with_words(tmp_path: Path, plain: Trajectory, name: str):
    path = tmp_path / f"shot{BY_NAME[name].suffixes[0]}"
    write_trajectory(path, plain.resampled(3), name)
    targets = [path / "images.bin", path / "cameras.bin"] if name == "colmap" else [path]
    words = 0
    for target in targets:
        whole = target.read_bytes()
        for damaged in mutations(whole, 200):
            target.write_bytes(damaged)
            try:
                found = read_camera_file(path, format=name, size=SIZE).trajectory
            except WorldStereoError as error:
                assert target.name in str(error) or path.name in str(error), error
                words += 1
            else:
                assert torch.isfinite(found.w2c).all() and torch.isfinite(found.K).all()
        target.write_bytes(whole)
    assert words > 20
