"""Files onto sockets: WorldStereo checkpoints with a Wan backbone, and depth maps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io

from ..worldstereo_core.adapters.comfy.geometry_input import depth_to_geometry
from ..worldstereo_core.adapters.comfy.loader import (
    MODEL_FOLDER,
    SAVED_CONTROL_FOLDER,
    WEIGHT_DTYPES,
    load_worldstereo,
)
from ..worldstereo_core.adapters.comfy.loader_patches import apply_weights
from ..worldstereo_core.adapters.comfy.loader_saving import STORAGE_DTYPES, save_merged
from ..worldstereo_core.formats.depth_files import read_depth
from ..worldstereo_core.geometry.cameras import fov_to_K
from ..worldstereo_core.geometry.depth_kinds import DepthKind, stored_to_depth
from ..worldstereo_core.geometry.pictures import depth_to_pictures
from .files import (
    check_input_file,
    fingerprint,
    input_path,
    list_files,
    model_path,
    output_path,
    saved_result,
)
from .images import to_image
from .io_types import MogeGeometrySocket
from .progress import node_progress

DEPTH_EXTENSIONS = (".exr", ".npz", ".npy", ".png")


def _backbone_input() -> io.Combo.Input:
    return io.Combo.Input(
        "backbone",
        options=["none", *folder_paths.get_filename_list("diffusion_models")],
        default="none",
        tooltip="Wan 2.1 I2V 14B file in models/diffusion_models that the WorldStereo file is laid over. "
        '"none" for a complete file such as memory-dmd (it brings its own backbone).',
    )


def _worldstereo_input() -> io.Combo.Input:
    return io.Combo.Input(
        "worldstereo",
        options=folder_paths.get_filename_list(MODEL_FOLDER),
        tooltip="WorldStereo or Uni3C file in models/worldstereo: <name>.safetensors, or "
        "<name>/model.safetensors with config.json beside it.",
    )


def _settings_inputs() -> list[io.Combo.Input]:
    return [
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
    ]


def _report_output() -> io.String.Output:
    return io.String.Output(
        "report",
        tooltip="Short sentences: what the file is, what belongs beside it, how to sample, what was applied "
        "and what was assumed.",
    )


def _overrides(variant: str, reference_update: str) -> dict[str, Any]:
    return {
        "variant": None if variant == "auto" else variant,
        "reference_update": None if reference_update == "auto" else reference_update == "on",
    }


def _backbone_path(backbone: str) -> Path | None:
    return None if backbone == "none" else model_path("diffusion_models", backbone, "backbone")


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
                _backbone_input(),
                _worldstereo_input(),
                io.Combo.Input(
                    "weight_dtype",
                    options=list(WEIGHT_DTYPES),
                    default="default",
                    tooltip="How the backbone's weights are kept. default: as stored, read from the file "
                    "when needed (bf16: 2 bytes per weight). fp8: half of bf16 and a little less precise, "
                    "but the converted copy lies in main memory.",
                ),
                *_settings_inputs(),
            ],
            outputs=[
                io.Model.Output("model", tooltip="The Wan model with WorldStereo's own weights in place."),
                io.ModelPatch.Output(
                    "control",
                    tooltip="Control branch with camera embedding, and the schedule the file was made for.",
                ),
                _report_output(),
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
            _backbone_path(backbone),
            model_path(MODEL_FOLDER, worldstereo, "worldstereo"),
            weight_dtype,
            overrides=_overrides(variant, reference_update),
            progress=node_progress(),
        )
        return io.NodeOutput(loaded.model, loaded.control, loaded.report, ui={"text": (loaded.report,)})


class ApplyWeights(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_ApplyWeights",
            display_name="Apply WorldStereo Weights",
            category="WorldStereo/loaders",
            description=(
                "Puts a WorldStereo or Uni3C file on a Wan 2.1 image-to-video model from any loader: Load "
                "Diffusion Model, GGUF, fp8, with or without LoRAs. Removing the node restores the model."
            ),
            search_aliases=["gguf", "fp8", "lora", "uni3c", "overlay", "patch model", "merge"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="Wan 2.1 I2V of the file's size (14B for released files). LoRAs may come before "
                    "or after this node, the result is the same.",
                ),
                _worldstereo_input(),
                io.Combo.Input(
                    "weights",
                    options=["apply", "control only"],
                    default="apply",
                    tooltip="apply: the file's own backbone weights replace the model's. An fp8 or quantised "
                    "model rounds them to its own precision again; Load WorldStereo Model does not. control "
                    "only: the model's weights stay; for a model saved by Save Merged Model.",
                ),
                *_settings_inputs(),
            ],
            outputs=[
                io.Model.Output("model", tooltip="The model with the file's own weights in place."),
                io.ModelPatch.Output(
                    "control",
                    tooltip="Control branch with camera embedding, and the schedule the file was made for.",
                ),
                _report_output(),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        worldstereo: str,
        weights: str = "apply",
        variant: str = "auto",
        reference_update: str = "auto",
    ) -> io.NodeOutput:
        loaded = apply_weights(
            model,
            model_path(MODEL_FOLDER, worldstereo, "worldstereo"),
            control_only=weights == "control only",
            overrides=_overrides(variant, reference_update),
        )
        return io.NodeOutput(loaded.model, loaded.control, loaded.report, ui={"text": (loaded.report,)})


class SaveMergedModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_SaveMergedModel",
            display_name="Save Merged Model",
            category="WorldStereo/loaders",
            description=(
                "Writes the backbone with a WorldStereo file's own weights in it as one file that any Wan "
                "loader or GGUF converter takes, and the control branch beside it. Needs disk space, hardly "
                "any memory."
            ),
            search_aliases=[
                "merge model",
                "export model",
                "convert checkpoint",
                "gguf",
                "save diffusion model",
            ],
            is_output_node=True,
            inputs=[
                _backbone_input(),
                _worldstereo_input(),
                io.Combo.Input(
                    "dtype",
                    options=list(STORAGE_DTYPES),
                    default="as stored",
                    tooltip="as stored: every weight as in its file. bf16, fp16: 2 bytes per weight. fp8: 1 "
                    "byte per weight of the blocks, and a little precision lost.",
                ),
                io.Boolean.Input(
                    "save_control",
                    default=True,
                    tooltip="Also write the control branch (about 2 GB) to output/worldstereo_control, where "
                    "Apply WorldStereo Weights and Load WorldStereo Model list it. The WorldStereo file is "
                    "then not needed any more.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="diffusion_models/worldstereo_merged",
                    tooltip="Below ComfyUI's output folder; a number is added. Files in its "
                    "diffusion_models are listed by Load Diffusion Model.",
                ),
                *_settings_inputs(),
            ],
            outputs=[
                io.String.Output("file", tooltip="Path of the saved model."),
                _report_output(),
            ],
        )

    @classmethod
    def execute(
        cls,
        worldstereo: str,
        backbone: str = "none",
        dtype: str = "as stored",
        save_control: bool = True,
        filename_prefix: str = "diffusion_models/worldstereo_merged",
        variant: str = "auto",
        reference_update: str = "auto",
    ) -> io.NodeOutput:
        path, _ = output_path(filename_prefix, ".safetensors")
        control = Path(folder_paths.get_output_directory()) / SAVED_CONTROL_FOLDER / path.name
        report = save_merged(
            _backbone_path(backbone),
            model_path(MODEL_FOLDER, worldstereo, "worldstereo"),
            path,
            control if save_control else None,
            dtype,
            overrides=_overrides(variant, reference_update),
            progress=node_progress(),
        )
        return io.NodeOutput(str(path), report, ui={"text": (report,), "files": (saved_result(path),)})


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
