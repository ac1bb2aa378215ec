"""Real scenes in folders, nerfstudio and COLMAP with depth, as clips; what is wrong with one is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.formats.cameras.colmap import write_colmap
from worldstereo_core.formats.cameras.nerfstudio import write_nerfstudio
from worldstereo_core.formats.colmap_depth import read_colmap_depth
from worldstereo_core.formats.images import write_png
from worldstereo_core.training.folder_clips import FolderClips
from worldstereo_core.training.geometry_errors import GeometryErrors
from worldstereo_core.training.posed_folders import read_posed_folder
from worldstereo_core.training.worlds.make import make_world
from worldstereo_core.training.worlds.render import render_world
from worldstereo_core.training.worlds.trajectories import world_trajectories

FRAMES, HEIGHT, WIDTH = 7, 24, 40
SETTINGS = {"frames": 3, "height": 16, "width": 32, "errors": GeometryErrors(share=0.0)}


@pytest.fixture(scope="module")
def move():
    world = make_world(0, "room")
    tr = world_trajectories(world, 0, clips=1, frames=FRAMES, height=HEIGHT, width=WIDTH)[0]
    return tr, render_world(world, tr.w2c, tr.K, HEIGHT, WIDTH)


def write_pictures(folder: Path, frames) -> None:
    (folder / "images").mkdir()
    (folder / "depth").mkdir()
    for number, (image, depth) in enumerate(zip(frames.image, frames.depth, strict=True), start=1):
        write_png(folder / f"images/frame_{number:05d}.png", image)
        np.savez(folder / f"depth/frame_{number:05d}.npz", depth=depth.numpy())


@pytest.fixture
def nerfstudio(tmp_path: Path, move) -> Path:
    write_pictures(tmp_path, move[1])
    write_nerfstudio(tmp_path / "transforms.json", move[0])
    return tmp_path


def test_a_nerfstudio_folder_gives_back_pictures_depth_and_cameras(nerfstudio: Path, move):
    tr, frames = move
    folder = read_posed_folder(nerfstudio)
    assert len(folder) == FRAMES
    cameras, images, depths = folder.read([0, 2], HEIGHT, WIDTH)
    torch.testing.assert_close(cameras.w2c, tr.w2c[[0, 2]], rtol=0, atol=1e-5)
    torch.testing.assert_close(images, frames.image[[0, 2]], rtol=0, atol=0.51 / 255)
    torch.testing.assert_close(depths, frames.depth[[0, 2]])


def test_depth_named_in_the_file_is_taken(nerfstudio: Path):
    path = nerfstudio / "transforms.json"
    content = json.loads(path.read_text())
    np.save(nerfstudio / "elsewhere.npy", np.full((HEIGHT, WIDTH), 3.5, np.float32))
    content["frames"][1]["depth_file_path"] = "elsewhere.npy"
    path.write_text(json.dumps(content))
    assert float(read_posed_folder(nerfstudio).read([1], 16, 32)[2].max()) == 3.5


def test_a_colmap_folder_with_its_own_depth_maps(tmp_path: Path, move):
    tr, frames = move
    write_pictures(tmp_path, frames)
    write_colmap(tmp_path / "sparse/0", tr)
    (tmp_path / "stereo/depth_maps").mkdir(parents=True)
    for number, depth in enumerate(frames.depth, start=1):
        (tmp_path / f"depth/frame_{number:05d}.npz").unlink()
        header = f"{WIDTH}&{HEIGHT}&1&".encode()
        path = tmp_path / f"stereo/depth_maps/frame_{number:05d}.png.geometric.bin"
        path.write_bytes(header + depth.numpy().astype("<f4").tobytes())
    cameras, _, depths = read_posed_folder(tmp_path).read(range(FRAMES), HEIGHT, WIDTH)
    torch.testing.assert_close(cameras.w2c, tr.w2c, rtol=0, atol=1e-5)
    torch.testing.assert_close(depths, frames.depth)


def test_depth_of_fewer_pixels_covers_the_picture_and_is_not_blended(nerfstudio: Path):
    small = np.where(np.arange(WIDTH // 2) < WIDTH // 4, 1.0, 9.0).astype(np.float32)
    np.savez(nerfstudio / "depth/frame_00001.npz", depth=np.tile(small, (HEIGHT // 2, 1)))
    depth = read_posed_folder(nerfstudio, depth_scale=2.0).read([0], HEIGHT, WIDTH)[2][0]
    assert depth.unique().tolist() == [2.0, 18.0]
    assert depth[0].tolist() == [2.0] * (WIDTH // 2) + [18.0] * (WIDTH // 2)


def test_a_folder_gives_windows_and_a_way_back(nerfstudio: Path, move):
    clips = FolderClips(folders=(str(nerfstudio),), **SETTINGS)
    assert len(clips) == 4  # frames 0-2, 2-4, 4-6, and 2-0
    first, last = clips.scene(0), clips.scene(3)
    torch.testing.assert_close(first.cameras.w2c, move[0].w2c[:3], rtol=0, atol=1e-5)
    torch.testing.assert_close(last.cameras.w2c, move[0].w2c[[2, 1, 0]], rtol=0, atol=1e-5)
    assert len(first.sources) == 1 and len(last.sources) == 4
    assert float(last.seen_before().float().mean()) > 0.95
    clip = clips.make(3)
    assert clip.frames.shape == (3, 3, 16, 32) and len(clip.bank) == 1 + 3 * 3
    assert float(clip.render.hole_mask.mean()) < 0.3
    assert torch.equal(clip.render.image, clips.make(3).render.image)
    with pytest.raises(IndexError):
        clips.scene(4)


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def break_depth_missing(folder: Path) -> None:
    (folder / "depth/frame_00003.npz").unlink()


def break_picture_missing(folder: Path) -> None:
    (folder / "images/frame_00002.png").unlink()


def break_picture_size(folder: Path) -> None:
    write_png(folder / "images/frame_00002.png", torch.zeros(3, HEIGHT, WIDTH + 8))


def break_depth_shape(folder: Path) -> None:
    np.savez(folder / "depth/frame_00002.npz", depth=np.ones((HEIGHT, HEIGHT), np.float32))


def break_depth_values(folder: Path) -> None:
    depth = np.full((HEIGHT, WIDTH), np.nan, np.float32)
    depth[0, :3] = 1
    np.savez(folder / "depth/frame_00002.npz", depth=depth)


def break_pose(folder: Path) -> None:
    def change(content):
        content["frames"][1]["transform_matrix"][0][3] = float("nan")

    edit(folder / "transforms.json", change)


def break_number(folder: Path) -> None:
    edit(folder / "transforms.json", lambda content: content.update(frames=content["frames"][:2]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_depth_missing, r"no depth for images/frame_00003.png; looked for frame_00003"),
        (break_picture_missing, r"the file images/frame_00002.png that the cameras name is missing"),
        (break_picture_size, r"frame_00002.png has height x width 24 x 48, .* 24 x 40"),
        (break_depth_shape, r"the depth frame_00002.npz has height x width 24 x 24, its picture 24 x 40"),
        (break_depth_values, r"frame_00002.npz has data in 3 of 960 pixels \(957 are NaN\)"),
        (break_pose, r"transforms.json: transform_matrix of frame 1"),
        (break_number, r"holds 2 frames, expected at least 3 for clips of 3 frames"),
    ],
)
def test_what_is_wrong_with_a_folder_is_named(nerfstudio: Path, damage, message: str):
    damage(nerfstudio)
    with pytest.raises(WorldStereoError, match=message) as caught:
        FolderClips(folders=(str(nerfstudio),), **SETTINGS).make(0)
    text = str(caught.value)
    assert str(nerfstudio) in text or "transforms.json" in text


@pytest.mark.parametrize(
    ("folders", "message"), [((), "got none"), (("/nowhere/at all",), "/nowhere/at all does not exist")]
)
def test_folders_that_are_none_are_refused(folders, message):
    with pytest.raises(WorldStereoError, match=message):
        FolderClips(folders=folders, **SETTINGS)


def test_a_folder_without_cameras_is_refused(tmp_path: Path):
    with pytest.raises(WorldStereoError, match=r"has no transforms.json and no COLMAP model"):
        read_posed_folder(tmp_path)


def test_a_damaged_colmap_depth_map_is_refused(tmp_path: Path):
    path = tmp_path / "a.geometric.bin"
    path.write_bytes(b"4&3&1&" + b"\0" * 40)
    with pytest.raises(WorldStereoError, match="is no COLMAP depth map"):
        read_colmap_depth(path)
