"""Cut parts out of a memory: by a box or sphere, by what a camera sees, by a painted mask, by clip."""

from __future__ import annotations

import logging
import math

from comfy_api.latest import io, ui
from torch import Tensor

from ..worldstereo_core.geometry.selection import WorldSelection
from ..worldstereo_core.geometry.trajectory import Trajectory
from ..worldstereo_core.memory.editing import (
    Keep,
    crop_to_box,
    crop_to_frustum,
    crop_to_sphere,
    delete_by_mask,
    remove_clip,
)
from ..worldstereo_core.memory.memory import GeometricMemory
from ..worldstereo_core.memory.merging import diff_memories
from ..worldstereo_core.memory.pictures import draw_diff
from ..worldstereo_core.memory.selected_points import crop_to_selection, selected_region
from .images import masks
from .io_types import MemorySocket, TrajectorySocket
from .places import (
    VISIBLE,
    length_input,
    one_camera,
    radius_input,
    reach_input,
    scene_length,
    selection_input,
    tolerance_input,
    unit_input,
)
from .progress import node_progress

logger = logging.getLogger(__name__)

# A view that loses more of its pixels than this shows what was deleted.
SHOWS_IT = 0.02
REMOVE_VIEWS, KEEP_VIEWS = "remove those that show it", "keep all"


def views_input(default: str, **settings: bool) -> io.Combo.Input:
    return io.Combo.Input(
        "views",
        options=[REMOVE_VIEWS, KEEP_VIEWS],
        default=default,
        tooltip="Pictures of the memory that show what was deleted would bring it back as references. Those "
        "that lose more than 2 % of their pixels leave the bank; the first picture always stays.",
        **settings,
    )


def memory_outputs(picture: str) -> list:
    """What every edit gives: the new memory, what was done, and how it looks."""
    return [
        MemorySocket.Output("memory", tooltip="A new memory. The one at the input stays as it was."),
        io.String.Output("report", tooltip="What was done: counts of points and views."),
        io.Image.Output("picture", tooltip=picture),
    ]


def cut_output(cls: type[io.ComfyNode], before: GeometricMemory, after: GeometricMemory) -> io.NodeOutput:
    """Pack a memory that lost points, with a picture of what went."""
    picture = draw_diff(after, diff_memories(before, after))[None]
    report = after.history[-1]
    logger.info("WorldStereo: %s", report)
    shown = ui.PreviewImage(picture, cls=cls).as_dict()
    return io.NodeOutput(after, report, picture, ui={**shown, "text": (report,)})


CUT_PICTURE = "The cloud from above: red = removed, grey = kept."


class CropMemory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_CropMemory",
            display_name="Crop Memory (Box, Sphere)",
            category="WorldStereo/memory",
            description=(
                "Keeps the points inside or outside a box or a sphere. Cuts away far background, a bad "
                "corner, or one object. Nothing is lost: the memory at the input stays as it was."
            ),
            search_aliases=["crop point cloud", "delete region", "bounding box", "clean memory", "trim"],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="The memory to cut; it is not changed."),
                io.Combo.Input(
                    "shape",
                    options=["box", "sphere"],
                    default="box",
                    tooltip="box uses width, height, length; sphere uses radius.",
                ),
                io.Combo.Input(
                    "keep",
                    options=["inside", "outside"],
                    default="inside",
                    tooltip="inside: everything else goes. outside: what is inside goes.",
                ),
                length_input(
                    "right",
                    0.0,
                    "Centre: how far to the right of the origin (or of the camera, if a trajectory is "
                    "wired), in median depths of the memory.",
                ),
                length_input("down", 0.0, "Centre: how far below, in median depths of the memory."),
                length_input("forward", 1.0, "Centre: how far ahead, in median depths of the memory."),
                length_input(
                    "width", 2.0, "Box: size from left to right, in median depths. 0 = no limit.", 0.0
                ),
                length_input(
                    "height", 2.0, "Box: size from top to bottom, in median depths. 0 = no limit.", 0.0
                ),
                length_input(
                    "length", 2.0, "Box: size from front to back, in median depths. 0 = no limit.", 0.0
                ),
                length_input("radius", 1.0, "Sphere: radius, in median depths of the memory.", 0.0),
                TrajectorySocket.Input(
                    "trajectory",
                    optional=True,
                    tooltip="The shape is placed as this camera sees it: right, down and forward are the "
                    "camera's. Without it they are the world's, which start at the first picture's camera.",
                ),
                io.Int.Input(
                    "frame",
                    default=0,
                    min=-100_000,
                    max=100_000,
                    optional=True,
                    tooltip="Which frame of the trajectory, from 0; -1 is the last.",
                ),
                unit_input(),
                selection_input(
                    "What was selected in View World, in place of the shape, which is not used then. Nothing "
                    "selected: nothing is inside."
                ),
                views_input(
                    KEEP_VIEWS,
                    optional=True,
                    advanced=True,
                ),
            ],
            outputs=memory_outputs(CUT_PICTURE),
        )

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory,
        shape: str = "box",
        keep: Keep = "inside",
        right: float = 0.0,
        down: float = 0.0,
        forward: float = 1.0,
        width: float = 2.0,
        height: float = 2.0,
        length: float = 2.0,
        radius: float = 1.0,
        trajectory: Trajectory | None = None,
        frame: int = 0,
        unit: str = "median depth",
        selection: WorldSelection | None = None,
        views: str = KEEP_VIEWS,
    ) -> io.NodeOutput:
        max_lost = 1.0 if views == KEEP_VIEWS else SHOWS_IT
        if selection is not None:
            after = crop_to_selection(
                memory, selection, keep=keep, max_lost=max_lost, progress=node_progress()
            )
            return cut_output(cls, memory, after)
        axes = None if trajectory is None else one_camera(trajectory, frame).w2c[0]
        centre = [scene_length(memory, value, unit) for value in (right, down, forward)]
        if shape == "sphere":
            reach = scene_length(memory, radius, unit)
            x, y, z = centre
            after = crop_to_sphere(
                memory, (x, y, z), reach, keep=keep, axes_from_world=axes, max_lost=max_lost
            )
        else:
            sides = [scene_length(memory, value, unit) / 2 or math.inf for value in (width, height, length)]
            low = tuple(middle - half for middle, half in zip(centre, sides, strict=True))
            high = tuple(middle + half for middle, half in zip(centre, sides, strict=True))
            after = crop_to_box(memory, low, high, keep=keep, axes_from_world=axes, max_lost=max_lost)
        return cut_output(cls, memory, after)


class CropToView(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_CropToView",
            display_name="Crop Memory to Camera View",
            category="WorldStereo/memory",
            description=(
                "Keeps the points inside or outside what one camera sees, between a near and a far distance. "
                "Hidden points count too."
            ),
            search_aliases=["frustum", "crop point cloud", "view volume", "far clip", "delete background"],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="The memory to cut; it is not changed."),
                TrajectorySocket.Input(
                    "trajectory", tooltip="Where the camera comes from. Pick View from Memory gives one too."
                ),
                io.Int.Input(
                    "frame",
                    default=0,
                    min=-100_000,
                    max=100_000,
                    tooltip="Which frame of the trajectory, from 0; -1 is the last.",
                ),
                io.Combo.Input(
                    "keep",
                    options=["inside", "outside"],
                    default="inside",
                    tooltip="inside: all that this camera does not see goes. outside: what it sees goes.",
                ),
                length_input(
                    "near", 0.0, "Where the view begins, depth from the camera in median depths.", 0.0
                ),
                length_input(
                    "far", 0.0, "Where it ends, depth from the camera in median depths. 0 = no limit.", 0.0
                ),
                unit_input(),
            ],
            outputs=memory_outputs(CUT_PICTURE),
        )

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory,
        trajectory: Trajectory,
        frame: int = 0,
        keep: Keep = "inside",
        near: float = 0.0,
        far: float = 0.0,
        unit: str = "median depth",
    ) -> io.NodeOutput:
        after = crop_to_frustum(
            memory,
            one_camera(trajectory, frame),
            near=scene_length(memory, near, unit),
            far=scene_length(memory, far, unit) or math.inf,
            keep=keep,
        )
        return cut_output(cls, memory, after)


class DeleteUnderMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_DeleteUnderMask",
            display_name="Delete Memory under Mask",
            category="WorldStereo/memory",
            description=(
                "Deletes the points that a mask covers in one camera's picture: paint over what is wrong in "
                "a render or a picture of the memory, or wire a segmentation. Make the area again with the "
                "next clip."
            ),
            search_aliases=["erase", "remove object", "paint out", "delete points", "inpaint memory", "mask"],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="The memory to cut; it is not changed."),
                io.Mask.Input(
                    "mask",
                    tooltip="1 = delete. One mask, painted on the picture of `frame`; or one mask for every "
                    "frame of the trajectory. Any size of the same shape.",
                ),
                TrajectorySocket.Input(
                    "trajectory",
                    tooltip="The cameras of the picture that was painted on: the trajectory of the render, "
                    "or that of Pick View from Memory.",
                ),
                io.Int.Input(
                    "frame",
                    default=0,
                    min=-100_000,
                    max=100_000,
                    tooltip="Which frame of the trajectory was painted on, from 0; -1 is the last. Not used "
                    "with one mask per frame.",
                ),
                reach_input(),
                views_input(REMOVE_VIEWS),
                tolerance_input(),
                radius_input(),
                selection_input(
                    "What was selected in View World: only what also lies in it is deleted. Keeps a mask "
                    "from reaching too far."
                ),
            ],
            outputs=memory_outputs(CUT_PICTURE),
        )

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory,
        mask: Tensor,
        trajectory: Trajectory,
        frame: int = 0,
        reach: str = VISIBLE,
        views: str = REMOVE_VIEWS,
        depth_tolerance: float = 0.05,
        radius: float = 0.008,
        selection: WorldSelection | None = None,
    ) -> io.NodeOutput:
        painted = masks("mask", mask)
        after = delete_by_mask(
            memory,
            painted,
            one_camera(trajectory, frame) if len(painted) == 1 else trajectory.cameras,
            depth_tolerance=depth_tolerance if reach == VISIBLE else None,
            radius=radius,
            max_lost=1.0 if views == KEEP_VIEWS else SHOWS_IT,
            within=None if selection is None else selected_region(memory.points, selection, node_progress()),
            progress=node_progress(),
        )
        return cut_output(cls, memory, after)


class RemoveClip(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_RemoveClip",
            display_name="Remove Clip from Memory",
            category="WorldStereo/memory",
            description="Forgets a clip: its points and its pictures. The other clips keep their numbers.",
            search_aliases=["undo update", "delete clip", "forget clip", "revert"],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="The memory to cut; it is not changed."),
                io.Int.Input(
                    "clip",
                    default=1,
                    min=0,
                    max=1_000_000,
                    tooltip="Number of the clip, as Memory Statistics lists it. 0 is the first picture, "
                    "which cannot be removed.",
                ),
            ],
            outputs=memory_outputs(CUT_PICTURE),
        )

    @classmethod
    def execute(cls, memory: GeometricMemory, clip: int = 1) -> io.NodeOutput:
        return cut_output(cls, memory, remove_clip(memory, clip))
