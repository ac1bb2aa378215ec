"""Growing the geometric memory by a finished clip."""

from __future__ import annotations

import logging
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..worldstereo_core.adapters.comfy.geometry_input import (
    EstimatedDepth,
    PictureKind,
    geometry_to_depth,
)
from ..worldstereo_core.checks import ShapeError
from ..worldstereo_core.geometry.trajectory import Trajectory
from ..worldstereo_core.memory.growth import DEFAULT_CELL
from ..worldstereo_core.memory.memory import GeometricMemory
from .camera import fewer_frames
from .images import check_not_decoded_as_video, many_masks, pictures
from .io_types import Da3GeometrySocket, MemorySocket, MogeGeometrySocket, TrajectorySocket
from .places import edge_threshold_input, radius_input
from .progress import node_progress, render_device

logger = logging.getLogger(__name__)

FUSIONS = {"fill holes": "holes", "voxel": "voxel"}
CARVINGS = {"later clips": "clips", "everything": "all", "off": "off"}


def clip_depth(geometry: Any, frames: Tensor, kind: PictureKind) -> EstimatedDepth:
    """Depth of a clip's frames [T, 3, H, W].

    Raises: ShapeError if it was not made from just these frames.
    """
    estimate = geometry_to_depth(geometry, picture_kind=kind)
    expected = (frames.shape[0], *frames.shape[2:])
    if tuple(estimate.depth.shape) != expected:
        count, height, width = estimate.depth.shape
        raise ShapeError(
            f"geometry: got depth of {count} pictures of {height} x {width} (height x width), expected "
            f"{expected[0]} of {expected[1]} x {expected[2]} as images has. Run the depth estimator on the "
            "very pictures that are wired to images."
        )
    return estimate


class UpdateMemory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_UpdateMemory",
            display_name="Update Geometric Memory",
            category="WorldStereo/memory",
            description=(
                "Adds a finished clip to the memory, so that the next clip agrees with it: some frames "
                "join the bank of views, and with depth of the frames their points join the cloud."
            ),
            search_aliases=["add clip", "grow memory", "merge point cloud", "worldstereo memory", "fuse"],
            inputs=[
                MemorySocket.Input("memory", tooltip="The memory before this clip; it is not changed."),
                io.Image.Input("images", tooltip="The clip's frames, one per camera of the trajectory."),
                TrajectorySocket.Input(
                    "trajectory",
                    tooltip="The cameras the clip was made with. A longer trajectory is sampled down to the "
                    "images, as for the clip, and that is said.",
                ),
                io.Int.Input(
                    "keep_frames",
                    default=8,
                    min=1,
                    max=256,
                    tooltip="How many frames of the clip are kept, spread evenly, the last one always. "
                    "Frame 0 repeats the start and is not kept.",
                ),
                io.String.Input(
                    "clip_name",
                    default="",
                    tooltip="Name of the clip in the memory. Empty: clip_01, clip_02 and so on.",
                ),
                io.MultiType.Input(
                    "geometry",
                    types=[MogeGeometrySocket, Da3GeometrySocket, io.Image],
                    optional=True,
                    tooltip="Depth of the same frames. It is brought to the memory's scale (scene units) "
                    "by what both see. Without it views are added and no points.",
                ),
                io.Combo.Input(
                    "alignment",
                    options=["ratio", "robust", "none"],
                    default="ratio",
                    optional=True,
                    tooltip="How depth meets the memory's scale. robust: scale and shift that a part of the "
                    "pixels may contradict; frames that do not fit are repaired or left out, and that is "
                    "said. ratio: one factor per frame. none: the depth is in scene units already.",
                ),
                io.Combo.Input(
                    "fusion",
                    options=list(FUSIONS),
                    default="fill holes",
                    optional=True,
                    tooltip="fill holes: points only where the memory showed nothing. voxel: one point per "
                    "cell; what is seen again gets surer, and what a frame sees through is removed.",
                ),
                io.Mask.Input(
                    "sky",
                    optional=True,
                    tooltip="1 = sky: no points there. One mask per image, or one for all. Sky that Depth "
                    "Anything 3 found is left out without it.",
                ),
                io.Float.Input(
                    "min_confidence",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Depth that its estimator trusts less is not used, 0 to 1. Only Depth Anything 3 "
                    "(Small, Base) says how sure it is.",
                ),
                io.Float.Input(
                    "cell_size",
                    display_name="cell size (× median depth)",
                    default=DEFAULT_CELL,
                    min=0.0001,
                    max=0.1,
                    step=0.0001,
                    round=False,
                    optional=True,
                    advanced=True,
                    tooltip="Edge of a voxel in units of the memory's median depth; 0.0015 is about one "
                    "pixel there. Larger cells make a smaller, coarser cloud. Only for voxel.",
                ),
                io.Combo.Input(
                    "carving",
                    options=list(CARVINGS),
                    default="later clips",
                    optional=True,
                    advanced=True,
                    tooltip="Which points a frame removes when it sees through them: those of generated "
                    "clips, everything (also the input image's), or none. Only for voxel.",
                ),
                edge_threshold_input(is_advanced=True),
                io.Float.Input(
                    "percentile",
                    display_name="extremes left out (%)",
                    default=2.0,
                    min=0.0,
                    max=40.0,
                    step=0.5,
                    optional=True,
                    advanced=True,
                    tooltip="Share of the nearest and of the farthest pixels, in percent each, that robust "
                    "alignment does not look at.",
                ),
                io.Combo.Input(
                    "depth_kind",
                    options=["depth", "disparity"],
                    default="depth",
                    optional=True,
                    advanced=True,
                    tooltip="What depth pictures hold: depth (far is bright) or disparity = 1 / depth (near "
                    "is bright). Not used for MoGe and Depth Anything geometry.",
                ),
                radius_input(
                    "Point radius for finding holes, as a share of half the shorter side: as in Render "
                    "Memory along Trajectory."
                ),
            ],
            outputs=[
                MemorySocket.Output("memory", tooltip="A new memory that holds the clip as well."),
                io.String.Output(
                    "report",
                    tooltip="Views and points added; per frame the factor found (memory units per depth "
                    "unit) and the median error that is left.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory,
        images: Tensor,
        trajectory: Trajectory,
        keep_frames: int = 8,
        clip_name: str = "",
        geometry: Any = None,
        alignment: str = "ratio",
        fusion: str = "fill holes",
        sky: Tensor | None = None,
        min_confidence: float = 0.0,
        cell_size: float = DEFAULT_CELL,
        carving: str = "later clips",
        edge_threshold: float = 0.35,
        percentile: float = 2.0,
        depth_kind: PictureKind = "depth",
        radius: float = 0.008,
    ) -> io.NodeOutput:
        frames = pictures("images", images)
        check_not_decoded_as_video(frames.shape[0], trajectory.num_frames)
        trajectory = fewer_frames(trajectory, frames.shape[0])
        estimate = None if geometry is None else clip_depth(geometry, frames, depth_kind)
        hidden = None if sky is None else many_masks("sky", sky, frames.shape[0])
        if estimate is not None and estimate.sky is not None:
            hidden = estimate.sky if hidden is None else hidden | estimate.sky
        grown, report = memory.to(render_device()).update(
            frames,
            trajectory,
            None if estimate is None else estimate.depth,
            keep_frames=keep_frames,
            clip_name=clip_name.strip() or None,
            align_scale=estimate is not None and alignment != "none",
            alignment="ratio" if alignment == "none" else alignment,
            confidence=None if estimate is None else estimate.confidence,
            sky=hidden,
            min_confidence=min_confidence,
            fusion=FUSIONS.get(fusion, fusion),
            cell=cell_size * memory.median_depth,
            carving=CARVINGS.get(carving, carving),
            edge_threshold=edge_threshold,
            percentile=percentile,
            radius=radius,
            progress=node_progress(),
        )
        logger.info("WorldStereo: %s", report.text)
        text = "\n".join(part for part in (report.text, report.table) if part)
        return io.NodeOutput(grown.to("cpu"), text, ui={"text": (text,)})
