"""The table of camera formats: every row works as it says, and the README's table follows from it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from worldstereo_core.formats.cameras.registry import (
    BY_NAME,
    FORMATS,
    READABLE,
    WRITABLE,
    read_trajectory,
    sniff_format,
    write_trajectory,
)
from worldstereo_core.geometry.trajectory import Trajectory

ROOT = Path(__file__).resolve().parents[3]


def test_names_are_unique_and_every_row_does_something():
    assert len(BY_NAME) == len(FORMATS)
    assert all(form.read or form.write for form in FORMATS)
    assert set(WRITABLE) == set(BY_NAME) and set(READABLE) == set(BY_NAME) - {"blender"}


@pytest.mark.parametrize("name", [name for name in READABLE if name in WRITABLE and name != "alembic"])
def test_content_tells_the_format_whatever_the_file_is_called(tmp_path: Path, plain: Trajectory, name: str):
    form = BY_NAME[name]
    write_trajectory(tmp_path / f"shot{form.suffixes[0]}", plain, name)
    assert sniff_format(tmp_path / f"shot{form.suffixes[0]}").name == name
    if not form.is_folder:
        (tmp_path / f"shot{form.suffixes[0]}").rename(tmp_path / "shot.dat")
        assert sniff_format(tmp_path / "shot.dat").name == name


def test_a_camera_json_of_the_release_is_recognised(tmp_path: Path):
    content = {
        "motion_list": ["left"],
        "intrinsic": [[[700, 0, 384], [0, 700, 256], [0, 0, 1]]],
        "extrinsic": [torch.eye(4).tolist()],
        "width": 768,
        "height": 512,
    }
    (tmp_path / "camera.json").write_text(json.dumps(content))
    assert sniff_format(tmp_path / "camera.json").name == "camera_json"


def test_notes_are_logged_where_only_the_trajectory_is_asked_for(tmp_path: Path, plain: Trajectory, caplog):
    write_trajectory(tmp_path / "a.chan", plain, "chan")
    with caplog.at_level(logging.WARNING):
        found = read_trajectory(tmp_path / "a.chan", size=(48, 80))
    assert found.num_frames == 21 and found.fps == 16
    assert "states no frame rate" in caplog.text


def test_names_say_where_a_trajectory_came_from(tmp_path: Path, plain: Trajectory):
    write_trajectory(tmp_path / "my shot.csv", plain, "csv")
    found = read_trajectory(tmp_path / "my shot.csv")
    assert (found.name, found.source) == ("my shot", "my shot.csv")


def test_no_library_of_a_format_is_loaded_before_it_is_needed(tmp_path: Path):
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import worldstereo_core.formats.cameras.registry\n"
        "heavy = {'pxr', 'alembic3d', 'imath', 'bpy', 'pycolmap', 'pygltflib', 'trimesh', 'scipy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(ROOT)], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_the_tables_in_the_readme_and_the_docs_are_the_ones_the_script_makes():
    script = ROOT / "scripts" / "format_table.py"
    result = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
