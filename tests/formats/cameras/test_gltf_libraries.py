"""GLB camera animation through pygltflib and trimesh, and animations of other programs."""

from __future__ import annotations

import base64
import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.formats.cameras.axes import file_from_ours
from worldstereo_core.formats.cameras.registry import read_camera_file, write_trajectory
from worldstereo_core.geometry.trajectory import Trajectory

VERIFIES = {"gltf": "pygltflib, trimesh"}


def test_pygltflib_finds_the_animation_with_the_same_frames(tmp_path: Path, plain: Trajectory):
    pygltflib = pytest.importorskip("pygltflib", reason="pip install pygltflib")
    write_trajectory(tmp_path / "a.glb", plain, "gltf")
    document = pygltflib.GLTF2().load(str(tmp_path / "a.glb"))
    blob = document.binary_blob()

    def values(index: int, parts: int) -> torch.Tensor:
        accessor = document.accessors[index]
        view = document.bufferViews[accessor.bufferView]
        flat = np.frombuffer(blob, "<f4", accessor.count * parts, view.byteOffset)
        return torch.from_numpy(flat.reshape(-1, parts).copy())

    animation = document.animations[0]
    tracks = {channel.target.path: animation.samplers[channel.sampler] for channel in animation.channels}
    times = values(tracks["translation"].input, 1)[:, 0]
    assert_close(times, torch.arange(21) / plain.fps)
    assert document.accessors[tracks["translation"].input].max == pytest.approx([20 / plain.fps])
    positions = values(tracks["translation"].output, 3)
    ours = plain.cameras.centers @ file_from_ours("y").float().T
    assert_close(positions, ours, atol=1e-6, rtol=0)
    rotations = values(tracks["rotation"].output, 4)
    assert_close(rotations.norm(dim=1), torch.ones(21))
    assert ((rotations[1:] * rotations[:-1]).sum(1) > 0).all()
    lens = document.cameras[0].perspective
    assert lens.aspectRatio == pytest.approx(80 / 48)
    assert lens.yfov == pytest.approx(2 * math.atan(24 / plain.K[0, 1, 1].item()), abs=1e-6)


def test_trimesh_sees_the_first_camera(tmp_path: Path, plain: Trajectory):
    trimesh = pytest.importorskip("trimesh", reason="pip install trimesh")
    write_trajectory(tmp_path / "a.glb", plain, "gltf")
    scene = trimesh.load_scene(str(tmp_path / "a.glb"))
    flip = torch.diag(torch.tensor([1.0, -1, -1, 1]))
    expected = flip @ plain.cameras.c2w[0] @ flip
    assert_close(torch.tensor(scene.camera_transform.tolist()), expected, atol=1e-5, rtol=0)
    assert scene.camera.fov[1] == pytest.approx(
        2 * math.degrees(math.atan(24 / plain.K[0, 1, 1].item())), abs=1e-3
    )


def foreign(path: Path, times: list[float], interpolation: str, parent: dict, values: list[float]) -> Path:
    """A .gltf as other programs write it: a moving camera under a parent, data inside the JSON."""
    data = struct.pack(f"<{len(times)}f", *times) + struct.pack(f"<{len(values)}f", *values)
    split = 4 * len(times)
    content = {
        "asset": {"version": "2.0"},
        "nodes": [{"children": [1], **parent}, {"camera": 0, "name": "Cam"}],
        "cameras": [{"type": "perspective", "perspective": {"yfov": math.radians(60), "znear": 0.1}}],
        "animations": [
            {
                "channels": [{"sampler": 0, "target": {"node": 1, "path": "translation"}}],
                "samplers": [{"input": 0, "output": 1, "interpolation": interpolation}],
            }
        ],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": len(times), "type": "SCALAR"},
            {"bufferView": 1, "componentType": 5126, "count": len(values) // 3, "type": "VEC3"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": split},
            {"buffer": 0, "byteOffset": split, "byteLength": len(data) - split},
        ],
        "buffers": [
            {
                "byteLength": len(data),
                "uri": "data:application/octet-stream;base64," + base64.b64encode(data).decode(),
            }
        ],
    }
    path.write_text(json.dumps(content))
    return path


def test_a_parent_moves_and_turns_the_camera(tmp_path: Path):
    # The parent turns by 180 degrees about y and is at (0, 0, 10): the camera at (1, 0, 0) is at (-1, 0, 10)
    # there, which is (-1, 0, -10) in our axes.
    parent = {"translation": [0, 0, 10], "rotation": [0, 1, 0, 0], "scale": [2, 2, 2]}
    path = foreign(tmp_path / "a.gltf", [0, 0.5], "LINEAR", parent, [0.5, 0, 0, 0.5, 1, 0])
    found = read_camera_file(path, size=(48, 80))
    assert_close(
        found.trajectory.cameras.centers, torch.tensor([[-1.0, 0, -10], [-1, -2, -10]]), atol=1e-6, rtol=0
    )
    assert found.trajectory.fps == 2
    assert found.trajectory.K[0, 1, 1].item() == pytest.approx(24 / math.tan(math.radians(30)))
    assert "scale was removed" in found.notes[0]


@pytest.mark.parametrize(
    ("interpolation", "values", "middle"),
    [
        ("LINEAR", [0, 0, 0, 8, 0, 0], 4),
        ("STEP", [0, 0, 0, 8, 0, 0], 0),
        # No slope at either end: the middle is 4, a quarter is 8 * (3/16 - 2/64) = 1.25.
        ("CUBICSPLINE", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0], 4),
    ],
)
def test_sparse_keys_are_sampled_at_the_frame_rate(
    tmp_path: Path, interpolation: str, values: list[float], middle: float
):
    path = foreign(tmp_path / "a.gltf", [1, 3], interpolation, {}, values)
    found = read_camera_file(path, size=(48, 80), fps=2)
    assert found.trajectory.num_frames == 5
    x = found.trajectory.cameras.centers[:, 0].tolist()
    assert (x[0], x[2], x[4]) == pytest.approx((0, middle, 8))
    if interpolation == "CUBICSPLINE":
        assert x[1] == pytest.approx(1.25)
    assert "2 keys were sampled to 5 frames" in found.notes[0]


def test_a_changed_lens_wins_over_our_extras(tmp_path: Path, plain: Trajectory):
    write_trajectory(tmp_path / "a.glb", plain, "gltf")
    data = (tmp_path / "a.glb").read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    content = json.loads(data[20 : 20 + length])
    content["cameras"][0]["perspective"]["yfov"] = math.pi / 2
    text = json.dumps(content).encode().ljust((len(json.dumps(content)) + 3) // 4 * 4)
    rest = struct.pack("<II", len(text), 0x4E4F534A) + text + data[20 + length :]
    (tmp_path / "a.glb").write_bytes(struct.pack("<III", 0x46546C67, 2, 12 + len(rest)) + rest)
    found = read_camera_file(tmp_path / "a.glb")
    assert_close(found.trajectory.K[:, 1, 1], torch.full((21,), 24.0))
    assert "lens was changed" in found.notes[0]
