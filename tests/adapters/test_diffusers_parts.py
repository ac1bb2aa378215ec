"""The control's optional parts on diffusers' Wan transformer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

pytest.importorskip("diffusers")

from tests.adapters.test_diffusers_backbone import (  # noqa: F401
    COLUMNS,
    FRAMES,
    HEIGHT,
    condition,
    inputs,
    loaded,
    models,
    random,
)
from worldstereo_core.adapters.diffusers.backbone import controlled_forward
from worldstereo_core.memory.token_correspondence import TokenCorrespondences
from worldstereo_core.model.control_parts import (
    GEOMETRY_CHANNELS,
    GLOBAL_INPUTS,
    PART_NAMES,
    PICTURE_CHANNELS,
    WARPED_CHANNELS,
    PartSizes,
    PartStrength,
    add_parts,
)


@pytest.fixture
def full(condition):  # noqa: F811
    pixels = (FRAMES, 8 * HEIGHT, 8 * COLUMNS)
    return replace(
        condition,
        global_vector=random(21, 1, GLOBAL_INPUTS),
        pictures=random(22, 1, PICTURE_CHANNELS, *pixels),
        warped_references=random(23, 1, WARPED_CHANNELS, FRAMES, HEIGHT, COLUMNS),
        geometry=random(24, 1, GEOMETRY_CHANNELS, *pixels),
        shared_surfaces=TokenCorrespondences(
            torch.tensor([0, 9]),
            torch.tensor([3, 1]),
            FRAMES * (HEIGHT // 2) * (COLUMNS // 2),
            2 * (HEIGHT // 2) * (COLUMNS // 2),
        ),
    )


def test_new_parts_change_nothing_to_the_bit(loaded, condition, full):  # noqa: F811
    plain = controlled_forward(loaded.backbone, loaded.control, condition, *inputs())
    grown = add_parts(loaded.control, PartSizes.all())
    assert torch.equal(controlled_forward(loaded.backbone, grown, full, *inputs()), plain)


def test_every_trained_part_acts(loaded, condition, full):  # noqa: F811
    plain = controlled_forward(loaded.backbone, loaded.control, condition, *inputs())
    grown = add_parts(loaded.control, PartSizes.all()).requires_grad_(False)
    generator = torch.Generator().manual_seed(3)
    for parameter in grown.parts.parameters():
        parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    off = PartStrength(*[0.0] * len(PART_NAMES))
    for name in PART_NAMES:
        strength = replace(off, **{name: 1.0})
        found = controlled_forward(loaded.backbone, grown, full, *inputs(), parts=strength)
        assert float((found - plain).abs().max()) > 1e-3, name
    assert torch.equal(controlled_forward(loaded.backbone, grown, full, *inputs(), parts=off), plain)
