"""Lays a WorldStereo file's backbone weights over any MODEL as patches that ComfyUI takes off again."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ...checks import CheckpointError, WorldStereoError
from ...model.backbone_kind import BackboneKind
from ...model.checkpoint import WorldStereoCheckpoint
from ...model.key_names import summarise_keys
from ...model.requirements import describe_weights
from .backbone import check_wan_model, unwrap
from .loader import (
    WEIGHTS_ATTACHMENT,
    LoadedWorldStereo,
    describe,
    file_label,
    read_worldstereo,
    reload_control,
)
from .loader_control import build_control

_PREFIX = "diffusion_model."


def apply_weights(
    model: Any,
    worldstereo_path: str | Path,
    *,
    control_only: bool = False,
    control_dtype: str = "default",
    overrides: Mapping[str, Any] | None = None,
) -> LoadedWorldStereo:
    """Put a WorldStereo or Uni3C file on a MODEL from any loader.

    The clone's weights are replaced when ComfyUI loads it and put back when it unloads it. LoRAs act on the
    replaced weights, whichever node comes first.

    Args:
        model: MODEL; cast, quantised and GGUF ones too.
        worldstereo_path: as in ``load_worldstereo``.
        control_only: leave every weight of the model as it is: for a model that has them already.
        control_dtype: how the control branch is kept in memory, a key of ``WEIGHT_DTYPES``.
        overrides: settings that win over the file's.

    Returns:
        The patched clone, the control and the report.

    Raises: CheckpointError, naming the input, if the file is damaged or complete, or does not fit the model;
        WorldStereoError if weights of a WorldStereo file are on the model already.
    """
    checkpoint = read_worldstereo(worldstereo_path, overrides)
    name = file_label(worldstereo_path)
    network = unwrap(model.get_model_object("diffusion_model"))
    check_wan_model(network, checkpoint.config)
    kind = BackboneKind(
        network.dim, len(network.blocks), network.in_dim, getattr(network, "img_emb", None) is not None
    )
    weights = {} if control_only else dict(checkpoint.backbone_state)
    if weights:
        _check_weights(model, checkpoint, kind, weights, name)
        applied = (
            f"Applied to the model ({kind.name}): {len(weights)} of its tensors are replaced by the file's "
            f"own ({describe_weights(weights)}), before any LoRA."
        )
    else:
        applied = f"Applied to the model ({kind.name}): no weight of it is changed."
        if checkpoint.backbone_state:
            applied += " It must have this file's weights already, from a merged model."
    patched = model.clone()
    _patch(patched, weights)
    if weights:
        patched.set_attachments(WEIGHTS_ATTACHMENT, name)
    control = build_control(checkpoint, control_dtype)
    control.cached_patcher_init = (reload_control, (worldstereo_path, control_dtype, overrides))
    report = describe(checkpoint, applied, kind.has_image_encoder)
    return LoadedWorldStereo(patched, control, report, checkpoint.config)


def _patch(patched: Any, weights: Mapping[str, Tensor]) -> None:
    leaves = _weights_that_patches_reach(patched.model)
    for key, value in weights.items():
        name = _PREFIX + key
        if name in leaves:
            # In front of every LoRA: a "set" replaces what earlier patches made of the weight.
            entry = (1.0, ("set", (value,)), 1.0, None, None)
            patched.patches[name] = [entry, *patched.patches.get(name, [])]
        else:
            # ComfyUI's weight patches skip parameters of modules with children (modulation).
            patched.add_object_patch(name, nn.Parameter(value, requires_grad=False))
    patched.patches_uuid = uuid.uuid4()


def _weights_that_patches_reach(network: Any) -> set[str]:
    """Names of parameters in modules without parametered children, which ComfyUI's loading goes through."""
    found = set()
    for name, module in network.named_modules():
        own = [parameter for parameter, _ in module.named_parameters(recurse=False)]
        if len(own) == sum(1 for _ in module.parameters()):
            found.update(f"{name}.{parameter}" for parameter in own)
    return found


def _check_weights(
    model: Any,
    checkpoint: WorldStereoCheckpoint,
    kind: BackboneKind,
    weights: Mapping[str, Tensor],
    name: str,
) -> None:
    earlier = model.get_attachment(WEIGHTS_ATTACHMENT)
    if earlier is not None:
        raise WorldStereoError(
            f"model: the weights of {earlier} are applied to it already, and {name} would replace them. "
            "Connect the model from its loader, without the other Apply WorldStereo Weights node."
        )
    if checkpoint.is_complete:
        raise CheckpointError(
            f"worldstereo: {name} is complete: it would replace every weight of the model, and all of them "
            "would be held twice. Load it with Load WorldStereo Model (backbone none). If the model has "
            'these weights already, from Save Merged Model, set weights to "control only".'
        )
    if not kind.has_image_encoder:
        raise CheckpointError(
            f"model: this is {kind.name}, without image encoder. {len(weights)} weights of {name} were "
            "fine-tuned inside Wan 2.1 and would meet layers that they never saw. Load a Wan 2.1 "
            "image-to-video model. (A file with a control branch alone, such as Uni3C, can be used.)"
        )
    # Of parameters, not of the state dict: packed formats know their shape there alone.
    network = unwrap(model.model.diffusion_model)
    shapes = {key: tuple(value.shape) for key, value in network.named_parameters()}
    absent = [key for key in weights if key not in shapes]
    if absent:
        raise CheckpointError(
            f"model: {len(absent)} tensors of {name} do not exist in it: {summarise_keys(absent)}. Load the "
            "Wan 2.1 image-to-video model that the file was trained on."
        )
    for key, value in weights.items():
        if shapes[key] != tuple(value.shape):
            raise CheckpointError(
                f"model: {key} has shape {list(shapes[key])}, {name} has {list(value.shape)}. Load the Wan "
                "2.1 image-to-video model that the file was trained on."
            )
