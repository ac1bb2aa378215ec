"""Camera paths: waypoints as text or from a trajectory, and sampling them."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from comfy_api.latest import io, ui

from ..worldstereo_core.checks import PathError
from ..worldstereo_core.formats.camera_path import camera_path_from_json, camera_path_to_json
from ..worldstereo_core.geometry.camera_path import INTERPOLATIONS, SPEEDS, CameraPath, path_from_trajectory
from ..worldstereo_core.geometry.drawn_path import lift_pixel
from ..worldstereo_core.geometry.path_spline import sample_path
from ..worldstereo_core.geometry.trajectory import EASINGS, Trajectory, build_trajectory
from ..worldstereo_core.geometry.trajectory_plot import plot_trajectory
from ..worldstereo_core.memory.memory import GeometricMemory
from .camera import start_camera, unit_text
from .io_types import MemorySocket, PathSocket, TrajectorySocket
from .places import first_view

logger = logging.getLogger(__name__)

AS_PATH = "as the path says"
AS_DRAWN, AT_INPUT, AT_END = "as drawn", "at the input picture", "where continue_from ends"
# Frames of the plot of a path, which has none of its own.
PLOT_FRAMES = 41


def path_outputs(
    node: type[io.ComfyNode], path: CameraPath, memory: GeometricMemory | None, notes: tuple[str, ...] = ()
) -> io.NodeOutput:
    """Path, its JSON and a plot of it, with the figures on the node."""
    for note in notes:
        logger.info("WorldStereo: %s", note)
    plot = plot_trajectory(sample_path(path, PLOT_FRAMES), None if memory is None else memory.points)[None]
    count = len(path.waypoints)
    text = "\n".join(
        [
            f"{path.name}: {count} waypoint{'' if count == 1 else 's'}, {path.interpolation}, "
            f"{path.width} x {path.height} pixels.",
            unit_text(memory, path.scale),
            *notes,
        ]
    )
    shown = ui.PreviewImage(plot, cls=node).as_dict()
    return io.NodeOutput(path, camera_path_to_json(path), plot, ui={**shown, "text": (text,)})


def first_draft(
    memory: GeometricMemory | None,
    trajectory: Trajectory | None = None,
    waypoint_count: int = 5,
    continue_from: Trajectory | None = None,
) -> CameraPath:
    """Where a path begins as long as nobody drew one: a trajectory's cameras, or an orbit of 30 degrees."""
    scale = 1.0 if memory is None else memory.median_depth
    if trajectory is None:
        start = start_camera(memory, continue_from, 60.0, 0, 0)
        trajectory = build_trajectory(
            "orbit right",
            start=(start.w2c[0], start.K[0]),
            height=start.height,
            width=start.width,
            easing="linear",
            pivot_depth=scale,
        )
    return path_from_trajectory(trajectory, min(waypoint_count, trajectory.num_frames), scale=scale)


def path_output_sockets() -> list[Any]:
    return [
        PathSocket.Output("path", tooltip="Waypoints, not sampled yet: for Sample Camera Path."),
        io.String.Output(
            "json", tooltip="The path as text; paste it into Build Camera Path to keep or edit it."
        ),
        io.Image.Output("plot", tooltip="The path from above and from the side."),
    ]


class BuildPath(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_BuildPath",
            display_name="Build Camera Path",
            category="WorldStereo/camera",
            description=(
                "A camera path of your own: waypoints as text, or taken from a trajectory to be changed. "
                "With neither it is an orbit of 30° to the right to start from."
            ),
            search_aliases=[
                "waypoints",
                "camera spline",
                "keyframes",
                "custom path",
                "camera editor",
                "bezier",
            ],
            is_output_node=True,
            inputs=[
                io.String.Input(
                    "waypoints",
                    default="",
                    multiline=True,
                    tooltip="The path as JSON (see the help). Shortest form: "
                    '{"version": 1, "waypoints": [{"position": [0, 0, 0]}, {"position": [1, 0, 2]}]}. '
                    "Positions "
                    "in scene units: x right, y down, z forward of the input picture.",
                ),
                io.Combo.Input(
                    "interpolation",
                    options=[AS_PATH, *INTERPOLATIONS],
                    default=AS_PATH,
                    tooltip="The way between waypoints: catmull_rom (smooth through all of them), bezier "
                    "(with handles), linear (straight, with corners).",
                ),
                io.Combo.Input(
                    "speed",
                    options=[AS_PATH, *SPEEDS],
                    default=AS_PATH,
                    tooltip="by time passes each waypoint at its own time; constant moves evenly from start "
                    "to end, whatever the times.",
                ),
                io.Boolean.Input(
                    "closed",
                    default=False,
                    tooltip="Add a way back to the first waypoint, so that the clip can loop.",
                ),
                TrajectorySocket.Input(
                    "trajectory",
                    optional=True,
                    tooltip="With an empty text: its cameras become waypoints.",
                ),
                io.Int.Input(
                    "waypoint_count",
                    default=5,
                    min=1,
                    max=1024,
                    optional=True,
                    tooltip="How many waypoints are taken from the trajectory, first and last included.",
                ),
                MemorySocket.Input(
                    "memory",
                    optional=True,
                    tooltip="Gives the start camera of the first draft, the scale and the points of the "
                    "plot.",
                ),
            ],
            outputs=path_output_sockets(),
        )

    @classmethod
    def execute(
        cls,
        waypoints: str = "",
        interpolation: str = AS_PATH,
        speed: str = AS_PATH,
        closed: bool = False,
        trajectory: Trajectory | None = None,
        waypoint_count: int = 5,
        memory: GeometricMemory | None = None,
    ) -> io.NodeOutput:
        notes: tuple[str, ...] = ()
        if waypoints.strip():
            path, notes = camera_path_from_json(waypoints)
        else:
            path = first_draft(memory, trajectory, waypoint_count)
        if interpolation != AS_PATH:
            path = replace(path, interpolation=interpolation)
        if speed != AS_PATH:
            path = replace(path, speed=speed)
        return path_outputs(cls, path.closed() if closed else path, memory, notes)


class SamplePath(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_SamplePath",
            display_name="Sample Camera Path",
            category="WorldStereo/camera",
            description=(
                "Turns a camera path into a trajectory: one camera per frame. Here the clip gets its number "
                "of frames, where it starts and what it looks at."
            ),
            search_aliases=[
                "path to trajectory",
                "look at",
                "track target",
                "camera spline",
                "animate camera",
            ],
            is_output_node=True,
            inputs=[
                PathSocket.Input("path", tooltip="The waypoints."),
                io.Int.Input(
                    "frames",
                    default=21,
                    min=1,
                    max=1024,
                    tooltip="Frames of the trajectory. A released WorldStereo clip has 21 key frames; Uni3C "
                    "files take 81.",
                ),
                io.Combo.Input(
                    "easing",
                    options=list(EASINGS),
                    default="smooth",
                    tooltip="How the speed changes over the whole clip, on top of the waypoints' own: smooth "
                    "starts and ends slowly, linear leaves the path's speed as it is.",
                ),
                io.Combo.Input(
                    "start",
                    options=[AS_DRAWN, AT_INPUT, AT_END],
                    default=AS_DRAWN,
                    tooltip="Where the path begins. as drawn: at its own waypoints, which may be elsewhere "
                    "than the input picture (quality is best near pictures the memory has). The others move "
                    "the whole path there.",
                ),
                io.DynamicCombo.Input(
                    "look_at",
                    tooltip="Where the camera looks on its way.",
                    options=[
                        io.DynamicCombo.Option(AS_PATH, []),
                        io.DynamicCombo.Option(
                            "point",
                            [
                                io.Float.Input(
                                    side,
                                    default=default,
                                    min=-1000.0,
                                    max=1000.0,
                                    step=0.01,
                                    tooltip=f"How far {side} of the world's origin, the input picture's "
                                    "camera, the point lies, in median depths.",
                                )
                                for side, default in (("right", 0.0), ("down", 0.0), ("forward", 1.0))
                            ],
                        ),
                        io.DynamicCombo.Option(
                            "pixel of the input picture",
                            [
                                io.Float.Input(
                                    axis,
                                    default=0.0,
                                    min=0.0,
                                    max=16384.0,
                                    step=1.0,
                                    tooltip=f"{axis} of the pixel in the memory's first picture, pixels from "
                                    f"the {edge}.",
                                )
                                for axis, edge in (("x", "left"), ("y", "top"))
                            ],
                        ),
                    ],
                ),
                io.Combo.Input(
                    "distances",
                    options=["scene units", "median depths"],
                    default="scene units",
                    optional=True,
                    advanced=True,
                    tooltip="median depths: a path made for another memory is scaled to this one, so that "
                    "half way stays half way. scene units: positions as they stand.",
                ),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=8192,
                    step=16,
                    optional=True,
                    advanced=True,
                    tooltip="Width of the clip in pixels, a multiple of 16. 0 takes the path's. Another "
                    "aspect is cut, as Fit Image does.",
                ),
                io.Int.Input(
                    "height",
                    default=0,
                    min=0,
                    max=8192,
                    step=16,
                    optional=True,
                    advanced=True,
                    tooltip="Height of the clip in pixels, a multiple of 16. 0 takes the path's. Another "
                    "aspect is cut, as Fit Image does.",
                ),
                MemorySocket.Input(
                    "memory",
                    optional=True,
                    tooltip="Needed to start at the input picture, to look at one of its pixels and to "
                    "scale; its points are drawn in the plot.",
                ),
                TrajectorySocket.Input(
                    "continue_from",
                    optional=True,
                    tooltip="With start = where continue_from ends: the path begins at its last camera.",
                ),
            ],
            outputs=[
                TrajectorySocket.Output(
                    "trajectory", tooltip="One camera per frame, with size and frame rate."
                ),
                io.Image.Output("plot", tooltip="The move from above and from the side."),
            ],
        )

    @classmethod
    def execute(
        cls,
        path: CameraPath,
        look_at: dict[str, Any],
        frames: int = 21,
        easing: str = "smooth",
        start: str = AS_DRAWN,
        distances: str = "scene units",
        width: int = 0,
        height: int = 0,
        memory: GeometricMemory | None = None,
        continue_from: Trajectory | None = None,
    ) -> io.NodeOutput:
        if distances == "median depths":
            path = path.scaled_to(first_view(memory, "distances").scale)
        if start == AT_INPUT:
            path = path.starting_at(first_view(memory, "start").camera.w2c[0])
        elif start == AT_END:
            if continue_from is None:
                raise PathError(
                    "continue_from: nothing is wired, but start asks for its last camera. Wire a trajectory."
                )
            path = path.starting_at(continue_from.w2c[-1])
        if look_at["look_at"] == "point":
            scale = path.scale if memory is None else memory.median_depth
            path = path.looking_at(
                scale * look_at["right"], scale * look_at["down"], scale * look_at["forward"]
            )
        elif look_at["look_at"] != AS_PATH:
            view = first_view(memory, "look_at")
            path = path.looking_at(
                *lift_pixel("look_at", look_at["x"], look_at["y"], view.depth, view.camera)
            )
        trajectory = sample_path(path, frames, easing=easing, height=height or None, width=width or None)
        plot = plot_trajectory(trajectory, None if memory is None else memory.points)[None]
        size = f"{trajectory.width} x {trajectory.height} pixels"
        text = f"{trajectory.name}: {frames} frames, {size}.\n{unit_text(memory, path.scale)}"
        shown = ui.PreviewImage(plot, cls=cls).as_dict()
        return io.NodeOutput(trajectory, plot, ui={**shown, "text": (text,)})
