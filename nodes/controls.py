"""A memory as control signals for other models, and what it covers; all seconds, before any sampling."""

from __future__ import annotations

from comfy_api.latest import io, ui
from torch import Tensor

from ..worldstereo_core.geometry.trajectory import Trajectory
from ..worldstereo_core.memory.controls import DepthStyle, EdgeSource, render_controls
from ..worldstereo_core.memory.coverage import coverage_along, measure_coverage
from ..worldstereo_core.memory.mask import carry_mask
from ..worldstereo_core.memory.matching import bank_view
from ..worldstereo_core.memory.memory import GeometricMemory
from ..worldstereo_core.memory.pictures import draw_coverage
from .images import animated_preview, masks, to_image
from .io_types import MemorySocket, TrajectorySocket
from .places import VISIBLE, one_camera, radius_input, reach_input, tolerance_input
from .progress import node_progress, render_device


class PickView(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_PickView",
            display_name="Pick View from Memory",
            category="WorldStereo/memory",
            description=(
                "Takes one picture out of the memory with its camera: to paint on, to start a clip from, or "
                "to crop by."
            ),
            search_aliases=["bank view", "reference picture", "keyframe", "camera of picture", "get view"],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="The memory whose pictures are looked up."),
                io.Int.Input(
                    "view",
                    default=0,
                    min=-100_000,
                    max=100_000,
                    tooltip="Number of the picture, as Memory Statistics lists them: 0 is the first, -1 the "
                    "last.",
                ),
            ],
            outputs=[
                io.Image.Output("picture", tooltip="The picture at its own size."),
                TrajectorySocket.Output("trajectory", tooltip="Its camera, a trajectory of one frame."),
                io.String.Output("name", tooltip="Its name, e.g. clip_01/0008."),
            ],
        )

    @classmethod
    def execute(cls, memory: GeometricMemory, view: int = 0) -> io.NodeOutput:
        chosen = bank_view(memory, view, "view")
        picture = to_image(chosen.picture[None].cpu())
        text = f"{chosen.name}, clip {chosen.clip}, {chosen.width} x {chosen.height} pixels"
        shown = ui.PreviewImage(picture, cls=cls).as_dict()
        return io.NodeOutput(picture, chosen.trajectory, chosen.name, ui={**shown, "text": (text,)})


class RenderControls(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_RenderControls",
            display_name="Render Control Videos from Memory",
            category="WorldStereo/memory",
            description=(
                "Draws the memory along a trajectory as depth, edges, normals and clip colours, so that "
                "VACE, Fun-Control or any ControlNet can be driven from the same world and the same camera."
            ),
            search_aliases=[
                "depth control",
                "canny",
                "normal map",
                "controlnet",
                "vace",
                "fun control",
                "edges",
            ],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="The memory whose points are drawn."),
                TrajectorySocket.Input(
                    "trajectory", tooltip="The cameras; they also give size and frame count."
                ),
                io.Combo.Input(
                    "depth_style",
                    options=["near is white", "far is white"],
                    default="near is white",
                    tooltip="near is white: disparity, as depth control models want it. far is white: linear "
                    "depth. One scale for the whole clip.",
                ),
                io.Combo.Input(
                    "edges_from",
                    options=["both", "picture", "depth"],
                    default="both",
                    tooltip="Where Canny looks for edges: in the drawn picture (texture too), in the depth "
                    "(shapes only), or both.",
                ),
                io.Int.Input(
                    "low_threshold",
                    default=100,
                    min=0,
                    max=2000,
                    tooltip="Canny: an edge goes on while its gradient is above this. 8-bit steps, as in "
                    "OpenCV.",
                ),
                io.Int.Input(
                    "high_threshold",
                    default=200,
                    min=0,
                    max=2000,
                    tooltip="Canny: an edge begins where its gradient is above this. Lower finds more.",
                ),
                io.Int.Input(
                    "close_gaps",
                    default=2,
                    min=0,
                    max=16,
                    tooltip="Gaps between points up to twice this many pixels are filled. 0 fills none.",
                ),
                io.Int.Input(
                    "clip",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="Which clip clip_mask shows, by its number in Memory Statistics; 0 is the first "
                    "picture.",
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
                    optional=True,
                    advanced=True,
                    tooltip="How many of the nearest points are blended in one pixel; more is slower.",
                ),
            ],
            outputs=[
                io.Image.Output("depth", tooltip="Depth video; holes are black."),
                io.Image.Output("edges", tooltip="White edges on black; none along holes."),
                io.Image.Output(
                    "normals", tooltip="Camera normals: red right, green up, blue towards the camera."
                ),
                io.Image.Output("clips", tooltip="One flat colour per clip; holes are black."),
                io.Mask.Output("clip_mask", tooltip="1 where what is seen came from the chosen clip."),
                io.Mask.Output("holes", tooltip="1 where no point is seen, after gaps were closed."),
            ],
        )

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory,
        trajectory: Trajectory,
        depth_style: DepthStyle = "near is white",
        edges_from: EdgeSource = "both",
        low_threshold: int = 100,
        high_threshold: int = 200,
        close_gaps: int = 2,
        clip: int = 0,
        radius: float = 0.008,
        points_per_pixel: int = 8,
    ) -> io.NodeOutput:
        drawn = render_controls(
            memory.points.to(render_device()),
            trajectory.cameras,
            radius=radius,
            points_per_pixel=points_per_pixel,
            close_gaps=close_gaps,
            edge_source=edges_from,
            low=low_threshold,
            high=high_threshold,
            progress=node_progress(),
        ).to("cpu")
        shown = animated_preview(cls, to_image(drawn.contact_pictures(depth_style)), trajectory.fps)
        text = f"{trajectory.num_frames} frames, {float(drawn.hole_mask.mean()):.0%} holes"
        return io.NodeOutput(
            to_image(drawn.depth_pictures(depth_style)),
            to_image(drawn.edge_pictures()),
            to_image(drawn.normal_pictures()),
            to_image(drawn.clip_pictures()),
            drawn.clip_mask(clip),
            drawn.hole_mask,
            ui={**shown, "text": (text,)},
        )


class CarryMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_CarryMask",
            display_name="Carry Mask along Trajectory",
            category="WorldStereo/memory",
            description=(
                "Takes a mask that was painted or segmented in one picture, puts it on the points of the "
                "memory, and draws it along a trajectory: one object masked once, in every frame."
            ),
            search_aliases=["propagate mask", "track mask", "semantic mask", "project mask", "rotoscope"],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="The world that carries the mask."),
                io.Mask.Input(
                    "mask",
                    tooltip="1 = belongs to it. One mask, made on the picture of `frame`; or one for every "
                    "frame of painted_on. Any size of the same shape.",
                ),
                TrajectorySocket.Input(
                    "painted_on",
                    tooltip="The cameras of the picture the mask was made on, for example from Pick View "
                    "from Memory.",
                ),
                TrajectorySocket.Input("trajectory", tooltip="The cameras the mask is drawn for."),
                io.Int.Input(
                    "frame",
                    default=0,
                    min=-100_000,
                    max=100_000,
                    tooltip="Which frame of painted_on, from 0; -1 is the last. Not used with one mask per "
                    "frame.",
                ),
                reach_input(),
                tolerance_input(),
                radius_input(),
            ],
            outputs=[
                io.Mask.Output(
                    "mask", tooltip="One per camera: 1 where the masked surface is seen, soft edges."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory,
        mask: Tensor,
        painted_on: Trajectory,
        trajectory: Trajectory,
        frame: int = 0,
        reach: str = VISIBLE,
        depth_tolerance: float = 0.05,
        radius: float = 0.008,
    ) -> io.NodeOutput:
        painted = masks("mask", mask)
        carried = carry_mask(
            memory.points.to(render_device()),
            painted,
            one_camera(painted_on, frame) if len(painted) == 1 else painted_on.cameras,
            trajectory.cameras,
            depth_tolerance=depth_tolerance if reach == VISIBLE else None,
            radius=radius,
            progress=node_progress(),
        ).to("cpu")
        shown = animated_preview(cls, carried[..., None].expand(-1, -1, -1, 3), trajectory.fps)
        text = f"{len(carried)} frames, mask covers {float(carried.mean()):.1%} of the pixels"
        return io.NodeOutput(carried, ui={**shown, "text": (text,)})


class DrawCoverage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_DrawCoverage",
            display_name="Draw Memory Coverage",
            category="WorldStereo/memory",
            description=(
                "Shows how well the memory knows its world: how many of its pictures saw each place, from "
                "above and along a path. Where the path shows holes or dark red the model will invent."
            ),
            search_aliases=["heat map", "heatmap", "coverage", "overlap", "what is known", "blind spots"],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="The memory to measure."),
                TrajectorySocket.Input(
                    "trajectory",
                    optional=True,
                    tooltip="The planned path. Without it: as the first picture's camera sees the world.",
                ),
                tolerance_input(),
                radius_input(),
            ],
            outputs=[
                io.Image.Output("from_above", tooltip="Points by how many pictures saw them, with the path."),
                io.Image.Output(
                    "along_path", tooltip="The same colours as the cameras see them; holes black."
                ),
                io.String.Output(
                    "report", tooltip="Shares of points and pixels: unseen, seen once, more often."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory,
        trajectory: Trajectory | None = None,
        depth_tolerance: float = 0.05,
        radius: float = 0.008,
    ) -> io.NodeOutput:
        device = render_device()
        there = memory.to(device)
        coverage = measure_coverage(
            there, depth_tolerance=depth_tolerance, radius=radius, progress=node_progress()
        )
        path = bank_view(memory, 0, "memory").trajectory if trajectory is None else trajectory
        along = coverage_along(there, coverage, path.cameras, radius=radius, progress=node_progress())
        cameras = None if trajectory is None else trajectory.cameras
        above = draw_coverage(memory, coverage, cameras)[None]
        report = f"{coverage.text} {along.text}"
        shown = ui.PreviewImage(above, cls=cls).as_dict()
        return io.NodeOutput(above, to_image(along.picture.cpu()), report, ui={**shown, "text": (report,)})
