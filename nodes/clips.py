"""Several trajectories on one wire, and a finished clip into a world folder."""

from __future__ import annotations

import json
import logging
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..worldstereo_core.adapters.comfy.geometry_input import geometry_to_depth
from ..worldstereo_core.geometry.trajectory import Trajectory
from ..worldstereo_core.memory.memory import GeometricMemory
from ..worldstereo_core.world.clip_files import ClipContents
from ..worldstereo_core.world.world import World, add_clip
from .camera import fewer_frames
from .images import animated_preview, check_not_decoded_as_video, pictures
from .io_types import (
    Da3GeometrySocket,
    MemorySocket,
    MogeGeometrySocket,
    TrajectoriesSocket,
    TrajectorySocket,
    WorldSocket,
)
from .progress import node_progress

logger = logging.getLogger(__name__)

MAX_TRAJECTORIES = 50


class ListTrajectories(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_ListTrajectories",
            display_name="List Camera Trajectories",
            category="WorldStereo/camera",
            description=(
                "Several camera trajectories in the order in which Generate Clips makes their clips. A new "
                "socket appears with every connection."
            ),
            search_aliases=[
                "trajectory list",
                "batch trajectories",
                "camera paths",
                "shot list",
                "join paths",
            ],
            inputs=[
                io.Autogrow.Input(
                    "trajectories",
                    template=io.Autogrow.TemplatePrefix(
                        TrajectorySocket.Input(
                            "trajectory",
                            tooltip="A camera trajectory. It starts at the input picture, or where an "
                            "earlier one passes (continue_from on Build Camera Trajectory).",
                        ),
                        prefix="trajectory",
                        min=1,
                        max=MAX_TRAJECTORIES,
                    ),
                    tooltip="Trajectories in order, one clip each.",
                ),
            ],
            outputs=[TrajectoriesSocket.Output("trajectories", tooltip="All of them, for Generate Clips.")],
        )

    @classmethod
    def execute(cls, trajectories: dict[str, Trajectory]) -> io.NodeOutput:
        order = sorted(trajectories, key=lambda name: int(name.removeprefix("trajectory")))
        return io.NodeOutput(tuple(trajectories[name] for name in order if trajectories[name] is not None))


class SaveClip(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_SaveClip",
            display_name="Save Clip to World Folder",
            category="WorldStereo/memory",
            description=(
                "Adds a finished clip to a world folder: frames, cameras, latent, depth, and what the clip "
                "brought into the memory. It is there whole or not at all. Generate Clips does this by "
                "itself."
            ),
            search_aliases=["save clip", "store clip", "world folder", "add clip"],
            is_output_node=True,
            inputs=[
                WorldSocket.Input("world", tooltip="From Open World Folder."),
                MemorySocket.Input(
                    "memory",
                    tooltip="From Update Geometric Memory, which took the world's own memory and this clip.",
                ),
                io.Image.Input("images", tooltip="The clip's frames, one per camera."),
                TrajectorySocket.Input(
                    "trajectory",
                    tooltip="The cameras the clip was made with; a longer one is sampled down to the images.",
                ),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="The sampled latent, before Key Frames to Images. With it later clips see this "
                    "clip's views without another trip through the VAE.",
                ),
                io.MultiType.Input(
                    "geometry",
                    types=[MogeGeometrySocket, Da3GeometrySocket],
                    optional=True,
                    tooltip="Depth of the frames as it was estimated, to be kept with them.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    optional=True,
                    tooltip="The noise seed, kept for the record.",
                ),
                io.String.Input(
                    "report",
                    default="",
                    optional=True,
                    force_input=True,
                    tooltip="From Update Geometric Memory, kept for the record.",
                ),
                io.String.Input(
                    "made_with",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="A note, or settings as JSON, kept for the record.",
                ),
            ],
            outputs=[
                WorldSocket.Output("world", tooltip="The world with the clip."),
                MemorySocket.Output("memory", tooltip="The world's memory with the clip."),
                io.Int.Output("clip", tooltip="The clip's number in the world."),
            ],
        )

    @classmethod
    def execute(
        cls,
        world: World,
        memory: GeometricMemory,
        images: Tensor,
        trajectory: Trajectory,
        latent: dict[str, Any] | None = None,
        geometry: Any = None,
        seed: int = 0,
        report: str = "",
        made_with: str = "",
    ) -> io.NodeOutput:
        frames = pictures("images", images)
        check_not_decoded_as_video(len(frames), trajectory.num_frames)
        trajectory = fewer_frames(trajectory, len(frames))
        facts = read_facts(made_with)
        world, record = add_clip(
            world,
            ClipContents(
                frames,
                trajectory,
                memory.to("cpu"),
                None if latent is None else latent["samples"][0],
                None if geometry is None else geometry_to_depth(geometry).depth,
            ),
            seed=seed,
            slot=facts.pop(PATH, None),
            start=facts.pop(START, ""),
            settings=facts,
            report=report,
            progress=node_progress(),
        )
        logger.info("WorldStereo: clip %d saved to %s.", record.clip, world.folder / record.folder)
        text = f"clip {record.clip}: {trajectory.name}, seed {seed}"
        shown = animated_preview(cls, images, trajectory.fps)
        return io.NodeOutput(world, world.memory(node_progress()), record.clip, ui={**shown, "text": (text,)})


# Facts that Generate Clips hands to Save Clip beside the settings.
PATH, START = "path", "start"


def read_facts(text: str) -> dict[str, Any]:
    """What ``made_with`` says: a JSON object as it is, anything else as a note."""
    try:
        content = json.loads(text)
    except ValueError:
        content = text
    if isinstance(content, dict):
        return content
    return {"note": text} if text.strip() else {}
