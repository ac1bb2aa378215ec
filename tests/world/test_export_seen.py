"""Exported worlds as their programs show them: pictures, so that colours, sizes and turns count too."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.formats.splat_picture import Splats, draw, opened, read_splats
from worldstereo_core.geometry.cameras import unproject
from worldstereo_core.geometry.point_cloud import PointCloud
from worldstereo_core.memory.memory import GeometricMemory
from worldstereo_core.world.export import ExportSettings, export_world, write_previews
from worldstereo_core.world.export_targets import COMFYUI_SPLATS, TARGETS, PartFile

VERIFIES = {
    "splats PLY": "own rasteriser; SplatTransform (SuperSplat's)",
    "splats SPZ": "own rasteriser; SplatTransform (Niantic's library in it)",
}
ROOT = Path(__file__).resolve().parents[2]
HEIGHT, WIDTH, FOCAL = 20, 28, 24.0
UP = {"+y": (0, 1, 0), "+z": (0, 0, 1), "-y": (0, -1, 0)}


def picture() -> np.ndarray:
    """An F, which no turn and no mirror leaves as it is; red above blue, so that channels count."""
    image = np.zeros((HEIGHT, WIDTH, 3))
    image[: HEIGHT // 2] = (0.8, 0.2, 0.1)
    image[HEIGHT // 2 :] = (0.1, 0.3, 0.7)
    image[3:17, 8:11] = image[3:6, 8:20] = image[9:12, 8:16] = (0.95, 0.9, 0.2)
    return image


def world() -> GeometricMemory:
    """The picture on a wall that leans back and away, one point per pixel, with its normal."""
    K = torch.tensor([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    u, v = np.meshgrid((np.arange(WIDTH) + 0.5 - WIDTH / 2), (np.arange(HEIGHT) + 0.5 - HEIGHT / 2))
    normal = np.array([0.45, -0.3, -1.0])
    depth = torch.from_numpy(-3 / (np.stack([u / FOCAL, v / FOCAL, np.ones_like(u)], -1) @ normal)).float()
    xyz = unproject(depth[None], K[None], torch.eye(4)[None]).reshape(-1, 3)
    count = len(xyz)
    normals = torch.from_numpy(normal / np.linalg.norm(normal)).float().expand(count, 3).contiguous()
    rgb = torch.from_numpy(picture().reshape(-1, 3)).float()
    cloud = PointCloud(xyz, rgb, torch.ones(count), torch.zeros(count, dtype=torch.int32), normals)
    return GeometricMemory(cloud, (), median_depth=3.0)


def seen(splats: Splats, up: tuple[float, ...], is_left_handed: bool) -> np.ndarray:
    """What a camera at the origin sees that is upright in the program and looks at the middle of the wall."""
    row, column = HEIGHT // 2, WIDTH // 2
    middle = splats["xyz"].reshape(HEIGHT, WIDTH, 3)[row - 1 : row + 1, column - 1 : column + 1]
    ahead = (middle / np.linalg.norm(middle, axis=-1, keepdims=True)).mean((0, 1))
    above = np.array(up, dtype=float)
    ahead = ahead - above * (ahead @ above)
    ahead = ahead / np.linalg.norm(ahead)
    right = np.cross(above, ahead) if is_left_handed else np.cross(ahead, above)
    return draw(splats, np.stack([right, -above, ahead]), FOCAL, HEIGHT, WIDTH)


def error(image: np.ndarray) -> float:
    """Mean difference from the picture, but for its border, beyond which nothing is."""
    return float(np.abs(image - picture())[2:-2, 2:-2].mean())


CASES = [(name, file) for name, target in TARGETS.items() for file in target.files if "splats" in file.name]


@pytest.mark.parametrize(("name", "file"), CASES, ids=[f"{name}-{file.name}" for name, file in CASES])
def test_splats_show_the_picture_upright_unmirrored_and_in_its_colours(tmp_path, name, file: PartFile):
    if file.name == "splats.ply":
        pytest.importorskip("plyfile")
    target = TARGETS[name]
    export_world(tmp_path / "out", world(), ExportSettings(name, splat_size=0.5))
    splats = opened(read_splats(tmp_path / "out" / file.name), np.array(file.opened, dtype=float))
    image = seen(splats, UP[target.up], target.is_left_handed)
    assert error(image) < 0.045
    # The same picture seen wrongly is far off, so the bound tells.
    assert min(error(image[:, ::-1]), error(image[::-1]), error(image[..., ::-1])) > 0.1


def test_comfyui_shows_the_splats_so_too(tmp_path):
    pytest.importorskip("plyfile")
    written = export_world(tmp_path / "out", world(), ExportSettings("raw", splat_size=0.5))
    _, path = write_previews(tmp_path / "shown", written)
    splats = opened(read_splats(path), np.array(COMFYUI_SPLATS.opened, dtype=float))
    assert error(seen(splats, UP["+y"], False)) < 0.05


def splat_transform() -> list[str]:
    """The command of SuperSplat's authors, installed in this folder or anywhere."""
    here = ROOT / "node_modules" / "@playcanvas" / "splat-transform" / "bin" / "cli.mjs"
    node, anywhere = shutil.which("node"), shutil.which("splat-transform")
    if node and here.is_file():
        return [node, str(here)]
    if anywhere:
        return [anywhere]
    pytest.skip("npm install --no-save @playcanvas/splat-transform, and Node 20")


@pytest.mark.parametrize(("target", "name"), [("SuperSplat", "splats.ply"), ("three.js", "splats.spz")])
def test_the_tool_of_supersplats_authors_reads_what_was_meant(tmp_path, target, name):
    """It hands every format on in the axes of a PLY: x right, y down, z forward."""
    command = splat_transform()
    export_world(tmp_path / "out", world(), ExportSettings(target, splat_size=0.5))
    table = tmp_path / "splats.csv"
    done = subprocess.run(
        [*command, str(tmp_path / "out" / name), str(table)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stderr
    names = table.read_text().splitlines()[0].split(",")
    rows = dict(zip(names, np.loadtxt(table, delimiter=",", skiprows=1).T, strict=True))
    expected = world().points
    xyz = np.stack([rows[axis] for axis in "xyz"], 1)
    order = np.lexsort(np.round(xyz, 2).T), np.lexsort(np.round(expected.xyz.numpy(), 2).T)
    np.testing.assert_allclose(xyz[order[0]], expected.xyz.numpy()[order[1]], atol=1e-4)
    rgb = 0.5 + 0.28209479 * np.stack([rows[f"f_dc_{channel}"] for channel in range(3)], 1)
    np.testing.assert_allclose(rgb[order[0]], expected.rgb.numpy()[order[1]], atol=0.01)
    # The thin axis of every disc is the wall's normal, up to its sign.
    w, x, y, z = np.stack([rows[f"rot_{place}"] for place in range(4)])
    thin = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], 1)
    assert np.abs((thin * expected.normal.numpy()[:1]).sum(1)).min() > 0.998
