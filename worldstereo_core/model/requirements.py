"""What a WorldStereo file is and what belongs beside it, in sentences for the loader's report."""

from __future__ import annotations

from collections.abc import Iterable

from .config import WorldStereoConfig
from .key_names import ranges


def describe_kind(config: WorldStereoConfig, *, is_uni3c: bool, is_complete: bool, has_weights: bool) -> str:
    """One sentence: the kind of file.

    Args:
        config: of the file.
        is_uni3c: it follows Uni3C's layout.
        is_complete: it brings a whole backbone.
        has_weights: it brings backbone tensors.
    """
    if is_uni3c:
        return "This is a Uni3C control: it follows point renders on stock Wan and changes no weight of it."
    what = {
        "camera": "camera model: it follows point renders and cameras, and takes no references",
        "memory": "memory model: it follows point renders and looks at reference views",
        "memory-dmd": "memory-dmd model: memory, distilled to few steps without CFG",
    }[config.variant]
    part = "complete, with its own backbone"
    if not is_complete:
        part = "an overlay for Wan 2.1" if has_weights else "control branch alone"
    return f"This is a WorldStereo {what} ({part})."


def describe_needs(
    config: WorldStereoConfig, *, is_complete: bool, is_uni3c: bool, has_image_encoder: bool = True
) -> list[str]:
    """Sentences: the files to load beside it, and how to sample.

    Args:
        config: of the file.
        is_complete: no backbone file is needed.
        is_uni3c: made for ordinary video of stock Wan.
        has_image_encoder: the backbone takes CLIP vision.
    """
    width = config.control.output_width
    backbone = "a Wan 2.1 I2V 14B backbone" if width == 5120 else f"a Wan 2.1 I2V backbone of width {width}"
    beside = [] if is_complete else [backbone]
    beside += ["wan_2.1_vae", "umt5_xxl as text encoder (type wan)"]
    beside.append(
        "clip_vision_h" if has_image_encoder else "no CLIP vision (this backbone has no use for it)"
    )
    sentences = [f"Beside it: {', '.join(beside)}.", _sampling(config, is_uni3c)]
    if not has_image_encoder:
        sentences.append(
            "This is Wan 2.2, and the control was trained on Wan 2.1: a guide of unknown strength. Apply it "
            "to the high-noise model, which settles the layout; on the low-noise model it is optional."
        )
    return sentences


def _sampling(config: WorldStereoConfig, is_uni3c: bool) -> str:
    if is_uni3c:
        return (
            f"Sample as your Wan model is sampled; {4 * (config.num_keyframes - 1) + 1} video frames make "
            f"{config.num_keyframes} latent frames, and core's VAE Decode makes the video."
        )
    schedule = config.schedule
    if config.variant == "memory-dmd":
        how = f"few-step (DMD) sigmas with {schedule.num_steps} steps, shift {schedule.shift:g}, Euler, CFG 1"
    else:
        how = (
            f"flow (UniPC) sigmas with {schedule.num_steps} steps, shift {schedule.shift:g}, Flow UniPC "
            "Sampler, CFG 5"
        )
    return f"Sample with {how}; first-frame mode {config.latent_condition_mode}."


def describe_weights(keys: Iterable[str]) -> str:
    """Where backbone tensors lie, in short: "self_attn, modulation of blocks 0-39; patch_embedding"."""
    blocks: set[int] = set()
    inside: dict[str, None] = {}
    outside: dict[str, None] = {}
    for key in keys:
        parts = key.split(".")
        if parts[0] == "blocks":
            blocks.add(int(parts[1]))
            inside[parts[2]] = None
        else:
            outside[parts[0]] = None
    text = [f"{', '.join(inside)} of blocks {ranges(sorted(blocks))}"] if blocks else []
    return "; ".join(text + list(outside))
