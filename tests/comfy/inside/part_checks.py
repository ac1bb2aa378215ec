"""Checks of the control's optional parts, run under ComfyUI's Python; each returns figures to judge."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tiny_graph import FRAMES, HEIGHT, WIDTH, Calls, difference, load, make_condition, random, sample

from worldstereo_core.adapters.comfy.loader import LoadedWorldStereo, load_worldstereo
from worldstereo_core.adapters.comfy.patch import apply_control
from worldstereo_core.memory.token_correspondence import TokenCorrespondences
from worldstereo_core.model.checkpoint import load_checkpoint
from worldstereo_core.model.condition import ControlCondition
from worldstereo_core.model.control_parts import (
    GEOMETRY_CHANNELS,
    GLOBAL_INPUTS,
    PART_NAMES,
    PICTURE_CHANNELS,
    PREFIX,
    WARPED_CHANNELS,
    PartSizes,
    PartStage,
    add_parts,
)
from worldstereo_core.model.world_control import WorldStereoControl


def load_with_parts(weights: str, folder: str, trained: bool) -> LoadedWorldStereo:
    """The memory file with every part beside its own tensors, loaded as the loader node does."""
    source = Path(weights) / "worldstereo-memory" / "model.safetensors"
    checkpoint = load_checkpoint(source)
    control = WorldStereoControl(checkpoint.config)
    parts = add_parts(control, PartSizes.all()).parts
    assert parts is not None
    state = {PREFIX + key: value.clone() for key, value in parts.state_dict().items()}
    if trained:
        generator = torch.Generator().manual_seed(3)
        state = {key: 0.05 * torch.randn(value.shape, generator=generator) for key, value in state.items()}
    target = Path(folder) / "worldstereo-memory" / "model.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({**load_file(source), **state}, target)
    shutil.copy(source.with_name("config.json"), target.with_name("config.json"))
    return load_worldstereo(Path(weights) / "wan_base_comfy.safetensors", target, "fp32")


def full_condition() -> ControlCondition:
    pixels = (FRAMES, 8 * HEIGHT, 8 * WIDTH)
    return replace(
        make_condition(),
        global_vector=random(1, GLOBAL_INPUTS, seed=21),
        pictures=random(1, PICTURE_CHANNELS, *pixels, seed=22),
        warped_references=random(1, WARPED_CHANNELS, FRAMES, HEIGHT, WIDTH, seed=23),
        geometry=random(1, GEOMETRY_CHANNELS, *pixels, seed=24),
        shared_surfaces=TokenCorrespondences(
            torch.tensor([0, 9]),
            torch.tensor([3, 1]),
            FRAMES * (HEIGHT // 2) * (WIDTH // 2),
            2 * (HEIGHT // 2) * (WIDTH // 2),
        ),
    )


def new_parts(weights: str, folder: str) -> float:
    """Largest difference that parts straight from their initialisation make."""
    plain = load(weights)
    grown = load_with_parts(weights, folder, trained=False)
    return difference(
        sample(apply_control(plain.model, plain.control, make_condition())),
        sample(apply_control(grown.model, grown.control, full_condition())),
    )


def trained_parts(weights: str, folder: str) -> dict[str, float]:
    """Difference to the released parts alone: of each part, and of all of them switched off."""
    plain = load(weights)
    released = sample(apply_control(plain.model, plain.control, make_condition()))
    grown = load_with_parts(weights, folder, trained=True)
    figures = {}
    for kept in (*PART_NAMES, "none"):
        stages = [PartStage(name, float(name == kept)) for name in PART_NAMES]
        model = apply_control(grown.model, grown.control, full_condition(), parts=stages)
        figures[kept] = difference(sample(model), released)
    return figures


def part_stage(weights: str, folder: str) -> dict[str, int]:
    """Model calls in which a part acted, by the share of the sampling it was given."""
    grown = load_with_parts(weights, folder, trained=True)
    counts = {}
    for label, start, end in (("whole", 0.0, 1.0), ("first half", 0.0, 0.5), ("second half", 0.5, 1.0)):
        calls = Calls()
        stage = PartStage("geometry", 1.0, start, end)
        sample(
            apply_control(grown.model, grown.control, full_condition(), parts=[stage], probe=calls), cfg=1.0
        )
        counts[label] = calls.count("geometry")
        assert calls.count("pictures") == 3
    return counts
