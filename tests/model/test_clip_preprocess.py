"""Pictures for CLIP vision."""

from __future__ import annotations

import pytest
import torch

from worldstereo_core.checks import ShapeError
from worldstereo_core.model.clip_preprocess import CLIP_MEAN, CLIP_STD, clip_pixels


def test_one_colour_is_normalised_by_hand():
    pixels = clip_pixels(torch.tensor([0.2, 0.4, 0.6]).view(3, 1, 1).expand(3, 30, 50))
    assert pixels.shape == (1, 3, 224, 224)
    expected = (torch.tensor([51, 102, 153]) / 255 - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)
    torch.testing.assert_close(pixels, expected.view(1, 3, 1, 1).expand_as(pixels))


def test_released_pipelines_leave_levels_up_to_255():
    white = torch.ones(3, 20, 20)
    pixels = clip_pixels(white, is_rescaled=False)
    expected = (255 - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)
    torch.testing.assert_close(pixels[0, :, 0, 0], expected)


def test_the_middle_of_a_wide_picture_is_kept():
    image = torch.zeros(3, 32, 96)
    image[:, :, 32:64] = 1
    pixels = clip_pixels(image, size=32, is_rescaled=False)
    assert bool((pixels > 500).all())


def test_the_middle_of_a_tall_picture_is_kept():
    image = torch.zeros(3, 96, 32)
    image[:, 32:64] = 1
    assert bool((clip_pixels(image, size=32, is_rescaled=False) > 500).all())


def test_batches_are_refused():
    with pytest.raises(ShapeError, match="Give one RGB picture"):
        clip_pixels(torch.zeros(1, 3, 8, 8))
