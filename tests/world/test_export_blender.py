"""An exported folder in Blender itself: points and camera where the room has them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.world.test_export import move, world
from worldstereo_core.formats.points_glb import write_points_glb
from worldstereo_core.world.export import ExportSettings, export_world

VERIFIES = {"points PLY": "bpy 5.0 (Blender)", "points GLB": "bpy 5.0 (Blender)"}
HERE = Path(__file__).parent


@pytest.mark.slow
def test_blender_has_points_and_camera_upright_in_metres(tmp_path):
    """One scene unit is half a metre. Points: 1 right, 2 above, 3 ahead; the camera goes 2 to the right."""
    packages = os.environ.get("WORLDSTEREO_BPY")  # a folder made by pip install --target, for its own numpy
    if importlib.util.find_spec("bpy") is None and packages is None:
        pytest.skip("bpy is not installed (pip install bpy; one Python version and 370 MB per release)")
    export_world(tmp_path / "out", world(), ExportSettings("Blender", metres_per_unit=0.5), trajectory=move())
    write_points_glb(tmp_path / "out" / "points.glb", world().points, scale=0.5)
    command = [
        sys.executable,
        str(HERE / "inside_blender.py"),
        str(tmp_path / "out"),
        str(tmp_path / "found"),
    ]
    environment = os.environ | ({"PYTHONPATH": packages} if packages else {})
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "found").read_text())
    # Blender: x right, y ahead, z up.
    for kind in ("ply", "glb"):
        np.testing.assert_allclose(found[kind], [[0.5, 0, 0], [0, 0, 1], [0, 1.5, 0]], atol=1e-6)
    np.testing.assert_allclose(found["ply colours"], [[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0.5]], atol=1 / 255)
    right, up, ahead = [1, 0, 0], [0, 0, 1], [0, 1, 0]
    np.testing.assert_allclose(found["camera 1"], [[0, 0, 0], right, up, ahead], atol=1e-6)
    np.testing.assert_allclose(found["camera 3"], [[1, 0, 0], right, up, ahead], atol=1e-6)
