"""Worlds out of ComfyUI."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from comfy_api.latest import Types, io

from ..worldstereo_core.checks import WorldStereoError
from ..worldstereo_core.formats.ply import write_ply
from ..worldstereo_core.formats.point_axes import UpAxis
from ..worldstereo_core.memory.memory import GeometricMemory
from ..worldstereo_core.memory.pictures import Colouring, recoloured
from ..worldstereo_core.tensor_writer import saying_why_not
from .files import output_path, saved_result
from .io_types import MemorySocket
from .progress import node_progress

UP_AXES: dict[str, UpAxis] = {"Y up": "y", "Z up": "z", "Y down (OpenCV)": "-y"}
COLOURS: dict[str, Colouring] = {
    "from pictures": "pictures",
    "by clip": "clip",
    "by confidence": "confidence",
}


class ExportPointCloud(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_ExportPointCloud",
            display_name="Point Cloud from Memory",
            category="WorldStereo/export",
            description=(
                "The memory's points as a PLY file, for core's point-cloud preview and save nodes and for "
                "Blender, Unreal, MeshLab."
            ),
            search_aliases=["ply", "export point cloud", "save ply", "3d export"],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="The memory whose points are exported, in scene units."),
                io.Combo.Input(
                    "up_axis",
                    options=list(UP_AXES),
                    default="Y up",
                    tooltip="Which way is up in the file. Y up: ComfyUI's preview, Unity, glTF; Z up: "
                    "Blender, Unreal; Y down: camera convention, unchanged.",
                ),
                io.Combo.Input(
                    "colours",
                    options=list(COLOURS),
                    default="from pictures",
                    tooltip="Point colours: as in the pictures, one colour per clip, or confidence 0 "
                    "(dark) to 1.",
                ),
                io.Float.Input(
                    "min_confidence",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Points with a lower confidence (0 to 1) are left out.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="",
                    optional=True,
                    tooltip="Also write the file, under this name below ComfyUI's output folder; a number "
                    "is added. Empty: nothing is written.",
                ),
            ],
            outputs=[
                io.File3DPLY.Output("ply", tooltip="Binary PLY; wire it to Preview or Save Point Cloud."),
                io.Int.Output("points", tooltip="How many points the file holds."),
            ],
        )

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory,
        up_axis: str = "Y up",
        colours: str = "from pictures",
        min_confidence: float = 0.0,
        filename_prefix: str = "",
    ) -> io.NodeOutput:
        points = memory.points.select(memory.points.confidence >= min_confidence)
        if points.num_points == 0:
            raise WorldStereoError(
                f"min_confidence: none of the {memory.points.num_points:,} points reaches "
                f"{min_confidence:g}, expected at least one. Lower it."
            )
        points = recoloured(points, COLOURS[colours])
        file = BytesIO()
        write_ply(file, points, up_axis=UP_AXES[up_axis], progress=node_progress())
        file.seek(0)
        shown: dict[str, Any] = {"text": (f"{points.num_points:,} points, {up_axis}",)}
        if filename_prefix.strip():
            path, _ = output_path(filename_prefix.strip(), ".ply")
            with saying_why_not(f"filename_prefix: {path.name}"):
                write_ply(path, points, up_axis=UP_AXES[up_axis], progress=node_progress())
            shown["3d"] = (saved_result(path),)
        return io.NodeOutput(Types.File3D(file, file_format="ply"), points.num_points, ui=shown)
