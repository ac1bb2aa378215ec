"""Camera paths as JSON, version 1: what the node, the editor in it, and files hold.

    {"version": 1, "interpolation": "catmull_rom", "speed": "by time", "closed": false, "look_at": null,
     "width": 768, "height": 480, "scale": 1.0, "fps": 16.0, "name": "path",
     "waypoints": [{"position": [x, y, z], "wxyz": [w, x, y, z], "fov_deg": 60.0, "time": 0.0,
                    "easing": "auto", "roll_deg": 0.0, "handle_in": null, "handle_out": null}, ...]}

Camera-to-world in OpenCV axes (x right, y down, z forward; the world likewise), scene units, horizontal field
of view in degrees, time as a share of the clip. Only "version" and "waypoints" with "position" must be there;
``geometry.camera_path`` tells what the rest means and which values it takes. A text of another version is
refused and never rewritten.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from ..atomic import replace_when_done
from ..checks import PathError
from ..geometry.camera_path import MAX_WAYPOINTS, UNIT_TOLERANCE, CameraPath, Waypoint, spread_times
from .cameras.bounded import number, parse_json, pixels, read_text, shown

VERSION = 1
EXPECTED = "a camera path in JSON"
# Undo in the editor compares texts, so numbers are cut where nobody sees them: 1e-6 scene units or degrees.
DECIMALS = 6
_EXACT = ("time", "scale", "fps")  # times decide the order, the others multiply
# 10,000 waypoints of every field take 3 MB.
MAX_CHARACTERS = 16 * 2**20
_JSON_NAMES = {"is_closed": "closed"}


def camera_path_to_json(path: CameraPath) -> str:
    """The path as text, one waypoint per line."""
    content = {"version": VERSION, **_content(path)}
    head = json.dumps(content, allow_nan=False, ensure_ascii=False)
    rows = ",\n ".join(
        json.dumps(_waypoint_content(waypoint), allow_nan=False) for waypoint in path.waypoints
    )
    return f'{head[:-1]}, "waypoints": [\n {rows}\n]}}'


def camera_path_from_json(text: str, name: str = "waypoints") -> tuple[CameraPath, tuple[str, ...]]:
    """A path from text, and notes on what was repaired or left out.

    Args:
        name: the input as the user sees it, for messages.

    Raises: PathError, naming the waypoint and the field, if the text is no such path.
    """
    source = Path(name)
    if len(text) > MAX_CHARACTERS:
        raise PathError(
            f"{name}: the text has {len(text) / 2**20:.0f} million characters, expected at most "
            f"{MAX_CHARACTERS // 2**20}. Use fewer waypoints."
        )
    if not text.strip():
        raise PathError(f"{name}: the text is empty, expected {EXPECTED}. Write waypoints or wire a path.")
    if text.lstrip().startswith("{'"):
        raise PathError(
            f"{name}: is an object written out by Python, expected {EXPECTED} as text. A program that calls "
            "ComfyUI sends a string here: json.dumps(path), not path."
        )
    content = parse_json(source, text, EXPECTED)
    if not isinstance(content, dict):
        raise PathError(f"{name}: holds {shown(content)}, expected {EXPECTED}. Begin it with a brace.")
    _check_version(name, content)
    return _path(source, content)


def read_camera_path(path: str | os.PathLike[str]) -> tuple[CameraPath, tuple[str, ...]]:
    """Read a path from a JSON file. Raises: PathError, naming the file and the field."""
    path = Path(path)
    return camera_path_from_json(read_text(path, EXPECTED), path.name)


def write_camera_path(file: str | os.PathLike[str], path: CameraPath) -> None:
    """Write a path as a JSON file, whole or not at all."""
    with replace_when_done(Path(file)) as temporary:
        temporary.write_text(camera_path_to_json(path) + "\n", encoding="utf-8")


def _check_version(name: str, content: dict[str, Any]) -> None:
    version = content.get("version")
    if version == VERSION and not isinstance(version, bool):
        return
    if "waypoints" not in content:
        raise PathError(
            f"{name}: is JSON with the keys {shown(list(content))}, expected {EXPECTED} with version and "
            "waypoints. Camera files of other programs go into Load Camera Trajectory."
        )
    raise PathError(
        f"{name}: the camera path has version {shown(version)}, expected {VERSION}. It was left as it is: "
        "update ComfyUI-WorldStereo if a newer one wrote it."
    )


def _path(source: Path, content: dict[str, Any]) -> tuple[CameraPath, tuple[str, ...]]:
    notes: list[str] = []
    rows = content.get("waypoints")
    if not isinstance(rows, list) or not rows:
        raise PathError(f"{source.name}: waypoints is {shown(rows)}, expected a list of them. Add one.")
    if len(rows) > MAX_WAYPOINTS:
        raise PathError(
            f"{source.name}: holds {len(rows)} waypoints, expected at most {MAX_WAYPOINTS}. One camera per "
            "frame is a trajectory: save it as camera.json."
        )
    waypoints = [_waypoint(source, index, row, notes) for index, row in enumerate(rows)]
    if len(rows) > 1 and not any("time" in row for row in rows):
        waypoints = list(spread_times(waypoints))
        notes.append(f"{source.name}: no waypoint has a time; times follow the distances between them.")
    settings: dict[str, Any] = {}
    for entry in fields(CameraPath):
        key = _JSON_NAMES.get(entry.name, entry.name)
        if entry.name == "waypoints" or key not in content:
            continue
        settings[entry.name] = _value(source, key, content[key], entry.default)
    known = {"version", "waypoints", *(_JSON_NAMES.get(e.name, e.name) for e in fields(CameraPath))}
    _note_unknown(source, "", content, known, notes)
    try:
        return CameraPath(tuple(waypoints), **settings), tuple(notes)
    except PathError as error:
        raise PathError(f"{source.name}: {error}") from error


def _waypoint(source: Path, index: int, row: Any, notes: list[str]) -> Waypoint:
    name = f"waypoint {index + 1}"
    if not isinstance(row, dict) or "position" not in row:
        raise PathError(
            f'{source.name}: {name} is {shown(row)}, expected an object with "position": [x, y, z]. Correct '
            "it."
        )
    values = {}
    for entry in fields(Waypoint):
        if entry.name not in row:
            continue
        value = row[entry.name]
        label = f"{entry.name} of {name}"
        if entry.name in ("position", "handle_in", "handle_out"):
            values[entry.name] = _numbers(source, label, value, 3, entry.name != "position")
        elif entry.name == "wxyz":
            values[entry.name] = _unit(source, label, _numbers(source, label, value, 4), notes)
        else:
            values[entry.name] = _value(source, label, value, entry.default)
    _note_unknown(source, f" of {name}", row, {entry.name for entry in fields(Waypoint)}, notes)
    return Waypoint(**values)


def _value(source: Path, label: str, value: Any, default: Any) -> Any:
    """A JSON value of the kind that the field's default has."""
    if default is None:
        return _numbers(source, label, value, 3, is_optional=True)
    assert default is not MISSING
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise PathError(f"{source.name}: {label} is {shown(value)}, expected true or false. Correct it.")
        return value
    if isinstance(default, int):
        return pixels(source, label, value)
    if isinstance(default, float):
        return number(source, label, value)
    if not isinstance(value, str):
        raise PathError(f"{source.name}: {label} is {shown(value)}, expected a word. Correct it.")
    return value[:200]


def _numbers(source: Path, label: str, value: Any, count: int, is_optional: bool = False) -> Any:
    if value is None and is_optional:
        return None
    if not isinstance(value, list) or len(value) != count:
        raise PathError(f"{source.name}: {label} is {shown(value)}, expected {count} numbers. Correct it.")
    return tuple(number(source, label, entry) for entry in value)


def _unit(source: Path, label: str, wxyz: tuple[float, ...], notes: list[str]) -> tuple[float, ...]:
    length = math.hypot(*wxyz)
    if not 1e-6 < length < 1e6:
        raise PathError(
            f"{source.name}: {label} is {list(wxyz)} of length {length:.4g}, expected 1: it is no rotation. "
            "Use [1, 0, 0, 0] for a camera that looks along z."
        )
    if abs(length - 1) > UNIT_TOLERANCE:
        notes.append(f"{source.name}: {label} had length {length:.4g} and was divided by it.")
        return tuple(entry / length for entry in wxyz)
    return wxyz


def _note_unknown(source: Path, where: str, given: dict[str, Any], known: set[str], notes: list[str]) -> None:
    unknown = sorted(set(given) - known)
    if unknown and len(notes) < 20:
        notes.append(f"{source.name}: {', '.join(key[:40] for key in unknown[:5])}{where} is not known here.")


def _waypoint_content(waypoint: Waypoint) -> dict[str, Any]:
    content = _content(waypoint)
    return {key: value for key, value in content.items() if value is not None}


def _content(item: CameraPath | Waypoint) -> dict[str, Any]:
    return {
        _JSON_NAMES.get(entry.name, entry.name): value if entry.name in _EXACT else _rounded(value)
        for entry in fields(item)
        if entry.name != "waypoints"
        for value in [getattr(item, entry.name)]
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DECIMALS) + 0.0  # no negative zero
    if isinstance(value, tuple):
        return [_rounded(entry) for entry in value]
    return value
