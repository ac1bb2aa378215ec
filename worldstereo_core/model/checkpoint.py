"""WorldStereo files: what they hold, for which backbone, and what is missing or unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checks import CheckpointError
from .backbone_kind import check_backbone
from .checkpoint_settings import SettingsReader, find_settings
from .config import WorldStereoConfig, control_sizes_from_shapes, count_blocks
from .control_parts import PREFIX, part_sizes_from_shapes
from .key_names import (
    diffusers_to_wan_key,
    strip_prefix,
    summarise_keys,
    wan_keys,
    wan_name,
    wan_to_diffusers_key,
)
from .weight_files import read_weights
from .world_control import WorldStereoControl

__all__ = [
    "WorldStereoCheckpoint",
    "check_backbone",
    "checkpoint_from_tensors",
    "diffusers_to_wan_key",
    "load_checkpoint",
    "merge_backbone",
    "wan_to_diffusers_key",
]

_TOP_LEVEL_CONTROL = ("controlnet_patch_embedding.", "controlnet_mask_embedding.")  # Uni3C's layout
_PATCH = "controlnet.controlnet_patch_embedding."


@dataclass(frozen=True)
class WorldStereoCheckpoint:
    """A WorldStereo file, sorted.

    Attributes:
        config: sizes and settings.
        control_state: fits ``WorldStereoControl(config)`` strictly.
        backbone_state: backbone tensors under original Wan (ComfyUI) names; memory-mapped, may be empty.
        is_complete: the backbone part needs no backbone file beside it.
        unknown_keys: keys of the file that mean nothing to us.
        unused_keys: known keys that the network never reads.
        missing_backbone_keys: Wan names that a backbone beside this file must bring (empty when complete).
        report: sentences about what was found and assumed.
        source: the file, for messages.
        is_uni3c: a Uni3C control: its embeddings lie outside the control branch, or it is a control branch
            alone that takes video frames.
    """

    config: WorldStereoConfig
    control_state: Mapping[str, Tensor]
    backbone_state: Mapping[str, Tensor]
    is_complete: bool
    unknown_keys: tuple[str, ...]
    unused_keys: tuple[str, ...]
    missing_backbone_keys: tuple[str, ...]
    report: tuple[str, ...]
    source: str
    is_uni3c: bool = False

    def describe(self) -> str:
        """The report as one text, a sentence per line."""
        return "\n".join(self.report)

    @property
    def num_backbone_blocks(self) -> int:
        """One more than the highest block that the file overrides; 0 for a control-only file."""
        return count_blocks(self.backbone_state, "blocks.")


def load_checkpoint(
    path: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    reader: Callable[[Path], tuple[dict[str, Tensor], dict[str, str]]] = read_weights,
) -> WorldStereoCheckpoint:
    """Read a WorldStereo or Uni3C control file.

    Args:
        path: a folder with ``model.safetensors`` (and ``config.json``), such a ``model.safetensors`` itself,
            a flat ``<name>.safetensors`` (settings from its metadata or ``<name>.json``), or a ``.pth``.
        overrides: settings that win over the file's: ``variant`` ("camera", "memory", "memory-dmd") and
            ``reference_update`` (bool); None values are ignored.
        reader: reads the tensors; ``weight_files.read_weights`` or one with the same result.

    Raises: CheckpointError, naming the file, if it is damaged, of another family or incomplete.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "model.safetensors"
    tensors, metadata = reader(path)
    settings, source = find_settings(path, metadata)
    return checkpoint_from_tensors(
        tensors, settings, settings_source=source, overrides=overrides, source=str(path)
    )


def checkpoint_from_tensors(
    tensors: Mapping[str, Tensor],
    settings: Mapping[str, Any] | None = None,
    *,
    settings_source: str = "config.json",
    overrides: Mapping[str, Any] | None = None,
    source: str = "WorldStereo file",
) -> WorldStereoCheckpoint:
    """Sort tensors under released, Uni3C or Wan names; see ``load_checkpoint``.

    Args:
        tensors: name to tensor; never copied.
        settings: the contents of config.json, or None if there is none.
        settings_source: where the settings come from, for the report.
        overrides: as in ``load_checkpoint``.
        source: the file's name, for messages.

    Raises: CheckpointError.
    """
    control, backbone, unused, unknown = _sort_keys(tensors, source)
    if not control:
        raise CheckpointError(_wrong_family(source, tensors, backbone))
    notes: list[str] = []
    _complete_patch_embedding(control, backbone, source, notes)
    reader = SettingsReader(settings, settings_source, overrides)
    sizes = control_sizes_from_shapes(control, reader.num_heads(control), reader.flag("interp", False))
    camera = control.get("camera_embedding.0.weight")
    config = WorldStereoConfig(
        control=sizes,
        camera_token_width=None if camera is None else camera.shape[1],
        parts=part_sizes_from_shapes(control),
        **reader.settings(has_camera_embedding=camera is not None),
    )
    reader.compare_sizes(sizes)
    stray = _check_control_state(control, config, source)
    unknown += stray
    is_complete, missing = _backbone_coverage(backbone)
    checkpoint = WorldStereoCheckpoint(
        config=config,
        control_state={key: value for key, value in control.items() if key not in stray},
        backbone_state=backbone,
        is_complete=is_complete,
        unknown_keys=tuple(sorted(unknown)),
        unused_keys=tuple(sorted(unused)),
        missing_backbone_keys=tuple(missing),
        report=(),
        source=source,
        is_uni3c=any(strip_prefix(key).startswith(_TOP_LEVEL_CONTROL) for key in tensors)
        or (not backbone and sizes.mask_kernel > 1),
    )
    report = [*_describe(checkpoint, len(tensors)), *notes, *reader.notes]
    return replace(checkpoint, report=tuple(report))


def merge_backbone(base: Mapping[str, Tensor], checkpoint: WorldStereoCheckpoint) -> dict[str, Tensor]:
    """Overlay the file's backbone tensors on a base; nothing is copied.

    Args:
        base: tensors under Wan, ComfyUI or diffusers names; empty if the file is complete.
        checkpoint: the WorldStereo file.

    Returns:
        All tensors under Wan names.

    Raises: CheckpointError if a tensor's shape differs from the base's, or the base lacks it.
    """
    base = {wan_name(key): tensor for key, tensor in base.items()}
    absent = [key for key in checkpoint.backbone_state if base and key not in base]
    if absent:
        raise CheckpointError(
            f"backbone: {len(absent)} tensors of {checkpoint.source} do not exist in it: "
            f"{summarise_keys(absent)}. Choose a Wan 2.1 I2V 14B backbone."
        )
    for key, value in checkpoint.backbone_state.items():
        if base and base[key].shape != value.shape:
            raise CheckpointError(
                f"backbone: {key} has shape {list(base[key].shape)}, {checkpoint.source} has "
                f"{list(value.shape)}. Choose a Wan 2.1 I2V backbone of width "
                f"{checkpoint.config.control.output_width}."
            )
    return {**base, **checkpoint.backbone_state}


def _sort_keys(
    tensors: Mapping[str, Tensor], source: str
) -> tuple[dict[str, Tensor], dict[str, Tensor], list[str], list[str]]:
    control: dict[str, Tensor] = {}
    backbone: dict[str, Tensor] = {}
    unused: list[str] = []
    unknown: list[str] = []
    for original, tensor in tensors.items():
        key = strip_prefix(original)
        if key.startswith(_TOP_LEVEL_CONTROL):
            key = f"controlnet.{key}"
        if key.startswith("ref_index_embedding.") or key.endswith(".attn2.norm_added_q.weight"):
            unused.append(original)
            continue
        if key.startswith(("controlnet.", "camera_embedding.", PREFIX)):
            target, name = control, key
        else:
            name = diffusers_to_wan_key(key) or (key if wan_to_diffusers_key(key) else None)
            if name is None:
                unknown.append(original)
                continue
            target = backbone
        if name in target:
            raise CheckpointError(
                f"{source}: two tensors mean {name} (the second is {original}). The file mixes naming "
                "schemes; download it again."
            )
        target[name] = tensor
    return control, backbone, unused, unknown


def _wrong_family(source: str, tensors: Mapping[str, Tensor], backbone: Mapping[str, Tensor]) -> str:
    names = list(tensors)
    if backbone:
        kind = "it holds a Wan backbone alone. Put it into the backbone input"
    elif any(name.startswith(("encoder.", "decoder.")) for name in names):
        kind = "it looks like a VAE. Load it with a VAE loader"
    elif any("lora" in name.lower() for name in names):
        kind = "it looks like a LoRA. Load it with a LoRA loader"
    else:
        kind = f"its first names are {', '.join(names[:3])}" if names else "it holds no tensor"
    return (
        f"{source}: no control branch found among {len(names)} tensors (expected names that begin with "
        f"controlnet.): {kind}, and choose a WorldStereo file here."
    )


def _complete_patch_embedding(
    control: dict[str, Tensor], backbone: Mapping[str, Tensor], source: str, notes: list[str]
) -> None:
    """Give a control branch without a patch embedding the backbone's, which training starts it from."""
    missing = [part for part in ("weight", "bias") if _PATCH + part not in control]
    if not missing:
        return
    if "patch_embedding.weight" not in backbone or "patch_embedding.bias" not in backbone:
        raise CheckpointError(
            f"{source}: {_PATCH}weight is missing, and the file has no backbone patch embedding to take "
            "its place. The file is incomplete; download it again."
        )
    for part in missing:
        control[_PATCH + part] = backbone[f"patch_embedding.{part}"]
    notes.append("The control branch has no patch embedding of its own: the backbone's is used.")


def _check_control_state(control: dict[str, Tensor], config: WorldStereoConfig, source: str) -> list[str]:
    """Compare the control tensors with the module they are for; return keys the module does not have."""
    expected = WorldStereoControl(config, device=torch.device("meta")).state_dict()
    missing = [key for key in expected if key not in control]
    if missing:
        raise CheckpointError(
            f"{source}: {len(missing)} of {len(expected)} control tensors are missing: "
            f"{summarise_keys(missing)}. The file is incomplete; download it again."
        )
    for key, tensor in expected.items():
        if control[key].shape != tensor.shape:
            raise CheckpointError(
                f"{source}: {key} has shape {list(control[key].shape)}, expected {list(tensor.shape)} from "
                "the other tensors' sizes. The file is damaged or of another model."
            )
    return [key for key in control if key not in expected]


def _backbone_coverage(backbone: Mapping[str, Tensor]) -> tuple[bool, list[str]]:
    """Decide from the keys present whether the backbone part stands alone, and list what it lacks."""
    if not backbone:
        return False, []
    missing = [key for key in wan_keys(count_blocks(backbone, "blocks.")) if key not in backbone]
    return not missing, missing


def _describe(checkpoint: WorldStereoCheckpoint, num_tensors: int) -> list[str]:
    config, sizes = checkpoint.config, checkpoint.config.control
    kind = "complete" if checkpoint.is_complete else "overlay"
    known = num_tensors - len(checkpoint.unknown_keys)
    lines = [
        f"{config.variant} {kind}: {known} of {num_tensors} tensors recognised; control branch "
        f"{sizes.num_blocks} blocks, width {sizes.width}, {sizes.num_heads} heads"
        + ("" if checkpoint.is_complete else f"; needs a Wan 2.1 I2V backbone of width {sizes.output_width}")
        + "."
    ]
    rays = "hole mask and camera rays" if sizes.takes_rays else "hole mask alone"
    rate = "key frame" if sizes.mask_kernel == 1 else f"video frame (temporal kernel {sizes.mask_kernel})"
    lines.append(f"The control branch takes the {rays}, one per {rate}.")
    if config.parts.names:
        lines.append(f"Optional parts beside the released ones: {', '.join(config.parts.names)}.")
    if checkpoint.backbone_state:
        count = len(checkpoint.backbone_state)
        tail = "make a complete backbone" if checkpoint.is_complete else "override the backbone beside it"
        lines.append(f"{count} backbone tensors {tail}.")
    if not checkpoint.is_uni3c:
        lines.append(_intended_use(config))
    if checkpoint.unused_keys:
        names = summarise_keys(list(checkpoint.unused_keys))
        lines.append(f"{len(checkpoint.unused_keys)} tensors are known and unused: {names}.")
    if checkpoint.unknown_keys:
        names = summarise_keys(list(checkpoint.unknown_keys))
        lines.append(f"{len(checkpoint.unknown_keys)} tensors are unknown and ignored: {names}.")
    return lines


def _intended_use(config: WorldStereoConfig) -> str:
    if config.variant == "memory-dmd":
        dmd = config.dmd
        steps = f"{dmd.num_steps} DMD steps from {dmd.start:g} with shift {dmd.shift:g}, CFG 1"
    else:
        steps = "40 UniPC steps, CFG 5"
    parts = [steps, f"{config.num_keyframes} key frames", f"first-frame mode {config.latent_condition_mode}"]
    if config.takes_references:
        parts.append(f"reference update {'on' if config.updates_references else 'off'}")
    return f"Made for: {', '.join(parts)}."
