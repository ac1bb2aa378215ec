"""Names of Wan's tensors: the original (ComfyUI's) and the diffusers naming, by rule, both ways."""

from __future__ import annotations

import re

_OUTSIDE_BLOCKS = {
    "patch_embedding": "patch_embedding",
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.image_embedder.norm1": "img_emb.proj.0",
    "condition_embedder.image_embedder.ff.net.0.proj": "img_emb.proj.1",
    "condition_embedder.image_embedder.ff.net.2": "img_emb.proj.3",
    "condition_embedder.image_embedder.norm2": "img_emb.proj.4",
    "proj_out": "head.head",
}
_ATTENTION = {
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "o",
    "add_k_proj": "k_img",
    "add_v_proj": "v_img",
}
# Wan's norm3 is the affine norm before cross-attention; diffusers calls it norm2 and gives the name norm3 to
# a norm without parameters.
_IN_BLOCKS = {
    "norm2": "norm3",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
    **{f"attn1.{theirs}": f"self_attn.{ours}" for theirs, ours in list(_ATTENTION.items())[:4]},
    **{f"attn2.{theirs}": f"cross_attn.{ours}" for theirs, ours in _ATTENTION.items()},
}
_NORMS_IN_BLOCKS = {
    "attn1.norm_q": "self_attn.norm_q",
    "attn1.norm_k": "self_attn.norm_k",
    "attn2.norm_q": "cross_attn.norm_q",
    "attn2.norm_k": "cross_attn.norm_k",
    "attn2.norm_added_k": "cross_attn.norm_k_img",
}


def _with_parameters(names: dict[str, str], parameters: tuple[str, ...]) -> dict[str, str]:
    return {f"{a}.{p}": f"{b}.{p}" for a, b in names.items() for p in parameters}


_WHOLE_KEYS = {
    **_with_parameters(_OUTSIDE_BLOCKS, ("weight", "bias")),
    "condition_embedder.image_embedder.pos_embed": "img_emb.emb_pos",
    "scale_shift_table": "head.modulation",
}
_BLOCK_KEYS = {
    **_with_parameters(_IN_BLOCKS, ("weight", "bias")),
    **_with_parameters(_NORMS_IN_BLOCKS, ("weight",)),
    "scale_shift_table": "modulation",
}
_WHOLE_KEYS_BACK = {wan: diffusers for diffusers, wan in _WHOLE_KEYS.items()}
_BLOCK_KEYS_BACK = {wan: diffusers for diffusers, wan in _BLOCK_KEYS.items()}
_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")
_IMAGE_PARTS = ("img_emb.", "cross_attn.k_img", "cross_attn.v_img", "cross_attn.norm_k_img")


def _translate(key: str, whole: dict[str, str], in_block: dict[str, str]) -> str | None:
    match = _BLOCK.fullmatch(key)
    if match is None:
        return whole.get(key)
    name = in_block.get(match[2])
    return None if name is None else f"blocks.{match[1]}.{name}"


def diffusers_to_wan_key(key: str) -> str | None:
    """Original Wan name of a diffusers name, or None if Wan has no such tensor."""
    return _translate(key, _WHOLE_KEYS, _BLOCK_KEYS)


def wan_to_diffusers_key(key: str) -> str | None:
    """Diffusers name of an original Wan name, or None if Wan has no such tensor."""
    return _translate(key, _WHOLE_KEYS_BACK, _BLOCK_KEYS_BACK)


def strip_prefix(key: str) -> str:
    """Take off the prefixes that other programs put before a transformer's names."""
    for prefix in ("model.diffusion_model.", "diffusion_model."):
        if key.startswith(prefix):
            return key[len(prefix) :]
    return key


def wan_name(key: str) -> str:
    """Original Wan name of a key under Wan, ComfyUI or diffusers names; unknown ones lose a prefix only."""
    key = strip_prefix(key)
    return diffusers_to_wan_key(key) or key


def wan_keys(num_blocks: int, is_image_to_video: bool = True) -> list[str]:
    """Every original name of a Wan 2.1 transformer, without the optional image position embedding."""
    whole = [key for key in _WHOLE_KEYS_BACK if key != "img_emb.emb_pos"]
    keys = whole + [f"blocks.{index}.{key}" for index in range(num_blocks) for key in _BLOCK_KEYS_BACK]
    if is_image_to_video:
        return keys
    return [key for key in keys if not any(part in key for part in _IMAGE_PARTS)]


def summarise_keys(keys: list[str]) -> str:
    """Every key by name, in one line: numbers that count blocks are folded into ranges."""
    groups: dict[str, list[int]] = {}
    for key in keys:
        match = re.search(r"blocks\.(\d+)\.", key)
        pattern = key if match is None else f"{key[: match.start(1)]}{{}}{key[match.end(1) :]}"
        groups.setdefault(pattern, []).extend([] if match is None else [int(match[1])])
    names = []
    for pattern, numbers in groups.items():
        found = sorted(numbers)
        text = str(found[0]) if len(found) == 1 else "{" + ranges(found) + "}" if found else ""
        names.append(pattern.format(text) if found else pattern)
    return ", ".join(names)


def ranges(numbers: list[int]) -> str:
    """Sorted numbers in short: ``[0, 1, 2, 5]`` -> ``"0-2,5"``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
