"""Two memories: joined into one world, or compared."""

from __future__ import annotations

import logging

from comfy_api.latest import io, ui

from ..worldstereo_core.geometry.trajectory import Trajectory
from ..worldstereo_core.memory.matching import Alignment, align_memories, bank_view
from ..worldstereo_core.memory.memory import GeometricMemory
from ..worldstereo_core.memory.merging import diff_memories
from ..worldstereo_core.memory.pictures import draw_diff, draw_memory, recoloured
from .images import to_image
from .io_types import MemorySocket, TrajectorySocket
from .memory_cut import memory_outputs
from .places import length_input, scene_length, unit_input
from .progress import node_progress, render_device

logger = logging.getLogger(__name__)


class MergeMemories(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_MergeMemories",
            display_name="Merge Two Memories",
            category="WorldStereo/memory",
            description=(
                "Brings a second memory into the world of a first: two branches of one world, the same "
                "picture lifted twice, or two places that share a wall. Points and pictures of both stay."
            ),
            search_aliases=["join worlds", "combine point clouds", "align", "umeyama", "register", "stitch"],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("first", tooltip="Its world, units and median depth are kept."),
                MemorySocket.Input("second", tooltip="Is moved and scaled into the world of the first."),
                io.Combo.Input(
                    "align",
                    options=["same world", "shared picture", "matched pixels", "matched points", "matrix"],
                    default="same world",
                    tooltip="same world: nothing is moved. shared picture: found from a picture that both "
                    "hold. The others take what is typed in numbers.",
                ),
                io.String.Input(
                    "numbers",
                    default="",
                    multiline=True,
                    tooltip="matched pixels: one match a line, x y in the first's picture, then x y in the "
                    "second's, pixels. matched points: x y z of the first, then of the second, scene units. "
                    "At least 3 not in line, better 6. matrix: 4 rows of 4, first world from second.",
                ),
                length_input(
                    "merge_within",
                    0.0,
                    "Points of both that lie within one cube of this edge become one, in median depths of "
                    "the first. 0 keeps every point.",
                    0.0,
                ),
                io.Int.Input(
                    "first_view",
                    default=0,
                    min=-100_000,
                    max=100_000,
                    optional=True,
                    advanced=True,
                    tooltip="Matched pixels: number of the first memory's picture, as in Memory Statistics.",
                ),
                io.Int.Input(
                    "second_view",
                    default=0,
                    min=-100_000,
                    max=100_000,
                    optional=True,
                    advanced=True,
                    tooltip="Matched pixels: number of the second memory's picture.",
                ),
                unit_input(),
                io.Combo.Input(
                    "views",
                    options=["keep both", "first only"],
                    default="keep both",
                    optional=True,
                    tooltip="first only: pictures of the second are left out, and no clip is made after "
                    "them. Right for a thing that was cropped out and moved: they show it where it was.",
                ),
            ],
            outputs=memory_outputs("The merged cloud from above, one colour per clip."),
        )

    @classmethod
    def execute(
        cls,
        first: GeometricMemory,
        second: GeometricMemory,
        align: Alignment = "same world",
        numbers: str = "",
        merge_within: float = 0.0,
        first_view: int = 0,
        second_view: int = 0,
        unit: str = "median depth",
        views: str = "keep both",
    ) -> io.NodeOutput:
        merged, report = align_memories(
            first,
            second,
            align,
            numbers,
            first_view=first_view,
            second_view=second_view,
            voxel_size=scene_length(first, merge_within, unit),
            keep_views=views != "first only",
        )
        picture = draw_memory(merged, points=recoloured(merged.points, "clip"))[None]
        logger.info("WorldStereo: %s", report.text)
        shown = ui.PreviewImage(picture, cls=cls).as_dict()
        return io.NodeOutput(merged, report.text, picture, ui={**shown, "text": (report.text,)})


class CompareMemories(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_CompareMemories",
            display_name="Compare Two Memories",
            category="WorldStereo/memory",
            description=(
                "What changed from one memory to another: counts of points and pictures added and removed, "
                "a picture from above and, with a trajectory, along the path."
            ),
            search_aliases=["diff", "difference", "what changed", "before after"],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("before", tooltip="The earlier memory."),
                MemorySocket.Input("after", tooltip="The later memory of the same world."),
                length_input(
                    "tolerance",
                    0.0,
                    "Points in the same cube of this edge count as the same, in median depths of `before`. "
                    "0 compares exact positions.",
                    0.0,
                ),
                TrajectorySocket.Input(
                    "trajectory",
                    optional=True,
                    tooltip="Draw the change along these cameras too. Without it: as the first picture's "
                    "camera sees it.",
                ),
                unit_input(),
            ],
            outputs=[
                io.Image.Output("picture", tooltip="From above: green = added, red = removed, grey = kept."),
                io.Image.Output("along_path", tooltip="The same colours as the cameras see them."),
                io.String.Output("report", tooltip="Points and views added, removed and kept."),
                io.Int.Output("added", tooltip="How many points are new."),
                io.Int.Output("removed", tooltip="How many points are gone."),
            ],
        )

    @classmethod
    def execute(
        cls,
        before: GeometricMemory,
        after: GeometricMemory,
        tolerance: float = 0.0,
        trajectory: Trajectory | None = None,
        unit: str = "median depth",
    ) -> io.NodeOutput:
        diff = diff_memories(before, after, cube=scene_length(before, tolerance, unit))
        picture = draw_diff(after, diff)[None]
        cameras = bank_view(before, 0, "before").trajectory if trajectory is None else trajectory
        device = render_device()
        drawn = diff.render(cameras.cameras.to(device), progress=node_progress()).to("cpu")
        logger.info("WorldStereo: %s", diff.text)
        shown = ui.PreviewImage(picture, cls=cls).as_dict()
        return io.NodeOutput(
            picture,
            to_image(drawn.image),
            diff.text,
            diff.num_added,
            diff.num_removed,
            ui={**shown, "text": (diff.text,)},
        )
