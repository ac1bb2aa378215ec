"""COLMAP models through pycolmap: it reads ours, we read its."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import PathError
from worldstereo_core.formats.cameras.colmap import write_colmap
from worldstereo_core.formats.cameras.registry import read_camera_file
from worldstereo_core.geometry.cameras import project
from worldstereo_core.geometry.trajectory import Trajectory

VERIFIES = {"colmap": "pycolmap"}
pycolmap = pytest.importorskip("pycolmap", reason="pip install pycolmap")


def matrix(image: object) -> torch.Tensor:
    pose = image.cam_from_world  # a method since pycolmap 3.12
    return torch.from_numpy((pose() if callable(pose) else pose).matrix())


@pytest.mark.parametrize("is_binary", [True, False])
def test_pycolmap_reads_our_model(tmp_path: Path, rich: Trajectory, is_binary: bool):
    write_colmap(tmp_path, rich, is_binary=is_binary)
    model = pycolmap.Reconstruction(str(tmp_path))
    images = sorted(model.images.values(), key=lambda image: image.name)
    assert len(images) == 21 and images[0].name == "frame_00001.png"
    point = torch.tensor([0.3, 0.1, 2.0])
    for frame, image in enumerate(images):
        assert_close(matrix(image).float(), rich.w2c[frame, :3], atol=1e-6, rtol=0)
        camera = model.cameras[image.camera_id]
        assert (camera.width, camera.height) == (80, 48)
        seen = camera.img_from_cam((matrix(image)[:, :3] @ point.double() + matrix(image)[:, 3]).numpy())
        ours, _ = project(point[None, None], rich.K[frame : frame + 1], rich.w2c[frame : frame + 1])
        assert_close(torch.from_numpy(seen).float(), ours[0, 0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("form", ["write_text", "write_binary"])
def test_we_read_a_model_that_pycolmap_wrote(tmp_path: Path, rich: Trajectory, form: str):
    write_colmap(tmp_path / "ours", rich)
    (tmp_path / "theirs").mkdir()
    getattr(pycolmap.Reconstruction(str(tmp_path / "ours")), form)(str(tmp_path / "theirs"))
    found = read_camera_file(tmp_path / "theirs", fps=rich.fps).trajectory
    assert found.num_frames == 21
    assert_close(found.w2c, rich.w2c, atol=1e-6, rtol=0)
    assert_close(found.K, rich.K)


def test_every_camera_model_of_pycolmap_is_read_or_refused_by_name(tmp_path: Path, plain: Trajectory):
    write_colmap(tmp_path, plain)
    read, refused = set(), set()
    for name, model in pycolmap.CameraModelId.__members__.items():
        if name == "INVALID":
            continue
        recon = pycolmap.Reconstruction(str(tmp_path))
        camera = pycolmap.Camera.create_from_model_id(1, model, 70.0, 80, 48)
        recon.cameras[1].model, recon.cameras[1].params = camera.model, camera.params
        recon.write_binary(str(tmp_path))
        try:
            found = read_camera_file(tmp_path, fps=24).trajectory
        except PathError as error:
            assert "cameras.bin" in str(error) and "Undistort" in str(error)
            refused.add(name)
        else:
            assert_close(found.K[0, 0, 0].item(), 70.0)
            read.add(name)
        write_colmap(tmp_path, plain)
    assert {"PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "SIMPLE_RADIAL", "RADIAL", "FULL_OPENCV"} == read
    assert "OPENCV_FISHEYE" in refused
