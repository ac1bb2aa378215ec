"""Change a whole memory: move, turn and scale it, or bring its colours to a picture."""

from __future__ import annotations

import logging
import math

from comfy_api.latest import io, ui
from torch import Tensor

from ..worldstereo_core.geometry.selection import WorldSelection
from ..worldstereo_core.geometry.similarity import Similarity, move_trajectory
from ..worldstereo_core.geometry.trajectory import Trajectory
from ..worldstereo_core.memory.editing import Pivot, pivot_of, transform_memory
from ..worldstereo_core.memory.matching import bank_view
from ..worldstereo_core.memory.memory import GeometricMemory
from ..worldstereo_core.memory.pictures import draw_memory
from ..worldstereo_core.memory.recolour import recolour
from ..worldstereo_core.memory.selected_points import (
    middle_of_selection,
    selected_region,
    transform_selection,
)
from .images import one_picture
from .io_types import MemorySocket, TrajectorySocket
from .memory_cut import memory_outputs
from .places import clip_numbers, length_input, scene_length, selection_input, unit_input
from .progress import node_progress

logger = logging.getLogger(__name__)


def angle_input(name: str, tooltip: str) -> io.Float.Input:
    return io.Float.Input(name, default=0.0, min=-360.0, max=360.0, step=0.1, tooltip=tooltip)


class TransformMemory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_TransformMemory",
            display_name="Move, Turn and Scale Memory",
            category="WorldStereo/memory",
            description=(
                "Moves, turns and scales the whole world: points, pictures' cameras, depth and median depth "
                "together. Level a tilted scene, bring it to metres, or place it for merging."
            ),
            search_aliases=["transform", "rotate", "translate", "scale", "metric", "level", "align world"],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="The memory to move; it is not changed."),
                length_input("right", 0.0, "Move to the right, in median depths of the memory at the input."),
                length_input("down", 0.0, "Move down, in median depths; negative moves up."),
                length_input("forward", 0.0, "Move forward, in median depths."),
                angle_input("yaw_deg", "Turn about the vertical, degrees: what is ahead goes to the right."),
                angle_input("pitch_deg", "Tilt, degrees: what is ahead goes up."),
                angle_input("roll_deg", "Roll, degrees: the right side goes down."),
                io.Float.Input(
                    "scale",
                    default=1.0,
                    min=0.0001,
                    max=10000.0,
                    step=0.001,
                    round=False,
                    tooltip="Size of the new world as a multiple of the old one. To get metres: the true "
                    "length of something divided by its length in scene units.",
                ),
                io.Combo.Input(
                    "pivot",
                    options=["first camera", "middle of the points", "world origin"],
                    default="first camera",
                    optional=True,
                    advanced=True,
                    tooltip="The place that turning and scaling leave where it is.",
                ),
                unit_input(),
                TrajectorySocket.Input(
                    "trajectory",
                    optional=True,
                    tooltip="Cameras made for the memory at the input; they are moved along, so that they "
                    "see the same.",
                ),
                selection_input(
                    "What was selected in View World: only its points move. Cameras, pictures and the "
                    "trajectory stay; the middle of the points is that of the selection."
                ),
            ],
            outputs=[
                *memory_outputs("The moved cloud from above, with the cameras of its pictures."),
                TrajectorySocket.Output(
                    "trajectory",
                    tooltip="The trajectory moved along. If none is wired: the first picture's camera, one "
                    "frame.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory,
        right: float = 0.0,
        down: float = 0.0,
        forward: float = 0.0,
        yaw_deg: float = 0.0,
        pitch_deg: float = 0.0,
        roll_deg: float = 0.0,
        scale: float = 1.0,
        pivot: Pivot = "first camera",
        unit: str = "median depth",
        trajectory: Trajectory | None = None,
        selection: WorldSelection | None = None,
    ) -> io.NodeOutput:
        if selection is not None and pivot == "middle of the points":
            middle = middle_of_selection(memory, selection, node_progress())
        else:
            middle = pivot_of(memory, pivot)
        similarity = Similarity.about(
            middle,
            yaw=math.radians(yaw_deg),
            pitch=math.radians(pitch_deg),
            roll=math.radians(roll_deg),
            scale=scale,
            move=(
                scene_length(memory, right, unit),
                scene_length(memory, down, unit),
                scene_length(memory, forward, unit),
            ),
        )
        cameras = bank_view(memory, 0, "memory").trajectory if trajectory is None else trajectory
        if selection is None:
            after, cameras = transform_memory(memory, similarity), move_trajectory(cameras, similarity)
        else:
            after = transform_selection(memory, selection, similarity, node_progress())
        picture = draw_memory(after)[None]
        report = f"{after.history[-1]} 1 median depth is now {after.median_depth:.4g} scene units."
        logger.info("WorldStereo: %s", report)
        shown = ui.PreviewImage(picture, cls=cls).as_dict()
        return io.NodeOutput(after, report, picture, cameras, ui={**shown, "text": (report,)})


class RecolourMemory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_RecolourMemory",
            display_name="Match Memory Colours",
            category="WorldStereo/memory",
            description=(
                "Gives points and pictures of the memory, or of some of its clips, the colours of a "
                "reference picture. Cures clips that drifted in exposure or white balance, or grades the "
                "whole world."
            ),
            search_aliases=["recolor", "color match", "colour grade", "white balance", "exposure", "drift"],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="The memory to recolour; it is not changed."),
                io.Image.Input(
                    "reference",
                    tooltip="A picture with the colours wanted, of about the same things; any size.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="0 changes nothing, 1 matches average colour and contrast fully. No unit.",
                ),
                io.String.Input(
                    "clips",
                    default="",
                    tooltip="Which clips change, for example 1, 3-5 (numbers as in Memory Statistics; 0 is "
                    "the first picture). Empty: all.",
                ),
                selection_input(
                    "What was selected in View World: only its points change, and the pixels that show them."
                ),
            ],
            outputs=memory_outputs("The recoloured cloud from above."),
        )

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory,
        reference: Tensor,
        strength: float = 1.0,
        clips: str = "",
        selection: WorldSelection | None = None,
    ) -> io.NodeOutput:
        after = recolour(
            memory,
            one_picture("reference", reference),
            clips=clip_numbers(clips),
            strength=strength,
            within=None if selection is None else selected_region(memory.points, selection, node_progress()),
        )
        picture = draw_memory(after)[None]
        report = after.history[-1]
        logger.info("WorldStereo: %s", report)
        shown = ui.PreviewImage(picture, cls=cls).as_dict()
        return io.NodeOutput(after, report, picture, ui={**shown, "text": (report,)})
