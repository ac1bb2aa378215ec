"""Worlds out of ComfyUI."""

from __future__ import annotations

from comfy_api.latest import io

from .io_types import MemorySocket


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
                    options=["Y up", "Z up", "Y down (OpenCV)"],
                    default="Y up",
                    tooltip="Which way is up in the file. Y up: ComfyUI's preview, Unity, glTF; Z up: "
                    "Blender, "
                    "Unreal; Y down: camera convention, unchanged.",
                ),
                io.Combo.Input(
                    "colours",
                    options=["from pictures", "by clip", "by confidence"],
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
            ],
            outputs=[
                io.File3DPLY.Output("ply", tooltip="Binary PLY; wire it to Preview or Save Point Cloud."),
                io.Int.Output("points", tooltip="How many points the file holds."),
            ],
        )

    @classmethod
    def execute(cls, memory, up_axis="Y up", colours="from pictures", min_confidence=0.0) -> io.NodeOutput:
        raise NotImplementedError
