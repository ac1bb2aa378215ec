"""The camera path editor: a path drawn in the node's own 3D view, sampled and checked."""

from __future__ import annotations

import json
import logging
from typing import Any

from comfy_api.latest import io

from ..worldstereo_core.checks import WorldStereoError
from ..worldstereo_core.formats.browser_scene import VERSION, frames_to_plain, view_to_plain
from ..worldstereo_core.formats.camera_path import camera_path_from_json, camera_path_to_json
from ..worldstereo_core.geometry.camera_path import CameraPath
from ..worldstereo_core.geometry.path_spline import sample_path
from ..worldstereo_core.geometry.trajectory import EASINGS, Trajectory
from ..worldstereo_core.memory.memory import GeometricMemory
from ..worldstereo_core.memory.path_preview import PathPreview, preview_path
from .browser_files import cloud_entry, picture_entries
from .camera import start_camera, unit_text
from .camera_path import first_draft
from .io_types import MemorySocket, PathSocket, TrajectorySocket
from .progress import node_progress
from .render import drawn_memory

logger = logging.getLogger(__name__)

# A world whose median depth differs by less than this share counts as the one a path was drawn for.
SAME_SCALE = 0.05


def path_warnings(preview: PathPreview | None) -> dict[str, Any]:
    """What the editor draws on the path: frame numbers per kind of trouble, holes per frame, sentences."""
    if preview is None:
        return {"collision": [], "too_fast": [], "outside": [], "holes": [], "big_holes": [], "lines": []}
    check = preview.check
    too_much = check.limits.holes
    return {
        "collision": check.collides.nonzero()[:, 0].tolist(),
        "too_fast": check.is_too_fast.nonzero()[:, 0].tolist(),
        "outside": (check.behind | check.beyond).nonzero()[:, 0].tolist(),
        "holes": preview.holes,
        "big_holes": [
            frame for frame, share in enumerate(preview.holes) if share is not None and share > too_much
        ],
        "lines": list(check.warnings),
    }


class EditPath(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_EditPath",
            display_name="Edit Camera Path in 3D",
            category="WorldStereo/camera",
            description=(
                "Fly the camera by hand: a 3D view of the memory in the node, with waypoints to drag, turn "
                "and record. Run this node alone to see the points and what the check says of the path; the "
                "trajectory goes into Render Memory along Trajectory."
            ),
            search_aliases=[
                "camera editor",
                "3d path",
                "waypoints",
                "keyframes",
                "fly camera",
                "camera spline",
                "viewport",
            ],
            is_output_node=True,
            inputs=[
                MemorySocket.Input(
                    "memory",
                    optional=True,
                    tooltip="Gives the points of the view, the start camera, the size and the unit, and "
                    "is what the path is checked against.",
                ),
                PathSocket.Input(
                    "path",
                    optional=True,
                    tooltip="The path to start from, used until something is drawn in the editor.",
                ),
                TrajectorySocket.Input(
                    "continue_from",
                    optional=True,
                    tooltip="The clip before: a new path begins at its last camera instead of the picture.",
                ),
                io.String.Input(
                    "camera_path",
                    default="",
                    optional=True,
                    socketless=True,
                    tooltip="The drawn path as JSON, version 1; the editor writes it. Empty: the wired path, "
                    "else an orbit of 30° to the right. Programs send text, as Build Camera Path takes it.",
                    extra_dict={"widgetType": "WORLDSTEREO_PATH_EDITOR"},
                ),
                io.Int.Input(
                    "frames",
                    default=21,
                    min=1,
                    max=1024,
                    optional=True,
                    tooltip="Frames of the trajectory. A released WorldStereo clip has 21 key frames; Uni3C "
                    "files take 81.",
                ),
                io.Combo.Input(
                    "easing",
                    options=list(EASINGS),
                    default="smooth",
                    optional=True,
                    tooltip="How the speed changes over the whole clip, on top of the waypoints' own: smooth "
                    "starts and ends slowly, linear leaves the path's speed as it is.",
                ),
                *(
                    io.Int.Input(
                        side,
                        default=0,
                        min=0,
                        max=8192,
                        step=16,
                        optional=True,
                        advanced=True,
                        tooltip=f"{side.capitalize()} of the clip in pixels, a multiple of 16. 0 takes the "
                        "path's. Another aspect is cut, as Fit Image does.",
                    )
                    for side in ("height", "width")
                ),
            ],
            outputs=[
                PathSocket.Output("path", tooltip="The waypoints, not sampled."),
                TrajectorySocket.Output(
                    "trajectory", tooltip="One camera per frame, with size and frame rate."
                ),
                io.String.Output("json", tooltip="The path as text, for Build Camera Path or a file."),
                io.String.Output("report", tooltip="The figures of the check, and one line per warning."),
            ],
        )

    @classmethod
    def validate_inputs(cls, camera_path="") -> bool | str:
        # An editor that does not understand a path keeps it; the run says why before it costs anything.
        if not isinstance(camera_path, str):
            return f"camera_path: got {type(camera_path).__name__}, expected a camera path as JSON text."
        if camera_path.strip():
            try:
                camera_path_from_json(camera_path, "camera_path")
            except WorldStereoError as error:
                return str(error)
        return True

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory | None = None,
        path: CameraPath | None = None,
        continue_from: Trajectory | None = None,
        camera_path: str = "",
        frames: int = 21,
        easing: str = "smooth",
        height: int = 0,
        width: int = 0,
    ) -> io.NodeOutput:
        notes: tuple[str, ...] = ()
        source = "path"
        if camera_path.strip():
            source = "camera_path"
            path, notes = camera_path_from_json(camera_path, "camera_path")
        elif path is None:
            source = "draft"
            path = first_draft(memory, continue_from=continue_from)
        if memory is not None and abs(memory.median_depth / path.scale - 1) > SAME_SCALE:
            notes += (
                f"The path was drawn for a median depth of {path.scale:.4g} scene units; this memory has "
                f"{memory.median_depth:.4g}. Positions were taken as they stand.",
            )
        for note in notes:
            logger.info("WorldStereo: %s", note)
        trajectory = sample_path(path, frames, easing=easing, height=height or None, width=width or None)
        preview, shown = None, {}
        if memory is not None:
            preview = preview_path(drawn_memory(memory), trajectory, progress=node_progress())
            shown["worldstereo_cloud"] = [cloud_entry(memory)]
            shown["worldstereo_frames"] = picture_entries(preview.image, "path")
            for warning in preview.check.warnings:
                logger.warning("WorldStereo: %s", warning)
        told = camera_path_to_json(path)
        start = None
        if memory is not None or continue_from is not None:
            start = view_to_plain(start_camera(memory, continue_from, 60.0, 0, 0))
        shown["worldstereo_path"] = [
            {
                "version": VERSION,
                "source": source,
                "path": json.loads(told),
                "input_view": start,
                "median_depth": path.scale if memory is None else memory.median_depth,
                "metric": None,
                "width": trajectory.width,
                "height": trajectory.height,
                "easing": easing,
                "frames": frames_to_plain(trajectory),
                "drawn": [] if preview is None else list(preview.drawn),
                "warnings": path_warnings(preview),
                "notes": list(notes),
            }
        ]
        count = len(path.waypoints)
        report = "\n".join(
            [
                f"{path.name}: {count} waypoint{'' if count == 1 else 's'}, {frames} frames, "
                f"{trajectory.width} x {trajectory.height} pixels.",
                *([] if preview is None else [preview.check.text]),
                unit_text(memory, path.scale),
                *notes,
            ]
        )
        return io.NodeOutput(path, trajectory, told, report, ui={**shown, "text": (report,)})
