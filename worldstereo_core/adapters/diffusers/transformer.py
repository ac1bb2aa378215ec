"""Builds diffusers' Wan transformer from a weight file under any of its namings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...checks import CheckpointError
from ...model.config import count_blocks
from ...model.key_names import summarise_keys, wan_name, wan_to_diffusers_key
from ...model.weight_files import read_weights

HEAD_WIDTH = 128
_UNUSED = "attn2.norm_added_q.weight"
# Parts that the released models keep in float32 whatever the rest is.
_FLOAT32_PARTS = ("time_embedder", "scale_shift_table", "norm1", "norm2", "norm3")


def load_wan_transformer(
    source: str | Path | Mapping[str, Tensor],
    *,
    num_heads: int | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Any:
    """Build a ``WanTransformer3DModel`` from a file or from tensors.

    Args:
        source: a weight file, or tensors, under original Wan (ComfyUI) or diffusers names.
        num_heads: attention heads; None = one per 128 channels, as in every Wan 2.1.
        dtype: computing dtype; None = as stored. Normalisations and the time embedding stay float32.
        device: where to put it; None = where the tensors are.

    Returns:
        The model in evaluation mode; sizes are read from the tensors' shapes.

    Raises: CheckpointError if it is not a whole Wan transformer.
    """
    from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

    if isinstance(source, Mapping):
        name, tensors = "backbone", source
    else:
        name, tensors = str(source), read_weights(source)[0]
    state = {wan_name(key): tensor for key, tensor in tensors.items() if not key.endswith(_UNUSED)}
    config = _config_from_shapes(state, name, num_heads)
    with torch.device("meta"):
        model = WanTransformer3DModel(**config)
    renamed = {wan_to_diffusers_key(key) or key: tensor for key, tensor in state.items()}
    check_fits(name, renamed, model.state_dict(), "Choose a Wan 2.1 I2V file.")
    model.load_state_dict(renamed, strict=True, assign=True)
    # The rope's tables are no part of the state: they were made on the meta device and are made again.
    rope = model.rope
    model.rope = type(rope)(rope.attention_head_dim, rope.patch_size, rope.max_seq_len)
    set_dtype(model, dtype)
    return model.to(device).eval() if device is not None else model.eval()


def check_fits(name: str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor], advice: str) -> None:
    """Compare tensors with a module's own, by name and shape.

    Raises: CheckpointError that lists every missing and unknown name.
    """
    missing = [key for key in expected if key not in state]
    unknown = [key for key in state if key not in expected]
    if missing or unknown:
        parts = [
            f"{len(keys)} tensors {what} ({summarise_keys(keys)})"
            for keys, what in ((missing, "missing"), (unknown, "unknown"))
            if keys
        ]
        raise CheckpointError(f"{name}: the file does not fit: {', '.join(parts)}. {advice}")
    for key, tensor in expected.items():
        if state[key].shape != tensor.shape:
            raise CheckpointError(
                f"{name}: {key} has shape {list(state[key].shape)}, expected {list(tensor.shape)}. {advice}"
            )


def set_dtype(model: nn.Module, dtype: torch.dtype | None) -> None:
    """Cast a transformer's parameters in place; what the released models keep in float32 stays there."""
    if dtype is None:
        return
    for name, parameter in model.named_parameters():
        keeps = any(part in name.split(".") for part in _FLOAT32_PARTS)
        parameter.data = parameter.data.to(torch.float32 if keeps else dtype)


def _config_from_shapes(state: Mapping[str, Tensor], name: str, num_heads: int | None) -> dict[str, Any]:
    needed = ("patch_embedding", "head.head", "blocks.0.ffn.0", "text_embedding.0", "time_embedding.0")
    absent = [f"{key}.weight" for key in needed if f"{key}.weight" not in state]
    if absent:
        raise CheckpointError(
            f"{name}: not a Wan transformer: {', '.join(absent)} missing among {len(state)} tensors. "
            "Choose a Wan 2.1 I2V file."
        )
    width, in_channels, *patch = state["patch_embedding.weight"].shape
    heads = num_heads if num_heads is not None else max(width // HEAD_WIDTH, 1)
    image = state.get("img_emb.proj.0.weight")
    image_keys = state.get("blocks.0.cross_attn.k_img.weight")
    positions = state.get("img_emb.emb_pos")
    cells = patch[0] * patch[1] * patch[2]
    return {
        "patch_size": tuple(patch),
        "num_attention_heads": heads,
        "attention_head_dim": width // heads,
        "in_channels": in_channels,
        "out_channels": state["head.head.weight"].shape[0] // cells,
        "text_dim": state["text_embedding.0.weight"].shape[1],
        "freq_dim": state["time_embedding.0.weight"].shape[1],
        "ffn_dim": state["blocks.0.ffn.0.weight"].shape[0],
        "num_layers": count_blocks(state, "blocks."),
        "cross_attn_norm": "blocks.0.norm3.weight" in state,
        "image_dim": None if image is None else image.shape[0],
        "added_kv_proj_dim": None if image_keys is None else image_keys.shape[1],
        "pos_embed_seq_len": None if positions is None else positions.shape[1],
    }
