"""Blender: a Python script that rebuilds the animated camera, and one that writes Blender's camera for us.

Blender's world has z up and its cameras look along -z. The way back is ``blender_export.py``, which writes a
camera.json when it is run inside Blender.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from ...atomic import replace_when_done
from ...geometry.poses import matrix_to_quaternion
from ...geometry.trajectory import Trajectory
from .exchange import DEFAULTS, FileSettings, Notes, file_poses, intrinsics, note_lens_loss

NAME = "blender"
UP_AXIS = "z"
_FOLDER = Path(__file__).parent
REBUILD, EXPORT = _FOLDER / "blender_rebuild.py", _FOLDER / "blender_export.py"


def write_blender(
    path: str | os.PathLike[str], trajectory: Trajectory, settings: FileSettings = DEFAULTS
) -> tuple[str, ...]:
    """Write a script that rebuilds the camera in Blender (text editor > Run, or ``--python``).

    Returns:
        Notes on what Blender cannot hold.
    """
    notes = Notes()
    c2w = file_poses(trajectory, "opengl", UP_AXIS, settings.unit_scale or 1.0)
    note_lens_loss(trajectory, notes, "Blender", squareness=False, centre=False)
    K = intrinsics(trajectory)
    fx, fy, cx, cy = K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2]
    aspect = (fx / fy)[0].item()
    aspect = aspect if abs(aspect - 1) > 1e-6 else 1.0
    if ((fx / fy) / (fx / fy)[0] - 1).abs().max() > 1e-5:
        notes.add("Blender has one pixel aspect for the whole scene: fy follows fx as in the first frame.")
    quaternion = matrix_to_quaternion(c2w[:, :3, :3]).numpy()
    # Neighbours in the same half space, so that Blender turns the short way between keys.
    flips = np.where((quaternion[1:] * quaternion[:-1]).sum(1) < 0, -1.0, 1.0)
    quaternion[1:] *= np.cumprod(flips)[:, None]
    width, height = trajectory.width, trajectory.height
    data = {
        "name": "WorldStereo camera",
        "fps": trajectory.fps,
        "first_frame": 1 if settings.first_frame is None else settings.first_frame,
        "width": width,
        "height": height,
        "sensor_width_mm": settings.sensor_width_mm,
        "pixel_aspect_y": aspect,
        "location": c2w[:, :3, 3].tolist(),
        "quaternion": quaternion.tolist(),
        "lens_mm": (fx * settings.sensor_width_mm / width).tolist(),
        "shift_x": (0.5 - cx / width).tolist(),
        "shift_y": ((cy - height / 2) / width * aspect).tolist(),
    }
    body = REBUILD.read_text(encoding="utf-8")
    text = json.dumps(data, allow_nan=False)
    # JSON inside a Python literal; ascii() escapes every quote and backslash that could end it.
    script = f"{body}\n\nif __name__ == '__main__':\n    import json\n\n    rebuild(json.loads({text!a}))\n"
    with replace_when_done(path) as temporary:
        temporary.write_text(script, encoding="utf-8")
    return notes.done()


def write_blender_export_script(path: str | os.PathLike[str]) -> None:
    """Write the script that is run inside Blender and writes its camera as camera.json."""
    with replace_when_done(path) as temporary:
        temporary.write_text(EXPORT.read_text(encoding="utf-8"), encoding="utf-8")
