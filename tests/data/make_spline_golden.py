"""Write spline_golden.json: camera paths and what Python samples of them, for the editor in the browser.

    python tests/data/make_spline_golden.py

JavaScript computes the same from the same text (web/test); tests/geometry/test_path_spline.py holds Python to
the file.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(__file__).with_name("spline_golden.json")
MOMENTS = 17


def cases() -> dict[str, Any]:
    """Paths that use every field, by name."""
    from worldstereo_core.geometry.camera_path import CameraPath, Waypoint

    half = 0.5**0.5
    waypoints = (
        Waypoint((0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), 60.0, 0.0),
        Waypoint((1.0, -0.2, 0.5), (half, 0.0, half, 0.0), 50.0, 0.2, roll_deg=10.0),
        Waypoint((1.1, -0.1, 2.5), (0.5, 0.5, -0.5, 0.5), 70.0, 0.65, easing="smooth", roll_deg=-20.0),
        Waypoint((-0.5, 0.3, 3.0), (0.8, 0.0, 0.0, -0.6), 40.0, 1.0),
    )
    eased = tuple(
        replace(waypoint, easing=easing)
        for waypoint, easing in zip(waypoints, ("ease in", "ease out", "linear", "auto"), strict=True)
    )
    handled = (
        replace(waypoints[0], handle_out=(0.5, 0.5, 0.0)),
        replace(waypoints[1], handle_in=(-0.2, 0.1, -0.4), handle_out=(0.1, 0.0, 0.6)),
        *waypoints[2:],
    )
    paused = (*waypoints[:2], replace(waypoints[1], time=0.4, wxyz=(1.0, 0.0, 0.0, 0.0)), *waypoints[2:])
    return {
        "catmull_rom": CameraPath(waypoints),
        "linear": CameraPath(waypoints, "linear"),
        "bezier_automatic": CameraPath(waypoints, "bezier"),
        "bezier_handles": CameraPath(handled, "bezier"),
        "easings": CameraPath(eased),
        "constant_speed": CameraPath(waypoints, speed="constant", scale=2.0),
        "constant_speed_linear": CameraPath(waypoints, "linear", "constant"),
        "closed": CameraPath(waypoints).closed(),
        "closed_bezier": CameraPath(waypoints, "bezier").closed(),
        "look_at": CameraPath(waypoints, look_at=(0.2, 0.4, 6.0)),
        "pause": CameraPath(paused),
        "two_waypoints": CameraPath((waypoints[0], replace(waypoints[1], time=1.0))),
        "one_waypoint": CameraPath(waypoints[:1]),
    }


def content() -> dict[str, Any]:
    """What the file holds: per case the path as JSON, and centre, wxyz and field of view at each moment."""
    from worldstereo_core.formats.camera_path import camera_path_from_json, camera_path_to_json
    from worldstereo_core.geometry.path_spline import evaluate_path
    from worldstereo_core.geometry.poses import matrix_to_quaternion

    progress = torch.linspace(0, 1, MOMENTS, dtype=torch.float64)
    found = []
    for name, path in cases().items():
        text = camera_path_to_json(path)
        # What is sampled is the rounded path, as the browser reads it.
        samples = evaluate_path(camera_path_from_json(text)[0], progress)
        found.append(
            {
                "name": name,
                "path": json.loads(text),
                "position": _rounded(samples.c2w[:, :3, 3]),
                "wxyz": _rounded(matrix_to_quaternion(samples.c2w[:, :3, :3])),
                "fov_deg": _rounded(samples.fov_deg),
            }
        )
    return {"progress": _rounded(progress), "cases": found}


def _rounded(values: torch.Tensor) -> Any:
    return (values * 1e9).round().div(1e9).add(0.0).tolist()


def main() -> None:
    sys.path.insert(0, str(ROOT))
    TARGET.write_text(json.dumps(content(), allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
