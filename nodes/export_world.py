"""A world as a folder for another program."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import folder_paths
import torch
from comfy_api.latest import Types, io, ui

from ..worldstereo_core.geometry.trajectory import Trajectory
from ..worldstereo_core.memory.memory import GeometricMemory
from ..worldstereo_core.tensor_writer import saying_why_not
from ..worldstereo_core.world.export import (
    ExportedWorld,
    ExportSettings,
    IfExists,
    Pictures,
    export_world,
    write_previews,
)
from ..worldstereo_core.world.export_targets import TARGETS
from .files import check_world_name, saved_result, world_folder
from .images import pictures as read_pictures
from .io_types import MemorySocket, TrajectorySocket
from .progress import node_progress

IF_EXISTS: tuple[IfExists, ...] = ("number", "stop", "replace")
PICTURES: tuple[Pictures, ...] = ("stills and video", "stills", "video")


class ExportWorld(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_ExportWorld",
            display_name="Export World",
            category="WorldStereo/export",
            description=(
                "Writes the world as one folder for another program, upright there: points, Gaussian splats, "
                "cameras, pictures, depth, and a scene.json that says what everything means."
            ),
            search_aliases=[
                "export",
                "blender",
                "unreal",
                "unity",
                "supersplat",
                "gaussian splat",
                "spz",
                "glb",
                "ply",
                "nerfstudio",
                "colmap",
                "exr",
            ],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="Points and views to export, in scene units."),
                io.Combo.Input(
                    "target",
                    options=list(TARGETS),
                    default="Blender",
                    tooltip="The program that opens the folder; it decides formats, axes and units. The help "
                    "page lists them.",
                ),
                io.String.Input(
                    "name",
                    default="worldstereo/export",
                    tooltip="Folder below ComfyUI's output folder.",
                ),
                io.Combo.Input(
                    "if_exists",
                    options=list(IF_EXISTS),
                    default="number",
                    tooltip="If the folder is there: number takes the next free name (_2, _3, ...), stop "
                    "says so, replace puts the new export in its place. Other folders are never replaced.",
                ),
                io.Float.Input(
                    "min_confidence",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Points with a lower confidence (0 to 1) are left out.",
                ),
                io.Float.Input(
                    "metres_per_unit",
                    default=1.0,
                    min=1e-6,
                    max=1e6,
                    step=0.001,
                    round=False,
                    tooltip="Length of a scene unit in metres: 1 for depth of a metric estimator. Used where "
                    "the program counts in metres.",
                ),
                TrajectorySocket.Input(
                    "trajectory",
                    optional=True,
                    tooltip="Cameras to write in the program's own format.",
                ),
                io.Image.Input(
                    "images", optional=True, tooltip="Frames of a clip, written as PNG stills and MP4."
                ),
                io.Combo.Input(
                    "pictures",
                    options=list(PICTURES),
                    default="stills and video",
                    optional=True,
                    tooltip="What becomes of the images.",
                ),
                io.Float.Input(
                    "fps",
                    default=0.0,
                    min=0.0,
                    max=240.0,
                    step=0.001,
                    optional=True,
                    tooltip="Frames per second of the video. 0 = the trajectory's, else 16.",
                ),
                io.Boolean.Input(
                    "depth",
                    default=False,
                    optional=True,
                    tooltip="Also write the depth of every view as 32-bit EXR: camera z in scene units.",
                ),
                io.Float.Input(
                    "splat_size",
                    default=0.6,
                    min=0.01,
                    max=10.0,
                    step=0.01,
                    optional=True,
                    advanced=True,
                    tooltip="Standard deviation of a splat as a share of the distance to its neighbours. 0.6 "
                    "closes gaps; more is softer.",
                ),
                io.Boolean.Input(
                    "confidence",
                    default=True,
                    optional=True,
                    advanced=True,
                    tooltip="Write each point's confidence into PLY. Off: smaller files.",
                ),
            ],
            outputs=[
                io.String.Output("folder", tooltip="Path of the folder."),
                io.File3DPLY.Output("points", tooltip="The points, y up, for Preview Point Cloud."),
                io.File3DPLY.Output("splats", tooltip="The splats, for Preview Splat and Save Splat."),
                io.String.Output("report", tooltip="What was written, and what a format could not hold."),
            ],
        )

    @classmethod
    def validate_inputs(cls, name) -> bool | str:
        return check_world_name(name)

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory,
        target: str = "Blender",
        name: str = "worldstereo/export",
        if_exists: IfExists = "number",
        min_confidence: float = 0.0,
        metres_per_unit: float = 1.0,
        trajectory: Trajectory | None = None,
        images: torch.Tensor | None = None,
        pictures: Pictures = "stills and video",
        fps: float = 0.0,
        depth: bool = False,
        splat_size: float = 0.6,
        confidence: bool = True,
    ) -> io.NodeOutput:
        folder = free_folder(world_folder(name), if_exists)
        settings = ExportSettings(
            target=target,
            min_confidence=min_confidence,
            has_confidence=confidence,
            metres_per_unit=metres_per_unit,
            splat_size=splat_size,
            has_depth=depth,
            pictures=pictures,
            fps=fps,
        )
        written = export_world(
            folder,
            memory,
            settings,
            trajectory=trajectory,
            frames=None if images is None else read_pictures("images", images),
            is_replaced=if_exists == "replace",
            progress=node_progress(),
        )
        shown: dict[str, Any] = {"text": (written.text,), "files": saved_files(written)}
        temporary = Path(folder_paths.get_temp_directory())
        temporary.mkdir(parents=True, exist_ok=True)
        with saying_why_not("points and splats for previews"):
            previews = write_previews(temporary / f"world_{uuid.uuid4().hex}", written, node_progress())
        points, splats = (Types.File3D(str(path), file_format="ply") for path in previews)
        return io.NodeOutput(str(folder), points, splats, written.text, ui=shown)


def free_folder(folder: Path, if_exists: IfExists) -> Path:
    """The folder itself, or with "number" the first of folder, folder_2, folder_3, ... that is free."""
    free, number = folder, 1
    while if_exists == "number" and free.exists():
        number += 1
        free = folder.with_name(f"{folder.name}_{number}")
    return free


def saved_files(written: ExportedWorld) -> tuple[ui.SavedResult, ...]:
    """The files beside scene.json for the node and for API users; those in folders are too many to list."""
    return tuple(saved_result(written.folder / name) for name in written.files if "/" not in name)
