"""What of ComfyUI the pack builds on, looked for once at start: a version that lacks some of it is told so in
one sentence."""

from __future__ import annotations

import importlib
import logging

from ...checks import WorldStereoError

logger = logging.getLogger(__name__)

OLDEST = "0.26.0"

# Module -> names in it, dots for attributes. All are in 0.26.0 and 0.33.0.
NEEDED: dict[str, tuple[str, ...]] = {
    "comfy_api.latest": (
        "ComfyExtension",
        "Types.File3D",
        "io.ClipVisionOutput",
        "io.Custom",
        "io.ModelPatch",
        "io.MultiType",
        "io.Sampler",
        "io.Sigmas",
        "ui.ImageSaveHelper.save_animated_webp",
        "ui.PreviewImage",
    ),
    "comfy.ldm.modules.attention": ("optimized_attention",),
    "comfy.ldm.wan.model": ("WanModel.rope_encode", "sinusoidal_embedding_1d"),
    "comfy.ldm.wan.vae": ("WanVAE",),
    "comfy.model_base": ("BaseModel.get_dtype_inference", "BaseModel.memory_required"),
    "comfy.model_management": ("free_memory", "throw_exception_if_processing_interrupted"),
    "comfy.model_patcher": (
        "CoreModelPatcher",
        "ModelPatcher.add_wrapper_with_key",
        "ModelPatcher.get_model_object",
        "ModelPatcher.remove_wrappers_with_key",
    ),
    "comfy.ops": ("manual_cast",),
    "comfy.patcher_extension": (
        "WrappersMP.DIFFUSION_MODEL",
        "WrappersMP.OUTER_SAMPLE",
        "WrappersMP.PREPARE_SAMPLING",
    ),
    "comfy.sample": ("prepare_noise", "sample_custom"),
    "comfy.samplers": ("KSAMPLER", "sampler_object"),
    "comfy.sd": ("load_diffusion_model_state_dict",),
    "comfy.utils": ("ProgressBar",),
    "folder_paths": ("add_model_folder_path", "get_save_image_path"),
}
# Without these everything works but one thing, named here.
HELPFUL: dict[str, tuple[tuple[str, ...], str]] = {
    "latent_preview": (
        ("MAX_PREVIEW_RESOLUTION", "get_previewer"),
        "previews while sampling show one frame instead of all key frames",
    ),
}


def check_comfyui() -> None:
    """Check that this ComfyUI has what the nodes use; say what will not work if it has most of it.

    Raises: WorldStereoError that names what is missing and the oldest version that has it.
    """
    missing = [name for module, names in NEEDED.items() for name in missing_names(module, names)]
    if missing:
        raise WorldStereoError(
            f"This ComfyUI ({_version()}) lacks {', '.join(missing)}, which the WorldStereo nodes need; "
            f"expected version {OLDEST} or newer. Update ComfyUI, or, if it is newer, the WorldStereo nodes."
        )
    for module, (names, consequence) in HELPFUL.items():
        absent = missing_names(module, names)
        if absent:
            logger.warning(
                "WorldStereo: this ComfyUI (%s) lacks %s: %s.", _version(), ", ".join(absent), consequence
            )


def missing_names(module: str, names: tuple[str, ...]) -> list[str]:
    """Those of the names that a module lacks; all of them if there is no such module."""
    try:
        found = importlib.import_module(module)
    except ImportError:
        return [f"{module}.{name}" for name in names]
    return [f"{module}.{name}" for name in names if not _has(found, name)]


def _has(owner: object, name: str) -> bool:
    for part in name.split("."):
        if not hasattr(owner, part):
            return False
        owner = getattr(owner, part)
    return True


def _version() -> str:
    try:
        from comfyui_version import __version__
    except ImportError:
        return "unknown version"
    return __version__
