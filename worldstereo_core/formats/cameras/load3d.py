"""ComfyUI's LOAD3D_CAMERA: the dict of one camera in core's 3D nodes, and a path of them as JSON.

    {"position": {x, y, z}, "target": {x, y, z}, "zoom": 1, "cameraType": "perspective",
     "quaternion": {x, y, z, w}, "fov": 35, "aspect": 1.5}

Right-handed, y up, the camera looks along -z (three.js); ``fov`` is the vertical field of view in degrees
before ``zoom``, which multiplies the focal length. As a file: one such dict, a list of them, or
``{"load3d_camera": [...], "fps": 24, "width": 768, "height": 512}``.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...atomic import replace_when_done
from ...checks import PathError
from ...geometry.cameras import look_at
from ...geometry.poses import invert_se3, matrix_to_quaternion
from ...geometry.trajectory import Trajectory
from .axes import check_numbers, rotation_from_quaternion
from .bounded import number, parse_json, pixels, read_text, shown
from .exchange import (
    DEFAULTS,
    CameraFile,
    FileSettings,
    Lens,
    Notes,
    check_frame_count,
    choose_fps,
    choose_size,
    file_poses,
    finish,
    intrinsics,
    note_lens_loss,
)

NAME = "load3d"
UP_AXIS = "y"
EXPECTED = "cameras in the form of LOAD3D_CAMERA"


def cameras_from_load3d(
    infos: dict[str, Any] | Sequence[dict[str, Any]],
    settings: FileSettings = DEFAULTS,
    name: str = "camera_info",
) -> CameraFile:
    """A trajectory from one LOAD3D_CAMERA dict (one frame) or several.

    Args:
        infos: what core's nodes give as ``camera_info``.
        settings: ``size`` is needed: the dict holds no pixels.
        name: the input as the user sees it, for messages.

    Raises: PathError, naming the input and the field, if a camera cannot be used.
    """
    return _read(Path(name), [infos] if isinstance(infos, dict) else list(infos), {}, settings, Notes())


def load3d_from_cameras(
    trajectory: Trajectory, settings: FileSettings = DEFAULTS, target_distance: float | None = None
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """LOAD3D_CAMERA dicts, one per frame, and notes on what they cannot hold.

    Args:
        target_distance: how far ahead of the camera the orbit target lies, scene units; default is the
            distance to the trajectory's pivot, else 1.
    """
    notes = Notes()
    scale = settings.unit_scale or 1.0
    c2w = file_poses(trajectory, "opengl", settings.up_axis or UP_AXIS, scale)
    note_lens_loss(trajectory, notes, "LOAD3D_CAMERA")
    if target_distance is None:
        target_distance = 1.0
        if trajectory.pivot is not None:
            away = trajectory.cameras[:1].centers[0].cpu().double() - torch.tensor(trajectory.pivot).double()
            target_distance = away.norm().item() or 1.0
    position = c2w[:, :3, 3]
    target = position - c2w[:, :3, 2] * target_distance / scale
    quaternion = matrix_to_quaternion(c2w[:, :3, :3])
    fov = torch.rad2deg(2 * torch.atan(trajectory.height / (2 * intrinsics(trajectory)[:, 1, 1])))
    infos = [
        {
            "position": dict(zip("xyz", place, strict=True)),
            "target": dict(zip("xyz", aim, strict=True)),
            "zoom": 1,
            "cameraType": "perspective",
            "quaternion": dict(zip("wxyz", turn, strict=True)),
            "fov": angle,
            "aspect": trajectory.width / trajectory.height,
        }
        for place, aim, turn, angle in zip(
            position.tolist(), target.tolist(), quaternion.tolist(), fov.tolist(), strict=True
        )
    ]
    return infos, notes.done()


@dataclass(frozen=True)
class PreviewFrame:
    """Where ComfyUI's point cloud preview puts a cloud.

    The middle of its box becomes the origin, and the distance of the farthest point from there the unit.

    Attributes:
        middle: of the box, in our world axes, scene units.
        radius: scene units.
    """

    middle: tuple[float, float, float]
    radius: float


def preview_frame(xyz: Tensor) -> PreviewFrame:
    """The preview's frame for a cloud of [N, 3] points in our axes. Raises: PathError for an empty cloud."""
    if len(xyz) == 0:
        raise PathError("memory: has no points, so no preview shows it. Wire the memory that was previewed.")
    low, high = (bound.cpu().double() for bound in torch.aminmax(xyz, dim=0))
    x, y, z = ((low + high) / 2).tolist()
    radius = float((xyz.cpu().double() - torch.tensor([x, y, z])).norm(dim=-1).max())
    return PreviewFrame((x, y, z), radius or 1.0)


def from_preview(trajectory: Trajectory, frame: PreviewFrame) -> Trajectory:
    """Cameras of the point cloud preview as cameras of the scene."""
    return _placed(trajectory, frame.radius, torch.tensor(frame.middle, dtype=torch.float64))


def to_preview(trajectory: Trajectory, frame: PreviewFrame) -> Trajectory:
    """Cameras of the scene as cameras of the point cloud preview."""
    middle = torch.tensor(frame.middle, dtype=torch.float64)
    return _placed(trajectory, 1 / frame.radius, -middle / frame.radius)


def _placed(trajectory: Trajectory, scale: float, shift: Tensor) -> Trajectory:
    c2w = invert_se3(trajectory.w2c.cpu().double())
    c2w[:, :3, 3] = c2w[:, :3, 3] * scale + shift
    pivot = None
    if trajectory.pivot is not None:
        x, y, z = (torch.tensor(trajectory.pivot, dtype=torch.float64) * scale + shift).tolist()
        pivot = (x, y, z)
    cameras = replace(trajectory.cameras, w2c=invert_se3(c2w).to(trajectory.w2c))
    return replace(trajectory, cameras=cameras, pivot=pivot)


def read_load3d(path: str | os.PathLike[str], settings: FileSettings = DEFAULTS) -> CameraFile:
    """Read a JSON file of LOAD3D_CAMERA dicts. Raises: PathError, naming the file and the field."""
    path = Path(path)
    content = parse_json(path, read_text(path, EXPECTED), EXPECTED)
    header = content if isinstance(content, dict) and "load3d_camera" in content else {}
    infos = header.get("load3d_camera", content)
    infos = [infos] if isinstance(infos, dict) else infos
    if not isinstance(infos, list):
        raise PathError(f"{path.name}: holds {shown(infos)}, expected {EXPECTED}. Choose another file.")
    return _read(path, infos, header, settings, Notes())


def write_load3d(
    path: str | os.PathLike[str], trajectory: Trajectory, settings: FileSettings = DEFAULTS
) -> tuple[str, ...]:
    """Write a JSON file of LOAD3D_CAMERA dicts, whole or not at all. Returns: notes on what is lost."""
    infos, notes = load3d_from_cameras(trajectory, settings)
    content = {
        "load3d_camera": infos,
        "fps": trajectory.fps,
        "width": trajectory.width,
        "height": trajectory.height,
    }
    with replace_when_done(path) as temporary:
        temporary.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
    return notes


def _read(
    path: Path, infos: list[Any], header: dict[str, Any], settings: FileSettings, notes: Notes
) -> CameraFile:
    check_frame_count(path, len(infos))
    position, rotation, fov = [], [], []
    for frame, info in enumerate(infos):
        place, turn, angle = _camera(path, frame, info, notes)
        position.append(place)
        rotation.append(turn)
        fov.append(angle)
    stated = None
    if "width" in header and "height" in header:
        stated = pixels(path, "height", header["height"]), pixels(path, "width", header["width"])
    size = choose_size(path, settings, notes, stated)
    aspect = infos[0].get("aspect")
    if isinstance(aspect, (int, float)) and aspect > 0 and abs(aspect / (size[1] / size[0]) - 1) > 0.01:
        notes.add(
            f"{path.name}: aspect is {aspect:g} but {size[1]} x {size[0]} pixels have {size[1] / size[0]:g}; "
            "the vertical field of view was kept."
        )
    c2w = torch.eye(4, dtype=torch.float64).repeat(len(infos), 1, 1)
    c2w[:, :3, 3] = torch.tensor(position, dtype=torch.float64)
    check_numbers(path, "position", c2w[:, :3, 3])
    c2w[:, :3, :3] = rotation_from_quaternion(path, torch.tensor(rotation, dtype=torch.float64), notes)
    focal = size[0] / 2 / torch.tensor(fov, dtype=torch.float64)
    K = Lens(focal, focal, size[1] / 2, size[0] / 2).to_K(len(infos))
    rate = header.get("fps")
    fps = choose_fps(path, settings, notes, None if rate is None else number(path, "fps", rate))
    return finish(
        path, NAME, c2w, K, size, fps, notes,
        camera_axes="opengl", up_axis=settings.up_axis or UP_AXIS, unit_scale=settings.unit_scale or 1.0,
    )  # fmt: skip


def _camera(path: Path, frame: int, info: Any, notes: Notes) -> tuple[list[float], list[float], float]:
    """Position, wxyz quaternion and tan(fov / 2) / zoom of one dict."""
    if not isinstance(info, dict) or "position" not in info:
        raise PathError(f"{path.name}: frame {frame} is {shown(info)}, expected {EXPECTED}. Export it again.")
    if info.get("cameraType", "perspective") != "perspective":
        raise PathError(
            f"{path.name}: cameraType of frame {frame} is {info['cameraType']!r}, expected 'perspective'. "
            "Switch the viewer to the perspective camera."
        )
    position = _vector(path, frame, info, "position", "xyz")
    if info.get("quaternion") is not None:
        turn = _vector(path, frame, info, "quaternion", "wxyz")
    else:
        notes.add(f"{path.name}: no quaternion (older ComfyUI); the camera looks at its target, upright.")
        turn = _aim(path, position, _vector(path, frame, info, "target", "xyz"))
    if info.get("fov") is None:
        raise PathError(
            f"{path.name}: frame {frame} has no fov, so the field of view is unknown; expected vertical "
            "degrees. ComfyUI 0.26 and later give it."
        )
    fov = number(path, f"fov of frame {frame}", info["fov"])
    zoom = number(path, f"zoom of frame {frame}", info.get("zoom", 1))
    if not 0 < fov < 180 or not 0 < zoom < math.inf:
        raise PathError(
            f"{path.name}: frame {frame} has fov {fov:g} and zoom {zoom:g}; expected degrees between 0 and "
            "180 and a zoom above 0. Correct the camera."
        )
    return position, turn, math.tan(math.radians(fov) / 2) / zoom


def _vector(path: Path, frame: int, info: dict[str, Any], field: str, letters: str) -> list[float]:
    value = info.get(field)
    if not isinstance(value, dict) or any(letter not in value for letter in letters):
        raise PathError(
            f"{path.name}: {field} of frame {frame} is {shown(value)}, expected numbers "
            f"{', '.join(sorted(letters))}."
        )
    return [number(path, f"{field}.{letter} of frame {frame}", value[letter]) for letter in letters]


def _aim(path: Path, position: list[float], target: list[float]) -> list[float]:
    """wxyz quaternion of an upright y-up camera at ``position`` that looks at ``target``."""
    eye, aim = torch.tensor(position, dtype=torch.float64), torch.tensor(target, dtype=torch.float64)
    try:
        w2c: Tensor = look_at(eye, aim, torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
    except PathError as error:
        raise PathError(f"{path.name}: position and target: {error}") from error
    turn = invert_se3(w2c)[:3, :3] * torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    return matrix_to_quaternion(turn).tolist()
