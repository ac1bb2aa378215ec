"""Waypoints from 3D viewers and from lines drawn on the picture, and cameras back to viewers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.latest import io, ui

from ..worldstereo_core.formats.cameras.exchange import FileSettings
from ..worldstereo_core.formats.cameras.load3d import (
    cameras_from_load3d,
    from_preview,
    load3d_from_cameras,
    preview_frame,
    to_preview,
)
from ..worldstereo_core.formats.polyline import polyline_from_text
from ..worldstereo_core.geometry.camera_path import (
    WAYPOINT_EASINGS,
    CameraPath,
    path_from_cameras,
    waypoint_from_camera,
)
from ..worldstereo_core.geometry.drawn_path import LOOKS, PLACES, draw_path
from ..worldstereo_core.geometry.path_picture import draw_on_picture
from ..worldstereo_core.geometry.path_spline import sample_path
from ..worldstereo_core.geometry.trajectory import Trajectory
from ..worldstereo_core.memory.memory import GeometricMemory
from .camera import DEFAULT_SIZE, unit_text
from .camera_path import PLOT_FRAMES, path_output_sockets, path_outputs
from .io_types import MemorySocket, PathSocket, TrajectorySocket
from .places import first_view, one_camera

SCENE, PREVIEW = "scene units", "point cloud preview"


def viewer_input() -> io.Combo.Input:
    return io.Combo.Input(
        "viewer",
        options=[SCENE, PREVIEW],
        default=SCENE,
        optional=True,
        tooltip="What the viewer's coordinates are. scene units: as in the scene (Create Camera Info, 3D "
        "files shown as they are). point cloud preview: ComfyUI's preview centres and shrinks the cloud; "
        "wire the memory that it showed.",
    )


class AddWaypoint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_AddWaypoint",
            display_name="Add Waypoint from 3D Viewer",
            category="WorldStereo/camera",
            description=(
                "Adds the camera of a 3D viewer (camera_info of Load 3D, Preview 3D and others) to a camera "
                "path. Chain several: one viewpoint each, and the path flies through them."
            ),
            search_aliases=["load3d camera", "camera_info", "viewport camera", "keyframe camera", "waypoint"],
            is_output_node=True,
            inputs=[
                io.Load3DCamera.Input(
                    "camera_info",
                    tooltip="The viewer's camera. ComfyUI 0.26 and later give its field of view.",
                ),
                io.Float.Input(
                    "duration",
                    default=1.0,
                    min=0.01,
                    max=100.0,
                    step=0.05,
                    tooltip="How long the way to this waypoint takes, as a multiple of the parts before it: "
                    "1 = as long as they are on average.",
                ),
                io.Combo.Input(
                    "easing",
                    options=list(WAYPOINT_EASINGS),
                    default="auto",
                    tooltip="How the speed changes after this waypoint: auto carries on without a jump, the "
                    "others shape the next part alone.",
                ),
                io.Float.Input(
                    "roll_deg",
                    display_name="roll (degrees)",
                    default=0.0,
                    min=-3600.0,
                    max=3600.0,
                    step=0.5,
                    tooltip="Extra turn about the view axis at this waypoint, degrees; positive lowers the "
                    "right side.",
                ),
                PathSocket.Input("path", optional=True, tooltip="The path so far; empty begins a new one."),
                MemorySocket.Input(
                    "memory",
                    optional=True,
                    tooltip="A new path then begins at the input picture, and has its size and scale.",
                ),
                io.Boolean.Input(
                    "from_input_picture",
                    default=True,
                    optional=True,
                    tooltip="Begin a new path at the memory's input picture, with this waypoint second. Off: "
                    "this waypoint is the first.",
                ),
                viewer_input(),
            ],
            outputs=path_output_sockets(),
        )

    @classmethod
    def execute(
        cls,
        camera_info: dict[str, Any],
        duration: float = 1.0,
        easing: str = "auto",
        roll_deg: float = 0.0,
        path: CameraPath | None = None,
        memory: GeometricMemory | None = None,
        from_input_picture: bool = True,
        viewer: str = SCENE,
    ) -> io.NodeOutput:
        size = DEFAULT_SIZE
        if path is not None:
            size = (path.height, path.width)
        elif memory is not None:
            size = (memory.views[0].height, memory.views[0].width)
        found = cameras_from_load3d(camera_info, FileSettings(size=size, fps=16.0), "camera_info")
        taken = found.trajectory
        if viewer == PREVIEW:
            taken = from_preview(taken, preview_frame(first_view(memory, "viewer").points.xyz))
        waypoint = replace(waypoint_from_camera(taken.cameras), easing=easing, roll_deg=roll_deg)
        if path is None and memory is not None and from_input_picture:
            path = path_from_cameras(first_view(memory, "from_input_picture").camera, memory.median_depth)
        if path is not None:
            path = path.with_waypoint(waypoint, duration)
        else:
            scale = 1.0 if memory is None else memory.median_depth
            path = CameraPath((waypoint,), width=size[1], height=size[0], scale=scale)
        return path_outputs(cls, path, memory, found.notes)


class DrawPath(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_DrawPath",
            display_name="Draw Camera Path on Image",
            category="WorldStereo/camera",
            description=(
                "A line of pixels on the input picture becomes a camera path: the depth under each pixel "
                "says how far the camera flies. Coordinates from a spline or points editor can be wired in."
            ),
            search_aliases=[
                "path on image",
                "spline editor",
                "draw trajectory",
                "click path",
                "points editor",
            ],
            is_output_node=True,
            inputs=[
                MemorySocket.Input(
                    "memory", tooltip="Its input picture is drawn on; its depth lifts the line."
                ),
                io.String.Input(
                    "line",
                    default="",
                    multiline=True,
                    tooltip="Points of the input picture in order, pixels from the left and the top: 120,300 "
                    "200,280 310,240, or percent: 20%,80% 50%,60%. Also JSON: [[x, y], ...] or "
                    '[{"x": ..., "y": ...}, ...] in pixels.',
                ),
                io.Combo.Input(
                    "place",
                    options=list(PLACES),
                    default=PLACES[0],
                    tooltip="Where the camera flies. towards the surface: on the way from the input camera "
                    "to what is seen at each pixel. above the surface: over it, for lines along a floor.",
                ),
                io.Float.Input(
                    "reach",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="towards the surface: how much of the way the camera goes; 0.5 = half way, 1 = "
                    "into the surface.",
                ),
                io.Float.Input(
                    "height",
                    default=0.3,
                    min=-10.0,
                    max=10.0,
                    step=0.01,
                    tooltip="above the surface: how high, in median depths of the memory.",
                ),
                io.Combo.Input(
                    "look",
                    options=list(LOOKS),
                    default=LOOKS[0],
                    tooltip="Where the camera looks: where it flies to, as the input picture does, or at "
                    "what is seen under the line's last pixel.",
                ),
                io.Boolean.Input(
                    "start_at_picture",
                    default=True,
                    optional=True,
                    advanced=True,
                    tooltip="Put the input picture's own camera first, so that the clip starts with the "
                    "picture.",
                ),
                io.Int.Input(
                    "max_waypoints",
                    default=12,
                    min=2,
                    max=1000,
                    optional=True,
                    advanced=True,
                    tooltip="A longer line is thinned to so many evenly spread points: tremor of the hand "
                    "would shake the camera.",
                ),
            ],
            outputs=[
                *path_output_sockets()[:2],
                io.Image.Output("picture", tooltip="The input picture with the line and the cameras on it."),
            ],
        )

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory,
        line: str = "",
        place: str = PLACES[0],
        reach: float = 0.5,
        height: float = 0.3,
        look: str = LOOKS[0],
        start_at_picture: bool = True,
        max_waypoints: int = 12,
    ) -> io.NodeOutput:
        view = first_view(memory, "line")
        xy = polyline_from_text(line, (view.camera.height, view.camera.width))
        path = draw_path(
            xy,
            view.depth,
            view.camera,
            place=place,
            reach=reach,
            height=height,
            look=look,
            scale=memory.median_depth,
            starts_at_camera=start_at_picture,
            max_waypoints=max_waypoints,
        )
        picture = draw_on_picture(view.picture, view.camera, sample_path(path, PLOT_FRAMES), xy)[None]
        made = path_outputs(cls, path, memory)
        shown = ui.PreviewImage(picture, cls=cls).as_dict()
        return io.NodeOutput(path, made[1], picture, ui={**shown, "text": made.ui["text"]})


class TakeCamera(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_TakeCamera",
            display_name="Camera of a Frame for 3D Viewers",
            category="WorldStereo/camera",
            description=(
                "One camera of a trajectory as camera_info, so that Preview 3D, Preview Point Cloud or "
                "Render Splat look at the scene as the clip does at that frame."
            ),
            search_aliases=["load3d camera", "camera_info", "trajectory to camera", "viewport", "get camera"],
            inputs=[
                TrajectorySocket.Input("trajectory", tooltip="The cameras of the clip."),
                io.Int.Input(
                    "frame",
                    default=0,
                    min=-100_000,
                    max=100_000,
                    tooltip="Number of the frame: 0 is the first, -1 the last.",
                ),
                viewer_input(),
                MemorySocket.Input(
                    "memory",
                    optional=True,
                    tooltip="With viewer = point cloud preview: the memory whose cloud is shown.",
                ),
            ],
            outputs=[
                io.Load3DCamera.Output("camera_info", tooltip="The camera in the viewer's form: y up."),
                io.String.Output("report", tooltip="Field of view, and what the form cannot hold."),
            ],
        )

    @classmethod
    def execute(
        cls,
        trajectory: Trajectory,
        frame: int = 0,
        viewer: str = SCENE,
        memory: GeometricMemory | None = None,
    ) -> io.NodeOutput:
        taken = replace(trajectory, cameras=one_camera(trajectory, frame))
        if viewer == PREVIEW:
            taken = to_preview(taken, preview_frame(first_view(memory, "viewer").points.xyz))
        infos, notes = load3d_from_cameras(taken)
        report = "\n".join(
            [
                f"Frame {frame} of {trajectory.name}: vertical field of view {infos[0]['fov']:.4g}°.",
                unit_text(memory),
                *notes,
            ]
        )
        return io.NodeOutput(infos[0], report, ui={"text": (report,)})
