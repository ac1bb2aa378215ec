"""The geometric memory: make it from a picture, look into it, save and load it."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from ..worldstereo_core.adapters.comfy.geometry_input import PictureKind, geometry_to_depth
from ..worldstereo_core.checks import ShapeError
from ..worldstereo_core.geometry.depth import EdgeMode
from ..worldstereo_core.memory.memory import GeometricMemory, initialise_memory
from ..worldstereo_core.memory.pictures import draw_memory
from ..worldstereo_core.memory.statistics import memory_statistics
from ..worldstereo_core.memory.storage import load_memory, save_memory
from ..worldstereo_core.tensor_writer import saying_why_not
from .files import check_input_file, fingerprint, input_path, list_files, output_path, saved_result
from .images import one_mask, one_picture
from .io_types import Da3GeometrySocket, MemorySocket, MogeGeometrySocket
from .places import edge_threshold_input
from .progress import node_progress


class CreateMemory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_CreateMemory",
            display_name="Create Geometric Memory",
            category="WorldStereo/memory",
            description=(
                "Lifts a picture into a coloured point cloud and starts the memory of the world with it. "
                "Depth comes from MoGe, Depth Anything 3, a depth file, or a depth picture."
            ),
            search_aliases=["point cloud", "worldstereo memory", "lift image", "depth to points", "3d cache"],
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The start picture, one frame, best at a WorldStereo size (sides in 16 px).",
                ),
                io.MultiType.Input(
                    "geometry",
                    types=[MogeGeometrySocket, Da3GeometrySocket, io.Image],
                    tooltip="Depth of the same picture at the same size: MoGe or Depth Anything 3 "
                    "geometry, Load Depth Map, or a depth picture (then set the field of view). Scene "
                    "units.",
                ),
                io.Float.Input(
                    "fov_deg",
                    display_name="horizontal fov (degrees)",
                    default=0.0,
                    min=0.0,
                    max=179.0,
                    step=0.1,
                    tooltip="Horizontal field of view of the picture, degrees. 0 takes it from the geometry.",
                ),
                edge_threshold_input(),
                io.Float.Input(
                    "far_contraction",
                    display_name="far contraction (× median depth)",
                    default=8.0,
                    min=0.0,
                    max=1000.0,
                    step=0.5,
                    tooltip="Depth beyond this many median depths is pulled in, to at most twice as far. 0 "
                    "= off.",
                ),
                io.Mask.Input(
                    "sky",
                    optional=True,
                    tooltip="Pixels to leave out of the cloud, 1 = sky. Without it the geometry's own mask "
                    "or sky is used.",
                ),
                io.Combo.Input(
                    "edge_mode",
                    options=["masked", "official"],
                    default="masked",
                    optional=True,
                    advanced=True,
                    tooltip="masked: depth edges are removed among pixels with data. official: as the "
                    "released code, which finds no edges once one pixel has no depth.",
                ),
                io.Combo.Input(
                    "depth_kind",
                    options=["depth", "disparity"],
                    default="depth",
                    optional=True,
                    advanced=True,
                    tooltip="What a depth picture's values mean: depth (far is bright) or disparity = 1 / "
                    "depth (near is bright). Not used for MoGe and Depth Anything geometry.",
                ),
            ],
            outputs=[
                MemorySocket.Output("memory", tooltip="Point cloud and bank of views, in scene units."),
                io.String.Output(
                    "report", tooltip="Points kept and dropped, median depth in scene units, field of view."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        geometry: Any,
        fov_deg: float = 0.0,
        edge_threshold: float = 0.35,
        far_contraction: float = 8.0,
        sky: Tensor | None = None,
        edge_mode: EdgeMode = "masked",
        depth_kind: PictureKind = "depth",
    ) -> io.NodeOutput:
        picture = one_picture("image", image)
        estimate = geometry_to_depth(geometry, picture_kind=depth_kind)
        if estimate.depth.shape[0] != 1:
            raise ShapeError(
                f"geometry: got depth of {estimate.depth.shape[0]} pictures, expected that of the one in "
                "image. Run the depth estimator on the start picture alone."
            )
        if estimate.depth.shape[1:] != picture.shape[1:]:
            raise ShapeError(
                f"geometry: got depth of {estimate.depth.shape[1]} x {estimate.depth.shape[2]} (height x "
                f"width), expected {picture.shape[1]} x {picture.shape[2]} as the image has. Run the depth "
                "estimator on the very picture that is wired to image."
            )
        memory = initialise_memory(
            picture,
            estimate.depth[0],
            estimate.require_K(fov_deg)[0],
            mask=None if sky is None else one_mask("sky", sky),
            edge_threshold=edge_threshold,
            far_contraction=far_contraction,
            edge_mode=edge_mode,
            confidence=None if estimate.confidence is None else estimate.confidence[0],
        )
        return io.NodeOutput(memory, memory.summary().text)


class InspectMemory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_InspectMemory",
            display_name="Memory Statistics",
            category="WorldStereo/memory",
            description="What a memory holds: points, views, scale and history, and the cloud seen from "
            "above.",
            search_aliases=["memory info", "inspect", "point count", "top view", "debug memory"],
            is_output_node=True,
            inputs=[MemorySocket.Input("memory", tooltip="The memory to look into.")],
            outputs=[
                io.String.Output("summary", tooltip="Points, views, median depth in scene units, history."),
                io.Image.Output("top_view", tooltip="The cloud from above with the views' cameras."),
            ],
        )

    @classmethod
    def execute(cls, memory: GeometricMemory) -> io.NodeOutput:
        text = memory_statistics(memory, progress=node_progress()).text
        view = draw_memory(memory)[None]
        shown = ui.PreviewImage(view, cls=cls).as_dict()
        return io.NodeOutput(text, view, ui={**shown, "text": (text,)})


class SaveMemory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_SaveMemory",
            display_name="Save Geometric Memory",
            category="WorldStereo/memory",
            description="Writes the whole memory into one safetensors file, to go on from there later.",
            search_aliases=["save world", "store memory", "checkpoint memory"],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="The memory to save: points, views, scale and history."),
                io.String.Input(
                    "filename_prefix",
                    default="worldstereo/memory",
                    tooltip="Name below ComfyUI's output folder; a number is added, nothing is overwritten.",
                ),
            ],
            outputs=[
                io.String.Output("file", tooltip="The file's name, as Load Geometric Memory takes it."),
            ],
        )

    @classmethod
    def execute(cls, memory: GeometricMemory, filename_prefix: str = "worldstereo/memory") -> io.NodeOutput:
        path, name = output_path(filename_prefix, ".safetensors")
        with saying_why_not(f"filename_prefix: {path.name}"):
            save_memory(path, memory, node_progress())
        summary = memory.summary()
        text = f"{summary.num_points:,} points and {summary.num_views} views in {name}"
        return io.NodeOutput(name, ui={"text": (text,), "files": (saved_result(path),)})


class LoadMemory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_LoadMemory",
            display_name="Load Geometric Memory",
            category="WorldStereo/memory",
            description="Reads a memory that Save Geometric Memory or the headless command wrote.",
            search_aliases=["load world", "restore memory", "resume"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=list_files((".safetensors",)),
                    tooltip="Memory file in ComfyUI's input folder, or one saved to the output folder.",
                ),
            ],
            outputs=[MemorySocket.Output("memory", tooltip="Point cloud and bank of views, in scene units.")],
        )

    @classmethod
    def validate_inputs(cls, file) -> bool | str:
        return check_input_file(file, "file")

    @classmethod
    def fingerprint_inputs(cls, file) -> object:
        return fingerprint(file, "file")

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        return io.NodeOutput(load_memory(input_path(file, "file")))
