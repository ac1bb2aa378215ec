"""Lengths, cameras and clips as several memory nodes take them: units spoken, frames by number."""

from __future__ import annotations

import re
from dataclasses import dataclass

from comfy_api.latest import io
from torch import Tensor

from ..worldstereo_core.checks import WorldStereoError
from ..worldstereo_core.geometry.cameras import Cameras
from ..worldstereo_core.geometry.point_cloud import PointCloud
from ..worldstereo_core.geometry.trajectory import Trajectory
from ..worldstereo_core.memory.memory import GeometricMemory
from .io_types import SelectionSocket

UNITS = ["median depth", "scene units"]
VISIBLE, EVERYTHING = "visible surface", "everything behind"


def length_input(name: str, default: float, tooltip: str, minimum: float = -1000.0) -> io.Float.Input:
    """An input for a length in the unit that the node's `unit` names."""
    return io.Float.Input(name, default=default, min=minimum, max=1000.0, step=0.01, tooltip=tooltip)


def unit_input() -> io.Combo.Input:
    return io.Combo.Input(
        "unit",
        options=UNITS,
        default="median depth",
        optional=True,
        advanced=True,
        tooltip="What lengths are measured in. Scene units are metres when the depth came from a metric "
        "estimator such as MoGe 2.",
    )


def reach_input() -> io.Combo.Input:
    return io.Combo.Input(
        "reach",
        options=[VISIBLE, EVERYTHING],
        default=VISIBLE,
        tooltip="visible surface: only what can be seen under the mask. everything behind: all points along "
        "the rays, hidden ones too.",
    )


def tolerance_input() -> io.Float.Input:
    return io.Float.Input(
        "depth_tolerance",
        default=0.05,
        min=0.0,
        max=1.0,
        step=0.005,
        optional=True,
        advanced=True,
        tooltip="How far behind the nearest surface still counts as visible, as a share of its depth: 0.05 "
        "= 5 %.",
    )


def radius_input(
    tooltip: str = "Point radius as a share of half the shorter side, to tell what hides what: 0.008 is 1.9 "
    "pixels at 480.",
    is_advanced: bool = True,
) -> io.Float.Input:
    """An input for the radius of drawn points; an advanced one is optional."""
    return io.Float.Input(
        "radius",
        default=0.008,
        min=0.0005,
        max=0.1,
        step=0.0005,
        round=False,
        optional=is_advanced,
        advanced=is_advanced or None,
        tooltip=tooltip,
    )


def selection_input(tooltip: str) -> io.Input:
    """An input for what was selected in View World."""
    return SelectionSocket.Input("selection", optional=True, tooltip=tooltip)


def edge_threshold_input(is_advanced: bool = False) -> io.Float.Input:
    """An input for the threshold at which points on depth edges are dropped; an advanced one is optional."""
    return io.Float.Input(
        "edge_threshold",
        default=0.35,
        min=0.0,
        max=1.0,
        step=0.001,
        round=False,
        optional=is_advanced,
        advanced=is_advanced or None,
        tooltip="Points on depth edges are dropped: higher drops more, 0 keeps all. No unit; 0.35 is the "
        "released value; pictures of 64 rows want 0.001.",
    )


def scene_length(memory: GeometricMemory, value: float, unit: str) -> float:
    """A length as the user gave it, in scene units."""
    if unit not in UNITS:
        raise WorldStereoError(f'unit: got "{unit}", expected one of {", ".join(UNITS)}.')
    return value * memory.median_depth if unit == "median depth" else value


@dataclass(frozen=True)
class FirstView:
    """A memory's input picture: camera, depth [H, W] and picture [3, H, W] of one size; scale and points."""

    camera: Cameras
    depth: Tensor
    picture: Tensor
    scale: float
    points: PointCloud


def first_view(memory: GeometricMemory | None, input_name: str) -> FirstView:
    """The memory's first picture for an input that needs it.

    Raises: WorldStereoError if no memory is wired, or its first picture has no depth.
    """
    if memory is None:
        raise WorldStereoError(
            f"memory: nothing is wired, but {input_name} needs the input picture and its depth. Wire the "
            "memory."
        )
    view = memory.views[0]
    if view.depth is None:
        raise WorldStereoError(
            f"memory: its first picture ({view.name}) has no depth, but {input_name} needs it. Wire a memory "
            "that Create Geometric Memory made."
        )
    camera = view.camera
    return FirstView(camera, view.depth, view.picture, memory.median_depth, memory.points)


def one_camera(trajectory: Trajectory, frame: int) -> Cameras:
    """The camera of one frame; negative numbers count from the end.

    Raises: WorldStereoError if there is no such frame.
    """
    count = trajectory.num_frames
    if not -count <= frame < count:
        raise WorldStereoError(
            f"frame: got {frame}, but the trajectory has {count} frames, numbers 0 to {count - 1} (-1 is the "
            "last). Choose one of them."
        )
    return trajectory.cameras[frame]


def clip_numbers(text: str) -> list[int] | None:
    """Clip numbers from a text such as ``0, 2-4``; None for an empty text, which means all.

    Raises: WorldStereoError if it is something else.
    """
    if not text.strip():
        return None
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?", part)
        if match is None:
            raise WorldStereoError(
                f'clips: got "{text}", expected numbers and ranges such as 0, 2-4, or nothing for all clips.'
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last - first > 10_000:
            raise WorldStereoError(
                f'clips: the range "{part.strip()}" is too long. Leave clips empty for all.'
            )
        found.update(range(first, last + 1))
    return sorted(found)
