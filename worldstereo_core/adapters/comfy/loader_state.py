"""The tensors of a backbone with a WorldStereo file's own laid over them, mapped and not read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ...checks import CheckpointError, WorldStereoError
from ...model.backbone_kind import BackboneKind, backbone_kind, check_kind
from ...model.checkpoint import WorldStereoCheckpoint, diffusers_to_wan_key, merge_backbone
from ...model.requirements import describe_weights
from ...model.weight_files import read_weights

# What quantised files keep beside a layer's weight.
_QUANT_PARTS = (
    "comfy_quant",
    "weight_scale",
    "weight_scale_2",
    "weight_s_rel",
    "weight_s_channel",
    "weight_codebook",
    "pre_quant_scale",
    "scale_weight",
    "input_scale",
    "scale_input",
)
_PREFIXES = ("model.diffusion_model.", "diffusion_model.")


@dataclass(frozen=True)
class MergedState:
    """A whole transformer's tensors.

    Attributes:
        tensors: under Wan names; views of the mapped files.
        metadata: of the backbone file, with replaced layers taken out of its list of quantised ones.
        kind: of the backbone.
        applied: a sentence about what was laid over what.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    kind: BackboneKind
    applied: str


@contextmanager
def of_input(name: str, path: str | Path) -> Iterator[None]:
    """Let an error that begins with a file's path begin with the node input that the file comes from."""
    try:
        yield
    except WorldStereoError as error:
        text = str(error)
        if not text.startswith(str(path)):
            raise
        raise type(error)(f"{name}: {Path(path).name}{text.removeprefix(str(path))}") from error


def read_mapped(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file as ``read_weights`` does, through ComfyUI where that loads straight from the disk.

    Raises: CheckpointError.
    """
    import comfy.memory_management
    import comfy.utils

    # A damaged file gets our sentence; nothing but the header is read here.
    tensors, metadata = read_weights(path)
    if comfy.memory_management.aimdo_enabled and Path(path).suffix == ".safetensors":
        # These tensors know their place in the file, and dynamic loading reads them from there to the GPU.
        tensors, metadata = comfy.utils.load_torch_file(str(path), return_metadata=True)
    return tensors, dict(metadata or {})


def merged_state(checkpoint: WorldStereoCheckpoint, backbone_path: str | Path | None) -> MergedState:
    """Lay a WorldStereo file's own backbone tensors over a backbone file's.

    Raises: CheckpointError, naming the input, if the backbone is missing, damaged or of another kind.
    """
    if checkpoint.is_complete:
        applied = "The WorldStereo file is complete and brings its own backbone."
        if backbone_path is not None:
            applied += f" {Path(backbone_path).name} is not needed and was not read; choose none."
        tensors = dict(checkpoint.backbone_state)
        return MergedState(
            tensors,
            {},
            _checked_kind(checkpoint, tensors, f"worldstereo: {Path(checkpoint.source).name}"),
            applied,
        )
    if backbone_path is None:
        raise CheckpointError(
            f"backbone: got none, but {Path(checkpoint.source).name} is not complete: it lacks "
            f"{len(checkpoint.missing_backbone_keys) or 'all'} backbone tensors. Choose the Wan 2.1 "
            f"image-to-video model of width {checkpoint.config.control.output_width} "
            "(14B for the released files)."
        )
    name = Path(backbone_path).name
    with of_input("backbone", backbone_path):
        base, metadata = _read_backbone(backbone_path)
    kind = _checked_kind(checkpoint, base, f"backbone: {name}")
    # What a file lacks of image cross-attention, a Wan 2.2 backbone lacks rightly.
    missing = [key for key in checkpoint.missing_backbone_keys if key not in base]
    if missing:
        raise CheckpointError(
            f"backbone: {name} lacks {len(missing)} tensors that a Wan image-to-video model has, the first "
            f"is {missing[0]}. The file is incomplete; download it again."
        )
    count = len(base)
    metadata = _unquantise(base, metadata, checkpoint.backbone_state)
    return MergedState(
        merge_backbone(base, checkpoint), metadata, kind, _describe_merge(checkpoint, kind, name, count)
    )


def _describe_merge(checkpoint: WorldStereoCheckpoint, kind: BackboneKind, name: str, count: int) -> str:
    where = f"Applied to {name} ({kind.name})"
    if checkpoint.backbone_state:
        weights = describe_weights(checkpoint.backbone_state)
        number = len(checkpoint.backbone_state)
        where += f": {number} of its {count} tensors replaced by the file's own ({weights})."
    else:
        where += ": no weight of it is changed."
    return where


def _read_backbone(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if Path(path).suffix.lower() == ".gguf":
        raise CheckpointError(
            f"{path}: this is a GGUF file. Load it with a GGUF loader node and connect its MODEL to Apply "
            "WorldStereo Weights."
        )
    tensors, metadata = read_mapped(path)
    prefix = next((p for p in _PREFIXES if any(key.startswith(p) for key in tensors)), "")
    state = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
    if "head.modulation" not in state and "proj_out.weight" in state:
        # Diffusers' names, which ComfyUI has no map for.
        state = {new: value for key, value in state.items() if (new := diffusers_to_wan_key(key)) is not None}
    return state, metadata


def _checked_kind(checkpoint: WorldStereoCheckpoint, base: Mapping[str, Tensor], name: str) -> BackboneKind:
    kind = backbone_kind(base)
    if kind is None:
        if any(key.startswith("controlnet.") for key in base):
            raise CheckpointError(
                f"{name}: this is a WorldStereo or Uni3C file. Choose it in worldstereo, and a Wan 2.1 "
                "image-to-video file here."
            )
        first = ", ".join(list(base)[:3]) or "none"
        raise CheckpointError(
            f"{name}: not a Wan model (no patch_embedding or head.modulation; its first tensors are "
            f"{first}). Choose a Wan 2.1 image-to-video file."
        )
    check_kind(checkpoint, kind)
    return kind


def _unquantise(
    base: dict[str, Tensor], metadata: dict[str, str], overridden: Mapping[str, Tensor]
) -> dict[str, str]:
    """Drop the quantisation of the layers whose weights are about to be replaced; the others keep theirs."""
    layers = {key.removesuffix(".weight") for key in overridden if key.endswith(".weight")}
    for layer in layers:
        found = [name for part in _QUANT_PARTS if (name := f"{layer}.{part}") in base]
        for name in found:
            del base[name]
        if found:
            # Packed weights have another shape than the layer; the replacement has the right one.
            base[f"{layer}.weight"] = overridden[f"{layer}.weight"]
    if "_quantization_metadata" not in metadata:
        return metadata
    described = json.loads(metadata["_quantization_metadata"])
    described["layers"] = {name: value for name, value in described["layers"].items() if name not in layers}
    return {**metadata, "_quantization_metadata": json.dumps(described)}
