"""What it takes to try the pack without downloads: a drawn world, and a context for the small model."""

from __future__ import annotations

from comfy_api.latest import io

from ..worldstereo_core.adapters.comfy.geometry_input import depth_to_geometry
from ..worldstereo_core.adapters.comfy.null_context import null_clip_vision, null_conditioning
from ..worldstereo_core.geometry.trajectory import Trajectory
from ..worldstereo_core.training.worlds.example import draw_example
from ..worldstereo_core.training.worlds.make import KINDS
from .images import to_image
from .io_types import MogeGeometrySocket, TrajectorySocket

ANY_KIND = "by number"
# Worlds from here on are never learnt from.
NEVER_LEARNT = 1_000_000


class DrawWorld(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_DrawWorld",
            display_name="Draw Example World",
            category="WorldStereo/loaders",
            description=(
                "Draws a world of simple shapes with exact depth: something to try memories, paths and the "
                "small model in without a depth model. With a trajectory: what the world really looks like "
                "along it."
            ),
            search_aliases=["example", "procedural", "test scene", "ground truth", "synthetic"],
            inputs=[
                io.Int.Input(
                    "world",
                    default=NEVER_LEARNT + 2,
                    min=0,
                    max=2**31,
                    tooltip="Number of the world. The small model learnt from numbers below 1,000,000 alone.",
                ),
                io.Combo.Input(
                    "kind",
                    options=[ANY_KIND, *KINDS],
                    default=ANY_KIND,
                    tooltip="What is drawn. by number: world modulo 3 = 0 room, 1 street, 2 landscape.",
                ),
                io.Int.Input(
                    "width",
                    default=96,
                    min=16,
                    max=2048,
                    step=16,
                    tooltip="Width of the first picture in pixels; the small model draws 96. With a "
                    "trajectory its size is taken.",
                ),
                io.Int.Input(
                    "height",
                    default=64,
                    min=16,
                    max=2048,
                    step=16,
                    tooltip="Height of the first picture in pixels; the small model draws 64.",
                ),
                TrajectorySocket.Input(
                    "trajectory",
                    optional=True,
                    tooltip="Camera move from a memory of this world's first picture. Without it, the first "
                    "picture alone is drawn.",
                ),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The first picture, or one per camera of the trajectory."),
                MogeGeometrySocket.Output(
                    "geometry", tooltip="Exact depth in metres (camera z) with the field of view; no sky."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        world: int = NEVER_LEARNT + 2,
        kind: str = ANY_KIND,
        width: int = 96,
        height: int = 64,
        trajectory: Trajectory | None = None,
    ) -> io.NodeOutput:
        drawn = draw_example(
            world,
            height,
            width,
            None if kind == ANY_KIND else kind,
            None if trajectory is None else trajectory.cameras,
        )
        return io.NodeOutput(to_image(drawn.image), depth_to_geometry(drawn.depth, drawn.K))


class MakeNullContext(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_MakeNullContext",
            display_name="Context of the Small Model",
            category="WorldStereo/generate",
            description=(
                "Stands in for prompts and CLIP vision where a small model reads neither: no text encoder "
                "and no CLIP file are needed. A released model would take it for an empty prompt of the "
                "wrong kind: use its encoders there."
            ),
            search_aliases=["null", "empty prompt", "unconditional", "no text encoder", "small model"],
            inputs=[],
            outputs=[
                io.Conditioning.Output("positive", tooltip="In place of a prompt."),
                io.Conditioning.Output("negative", tooltip="In place of a negative prompt."),
                io.ClipVisionOutput.Output(
                    "clip_vision_output", tooltip="In place of the CLIP vision of the first frame."
                ),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(null_conditioning(), null_conditioning(), null_clip_vision())
