"""What a trajectory sees of the memory: point renders and reference views. Seconds, before any sampling."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io, ui
from torch import Tensor

from ..worldstereo_core.checks import ShapeError, WorldStereoError
from ..worldstereo_core.geometry.pictures import depth_to_linear, fade_uncertain, paste_first_frame
from ..worldstereo_core.geometry.render import RenderedFrames, render_points
from ..worldstereo_core.geometry.trajectory import Trajectory
from ..worldstereo_core.memory.memory import GeometricMemory
from ..worldstereo_core.memory.pictures import draw_references
from ..worldstereo_core.memory.retrieval import RetrievalMethod
from .camera import fewer_frames
from .images import animated_preview, one_picture, to_image
from .io_types import MemorySocket, ReferencesSocket, TrajectorySocket
from .places import radius_input
from .progress import node_progress, render_device

OF_TRAJECTORY, OF_FIRST_FRAME = "trajectory", "first frame"


def at_size_of(trajectory: Trajectory, picture: Tensor | None) -> Trajectory:
    """The trajectory for pictures of the first frame's size.

    Raises: WorldStereoError without one, ShapeError if its proportions are others.
    """
    if picture is None:
        raise WorldStereoError(
            "first_frame: nothing is connected, but size says first frame. Connect the clip's start picture, "
            "or set size to trajectory."
        )
    height, width = one_picture("first_frame", picture).shape[-2:]
    # Sides are rounded to 16 pixels at both sizes.
    if abs(height * trajectory.width - width * trajectory.height) > 16 * (trajectory.width + width):
        raise ShapeError(
            f"first_frame: it is {height}x{width} (height x width), the trajectory {trajectory.height}x"
            f"{trajectory.width}, other proportions. Fit both pictures with one resolution."
        )
    return trajectory.resized(height, width)


def drawn_memory(memory: GeometricMemory) -> GeometricMemory:
    """The memory with its points where they are drawn; pictures stay where they are."""
    return replace(memory, points=memory.points.to(render_device()))


def render_clip(
    memory: GeometricMemory,
    trajectory: Trajectory,
    radius: float,
    points_per_pixel: int,
    min_confidence: float,
    first_frame: Tensor | None = None,
    uncertain_below: float = 0.0,
    uncertain_softness: float = 0.0,
) -> RenderedFrames:
    """The memory along a trajectory on the CPU: the one render that is previewed, checked and encoded."""
    device = render_device()
    rendered = render_points(
        memory.points.to(device),
        trajectory.cameras.to(device),
        radius=radius,
        points_per_pixel=points_per_pixel,
        min_confidence=min_confidence,
        with_confidence=True,
        progress=node_progress(),
    ).to("cpu")
    if uncertain_below > 0:
        rendered = fade_uncertain(rendered, uncertain_below, uncertain_softness)
    if first_frame is not None:
        rendered = paste_first_frame(rendered, one_picture("first_frame", first_frame))
    return rendered


class RenderMemory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_RenderMemory",
            display_name="Render Memory along Trajectory",
            category="WorldStereo/memory",
            description=(
                "Draws the memory's points as every camera of the trajectory sees them. This very render "
                "steers the model, so look at it before sampling: what is grey here is made up by the "
                "model."
            ),
            search_aliases=["point render", "warp", "preview path", "control video", "hole mask"],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="The memory whose points are drawn."),
                TrajectorySocket.Input(
                    "trajectory", tooltip="The cameras; they also give size and frame count."
                ),
                radius_input(
                    "Point radius as a share of half the shorter side: 0.008 is 1.9 pixels at 480.",
                    is_advanced=False,
                ),
                io.Int.Input(
                    "points_per_pixel",
                    default=8,
                    min=1,
                    max=64,
                    tooltip="How many of the nearest points are blended in one pixel. 20 equals the "
                    "released single-picture renders; more is slower.",
                ),
                io.Float.Input(
                    "min_confidence",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Points with a lower confidence (0 to 1) are not drawn.",
                ),
                io.Image.Input(
                    "first_frame",
                    optional=True,
                    tooltip="Picture put in place of frame 0, whose holes are then cleared. Wire the "
                    "clip's start picture at the trajectory's size.",
                ),
                io.Float.Input(
                    "uncertain_below",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Where the drawn points' confidence (0 to 1) is lower, the picture becomes a "
                    "hole and the model is free. 0 = off.",
                ),
                io.Float.Input(
                    "uncertain_softness",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    advanced=True,
                    tooltip="Width of the transition from certain to hole, in confidence (0 to 1). 0 cuts "
                    "hard. Released models take 0.5 and more as a hole; see Encode Control.",
                ),
                io.Combo.Input(
                    "size",
                    options=[OF_TRAJECTORY, OF_FIRST_FRAME],
                    default=OF_TRAJECTORY,
                    optional=True,
                    advanced=True,
                    tooltip="Whose size the pictures have. first frame: for a clip at another size of the "
                    "same proportions, as in making it small first.",
                ),
            ],
            outputs=[
                io.Image.Output("render", tooltip="One picture per camera; holes are mid-grey (0.5)."),
                io.Mask.Output(
                    "holes",
                    tooltip="1 where no point was seen or sure enough, 0 elsewhere; one per camera.",
                ),
                io.Image.Output(
                    "depth",
                    tooltip="Camera depth (z), linear, 1 = the farthest point of the clip, 0 = hole.",
                ),
                io.Mask.Output(
                    "confidence", tooltip="How sure the drawn points are, 0 to 1; 0 in holes; one per camera."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory,
        trajectory: Trajectory,
        radius: float = 0.008,
        points_per_pixel: int = 8,
        min_confidence: float = 0.0,
        first_frame: Tensor | None = None,
        uncertain_below: float = 0.0,
        uncertain_softness: float = 0.0,
        size: str = OF_TRAJECTORY,
    ) -> io.NodeOutput:
        if size == OF_FIRST_FRAME:
            trajectory = at_size_of(trajectory, first_frame)
        rendered = render_clip(
            memory,
            trajectory,
            radius,
            points_per_pixel,
            min_confidence,
            first_frame,
            uncertain_below,
            uncertain_softness,
        )
        images = to_image(rendered.image)
        depth = to_image(depth_to_linear(rendered.depth)[:, None].expand(-1, 3, -1, -1))
        text = f"{len(images)} frames, {float(rendered.hole_mask.mean()):.0%} holes"
        shown = animated_preview(cls, images, trajectory.fps)
        return io.NodeOutput(
            images, rendered.hole_mask, depth, rendered.confidence, ui={**shown, "text": (text,)}
        )


class RetrieveReferences(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_RetrieveReferences",
            display_name="Retrieve Reference Views",
            category="WorldStereo/memory",
            description=(
                "Picks the pictures of the memory that see most of what the trajectory will see. The model "
                "copies detail from them. The preview names the frame each one is used from."
            ),
            search_aliases=["memory retrieval", "reference frames", "view selection"],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="The memory whose bank of views is searched."),
                TrajectorySocket.Input("trajectory", tooltip="The cameras of the clip to be made."),
                io.Int.Input(
                    "max_references",
                    default=8,
                    min=1,
                    max=20,
                    tooltip="At most this many pictures. Each one costs as much as one more key frame.",
                ),
                io.Combo.Input(
                    "method",
                    options=["frustum overlap", "visible points"],
                    default="frustum overlap",
                    tooltip="How views are compared. frustum overlap: the share of space that both cameras "
                    "could see, as released. visible points: the points of the memory that both really see, "
                    "each view adding most to those before it; walls hide.",
                ),
                io.Int.Input(
                    "frames",
                    default=21,
                    min=2,
                    max=1024,
                    tooltip="Key frames of the clip, as in WorldStereo Image to Key Frames. A longer "
                    "trajectory is sampled down to it, and that is said.",
                ),
            ],
            outputs=[
                ReferencesSocket.Output(
                    "references", tooltip="Chosen views with the key frame each one belongs to."
                ),
                io.Image.Output("preview", tooltip="The chosen views side by side, with frame and score."),
            ],
        )

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory,
        trajectory: Trajectory,
        max_references: int = 8,
        method: RetrievalMethod = "frustum overlap",
        frames: int = 21,
    ) -> io.NodeOutput:
        references = memory.retrieve(
            fewer_frames(trajectory, frames), max_references, method=method, progress=node_progress()
        )
        preview = draw_references(references)[None]
        shown = ui.PreviewImage(preview, cls=cls).as_dict()
        return io.NodeOutput(references, preview, ui=shown)
