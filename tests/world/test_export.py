"""A world exported for each program is upright there, complete, and leaves nothing behind when it fails."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.formats.splat_files import read_spz
from worldstereo_core.checks import WorldStereoError
from worldstereo_core.formats.cameras.registry import read_camera_file
from worldstereo_core.formats.ply import read_ply
from worldstereo_core.formats.point_axes import FROM_OURS
from worldstereo_core.geometry.cameras import Cameras
from worldstereo_core.geometry.point_cloud import PointCloud
from worldstereo_core.geometry.trajectory import Trajectory
from worldstereo_core.memory.memory import GeometricMemory
from worldstereo_core.memory.view import View
from worldstereo_core.world.export import ExportSettings, export_world, write_previews
from worldstereo_core.world.export_targets import (
    COMFYUI_POINTS,
    COMFYUI_SPLATS,
    TARGETS,
    PartFile,
    directions,
)

VERIFIES = {
    "points GLB": "trimesh",
    "COLMAP project": "pycolmap",
    "nerfstudio dataset": "documented format",
    "official reconstruction folder": "documented format",
    "scene.json": "Python's json",
}
# Points 1 to the right, 2 above and 3 ahead of the first camera, whose axes are x right, y down, z forward.
RIGHT, UP, FORWARD = (1.0, 0, 0), (0, -2.0, 0), (0, 0, 3.0)
K = torch.tensor([[10.0, 0, 6], [0, 10, 4], [0, 0, 1]])
HEIGHT, WIDTH = 8, 12


def world() -> GeometricMemory:
    xyz = torch.tensor([RIGHT, UP, FORWARD])
    cloud = PointCloud(
        xyz,
        torch.tensor([[1.0, 0, 0], [0, 1, 0], [0.5, 0.5, 0.5]]),
        torch.tensor([0.25, 0.5, 1.0]),
        torch.tensor([0, 1, 2], dtype=torch.int32),
        torch.tensor([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]),
    )
    picture = (torch.arange(3 * HEIGHT * WIDTH).reshape(3, HEIGHT, WIDTH) % 256).to(torch.uint8)
    # The last point is on the axis, so it lies at the centre of both pictures, 3 units away.
    depth = torch.full((HEIGHT, WIDTH), 3.0)
    depth[0, 0] = 0
    views = tuple(View(picture, torch.eye(4), K, f"clip_01/{n:04d}", depth=depth) for n in range(2))
    return GeometricMemory(cloud, views, median_depth=3.0, history=("made by hand",))


def move() -> Trajectory:
    w2c = torch.eye(4).repeat(3, 1, 1)
    w2c[:, 0, 3] = -torch.arange(3.0)  # one unit to the right per frame
    return Trajectory(Cameras(w2c, K.repeat(3, 1, 1), HEIGHT, WIDTH), fps=12.0)


def positions(path: Path) -> np.ndarray:
    """[N, 3] as a reader of that format hands them on, by libraries where there are some."""
    if path.suffix == ".ply":
        plyfile = pytest.importorskip("plyfile")
        vertex = plyfile.PlyData.read(str(path))["vertex"]
        return np.stack([vertex[axis] for axis in "xyz"], axis=1)
    if path.suffix == ".glb":
        trimesh = pytest.importorskip("trimesh")
        (cloud,) = trimesh.load(str(path)).geometry.values()
        return np.asarray(cloud.vertices)
    if path.suffix == ".spz":
        return read_spz(path)["xyz"]
    content = path.read_bytes()  # LAS 1.2: steps and offset of the axes stand at byte 131
    start, length = struct.unpack_from("<I", content, 96)[0], struct.unpack_from("<H", content, 105)[0]
    count = struct.unpack_from("<I", content, 107)[0]
    rows = np.frombuffer(content[start:], np.uint8).reshape(count, length)[:, :12].copy().view("<i4")
    return rows * struct.unpack_from("<3d", content, 131) + struct.unpack_from("<3d", content, 155)


CASES = [(name, file) for name, target in TARGETS.items() for file in target.files]
UP_OF = {"+y": (0, 1, 0), "+z": (0, 0, 1), "-y": (0, -1, 0)}


@pytest.mark.parametrize(("name", "file"), CASES, ids=[f"{name}-{file.name}" for name, file in CASES])
def test_up_is_up_and_nothing_is_mirrored_once_the_program_has_opened_it(tmp_path, name, file: PartFile):
    """The table holds each program's convention: what it does to coordinates, its up, its handedness."""
    target = TARGETS[name]
    export_world(tmp_path / "out", world(), ExportSettings(name, metres_per_unit=1.0))
    opened = positions(tmp_path / "out" / file.name) @ np.array(file.opened, dtype=float).T
    length = abs(np.linalg.det(np.array(file.opened))) ** (1 / 3)  # Unreal counts in centimetres
    right, up, forward = opened / length / np.array([[1.0], [2.0], [3.0]])
    np.testing.assert_allclose(up, UP_OF[target.up], atol=1e-4)
    for axis in (right, forward):
        assert abs(np.linalg.norm(axis) - 1) < 1e-4 and abs(axis @ up) < 1e-4
    # In right-handed axes right x up points back at the viewer, in left-handed ones forward.
    sign = 1 if target.is_left_handed else -1
    np.testing.assert_allclose(np.cross(right, up), sign * forward, atol=1e-4)


def test_comfyui_shows_points_and_splats_upright(tmp_path):
    written = export_world(tmp_path / "out", world(), ExportSettings("raw"))
    for path, file in zip(
        write_previews(tmp_path / "shown", written), (COMFYUI_POINTS, COMFYUI_SPLATS), strict=True
    ):
        right, up, forward = positions(path) @ np.array(file.opened, dtype=float).T
        np.testing.assert_allclose([right, up, forward], [[1, 0, 0], [0, 2, 0], [0, 0, -3]], atol=1e-6)


@pytest.mark.parametrize("axes", list(FROM_OURS))
def test_scene_json_says_where_the_first_camera_has_right_up_and_forward(axes):
    said = directions(axes)
    rows = np.array(FROM_OURS[axes])
    np.testing.assert_array_equal(rows @ np.array(RIGHT), said["right"])
    np.testing.assert_array_equal(rows @ np.array(UP) / 2, said["up"])
    np.testing.assert_array_equal(rows @ np.array(FORWARD) / 3, said["forward"])


@pytest.mark.parametrize("name", ["Unreal", "Unity", "three.js"])
def test_points_and_camera_of_a_folder_share_axes_and_metres(tmp_path, name):
    """Half a metre per scene unit: camera frame 2 stands 2 units to the right, the first point 1 unit."""
    target = TARGETS[name]
    export_world(tmp_path / "out", world(), ExportSettings(name, metres_per_unit=0.5), trajectory=move())
    first = positions(tmp_path / "out" / target.files[0].name)[0]
    np.testing.assert_allclose(np.linalg.norm(first), 0.5, atol=1e-4)
    if name == "Unreal":
        pytest.importorskip("pxr")
    read = read_camera_file(tmp_path / "out" / target.camera[1], size=(HEIGHT, WIDTH), unit_scale=1.0)
    # Read with one scene unit per file unit, positions stay metres; axes come back as ours.
    centres = read.trajectory.cameras.centers.numpy()
    np.testing.assert_allclose(centres[2], [1.0, 0, 0], atol=1e-5)
    rows = np.array(FROM_OURS[target.files[0].axes])
    np.testing.assert_allclose(first, rows @ centres[1], atol=1e-4)


def test_a_nerfstudio_folder_has_its_points_where_its_cameras_look(tmp_path):
    export_world(tmp_path / "out", world(), ExportSettings("nerfstudio"))
    content = json.loads((tmp_path / "out" / "transforms.json").read_text())
    frame = content["frames"][0]
    assert (tmp_path / "out" / frame["file_path"]).is_file() and frame["w"] == WIDTH
    point = np.append(positions(tmp_path / "out" / content["ply_file_path"])[2], 1)
    x, y, z, _ = np.linalg.inv(np.array(frame["transform_matrix"])) @ point  # OpenGL: looks along -z
    assert (-z, frame["fl_x"] * x / -z + frame["cx"]) == pytest.approx((3, WIDTH / 2), abs=1e-5)
    assert abs(y) < 1e-5


def test_pycolmap_opens_a_colmap_folder_with_pictures_and_tracks(tmp_path):
    pycolmap = pytest.importorskip("pycolmap")
    export_world(tmp_path / "out", world(), ExportSettings("COLMAP"))
    model = pycolmap.Reconstruction(str(tmp_path / "out" / "sparse" / "0"))
    (point,) = model.points3D.values()  # the other two lie outside the pictures
    np.testing.assert_allclose(point.xyz, FORWARD, atol=1e-6)
    assert point.track.length() == 2 and model.compute_mean_reprojection_error() < 1e-4
    assert sorted(image.name for image in model.images.values()) == sorted(
        path.name for path in (tmp_path / "out" / "images").iterdir()
    )


def test_the_official_folder_holds_camera_to_world_matrices(tmp_path):
    export_world(tmp_path / "out", world(), ExportSettings("official reconstruction folder"))
    cameras = json.loads((tmp_path / "out" / "cameras.json").read_text())
    assert cameras["num_cameras"] == 2 == len(list((tmp_path / "out" / "images").iterdir()))
    assert cameras["extrinsics"][0]["matrix"] == torch.eye(4).tolist()


def test_depth_stills_and_video_come_with_it(tmp_path):
    frames = torch.linspace(0, 1, 4)[:, None, None, None].expand(4, 3, HEIGHT, WIDTH).contiguous()
    settings = ExportSettings("raw", has_depth=True, fps=10.0)
    written = export_world(tmp_path / "out", world(), settings, trajectory=move(), frames=frames)
    openexr = pytest.importorskip("OpenEXR")
    with openexr.File(str(tmp_path / "out" / "depth" / "0001.exr"), separate_channels=True) as file:
        pixels = file.channels()["Z"].pixels
    assert pixels.dtype == np.float32 and pixels[0, 0] == 0 and pixels[0, 1] == 3 == pixels[-1, -1]
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "out" / "video.mp4")) as video:
        assert float(video.streams.video[0].average_rate) == 10.0
    assert len(list((tmp_path / "out" / "frames").iterdir())) == 4
    scene = json.loads((tmp_path / "out" / "scene.json").read_text())
    assert [*sorted(entry["name"] for entry in scene["files"]), "scene.json"] == list(written.files)
    assert scene["provenance"]["history"] == ["made by hand"] and scene["camera"]["fps"] == 12.0
    assert scene["scale"]["median_depth_scene_units"] == 3.0 and "depth/ (2 files)" in written.text


def test_unsure_points_stay_out_and_none_is_an_error(tmp_path):
    export_world(tmp_path / "out", world(), ExportSettings("raw", min_confidence=0.4, has_confidence=False))
    cloud = read_ply(tmp_path / "out" / "points.ply")
    assert cloud.xyz.tolist() == [list(UP), list(FORWARD)] and cloud.confidence.tolist() == [1, 1]
    dim = replace(world(), points=replace(world().points, confidence=torch.zeros(3)))
    with pytest.raises(WorldStereoError, match="min_confidence: none of the 3 points"):
        export_world(tmp_path / "none", dim, ExportSettings("raw", min_confidence=0.1))
    assert not (tmp_path / "none").exists()


def test_only_an_export_is_replaced_and_only_when_asked(tmp_path):
    out = tmp_path / "out"
    export_world(out, world(), ExportSettings("raw"))
    with pytest.raises(WorldStereoError, match="exists already"):
        export_world(out, world(), ExportSettings("raw"))
    export_world(out, world(), ExportSettings("Blender"), is_replaced=True)
    assert sorted(path.name for path in out.iterdir()) == ["points.ply", "scene.json"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "dear.jpg").write_text("dear")
    with pytest.raises(WorldStereoError, match="not written by this node"):
        export_world(tmp_path / "photos", world(), ExportSettings("raw"), is_replaced=True)
    assert (tmp_path / "photos" / "dear.jpg").read_text() == "dear"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "photos"]


@pytest.mark.parametrize("name", list(TARGETS))
def test_stopping_at_any_step_leaves_nothing_and_the_earlier_export_whole(tmp_path, name):
    class Stopped(Exception):
        pass

    out = tmp_path / "out"
    export_world(out, world(), ExportSettings("Blender"))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    settings = ExportSettings(name, has_depth=True)
    frames = torch.zeros(2, 3, HEIGHT, WIDTH)
    steps: list[float] = []
    export_world(
        tmp_path / "all",
        world(),
        settings,
        trajectory=move(),
        frames=frames,
        progress=lambda done, total: steps.append(done / total),
    )
    assert steps == sorted(steps) and steps[-1] <= 1 and len(steps) >= 4

    def stop(done: int, total: int) -> None:
        if done / total >= steps[-1]:
            raise Stopped

    with pytest.raises(Stopped):
        export_world(
            out, world(), settings, trajectory=move(), frames=frames, is_replaced=True, progress=stop
        )
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all", "out"]


def test_a_full_disk_is_said_in_words_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("worldstereo_core.world.export.write_splat_ply", full)
    with pytest.raises(WorldStereoError, match=r"disk is full\. Nothing was left behind"):
        export_world(tmp_path / "sub" / "out", world(), ExportSettings("raw"))
    assert list((tmp_path / "sub").iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"target": "Maya"}, 'target: got "Maya"'),
        ({"target": "raw", "metres_per_unit": 0.0}, "metres per scene unit: got 0.0"),
        ({"target": "raw", "splat_size": float("nan")}, "splat size: got nan"),
        ({"target": "raw", "fps": -1.0}, "fps: got -1.0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, words):
    with pytest.raises(WorldStereoError, match=words):
        ExportSettings(**settings)
