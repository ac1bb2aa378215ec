"""Camera trajectories from presets."""

from __future__ import annotations

import logging
import math

import torch
from comfy_api.latest import io, ui

from ..worldstereo_core.geometry.cameras import Cameras, fov_to_K
from ..worldstereo_core.geometry.trajectory import (
    EASINGS,
    PRESETS,
    Trajectory,
    build_trajectory,
)
from ..worldstereo_core.geometry.trajectory_plot import plot_trajectory
from ..worldstereo_core.memory.memory import GeometricMemory
from .io_types import MemorySocket, TrajectorySocket

logger = logging.getLogger(__name__)

# Picture size where neither a memory nor the user gives one: the widest bucket of the released models.
DEFAULT_SIZE = (480, 768)


def start_camera(
    memory: GeometricMemory | None, continue_from: Trajectory | None, fov_deg: float, height: int, width: int
) -> Cameras:
    """The one camera that a new trajectory starts with; height or width 0 takes that of the source."""
    if continue_from is not None:
        start = continue_from.cameras[-1]
    elif memory is not None:
        view = memory.views[0]
        start = view.camera
    else:
        # K is made at the final size: K of another aspect, stretched, would have pixels that are not square.
        height, width = height or DEFAULT_SIZE[0], width or DEFAULT_SIZE[1]
        K = fov_to_K(math.radians(fov_deg), height, width)
        start = Cameras(torch.eye(4)[None], K[None], height, width)
    # Another aspect is cut, as Fit Image cuts the picture; stretched pixels would not be square.
    return start.cropped(height or start.height, width or start.width)


def unit_text(memory: GeometricMemory | None, scale: float = 1.0) -> str:
    """What 1.0 of a distance is, as the node says it."""
    if memory is None:
        return (
            f"No memory: 1.0 = the median depth counts as {scale:.4g} scene unit{'' if scale == 1 else 's'}."
        )
    depth = memory.median_depth
    metres = f"\N{ALMOST EQUAL TO} {depth:.2g} m if the depth is metric"
    return f"1.0 = 1 median depth = {depth:.4g} scene units, {metres}."


def fewer_frames(trajectory: Trajectory, frames: int) -> Trajectory:
    """A longer trajectory sampled down to so many frames, which is logged; a shorter one as it is."""
    if trajectory.num_frames <= frames:
        return trajectory
    logger.info(
        "WorldStereo: trajectory %s has %d frames and is sampled down to %d, first and last kept.",
        trajectory.name,
        trajectory.num_frames,
        frames,
    )
    return trajectory.resampled(frames)


class BuildTrajectory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_BuildTrajectory",
            display_name="Build Camera Trajectory",
            category="WorldStereo/camera",
            description=(
                "A camera move from a preset. Directions are the camera's: orbit right moves the camera to "
                "the right around the scene, pan right turns it right. The plot shows the move from above "
                "and from the side: start green, end red."
            ),
            search_aliases=["camera path", "camera motion", "orbit", "dolly", "pan", "truck", "arc", "zoom"],
            is_output_node=True,
            inputs=[
                io.Combo.Input(
                    "preset",
                    options=list(PRESETS),
                    default="orbit right",
                    tooltip="The move. dolly, truck and pedestal travel; pan, tilt and roll turn in place; "
                    "orbit travels around the pivot and keeps looking at it; zoom changes the focal length "
                    "only.",
                ),
                io.Float.Input(
                    "amount_deg",
                    display_name="amount (degrees)",
                    default=30.0,
                    min=0.0,
                    max=360.0,
                    step=0.5,
                    tooltip="How far the camera turns or orbits from first to last frame, degrees. Not "
                    "used by static, dolly, truck, pedestal, spiral and zoom.",
                ),
                io.Float.Input(
                    "distance",
                    default=0.5,
                    min=0.0,
                    max=100.0,
                    step=0.01,
                    tooltip="How far dolly, truck, pedestal and spiral travel, in units of the memory's "
                    "median depth (0.5 = half way to the middle of the scene), or in scene units if `unit` "
                    "says so.",
                ),
                io.Combo.Input(
                    "easing",
                    options=list(EASINGS),
                    default="smooth",
                    tooltip="How the speed changes over the clip: constant, slow at both ends, slow at the "
                    "start, slow at the end.",
                ),
                io.Int.Input(
                    "frames",
                    default=21,
                    min=1,
                    max=1024,
                    tooltip="Frames of the trajectory. A released WorldStereo clip has 21 key frames; "
                    "Uni3C files take 81.",
                ),
                io.Float.Input(
                    "focal_end",
                    display_name="focal length at end (× start)",
                    default=1.0,
                    min=0.1,
                    max=10.0,
                    step=0.01,
                    tooltip="Focal length of the last frame as a multiple of the first: 2 = zoomed in "
                    "twice, 1 = no zoom. With a zoom preset 1 means the preset's own 1.5.",
                ),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=8192,
                    step=16,
                    tooltip="Width of the clip in pixels, a multiple of 16. 0 takes the memory's picture "
                    "size (768 without a memory). Another aspect is cut, as Fit Image does.",
                ),
                io.Int.Input(
                    "height",
                    default=0,
                    min=0,
                    max=8192,
                    step=16,
                    tooltip="Height of the clip in pixels, a multiple of 16. 0 takes the memory's picture "
                    "size (480 without a memory). Another aspect is cut, as Fit Image does.",
                ),
                MemorySocket.Input(
                    "memory",
                    optional=True,
                    tooltip="Gives the start camera (that of the input picture), its field of view, the "
                    "pivot at the median depth, and the scale of distances. Without it the median depth "
                    "counts as 1.",
                ),
                TrajectorySocket.Input(
                    "continue_from",
                    optional=True,
                    tooltip="Start at the last camera of this trajectory instead of the memory's first "
                    "picture.",
                ),
                io.Float.Input(
                    "fov_deg",
                    display_name="horizontal fov (degrees)",
                    default=60.0,
                    min=1.0,
                    max=179.0,
                    step=0.1,
                    optional=True,
                    advanced=True,
                    tooltip="Horizontal field of view at the start, degrees. Only used without a memory.",
                ),
                io.Float.Input(
                    "fps",
                    default=16.0,
                    min=1.0,
                    max=240.0,
                    step=0.001,
                    optional=True,
                    advanced=True,
                    tooltip="Frames per second that the trajectory is meant for. Travels with it into files.",
                ),
                io.Combo.Input(
                    "unit",
                    options=["median depth", "scene units"],
                    default="median depth",
                    optional=True,
                    advanced=True,
                    tooltip="What `distance` is measured in. Scene units are metres when the depth came "
                    "from a metric estimator such as MoGe 2.",
                ),
            ],
            outputs=[
                TrajectorySocket.Output(
                    "trajectory", tooltip="One camera per frame, with size and frame rate."
                ),
                io.Image.Output("plot", tooltip="The move from above and from the side, 1 = one scene unit."),
            ],
        )

    @classmethod
    def execute(
        cls,
        preset: str = "orbit right",
        amount_deg: float = 30.0,
        distance: float = 0.5,
        easing: str = "smooth",
        frames: int = 21,
        focal_end: float = 1.0,
        width: int = 0,
        height: int = 0,
        memory: GeometricMemory | None = None,
        continue_from: Trajectory | None = None,
        fov_deg: float = 60.0,
        fps: float = 16.0,
        unit: str = "median depth",
    ) -> io.NodeOutput:
        start = start_camera(memory, continue_from, fov_deg, height, width)
        scale = 1.0 if memory is None else memory.median_depth
        trajectory = build_trajectory(
            preset,
            start=(start.w2c[0], start.K[0]),
            height=start.height,
            width=start.width,
            amount_deg=amount_deg,
            distance=distance / scale if unit == "scene units" else distance,
            easing=easing,
            num_frames=frames,
            focal_end=focal_end,
            pivot_depth=scale,
            fps=fps,
        )
        plot = plot_trajectory(trajectory, None if memory is None else memory.points)[None]
        text = "\n".join(
            [
                f"{trajectory.name}: {frames} frames, {start.width} x {start.height} pixels.",
                unit_text(memory, scale),
                f"The camera travels {trajectory.way / scale:.3g} = {trajectory.way:.3g} scene units.",
            ]
        )
        shown = ui.PreviewImage(plot, cls=cls).as_dict()
        return io.NodeOutput(trajectory, plot, ui={**shown, "text": (text,)})
