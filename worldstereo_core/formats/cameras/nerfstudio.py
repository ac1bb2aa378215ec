"""nerfstudio's ``transforms.json``: camera-to-world matrices in OpenGL axes, a world with z up, K in pixels.

    {"w": 768, "h": 512, "fl_x": 700, "fl_y": 700, "cx": 384, "cy": 256,
     "frames": [{"file_path": "images/frame_00001.png", "transform_matrix": [[4x4]]}, ...]}

Intrinsics stand beside ``frames`` or inside each frame; the instant-ngp form gives ``camera_angle_x``
instead of focal lengths. ``fps`` is an addition of ours that nerfstudio ignores. Frames are put in the order
of their file names, since datasets list them in any order.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...atomic import replace_when_done
from ...checks import PathError
from ...geometry.cameras import fov_to_focal
from ...geometry.trajectory import Trajectory
from .axes import rigid_part
from .bounded import matrix, natural_order, number, pixels, read_json_object
from .exchange import (
    DEFAULTS,
    CameraFile,
    FileSettings,
    Notes,
    check_frame_count,
    choose_fps,
    choose_size,
    file_poses,
    finish,
    intrinsics,
    note_lens_loss,
)

NAME = "nerfstudio"
EXPECTED = "a nerfstudio transforms.json"
UP_AXIS = "z"
_PINHOLE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE")
_DISTORTION = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
_LENS = ("fl_x", "fl_y", "cx", "cy", "camera_angle_x", "camera_angle_y")


def read_nerfstudio(path: str | os.PathLike[str], settings: FileSettings = DEFAULTS) -> CameraFile:
    """Read a transforms.json.

    Raises: PathError, naming the file and the field, if it cannot be used.
    """
    path, notes = Path(path), Notes()
    content = read_json_object(path, EXPECTED)
    frames = content.get("frames")
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise PathError(f"{path.name}: the key 'frames' holds no list of frames; expected {EXPECTED}.")
    check_frame_count(path, len(frames))
    names = [frame.get("file_path") for frame in frames]
    if all(isinstance(name, str) for name in names):
        order = natural_order(names)
        if order != list(range(len(frames))):
            notes.add(f"{path.name}: frames were put in the order of their file names.")
            frames = [frames[index] for index in order]
    raw = [
        matrix(path, f"transform_matrix of frame {index}", frame.get("transform_matrix"), 4, 4)
        for index, frame in enumerate(frames)
    ]
    c2w = rigid_part(path, "transform_matrix", torch.tensor(raw, dtype=torch.float64), notes)
    if "applied_transform" in content:
        notes.add(f"{path.name}: applied_transform was left as it is; poses are in the file's own world.")
    size = choose_size(path, settings, notes, _size(path, content, frames))
    K = _read_lenses(path, content, frames, size, notes)
    stated = content.get("fps")
    fps = choose_fps(path, settings, notes, None if stated is None else number(path, "fps", stated))
    return finish(
        path, NAME, c2w, K, size, fps, notes,
        camera_axes="opengl", up_axis=settings.up_axis or UP_AXIS, unit_scale=settings.unit_scale or 1.0,
    )  # fmt: skip


def write_nerfstudio(
    path: str | os.PathLike[str],
    trajectory: Trajectory,
    settings: FileSettings = DEFAULTS,
    file_paths: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """Write a transforms.json, whole or not at all.

    Args:
        file_paths: picture of each frame relative to the file; default images/frame_00001.png and so on.

    Returns:
        Notes on what the format cannot hold.
    """
    notes = Notes()
    c2w = file_poses(trajectory, "opengl", settings.up_axis or UP_AXIS, settings.unit_scale or 1.0)
    note_lens_loss(trajectory, notes, "transforms.json", squareness=False, centre=False)
    K = intrinsics(trajectory)
    if file_paths is None:
        file_paths = [f"images/frame_{number:05d}.png" for number in range(1, len(c2w) + 1)]
    is_fixed = bool((K[:1] == K).all())
    lenses = K[:, [0, 1, 0, 1], [0, 1, 2, 2]].tolist()
    shared = _lens(lenses[0]) if is_fixed else {}
    frames = [
        {"file_path": name, "transform_matrix": pose, **({} if is_fixed else _lens(lens))}
        for name, pose, lens in zip(file_paths, c2w.tolist(), lenses, strict=True)
    ]
    content = {
        "camera_model": "OPENCV",
        "w": trajectory.width,
        "h": trajectory.height,
        **shared,
        "fps": trajectory.fps,
        "frames": frames,
    }
    with replace_when_done(path) as temporary:
        temporary.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
    return notes.done()


def _lens(values: list[float]) -> dict[str, float]:
    return dict(zip(("fl_x", "fl_y", "cx", "cy"), values, strict=True))


def _size(path: Path, content: dict[str, Any], frames: list[dict[str, Any]]) -> tuple[int, int] | None:
    sizes = {}
    for index, frame in enumerate(frames):
        height, width = (frame.get(key, content.get(key)) for key in ("h", "w"))
        if height is None or width is None:
            return None
        size = pixels(path, "h", height), pixels(path, "w", width)
        sizes.setdefault(size, index)
    if len(sizes) > 1:
        (first, _), (second, at) = list(sizes.items())[:2]
        raise PathError(
            f"{path.name}: frame 0 has w x h {first[1]} x {first[0]} but frame {at} {second[1]} x "
            f"{second[0]}; expected one size for all. Export pictures of one size."
        )
    return next(iter(sizes))


def _read_lenses(
    path: Path, content: dict[str, Any], frames: list[dict[str, Any]], size: tuple[int, int], notes: Notes
) -> Tensor:
    height, width = size
    rows = []
    for index, frame in enumerate(frames):
        model = frame.get("camera_model", content.get("camera_model", "OPENCV"))
        if model not in _PINHOLE:
            raise PathError(
                f"{path.name}: camera_model of frame {index} is {model!r}, expected one of "
                f"{', '.join(_PINHOLE)}. Undistort the pictures to a pinhole camera first."
            )
        own = {key: frame.get(key, content.get(key)) for key in _LENS}
        values = {key: number(path, key, value) for key, value in own.items() if value is not None}
        rows.append(_focal_and_centre(path, index, values, width, height))
        for key in _DISTORTION:
            bent = frame.get(key, content.get(key))
            if bent is not None and number(path, key, bent) != 0:
                notes.add(f"{path.name}: lens distortion ({key} = {bent:g}) was dropped; K is used alone.")
    fx, fy, cx, cy = torch.tensor(rows, dtype=torch.float64).unbind(1)
    K = torch.eye(3, dtype=torch.float64).repeat(len(frames), 1, 1)
    K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2] = fx, fy, cx, cy
    return K


def _focal_and_centre(
    path: Path, index: int, values: dict[str, float], width: int, height: int
) -> tuple[float, float, float, float]:
    fx = values.get("fl_x", _from_angle(path, "camera_angle_x", values.get("camera_angle_x"), width))
    fy = values.get("fl_y", _from_angle(path, "camera_angle_y", values.get("camera_angle_y"), height))
    fx, fy = (fy if fx is None else fx), (fx if fy is None else fy)
    if fx is None or fy is None:
        raise PathError(
            f"{path.name}: frame {index} has neither fl_x nor camera_angle_x, so its field of view is "
            "unknown; expected one of them. Export the intrinsics too."
        )
    return fx, fy, values.get("cx", width / 2), values.get("cy", height / 2)


def _from_angle(path: Path, field: str, angle: float | None, size: int) -> float | None:
    if angle is None:
        return None
    if not 0 < angle < math.pi:
        raise PathError(
            f"{path.name}: {field} is {angle:g}, expected radians between 0 and {math.pi:.4f}. Correct the "
            f"file."
        )
    return fov_to_focal(angle, size)
