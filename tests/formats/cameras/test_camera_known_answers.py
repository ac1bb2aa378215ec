"""One camera in each format's own axes and units, worked out by hand: see the fixture ``sideways``.

Up 3, right 2, ahead 5, looking to the right. In a world with y up that is the place (2, 3, -5), in Blender's
with z up (2, 5, 3); turning to the right is -90 degrees about up.
"""

from __future__ import annotations

import csv
import json
import math
import struct
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.formats.cameras.exchange import FileSettings
from worldstereo_core.formats.cameras.load3d import cameras_from_load3d, load3d_from_cameras
from worldstereo_core.formats.cameras.registry import read_camera_file, write_trajectory
from worldstereo_core.geometry.trajectory import Trajectory

VERIFIES = {
    "camera_json": "documented format",
    "nerfstudio": "documented format",
    "chan": "documented format",
    "after_effects": "documented format",
    "load3d": "documented format (comfy_api Load3DCamera)",
    "csv": "Python's csv",
}
HALF = math.sqrt(0.5)
SIZE = (100, 200)


def same(found: Trajectory, expected: Trajectory) -> None:
    assert_close(found.w2c, expected.w2c, atol=1e-6, rtol=0)
    assert_close(found.K, expected.K, atol=1e-4, rtol=0)
    assert (found.height, found.width, found.fps) == (expected.height, expected.width, expected.fps)


def test_camera_json_holds_w2c(tmp_path: Path, sideways: Trajectory):
    write_trajectory(tmp_path / "camera.json", sideways, "camera_json")
    content = json.loads((tmp_path / "camera.json").read_text())
    assert content["extrinsic"][1] == [[0, 0, -1, 5], [0, 1, 0, 3], [1, 0, 0, -2], [0, 0, 0, 1]]
    assert (content["width"], content["height"], content["fps"]) == (200, 100, 24.0)


def test_nerfstudio_holds_opengl_c2w_in_a_world_with_z_up(tmp_path: Path, sideways: Trajectory):
    path = tmp_path / "transforms.json"
    write_trajectory(path, sideways, "nerfstudio")
    content = json.loads(path.read_text())
    pose = torch.tensor(content["frames"][0]["transform_matrix"])
    assert_close(pose, torch.tensor([[0.0, 0, -1, 2], [-1, 0, 0, 5], [0, 1, 0, 3], [0, 0, 0, 1]]))
    assert [content[key] for key in ("w", "h", "fl_x", "fl_y", "cx", "cy")] == [200, 100, 100, 100, 100, 50]
    assert [frame["file_path"] for frame in content["frames"]] == [
        "images/frame_00001.png",
        "images/frame_00002.png",
    ]


def test_nerfstudio_of_instant_ngp_gives_the_angle(tmp_path: Path, sideways: Trajectory):
    pose = [[0, 0, -1, 2], [-1, 0, 0, 5], [0, 1, 0, 3], [0, 0, 0, 1]]
    frames = [{"file_path": f"images/{name}.png", "transform_matrix": pose} for name in ("10", "9")]
    content = {"camera_angle_x": math.pi / 2, "w": 200, "h": 100, "frames": frames}
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    found = read_camera_file(tmp_path / "transforms.json", fps=24)
    same(found.trajectory, sideways)
    assert found.notes == ("transforms.json: frames were put in the order of their file names.",)


def test_colmap_text_holds_cam_from_world(tmp_path: Path, sideways: Trajectory):
    lines = f"1 {HALF} 0 {-HALF} 0 5 3 -2 7 b.png\n0.5 0.5 -1\n2 {HALF} 0 {-HALF} 0 5 3 -2 7 a b.png\n\n"
    (tmp_path / "images.txt").write_text("# comment\n" + lines)
    (tmp_path / "cameras.txt").write_text("# comment\n7 SIMPLE_PINHOLE 200 100 100 100 50\n")
    same(read_camera_file(tmp_path, fps=24).trajectory, sideways)


def test_colmap_binary_holds_cam_from_world(tmp_path: Path, sideways: Trajectory):
    write_trajectory(tmp_path / "sparse", sideways, "colmap")
    cameras = (tmp_path / "sparse" / "cameras.bin").read_bytes()
    assert cameras == struct.pack("<QIiQQ4d", 1, 1, 1, 200, 100, 100, 100, 100, 50)
    images = (tmp_path / "sparse" / "images.bin").read_bytes()
    assert images[:8] == struct.pack("<Q", 2)
    values = struct.unpack_from("<I7dI", images, 8)
    assert values[0] == 1 and values[8] == 1
    assert values[1:8] == pytest.approx((HALF, 0, -HALF, 0, 5, 3, -2))
    assert images[8 + 64 :].startswith(b"frame_00001.png\0" + struct.pack("<Q", 0))


def test_gltf_looks_along_minus_z_with_y_up(tmp_path: Path, sideways: Trajectory):
    write_trajectory(tmp_path / "a.glb", sideways, "gltf")
    data = (tmp_path / "a.glb").read_bytes()
    assert data[:4] == b"glTF" and struct.unpack_from("<II", data, 4) == (2, len(data))
    node = json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])["nodes"][0]
    assert node["translation"] == pytest.approx([2, 3, -5])
    assert node["rotation"] == pytest.approx([0, -HALF, 0, HALF])


def test_usd_matrices_are_for_row_vectors(tmp_path: Path, sideways: Trajectory):
    write_trajectory(tmp_path / "a.usda", sideways, "usd", sensor_width_mm=20)
    text = (tmp_path / "a.usda").read_text()
    line = next(line for line in text.splitlines() if line.strip().startswith("1: ("))
    numbers = [
        float(word)
        for word in line.split(":")[1].replace("(", "").replace(")", "").split(",")
        if word.strip()
    ]
    assert numbers == pytest.approx([0, 0, 1, 0, 0, 1, 0, 0, -1, 0, 0, 0, 2, 3, -5, 1])
    for expected in (
        'upAxis = "Y"',
        "focalLength = 10.0",
        "horizontalAperture = 20.0",
        "verticalAperture = 10.0",
    ):
        assert expected in text


def test_blender_gets_z_up_and_a_lens_in_millimetres(tmp_path: Path, sideways: Trajectory):
    write_trajectory(tmp_path / "a.py", sideways, "blender", sensor_width_mm=20)
    held: dict = {"__name__": "__main__", "rebuild": None}
    source = (tmp_path / "a.py").read_text()
    data = {}
    exec(source.replace("    rebuild(json", "    seen.update(json"), {**held, "seen": data})
    assert data["location"][0] == pytest.approx([2, 5, 3])
    # Blender's own numbers for a camera at rotation (90, 0, -90) degrees, XYZ.
    assert data["quaternion"][0] == pytest.approx([0.5, 0.5, -0.5, -0.5])
    assert data["lens_mm"] == [10.0, 10.0] and data["shift_x"] == [0.0, 0.0]


def test_chan_is_degrees_with_y_up(tmp_path: Path, sideways: Trajectory):
    write_trajectory(tmp_path / "a.chan", sideways, "chan")
    rows = [[float(word) for word in line.split()] for line in (tmp_path / "a.chan").read_text().splitlines()]
    vfov = 2 * math.degrees(math.atan(0.5))
    assert rows[0] == pytest.approx([1, 2, 3, -5, 0, -90, 0, vfov])
    assert rows[1][0] == 2


def test_chan_turns_about_z_then_x_then_y(tmp_path: Path):
    # Rolled by 90 degrees (its right points up), then tilted up by 30, then panned left by 90: it looks to
    # the left and up by 30 degrees, and its right still lies in the vertical plane of the view.
    (tmp_path / "a.chan").write_text("1 0 0 0 30 90 90 60\n")
    camera = read_camera_file(tmp_path / "a.chan", size=SIZE, fps=24).trajectory.cameras
    right, _, forward = camera.w2c[0, :3, :3]
    low, high = 0.5, math.sqrt(0.75)
    assert_close(forward, torch.tensor([-high, -low, 0]), atol=1e-6, rtol=0)
    assert_close(right, torch.tensor([low, -high, 0]), atol=1e-6, rtol=0)


def test_after_effects_is_pixels_from_the_upper_left_corner(tmp_path: Path, sideways: Trajectory):
    write_trajectory(tmp_path / "a.txt", sideways, "after_effects")
    lines = (tmp_path / "a.txt").read_bytes().decode().split("\r\n")
    assert lines[0] == "Adobe After Effects 8.0 Keyframe Data" and lines[-2] == "End of Keyframe Data"
    assert "\tUnits Per Second\t24" in lines
    at = lines.index("Transform\tPosition")
    # 2 right, 3 up, 5 ahead at 100 pixels per unit from the middle (100, 50) of the composition.
    assert lines[at + 2] == "\t0\t300\t-250\t500\t"
    at = lines.index("Transform\tOrientation")
    assert [float(word) for word in lines[at + 2].split()] == pytest.approx([0, 0, 90, 0])
    at = lines.index("Camera Options\tZoom")
    assert lines[at + 2] == "\t0\t100\t"


def test_after_effects_properties_without_frame_numbers_do_not_move(tmp_path: Path):
    text = (
        "Adobe After Effects 8.0 Keyframe Data\n\n\tUnits Per Second\t25\n\tSource Width\t200\n"
        "\tSource Height\t100\n\nCamera Options\tZoom\n\tFrame\tpixels\t\n\t\t100\t\n\nTransform\tPosition\n"
        "\tFrame\tX pixels\tY pixels\tZ pixels\t\n\t3\t100\t50\t0\t\n\t4\t110\t50\t0\t\n\nEnd of Keyframe "
        "Data\n"
    )
    (tmp_path / "a.txt").write_text(text)
    found = read_camera_file(tmp_path / "a.txt")
    assert_close(found.trajectory.cameras.centers, torch.tensor([[0.0, 0, 0], [0.1, 0, 0]]))
    assert found.trajectory.fps == 25 and len(found.notes) == 1 and "Orientation" in found.notes[0]


def test_load3d_is_three_js(sideways: Trajectory):
    infos, notes = load3d_from_cameras(sideways)
    info = infos[0]
    assert notes == ()
    assert info["position"] == pytest.approx({"x": 2, "y": 3, "z": -5})
    assert info["target"] == pytest.approx({"x": 3, "y": 3, "z": -5})
    assert info["quaternion"] == pytest.approx({"x": 0, "y": -HALF, "z": 0, "w": HALF})
    assert info["fov"] == pytest.approx(2 * math.degrees(math.atan(0.5)))
    assert (info["aspect"], info["cameraType"], info["zoom"]) == (2.0, "perspective", 1)


def test_a_single_load3d_camera_becomes_one_frame(sideways: Trajectory):
    found = cameras_from_load3d(
        load3d_from_cameras(sideways)[0][0], FileSettings(fps=24, size=SIZE)
    ).trajectory
    assert found.num_frames == 1
    assert_close(found.w2c[0], sideways.w2c[0], atol=1e-6, rtol=0)
    assert_close(found.K[0], sideways.K[0])


def test_a_load3d_camera_without_quaternion_looks_at_its_target_and_zoom_narrows(sideways: Trajectory):
    info = {
        "position": {"x": 2, "y": 3, "z": -5},
        "target": {"x": 9, "y": 3, "z": -5},
        "zoom": 2,
        "cameraType": "perspective",
        "fov": 90,
    }
    found = cameras_from_load3d(info, FileSettings(fps=24, size=SIZE))
    assert_close(found.trajectory.w2c[0], sideways.w2c[0], atol=1e-6, rtol=0)
    assert found.trajectory.K[0, 1, 1] == pytest.approx(100)
    assert "looks at its target" in found.notes[0]


def test_csv_names_its_columns(tmp_path: Path, sideways: Trajectory):
    write_trajectory(tmp_path / "a.csv", sideways, "csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    assert rows[1] == pytest.approx(
        {"frame": 1, "time": 1 / 24, "x": 2, "y": -3, "z": 5, "qw": HALF, "qx": 0, "qy": HALF, "qz": 0}
        | {"fx": 100, "fy": 100, "cx": 100, "cy": 50, "width": 200, "height": 100}
    )


@pytest.mark.parametrize(("column", "value"), [("focal_mm", 18), ("fov_deg", 90)])
def test_csv_takes_a_lens_in_millimetres_or_degrees(tmp_path: Path, column: str, value: float):
    (tmp_path / "a.csv").write_text(f"x;y;z;qw;qx;qy;qz;{column}\n0;0;0;1;0;0;0;{value}\n")
    found = read_camera_file(tmp_path / "a.csv", size=SIZE, sensor_width_mm=36, fps=24).trajectory
    assert_close(found.K[0], torch.tensor([[100.0, 0, 100], [0, 100, 50], [0, 0, 1]]))
