"""Cameras through Blender (bpy, in a process of its own): our scripts, its own importers and exporters."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from worldstereo_core.formats.cameras.blender import EXPORT, write_blender_export_script
from worldstereo_core.formats.cameras.registry import WRITABLE, write_trajectory
from worldstereo_core.geometry.cameras import Cameras, fov_to_K, look_at
from worldstereo_core.geometry.trajectory import Trajectory, build_trajectory

VERIFIES = {
    "blender": "bpy 5.0 (Blender)",
    "camera_json": "bpy 5.0 (Blender)",
    "gltf": "bpy 5.0 (Blender)",
    "usd": "bpy 5.0 (Blender)",
    "alembic": "bpy 5.0 (Blender)",
}
HERE = Path(__file__).parent
WAYS = (
    "rebuild plain", "rebuild tall", "import gltf", "import usd", "import usd rich", "import alembic",
    "export gltf", "export usd", "export alembic",
)  # fmt: skip


def has(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


@pytest.fixture(scope="module")
def blender(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """The largest errors of every way, all from one start of Blender."""
    if not has("bpy"):
        pytest.skip("bpy is not installed (pip install bpy; one Python version and 370 MB per release)")
    folder = tmp_path_factory.mktemp("blender")
    w2c = look_at(torch.tensor([0.7, -0.4, -1.3]), torch.tensor([0.1, 0.2, 1.0]))
    start = {"start": (w2c, fov_to_K(0.9, 48, 80)), "height": 48, "width": 80}
    # A whole frame rate: Blender's glTF add-on loses the thousandth of rates such as 23.976.
    plain = build_trajectory("orbit right", amount_deg=77, num_frames=7, fps=24, **start)
    K = plain.K.clone()
    K[:, 0, 0] *= torch.linspace(1, 1.7, 7)
    K[:, 1, 1] = K[:, 0, 0]
    K[:, 0, 2] += 3.25
    K[:, 1, 2] -= 1.5
    rich = Trajectory(Cameras(plain.w2c, K, 48, 80), fps=23.976)
    # Pixels that are not square survive in the script only; Blender's importers of other files make them
    # square.
    K = K.clone()
    K[:, 1, 1] *= 1.1
    tall = replace(rich, cameras=replace(rich.cameras, K=K))
    for name, trajectory in (("plain", plain), ("rich", rich), ("tall", tall)):
        for form, suffix in (("blender", "py"), ("camera_json", "json"), ("gltf", "glb"), ("usd", "usda")):
            write_trajectory(folder / f"{name}.{suffix}", trajectory, form)
    if has("alembic3d"):
        write_trajectory(folder / "plain.abc", plain, "alembic")
    result = subprocess.run(
        [sys.executable, str(HERE / "inside_blender.py"), str(HERE.parents[2]), str(folder)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    report = folder / "blender.json"
    assert report.exists(), result.stdout[-2000:] + result.stderr[-3000:]
    return json.loads(report.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_blender_has_the_same_camera(blender: dict[str, dict[str, float]], way: str):
    if way not in blender:
        pytest.skip("alembic3d is not installed")
    found = blender[way]
    assert found["frames"] == 7
    assert found["pose"] < 1e-5, found
    assert found["K"] < 2e-4, found
    assert found["fps"] == (24 if way.split()[-1] not in ("rich", "tall") else 23.976), found
    assert found.get("pixel", 0) < 1e-3, found


def test_the_export_script_is_handed_out_as_it_is_tested(tmp_path: Path):
    write_blender_export_script(tmp_path / "export.py")
    assert (tmp_path / "export.py").read_text() == EXPORT.read_text()
    compile((tmp_path / "export.py").read_text(), "export.py", "exec")


def test_the_script_needs_nothing_but_blender(tmp_path: Path, plain: Trajectory):
    assert "blender" in WRITABLE
    write_trajectory(tmp_path / "a.py", plain, "blender")
    source = (tmp_path / "a.py").read_text()
    imports = {
        line.split()[1] for line in source.splitlines() if line.strip().startswith(("import ", "from "))
    }
    assert imports == {"__future__", "typing", "bpy", "json"}
