"""Loads a WorldStereo file onto a Wan backbone as ComfyUI's MODEL and MODEL_PATCH."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ...checks import CheckpointError
from ...model.checkpoint import WorldStereoCheckpoint, load_checkpoint
from ...model.config import WorldStereoConfig
from ...model.requirements import describe_kind, describe_needs
from .loader_control import build_control
from .loader_model import WEIGHT_DTYPES, Progress, model_from_state
from .loader_state import MergedState, merged_state, of_input, read_mapped

__all__ = [
    "MODEL_FOLDER",
    "WEIGHT_DTYPES",
    "LoadedWorldStereo",
    "build_control",
    "build_model",
    "load_worldstereo",
    "register_model_folder",
]

logger = logging.getLogger(__name__)

MODEL_FOLDER = "worldstereo"
# Below ComfyUI's output folder: control branches saved beside merged models.
SAVED_CONTROL_FOLDER = "worldstereo_control"
# Under this name a MODEL says which WorldStereo file's weights it has.
WEIGHTS_ATTACHMENT = "worldstereo_weights"


class LoadedWorldStereo(NamedTuple):
    """What the loader node hands on.

    Attributes:
        model: MODEL, a ModelPatcher of ComfyUI's Wan with the file's own weights in place.
        control: MODEL_PATCH, a ModelPatcher of a WorldStereoControl; ``control.model.config`` has its
            settings.
        report: what was loaded, what it needs and what was assumed, a sentence per line.
        config: the file's sizes and settings.
    """

    model: Any
    control: Any
    report: str
    config: WorldStereoConfig


SMALL_MODEL = Path(__file__).resolve().parents[3] / "weights" / "small"


def register_model_folder() -> None:
    """Make ComfyUI look for WorldStereo files in ``models/worldstereo``, and for the small model's here.

    Safe to call again.
    """
    import folder_paths

    folder_paths.add_model_folder_path(MODEL_FOLDER, str(Path(folder_paths.models_dir) / MODEL_FOLDER))
    saved = Path(folder_paths.get_output_directory()) / SAVED_CONTROL_FOLDER
    folder_paths.add_model_folder_path(MODEL_FOLDER, str(saved))
    # The small model that comes with the pack; ComfyUI looks here last, so that files of the user's win.
    for kind in ("vae", MODEL_FOLDER):
        folder_paths.add_model_folder_path(kind, str(SMALL_MODEL / kind))
    # Without extensions ComfyUI would list config.json and README files too.
    folder_paths.folder_names_and_paths[MODEL_FOLDER][1].update({".safetensors", ".pth", ".pt"})


def read_worldstereo(path: str | Path, overrides: Mapping[str, Any] | None = None) -> WorldStereoCheckpoint:
    """Read a WorldStereo file for a node's ``worldstereo`` input.

    Raises: CheckpointError, naming the input.
    """
    with of_input("worldstereo", path):
        return load_checkpoint(path, overrides=overrides, reader=read_mapped)


def file_label(path: str | Path) -> str:
    """A file's name as the loaders list it: released files are all called model.safetensors."""
    path = Path(path)
    return f"{path.parent.name}/{path.name}" if path.stem == "model" else path.name


def load_worldstereo(
    backbone_path: str | Path | None,
    worldstereo_path: str | Path,
    weight_dtype: str = "default",
    overrides: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> LoadedWorldStereo:
    """Load a WorldStereo file with the backbone it needs.

    Args:
        backbone_path: a Wan 2.1 image-to-video file, or None when the WorldStereo file is complete.
        worldstereo_path: ``<name>/model.safetensors`` or a flat file; see ``load_checkpoint``.
        weight_dtype: a key of ``WEIGHT_DTYPES``, how weights are kept in memory. "default" is as they are
            stored. fp8 concerns the backbone alone.
        overrides: settings that win over the file's (variant, reference_update).
        progress: called with (weights converted, weights to convert) if ``weight_dtype`` differs from the
            file's; may raise to stop.

    Raises: CheckpointError, naming the input, if a file is damaged, the backbone is of another kind, or it is
        missing although the WorldStereo file needs one.
    """
    checkpoint = read_worldstereo(worldstereo_path, overrides)
    model, merged = build_model(checkpoint, backbone_path, weight_dtype, progress=progress)
    arguments = (backbone_path, worldstereo_path, weight_dtype, overrides)
    model.cached_patcher_init = (_reload_model, arguments)
    if checkpoint.backbone_state:
        model.set_attachments(WEIGHTS_ATTACHMENT, file_label(worldstereo_path))
    control = build_control(checkpoint, weight_dtype, progress=progress)
    control.cached_patcher_init = (reload_control, (worldstereo_path, weight_dtype, overrides))
    report = describe(checkpoint, merged.applied, merged.kind.has_image_encoder)
    logger.info("WorldStereo: %s", report)
    return LoadedWorldStereo(model, control, report, checkpoint.config)


def describe(checkpoint: WorldStereoCheckpoint, applied: str, has_image_encoder: bool = True) -> str:
    """The report of a loader: kind, needs, what was applied, then details and assumptions."""
    facts = {"is_uni3c": checkpoint.is_uni3c, "is_complete": checkpoint.is_complete}
    kind = describe_kind(checkpoint.config, has_weights=bool(checkpoint.backbone_state), **facts)
    needs = describe_needs(checkpoint.config, has_image_encoder=has_image_encoder, **facts)
    return "\n".join([kind, *needs, applied, checkpoint.describe()])


def build_model(
    checkpoint: WorldStereoCheckpoint,
    backbone_path: str | Path | None,
    weight_dtype: str = "default",
    disable_dynamic: bool = False,
    progress: Progress | None = None,
) -> tuple[Any, MergedState]:
    """Make a MODEL of a backbone file with the checkpoint's own backbone tensors in place.

    Returns:
        The ModelPatcher, and what it was made of.

    Raises: CheckpointError.
    """
    merged = merged_state(checkpoint, backbone_path)
    model = model_from_state(merged.tensors, merged.metadata, weight_dtype, disable_dynamic, progress)
    if model is None:
        raise CheckpointError(
            f"backbone: ComfyUI does not recognise the model that {Path(checkpoint.source).name} makes with "
            "it. Choose a Wan 2.1 image-to-video file."
        )
    return model, merged


def _reload_model(
    backbone_path: str | Path | None,
    worldstereo_path: str | Path,
    weight_dtype: str,
    overrides: Mapping[str, Any] | None,
    disable_dynamic: bool = False,
) -> Any:
    checkpoint = read_worldstereo(worldstereo_path, overrides)
    return build_model(checkpoint, backbone_path, weight_dtype, disable_dynamic)[0]


def reload_control(
    worldstereo_path: str | Path,
    weight_dtype: str,
    overrides: Mapping[str, Any] | None,
    disable_dynamic: bool = False,
) -> Any:
    """Make the same control again: what ComfyUI calls for another patcher of it."""
    return build_control(read_worldstereo(worldstereo_path, overrides), weight_dtype, disable_dynamic)
