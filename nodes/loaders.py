"""Files onto sockets: WorldStereo checkpoints with a Wan backbone, and depth maps."""

from __future__ import annotations

import math

import folder_paths
from comfy_api.latest import io

from ..worldstereo_core.adapters.comfy.geometry_input import depth_to_geometry
from ..worldstereo_core.adapters.comfy.loader import MODEL_FOLDER, WEIGHT_DTYPES, load_worldstereo
from ..worldstereo_core.formats.depth_files import read_depth
from ..worldstereo_core.geometry.cameras import fov_to_K
from ..worldstereo_core.geometry.depth_kinds import DepthKind, stored_to_depth
from ..worldstereo_core.geometry.pictures import depth_to_pictures
from .files import check_input_file, fingerprint, input_path, list_files, model_path
from .images import to_image
from .io_types import MogeGeometrySocket

DEPTH_EXTENSIONS = (".exr", ".npz", ".npy", ".png")


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_LoadModel",
            display_name="Load WorldStereo Model",
            category="WorldStereo/loaders",
            description=(
                "Loads a WorldStereo file and, where the file is not a complete model, puts it on a Wan "
                "2.1 image-to-video backbone. The report says what was loaded and which settings suit it."
            ),
            search_aliases=["worldstereo", "wan camera control", "world model", "loader", "checkpoint"],
            inputs=[
                io.Combo.Input(
                    "backbone",
                    options=["none", *folder_paths.get_filename_list("diffusion_models")],
                    default="none",
                    tooltip="Wan 2.1 I2V 14B file in models/diffusion_models that the WorldStereo file is "
                    'laid over. "none" for a complete file such as memory-dmd (it brings its own '
                    "backbone).",
                ),
                io.Combo.Input(
                    "worldstereo",
                    options=folder_paths.get_filename_list(MODEL_FOLDER),
                    tooltip="WorldStereo or Uni3C file in models/worldstereo: <name>.safetensors, or "
                    "<name>/model.safetensors with config.json beside it.",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    options=list(WEIGHT_DTYPES),
                    default="default",
                    tooltip="How the backbone's weights are kept in memory. default: as in the file (bf16: "
                    "about 2 bytes per weight); fp8 halves that and loses a little precision.",
                ),
                io.Combo.Input(
                    "variant",
                    options=["auto", "camera", "memory", "memory-dmd"],
                    default="auto",
                    optional=True,
                    advanced=True,
                    tooltip="What the file is. auto reads config.json, then the file's metadata, then its "
                    "tensors. Set it for a file without config: memory and memory-dmd look alike.",
                ),
                io.Combo.Input(
                    "reference_update",
                    options=["auto", "on", "off"],
                    default="auto",
                    optional=True,
                    advanced=True,
                    tooltip="Whether reference pictures change from block to block (on) or are fed in anew "
                    "(off). auto follows the file's config, else on. Memory files only.",
                ),
            ],
            outputs=[
                io.Model.Output("model", tooltip="The Wan model with WorldStereo's own weights in place."),
                io.ModelPatch.Output(
                    "control",
                    tooltip="Control branch with camera embedding, and the schedule the file was made for.",
                ),
                io.String.Output(
                    "report",
                    tooltip="Short sentences: what was loaded, what was assumed, which mode, steps, shift "
                    "and CFG suit the file.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        backbone: str,
        worldstereo: str,
        weight_dtype: str = "default",
        variant: str = "auto",
        reference_update: str = "auto",
    ) -> io.NodeOutput:
        loaded = load_worldstereo(
            None if backbone == "none" else model_path("diffusion_models", backbone, "backbone"),
            model_path(MODEL_FOLDER, worldstereo, "worldstereo"),
            weight_dtype,
            overrides={
                "variant": None if variant == "auto" else variant,
                "reference_update": None if reference_update == "auto" else reference_update == "on",
            },
        )
        return io.NodeOutput(loaded.model, loaded.control, loaded.report)


class LoadDepth(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_LoadDepth",
            display_name="Load Depth Map",
            category="WorldStereo/loaders",
            description=(
                "Reads depth from a file (EXR, NPZ, NPY or 16-bit PNG) as geometry that memory nodes and "
                "core's MoGe nodes take. Use it for depth rendered in Blender, Nuke and the like."
            ),
            search_aliases=["exr", "npz", "depth file", "z depth", "blender depth", "import depth"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=list_files(DEPTH_EXTENSIONS),
                    tooltip="Depth file in ComfyUI's input folder. NPZ may carry depth, K (pixels) and "
                    "w2c; the other formats carry depth alone. 0 and non-finite values mean no data.",
                ),
                io.Float.Input(
                    "scale",
                    default=1.0,
                    min=1e-6,
                    max=1e6,
                    step=0.001,
                    tooltip="Multiplies the depth. 16-bit PNG counts as millimetres and becomes metres at "
                    "1.0; the other formats keep their units at 1.0.",
                ),
                io.Combo.Input(
                    "kind",
                    options=["depth", "disparity", "distance"],
                    default="depth",
                    tooltip="depth: straight ahead of the camera (z). disparity: 1 / depth, near is "
                    "bright. distance: along the line of sight, as some renderers save it (needs a field "
                    "of view).",
                ),
                io.Float.Input(
                    "fov_deg",
                    display_name="horizontal fov (degrees)",
                    default=0.0,
                    min=0.0,
                    max=179.0,
                    step=0.1,
                    tooltip="Horizontal field of view of the camera in degrees. 0 takes K from the file; a "
                    "file without K then leaves it to the node that uses the geometry.",
                ),
            ],
            outputs=[
                MogeGeometrySocket.Output(
                    "geometry", tooltip="Depth in scene units (camera z) with field of view where known."
                ),
                io.Image.Output(
                    "preview", tooltip="The depth as a picture: near is bright, no data is black."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, file) -> bool | str:
        return check_input_file(file, "file")

    @classmethod
    def fingerprint_inputs(cls, file, **kwargs) -> object:
        return fingerprint(file, "file")

    @classmethod
    def execute(
        cls, file: str, scale: float = 1.0, kind: DepthKind = "depth", fov_deg: float = 0.0
    ) -> io.NodeOutput:
        stored = read_depth(input_path(file, "file"))
        height, width = stored.depth.shape[-2:]
        K = stored.K if fov_deg == 0 else fov_to_K(math.radians(fov_deg), height, width)
        K = None if K is None else K.reshape(-1, 3, 3)
        depth = stored_to_depth(stored.depth.reshape(-1, height, width), kind, scale, K)
        return io.NodeOutput(depth_to_geometry(depth, K), to_image(depth_to_pictures(depth)))
