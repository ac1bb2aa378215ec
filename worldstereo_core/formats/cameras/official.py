"""The official ``camera.json`` among the camera formats; ``fps`` beside its keys is an addition of ours."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from ...geometry.poses import invert_se3
from ...geometry.trajectory import Trajectory
from ..camera_json import cameras_from_content, write_camera_json
from .bounded import number, read_json_object
from .exchange import DEFAULTS, CameraFile, FileSettings, Notes, choose_fps, choose_size, file_poses, finish

NAME = "camera_json"
UP_AXIS = "-y"


def read_official(path: str | os.PathLike[str], settings: FileSettings = DEFAULTS) -> CameraFile:
    """Read a camera.json. Raises: PathError, naming the file and the key, if it cannot be used."""
    path, notes = Path(path), Notes()
    content = read_json_object(path, "a camera.json")
    cameras = cameras_from_content(path, content, settings.size)
    size = choose_size(path, settings, notes, (cameras.height, cameras.width))
    stated = content.get("fps")
    fps = choose_fps(path, settings, notes, None if stated is None else number(path, "fps", stated))
    if settings.up_axis in (None, UP_AXIS) and settings.unit_scale in (None, 1):
        trajectory = Trajectory(cameras, fps=fps, name=path.stem, source=path.name)
        return CameraFile(trajectory, NAME, notes.done())
    return finish(
        path, NAME, cameras.c2w.double(), cameras.K.double(), size, fps, notes,
        camera_axes="opencv", up_axis=settings.up_axis or UP_AXIS, unit_scale=settings.unit_scale or 1.0,
    )  # fmt: skip


def write_official(
    path: str | os.PathLike[str], trajectory: Trajectory, settings: FileSettings = DEFAULTS
) -> tuple[str, ...]:
    """Write a camera.json, whole or not at all. Returns: no notes, since it holds everything."""
    cameras = trajectory.cameras
    if settings.up_axis not in (None, UP_AXIS) or settings.unit_scale not in (None, 1):
        c2w = file_poses(trajectory, "opencv", settings.up_axis or UP_AXIS, settings.unit_scale or 1.0)
        cameras = replace(cameras, w2c=invert_se3(c2w).float())
    write_camera_json(path, cameras, fps=trajectory.fps)
    return ()
