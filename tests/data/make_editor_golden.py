"""Write editor_golden.json: what Python makes of paths, for the path editor in the browser to be held to.

    python tests/data/make_editor_golden.py

The path an empty editor stands for, the cameras of sampled frames at sizes that cut the picture, and where
the renderer draws marked points (web/test reads it; tests/geometry/test_editor_golden.py holds Python to it).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(__file__).with_name("editor_golden.json")
MARKS = ((0.3, 0.1, 3.0), (-0.3, -0.2, 2.8), (0.2, -0.3, 4.0))
FRAMES, HEIGHT, WIDTH, RADIUS = 5, 96, 144, 0.04


def content() -> dict[str, Any]:
    """Everything in the file."""
    from worldstereo_core.formats.camera_path import camera_path_to_json
    from worldstereo_core.geometry.camera_path import CameraPath, Waypoint, path_from_trajectory
    from worldstereo_core.geometry.cameras import fov_to_K, look_at
    from worldstereo_core.geometry.path_spline import sample_path
    from worldstereo_core.geometry.trajectory import build_trajectory

    w2c = look_at(torch.tensor([0.4, -0.3, -1.0]), torch.tensor([0.1, 0.2, 3.0]))
    scale = 2.5
    K = fov_to_K(torch.pi * 50 / 180, 480, 768)
    orbit = build_trajectory(
        "orbit right", start=(w2c, K), height=480, width=768, easing="linear", pivot_depth=scale
    )
    draft = path_from_trajectory(orbit, 5, scale=scale)
    drawn = CameraPath(
        (
            Waypoint((0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), 60.0, 0.0),
            Waypoint((0.2, -0.1, 0.3), (0.995, 0.0, (1 - 0.995**2) ** 0.5, 0.0), 50.0, 0.4, roll_deg=8.0),
            Waypoint((-0.3, -0.2, 0.8), (1.0, 0.0, 0.0, 0.0), 70.0, 1.0),
        ),
        width=96,
        height=96,
    )
    return {
        "draft": {
            "start": {
                "c2w": torch.linalg.inv(w2c.double()).flatten().tolist(),
                "fov_deg": 50.0,
                "scale": scale,
            },
            "path": json.loads(camera_path_to_json(draft)),
        },
        "sampled": [
            _sampled(sample_path(draft, FRAMES, easing="smooth"), draft, "smooth"),
            _sampled(sample_path(draft, FRAMES, easing="ease in", height=48, width=48), draft, "ease in"),
            _sampled(sample_path(drawn, FRAMES, height=HEIGHT, width=WIDTH), drawn, "linear"),
        ],
        "marks": _drawn_marks(drawn),
    }


def _sampled(trajectory: Any, path: Any, easing: str) -> dict[str, Any]:
    from worldstereo_core.formats.browser_scene import frames_to_plain
    from worldstereo_core.formats.camera_path import camera_path_to_json

    return {
        "path": json.loads(camera_path_to_json(path)),
        "easing": easing,
        "width": trajectory.width,
        "height": trajectory.height,
        "frames": frames_to_plain(trajectory),
    }


def _drawn_marks(path: Any) -> dict[str, Any]:
    """Middles of the discs that the renderer draws of single points, [frame][mark] xy pixels."""
    from worldstereo_core.geometry.path_spline import sample_path
    from worldstereo_core.geometry.point_cloud import PointCloud
    from worldstereo_core.geometry.render import render_points

    trajectory = sample_path(path, FRAMES, height=HEIGHT, width=WIDTH)
    places = []
    for mark in MARKS:
        cloud = PointCloud(
            torch.tensor([mark]), torch.ones(1, 3), torch.ones(1), torch.zeros(1, dtype=torch.int32)
        )
        covered = 1 - render_points(cloud, trajectory.cameras, radius=RADIUS).hole_mask
        found = [frame.nonzero().double().mean(0) + 0.5 for frame in covered]
        places.append([[float(row_column[1]), float(row_column[0])] for row_column in found])
    return {
        "points": [list(mark) for mark in MARKS],
        "xy": [list(frame) for frame in zip(*places, strict=True)],
    }


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    TARGET.write_text(json.dumps(content(), indent=1) + "\n", encoding="utf-8")
