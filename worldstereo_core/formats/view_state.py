"""What the world viewer keeps, as JSON, version 1: the view it gives out, the selection, recorded views.

    {"version": 1,
     "camera": {"position": [x, y, z], "wxyz": [w, x, y, z], "fov_deg": 60.0},
     "selection": [
       {"kind": "box", "mode": "add", "centre": [x, y, z], "size": [x, y, z], "wxyz": [w, x, y, z]},
       {"kind": "brush", "mode": "subtract", "reach": "visible surface", "radius": 0.03, "clips": [0, 2],
        "view": {"position": [x, y, z], "wxyz": [w, x, y, z], "fov_deg": 60.0, "aspect": 1.6},
        "points": [[x, y], ...]},
       {"kind": "outline", ...}],
     "recorded": [{"position": ..., "wxyz": ..., "fov_deg": ...}, ...]}

Camera-to-world in OpenCV axes, scene units, horizontal fields of view in degrees, points in shares of the
view's width and height; ``geometry.selection`` tells the rest. All keys but "version" may be missing. How the
viewer looks (colours, hidden clips) is no part of it: it changes no output. A text of another version is
refused and never rewritten.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..checks import PathError
from ..geometry.camera_path import Waypoint
from ..geometry.selection import (
    MAX_PARTS,
    VISIBLE,
    BoxPart,
    PaintedPart,
    SelectionPart,
    ViewPoint,
    WorldSelection,
)
from .cameras.bounded import number, parse_json, shown

VERSION = 1
EXPECTED = "what the world viewer keeps, as JSON"
MAX_CHARACTERS = 16 * 2**20
MAX_RECORDED = 1000


@dataclass(frozen=True)
class ViewState:
    """A viewer's state as far as outputs depend on it.

    Attributes:
        camera: the view that is given out; None = nobody chose one.
        selection: in the order drawn.
        recorded: views in the order recorded; their times are 0.
    """

    camera: Waypoint | None = None
    selection: WorldSelection = field(default_factory=WorldSelection)
    recorded: tuple[Waypoint, ...] = ()


def view_state_from_json(text: str, name: str = "view_state") -> ViewState:
    """A state from text; an empty text is the state of a new viewer.

    Args:
        name: the input as the user sees it, for messages.

    Raises: WorldStereoError, naming the part and the field, if the text is none.
    """
    if not text.strip():
        return ViewState()
    source = Path(name)
    if len(text) > MAX_CHARACTERS:
        raise PathError(
            f"{name}: the text has {len(text) / 2**20:.0f} million characters, expected at most "
            f"{MAX_CHARACTERS // 2**20}. Clear the selection."
        )
    if text.lstrip().startswith("{'"):
        raise PathError(
            f"{name}: is an object written out by Python, expected {EXPECTED}. A program that calls ComfyUI "
            "sends a string here: json.dumps(state), not state."
        )
    content = parse_json(source, text, EXPECTED)
    if not isinstance(content, dict):
        raise PathError(f"{name}: holds {shown(content)}, expected {EXPECTED}. Begin it with a brace.")
    version = content.get("version")
    if version != VERSION or isinstance(version, bool):
        raise PathError(
            f"{name}: has version {shown(version)}, expected {VERSION}. It was left as it is: update "
            "ComfyUI-WorldStereo if a newer one wrote it."
        )
    camera = content.get("camera")
    parts = _list(source, "selection", content.get("selection"), MAX_PARTS)
    recorded = _list(source, "recorded", content.get("recorded"), MAX_RECORDED)
    return ViewState(
        camera=None if camera is None else _waypoint(source, "camera", camera),
        selection=WorldSelection(
            tuple(_part(source, f"part {number + 1} of selection", row) for number, row in enumerate(parts))
        ),
        recorded=tuple(
            _waypoint(source, f"recorded view {number + 1}", row) for number, row in enumerate(recorded)
        ),
    )


def view_state_to_json(state: ViewState) -> str:
    """The state as text, as the viewer writes it."""
    content: dict[str, Any] = {"version": VERSION}
    if state.camera is not None:
        content["camera"] = _plain_waypoint(state.camera)
    content["selection"] = [_plain_part(part) for part in state.selection.parts]
    content["recorded"] = [_plain_waypoint(waypoint) for waypoint in state.recorded]
    return json.dumps(content, allow_nan=False)


def _part(source: Path, label: str, row: Any) -> SelectionPart:
    if not isinstance(row, dict):
        raise PathError(f"{source.name}: {label} is {shown(row)}, expected an object. Remove it.")
    kind, mode = row.get("kind"), row.get("mode", "add")
    clips = row.get("clips")
    if clips is not None:
        clips = tuple(_clip(source, label, clip) for clip in _list(source, f"clips of {label}", clips))
    if kind == "box":
        return BoxPart(
            centre=_numbers(source, f"centre of {label}", row.get("centre"), 3),
            size=_numbers(source, f"size of {label}", row.get("size"), 3),
            wxyz=_turn(source, label, row),
            mode=mode,
            clips=clips,
        )
    if kind not in ("brush", "outline"):
        raise PathError(
            f"{source.name}: kind of {label} is {shown(kind)}, expected box, brush or outline. Remove it."
        )
    radius = number(source, f"radius of {label}", row.get("radius")) if kind == "brush" else None
    points = _list(source, f"points of {label}", row.get("points"))
    return PaintedPart(
        view=_view(source, label, row.get("view")),
        points=tuple(_numbers(source, f"a point of {label}", point, 2) for point in points),
        radius=radius,
        reach=row.get("reach", VISIBLE),
        mode=mode,
        clips=clips,
    )


def _clip(source: Path, label: str, value: Any) -> int:
    clip = number(source, f"clips of {label}", value)
    if not (clip.is_integer() and 0 <= clip < 2**31):
        raise PathError(
            f"{source.name}: clips of {label} holds {shown(value)}, expected whole numbers from 0. Remove it."
        )
    return int(clip)


def _view(source: Path, label: str, row: Any) -> ViewPoint:
    if not isinstance(row, dict):
        raise PathError(f"{source.name}: view of {label} is {shown(row)}, expected a camera. Remove it.")
    return ViewPoint(
        position=_numbers(source, f"position of {label}", row.get("position"), 3),
        wxyz=_turn(source, label, row),
        fov_deg=number(source, f"fov_deg of {label}", row.get("fov_deg")),
        aspect=number(source, f"aspect of {label}", row.get("aspect")),
    )


def _waypoint(source: Path, label: str, row: Any) -> Waypoint:
    if not isinstance(row, dict):
        raise PathError(f"{source.name}: {label} is {shown(row)}, expected a camera. Choose the view again.")
    waypoint = Waypoint(
        position=_numbers(source, f"position of {label}", row.get("position"), 3),
        wxyz=_turn(source, label, row),
        fov_deg=number(source, f"fov_deg of {label}", row.get("fov_deg", 60.0)),
    )
    if not all(math.isfinite(value) for value in waypoint.position) or not 0 < waypoint.fov_deg < 180:
        raise PathError(
            f"{source.name}: {label} has position {list(waypoint.position)} and fov_deg "
            f"{waypoint.fov_deg:g}, expected finite numbers and degrees between 0 and 180. Choose the view "
            "again."
        )
    return waypoint


def _turn(source: Path, label: str, row: dict[str, Any]) -> tuple[float, float, float, float]:
    wxyz = _numbers(source, f"wxyz of {label}", row.get("wxyz", [1, 0, 0, 0]), 4)
    length = math.hypot(*wxyz)
    if not abs(length - 1) <= 1e-3:
        raise PathError(
            f"{source.name}: wxyz of {label} is {list(wxyz)} of length {length:.4g}, expected 1: it is no "
            "rotation. Remove it."
        )
    w, x, y, z = (value / length for value in wxyz)
    return w, x, y, z


def _numbers(source: Path, label: str, value: Any, count: int) -> Any:
    if not isinstance(value, list) or len(value) != count:
        raise PathError(f"{source.name}: {label} is {shown(value)}, expected {count} numbers. Remove it.")
    return tuple(number(source, label, entry) for entry in value)


def _list(source: Path, label: str, value: Any, most: int | None = None) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list) or (most is not None and len(value) > most):
        got = f"{len(value)} entries" if isinstance(value, list) else shown(value)
        limit = "" if most is None else f" of at most {most}"
        raise PathError(f"{source.name}: {label} is {got}, expected a list{limit}. Clear it.")
    return value


def _plain_waypoint(waypoint: Waypoint) -> dict[str, Any]:
    return {
        "position": list(waypoint.position),
        "wxyz": list(waypoint.wxyz),
        "fov_deg": waypoint.fov_deg,
    }


def _plain_part(part: SelectionPart) -> dict[str, Any]:
    content: dict[str, Any] = {"kind": "box", "mode": part.mode}
    if part.clips is not None:
        content["clips"] = list(part.clips)
    if isinstance(part, BoxPart):
        return {**content, "centre": list(part.centre), "size": list(part.size), "wxyz": list(part.wxyz)}
    view = part.view
    content["kind"] = "outline" if part.radius is None else "brush"
    if part.radius is not None:
        content["radius"] = part.radius
    content["reach"] = part.reach
    content["view"] = {
        "position": list(view.position),
        "wxyz": list(view.wxyz),
        "fov_deg": view.fov_deg,
        "aspect": view.aspect,
    }
    return {**content, "points": [list(point) for point in part.points]}
