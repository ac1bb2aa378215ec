"""Files onto sockets: WorldStereo checkpoints with a Wan backbone, and depth maps."""

from __future__ import annotations

import folder_paths
from comfy_api.latest import io

from .files import MODEL_FOLDER, check_input_file, fingerprint, list_files
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
                "Loads a WorldStereo file and, where the file is not a complete model, puts it on a Wan 2.1 "
                "image-to-video backbone. The report says what was loaded and which settings suit it."
            ),
            search_aliases=["worldstereo", "wan camera control", "world model", "loader", "checkpoint"],
            inputs=[
                io.Combo.Input(
                    "backbone",
                    options=["none", *folder_paths.get_filename_list("diffusion_models")],
                    default="none",
                    tooltip="Wan 2.1 I2V 14B file in models/diffusion_models that the WorldStereo file is "
                    "laid "
                    'over. "none" for a complete file such as memory-dmd (it brings its own backbone).',
                ),
                io.Combo.Input(
                    "worldstereo",
                    options=folder_paths.get_filename_list(MODEL_FOLDER),
                    tooltip="WorldStereo or Uni3C file in models/worldstereo: <name>.safetensors, or "
                    "<name>/model.safetensors with config.json beside it.",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    options=["default", "fp8_e4m3fn", "fp8_e5m2"],
                    default="default",
                    tooltip="How the backbone's weights are kept in memory. default: as in the file "
                    "(bf16: about 2 bytes per weight); fp8 halves that and loses a little precision.",
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
                    "and "
                    "CFG suit the file.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls, backbone, worldstereo, weight_dtype, variant="auto", reference_update="auto"
    ) -> io.NodeOutput:
        raise NotImplementedError


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
                    tooltip="Depth file in ComfyUI's input folder. NPZ may carry depth, K (pixels) and w2c; "
                    "the other formats carry depth alone. 0 and non-finite values mean no data.",
                ),
                io.Float.Input(
                    "scale",
                    default=1.0,
                    min=1e-6,
                    max=1e6,
                    step=0.001,
                    tooltip="Multiplies the file's values: scene units per value of the file, e.g. 0.001 for "
                    "millimetres in a 16-bit PNG when the scene is in metres.",
                ),
                io.Combo.Input(
                    "kind",
                    options=["depth", "disparity", "distance"],
                    default="depth",
                    tooltip="depth: straight ahead of the camera (z). disparity: 1 / depth, near is bright. "
                    "distance: along the line of sight, as some renderers save it (needs a field of view).",
                ),
                io.Float.Input(
                    "fov_deg",
                    display_name="horizontal fov (degrees)",
                    default=0.0,
                    min=0.0,
                    max=179.0,
                    step=0.1,
                    tooltip="Horizontal field of view of the camera in degrees. 0 takes K from the file; "
                    "a file "
                    "without K then leaves it to the node that uses the geometry.",
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
    def execute(cls, file, scale=1.0, kind="depth", fov_deg=0.0) -> io.NodeOutput:
        raise NotImplementedError
