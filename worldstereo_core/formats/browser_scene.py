"""Cameras as plain numbers for the 3D views in the browser: camera-to-world, OpenCV axes, pixels."""

from __future__ import annotations

import math
from typing import Any

from ..geometry.cameras import Cameras
from ..geometry.trajectory import Trajectory

VERSION = 1


def frames_to_plain(trajectory: Trajectory) -> list[dict[str, Any]]:
    """One dict per frame: ``c2w``, 16 numbers row by row, and ``fx fy cx cy`` in the trajectory's pixels."""
    return [camera_to_plain(trajectory.cameras, frame) for frame in range(trajectory.num_frames)]


def camera_to_plain(cameras: Cameras, frame: int = 0) -> dict[str, Any]:
    """One camera as in ``frames_to_plain``."""
    K = cameras.K[frame].double()
    return {
        "c2w": cameras[frame].to("cpu").c2w[0].double().flatten().tolist(),
        "fx": float(K[0, 0]),
        "fy": float(K[1, 1]),
        "cx": float(K[0, 2]),
        "cy": float(K[1, 2]),
    }


def view_to_plain(camera: Cameras) -> dict[str, Any]:
    """The first of some cameras as a place to start from: rows of ``c2w``, ``fov_deg`` and picture size."""
    c2w = camera.to("cpu").c2w[0].double().tolist()
    fov = 2 * math.atan(camera.width / (2 * float(camera.K[0, 0, 0])))
    return {"c2w": c2w, "fov_deg": math.degrees(fov), "width": camera.width, "height": camera.height}
