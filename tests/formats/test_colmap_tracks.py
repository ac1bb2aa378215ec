"""COLMAP models with tracks, read by pycolmap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.atomic import folder_when_done
from worldstereo_core.checks import WorldStereoError
from worldstereo_core.formats.cameras.registry import read_camera_file
from worldstereo_core.formats.colmap_tracks import write_colmap_tracks, write_track_folder
from worldstereo_core.geometry.cameras import Cameras, fov_to_K, look_at, project
from worldstereo_core.geometry.tracks import Tracks


def make_tracks() -> Tracks:
    """Three pictures, the last of another size, of 40 points, some of which some pictures miss."""
    generator = torch.Generator().manual_seed(0)
    xyz = torch.rand(40, 3, generator=generator) - 0.5
    cameras = tuple(
        Cameras(
            look_at(torch.tensor([x, 0.2, -3.0]), torch.zeros(3))[None], fov_to_K(0.9, *size)[None], *size
        )
        for x, size in ((-1.0, (48, 80)), (0.0, (48, 80)), (1.0, (64, 64)))
    )
    seen = torch.rand(40, 3, generator=generator) < 0.8
    seen[:, 0] = True
    point, view = seen.nonzero(as_tuple=True)
    places = torch.stack([project(xyz, camera.K[0], camera.w2c[0])[0] for camera in cameras], dim=1)
    rgb = torch.rand(40, 3, generator=generator)
    return Tracks(
        cameras, ("0000_a.png", "0001_b.png", "0002_c.png"), xyz, rgb, point, view, places[point, view]
    )


@pytest.mark.parametrize("is_binary", [True, False])
def test_pycolmap_opens_cameras_images_points_and_tracks(tmp_path: Path, is_binary: bool):
    """pycolmap's own reprojection of every observation is off by less than 1e-4 pixels."""
    pycolmap = pytest.importorskip("pycolmap", reason="pip install pycolmap")
    tracks = make_tracks()
    write_colmap_tracks(tmp_path, tracks, is_binary)
    model = pycolmap.Reconstruction(str(tmp_path))
    assert model.num_points3D() == 40 and model.num_images() == 3 and len(model.cameras) == 2
    assert model.compute_num_observations() == tracks.num_observations
    worst = 0.0
    for number, point in model.points3D.items():
        rows = tracks.point == number - 1
        assert_close(torch.from_numpy(np.array(point.xyz)).float(), tracks.xyz[number - 1])
        assert list(point.color) == (tracks.rgb[number - 1] * 255).round().int().tolist()
        elements = {element.image_id - 1: element.point2D_idx for element in point.track.elements}
        assert list(elements) == tracks.view[rows].tolist()
        for view, place in elements.items():
            image = model.images[view + 1]
            assert image.name == tracks.names[view]
            observed = image.points2D[place]
            assert observed.point3D_id == number
            worst = max(worst, float(np.abs(image.project_point(point.xyz) - observed.xy).max()))
    assert worst < 1e-4
    assert model.cameras[model.images[3].camera_id].width == 64
    # What pycolmap writes from it, it reads again: the model is consistent.
    (tmp_path / "again").mkdir()
    model.write(str(tmp_path / "again"))
    assert pycolmap.Reconstruction(str(tmp_path / "again")).compute_mean_reprojection_error() < 1e-4


def test_our_own_reader_takes_the_cameras(tmp_path: Path):
    tracks = make_tracks()
    one_size = Tracks(tracks.cameras[:2], tracks.names[:2], tracks.xyz, tracks.rgb, *_only(tracks, 2))
    write_colmap_tracks(tmp_path, one_size)
    found = read_camera_file(tmp_path, fps=24).trajectory
    assert_close(found.w2c, torch.cat([camera.w2c for camera in tracks.cameras[:2]]), atol=1e-6, rtol=0)


def _only(tracks: Tracks, num_views: int) -> tuple[torch.Tensor, ...]:
    kept = tracks.view < num_views
    return tracks.point[kept], tracks.view[kept], tracks.xy[kept]


def test_a_folder_holds_pictures_model_and_arrays(tmp_path: Path):
    tracks = make_tracks()
    pictures = [
        torch.full((3, camera.height, camera.width), 7, dtype=torch.uint8) for camera in tracks.cameras
    ]
    write_track_folder(tmp_path / "world", tracks, pictures)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert names == [
        "world/correspondences.npz",
        *(f"world/images/{name}" for name in tracks.names),
        *(f"world/sparse/0/{part}.bin" for part in ("cameras", "images", "points3D")),
    ]
    arrays = np.load(tmp_path / "world" / "correspondences.npz")
    assert torch.equal(torch.from_numpy(arrays["xy"]), tracks.xy)
    assert arrays["height_width"].tolist() == [[48, 80], [48, 80], [64, 64]]
    assert arrays["names"].tolist() == list(tracks.names)
    with pytest.raises(WorldStereoError, match="exists already, so nothing was written"):
        write_track_folder(tmp_path / "world", tracks, pictures)


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path):
    with pytest.raises(RuntimeError), folder_when_done(tmp_path / "world") as part:
        (part / "file").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(WorldStereoError, match="does not exist"), folder_when_done(tmp_path / "no" / "world"):
        pass


def test_names_with_spaces_are_refused(tmp_path: Path):
    tracks = make_tracks()
    wrong = Tracks(tracks.cameras, ("a b.png", *tracks.names[1:]), *list(tracks.__dict__.values())[2:])
    with pytest.raises(WorldStereoError, match='image name: got "a b'):
        write_colmap_tracks(tmp_path, wrong)
    assert list(tmp_path.iterdir()) == []
