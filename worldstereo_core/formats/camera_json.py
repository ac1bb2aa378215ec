"""The official ``camera.json``: world-to-camera matrices, intrinsics in pixels, image size.

    {"extrinsic": [[4x4], ...], "intrinsic": [[3x3], ...], "width": 768, "height": 512}

``extrinsic`` maps world to camera in OpenCV axes; ``intrinsic`` refers to a ``width`` x ``height`` picture.
Other keys, such as ``motion_list``, are ignored.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..atomic import replace_when_done
from ..checks import PathError
from ..geometry.cameras import Cameras, check_cameras


def read_camera_json(path: str | os.PathLike[str], size: tuple[int, int] | None = None) -> Cameras:
    """Read and check a camera.json.

    Args:
        path: the file.
        size: (height, width) that the intrinsics refer to, for files that do not say; those that do are
            believed.

    Returns:
        Cameras in OpenCV axes, K in pixels of the file's own image size.

    Raises: PathError or ShapeError, naming the file and the key, if it or its cameras are unusable.
    """
    path = Path(path)
    return cameras_from_content(path, _read(path), size)


def cameras_from_content(path: Path, content: dict[str, Any], size: tuple[int, int] | None = None) -> Cameras:
    """The cameras of a camera.json that is parsed already; ``path`` is for messages.

    Raises: PathError or ShapeError, naming the file and the key, if they are unusable.
    """
    w2c = _matrices(path, content, "extrinsic", 4)
    K = _matrices(path, content, "intrinsic", 3)
    height, width = _size(path, content, size)
    cameras = Cameras(w2c, K, height, width)
    check_cameras(path.name, cameras)
    return cameras


def write_camera_json(path: str | os.PathLike[str], cameras: Cameras, fps: float | None = None) -> None:
    """Write cameras as an official camera.json, whole or not at all.

    Args:
        fps: frames per second, written as an additional key if given.

    Raises: PathError or ShapeError if the cameras are unusable.
    """
    check_cameras("cameras", cameras)
    content = {
        "extrinsic": cameras.w2c.double().tolist(),
        "intrinsic": cameras.K.double().tolist(),
        "width": cameras.width,
        "height": cameras.height,
    }
    if fps is not None:
        content["fps"] = fps
    # Indented JSON takes the slow encoder, and nobody reads thousands of matrices.
    indent = 2 if cameras.num_frames <= 1000 else None
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replace_when_done(path) as temporary:
        temporary.write_text(json.dumps(content, indent=indent, allow_nan=False), encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise PathError(f"{path}: there is no such file; expected a camera.json. Check the name.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise PathError(f"{path.name}: cannot be read as text ({error}); expected a camera.json.") from error
    if not text.strip():
        raise PathError(f"{path.name}: the file is empty, expected a camera.json. Export the camera again.")
    try:
        # A number too long for a float becomes infinite, which the camera check refuses with its frame.
        content = json.loads(
            text, parse_int=lambda digits: int(digits) if len(digits) < 300 else float(digits)
        )
    except (ValueError, RecursionError) as error:
        raise PathError(
            f"{path.name}: is not JSON ({error}), expected a camera.json. Export the camera again."
        ) from error
    if not isinstance(content, dict):
        raise PathError(
            f"{path.name}: got a JSON {type(content).__name__}, expected an object with the keys extrinsic, "
            "intrinsic, width and height. Choose a camera.json."
        )
    return content


def _matrices(path: Path, content: dict[str, Any], key: str, side: int) -> Tensor:
    if key not in content:
        raise PathError(
            f"{path.name}: the key {key!r} is missing (found: {', '.join(sorted(content)) or 'none'}); "
            f"expected a list of {side}x{side} matrices, one per frame. Choose a camera.json or add the key."
        )
    value = content[key]
    if not isinstance(value, list) or not value:
        got = "an empty list" if value == [] else type(value).__name__
        raise PathError(
            f"{path.name}: {key!r} holds {got}; expected a list of {side}x{side} matrices, one per "
            "frame. Export the camera again."
        )
    for frame, matrix in enumerate(value):
        _check_matrix(path, key, frame, matrix, side)
    return torch.tensor(value, dtype=torch.float64).float()


def _check_matrix(path: Path, key: str, frame: int, matrix: Any, side: int) -> None:
    rows = matrix if isinstance(matrix, list) else []
    widths = [len(row) if isinstance(row, list) else 0 for row in rows]
    if widths != [side] * side:
        same = bool(widths) and len(set(widths)) == 1 and widths[0] > 0
        got = f"{len(widths)}x{widths[0]} matrix" if same else "value that is no matrix"
        hint = " Add the row 0, 0, 0, 1." if (side, got) == (4, "3x4 matrix") else ""
        raise PathError(
            f"{path.name}: {key!r} of frame {frame} is a {got}, expected {side}x{side} numbers.{hint} "
            f"The key holds a list of such matrices, one per frame."
        )
    for number in (number for row in rows for number in row):
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise PathError(
                f"{path.name}: {key!r} of frame {frame} holds {json.dumps(number)[:40]}, expected numbers. "
                "Export the camera again."
            )


def _size(path: Path, content: dict[str, Any], size: tuple[int, int] | None) -> tuple[int, int]:
    missing = [key for key in ("height", "width") if key not in content]
    if missing:
        if size is None:
            raise PathError(
                f"{path.name}: lacks {' and '.join(map(repr, missing))}; expected the size in "
                "pixels of the image that the intrinsics refer to. Add it to the file or give it beside it."
            )
        return size
    sides = []
    for key in ("height", "width"):
        value = content[key]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not value >= 1 or value != value // 1:
            raise PathError(
                f"{path.name}: {key!r} is {json.dumps(value)[:40]}, expected whole pixels above 0. "
                "Correct it to the size of the picture that the intrinsics refer to."
            )
        sides.append(int(value))
    return sides[0], sides[1]
