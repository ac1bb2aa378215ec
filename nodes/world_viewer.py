"""The world viewer: a memory in the node's own 3D view, with what was selected and recorded in it."""

from __future__ import annotations

import logging
from typing import Any

from comfy_api.latest import io

from ..worldstereo_core.checks import WorldStereoError
from ..worldstereo_core.formats.browser_scene import VERSION, camera_to_plain, view_to_plain
from ..worldstereo_core.formats.cameras.load3d import load3d_from_cameras
from ..worldstereo_core.formats.view_state import view_state_from_json
from ..worldstereo_core.geometry.camera_path import path_from_views
from ..worldstereo_core.geometry.path_spline import sample_path
from ..worldstereo_core.memory.memory import GeometricMemory
from ..worldstereo_core.memory.selected_points import draw_selection, select_points
from .browser_files import cloud_entry
from .camera import unit_text
from .images import to_image
from .io_types import MemorySocket, PathSocket, SelectionSocket, TrajectorySocket
from .progress import node_progress
from .render import drawn_memory

logger = logging.getLogger(__name__)


def views_to_plain(memory: GeometricMemory) -> list[dict[str, Any]]:
    """The cameras of the bank for the browser."""
    return [
        {
            "name": view.name,
            "clip": view.clip,
            "width": view.width,
            "height": view.height,
            **camera_to_plain(view.camera),
        }
        for view in memory.views
    ]


class ViewMemory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_ViewMemory",
            display_name="View World",
            category="WorldStereo/memory",
            description=(
                "Look around in the memory: points by picture colour, confidence, clip or height, and the "
                "cameras of its pictures. Select a part with boxes, a brush or a lasso, and wire it into "
                "Crop, Delete, Move or Match Colours; record views for a camera path."
            ),
            search_aliases=[
                "3d viewer",
                "point cloud viewer",
                "select points",
                "lasso",
                "box select",
                "inspect world",
                "load3d camera",
            ],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="The memory to look at; it is not changed."),
                io.String.Input(
                    "view_state",
                    default="",
                    optional=True,
                    socketless=True,
                    tooltip="Selection, recorded views and the view given out, as JSON, version 1; the "
                    "viewer writes it. Empty: nothing selected, the view of the input picture.",
                    extra_dict={"widgetType": "WORLDSTEREO_WORLD_VIEWER"},
                ),
            ],
            outputs=[
                MemorySocket.Output("memory", tooltip="The memory at the input, unchanged."),
                SelectionSocket.Output(
                    "selection",
                    tooltip="The selected part of the world, for Crop Memory, Delete under Mask, Move "
                    "Memory and Match Memory Colours. It holds for every point, shown or not.",
                ),
                io.Load3DCamera.Output(
                    "camera_info", tooltip="The chosen view, for Add Waypoint from 3D Viewer and 3D viewers."
                ),
                PathSocket.Output(
                    "path",
                    tooltip="The recorded views as a camera path, in order; the chosen view if there are "
                    "none.",
                ),
                TrajectorySocket.Output(
                    "trajectory",
                    tooltip="The chosen view as a trajectory of one frame, at the input picture's size.",
                ),
                io.Image.Output("picture", tooltip="The chosen view, selected points in orange."),
                io.String.Output("report", tooltip="Points, views, and how many points are selected."),
            ],
        )

    @classmethod
    def validate_inputs(cls, view_state="") -> bool | str:
        # A viewer that does not understand a state keeps it; the run says why.
        if not isinstance(view_state, str):
            return f"view_state: got {type(view_state).__name__}, expected JSON text."
        try:
            view_state_from_json(view_state)
        except WorldStereoError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, memory: GeometricMemory, view_state: str = "") -> io.NodeOutput:
        state = view_state_from_json(view_state)
        first = memory.views[0].camera
        size, scale = (first.height, first.width), memory.median_depth
        looked = () if state.camera is None else (state.camera,)
        path = path_from_views(state.recorded or looked, first, scale)
        trajectory = memory.views[0].trajectory
        if looked:
            trajectory = sample_path(path_from_views(looked, first, scale), 1)
        infos, notes = load3d_from_cameras(trajectory, target_distance=scale)
        drawn = drawn_memory(memory)
        chosen = select_points(drawn, state.selection, node_progress())
        picture = draw_selection(drawn, chosen, trajectory.cameras, node_progress())
        count, summary = int(chosen.sum()), memory.summary()
        report = "\n".join(
            [
                f"{count:,} of {summary.num_points:,} points selected, {len(state.recorded)} views recorded.",
                unit_text(memory),
                summary.text,
                *notes,
            ]
        )
        world = {
            "version": VERSION,
            "views": views_to_plain(memory),
            "clips": [
                {"clip": entry.clip, "points": entry.num_points, "views": entry.num_views}
                for entry in summary.clips
            ],
            "input_view": view_to_plain(first),
            "chosen_view": view_to_plain(trajectory.cameras),
            "median_depth": scale,
            "metric": None,
            "width": size[1],
            "height": size[0],
            "points": summary.num_points,
            "selected": count,
            "notes": list(notes),
        }
        return io.NodeOutput(
            memory,
            state.selection,
            infos[0],
            path,
            trajectory,
            to_image(picture[None]),
            report,
            ui={
                "worldstereo_cloud": [cloud_entry(memory, confidence=True, clip=True)],
                "worldstereo_world": [world],
                "text": (report.split("\n")[0],),
            },
        )
