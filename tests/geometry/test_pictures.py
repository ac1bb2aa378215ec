"""Pictures fitted to a size, and depth made visible."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.geometry.pictures import (
    depth_to_linear,
    depth_to_pictures,
    fade_uncertain,
    fit_pictures,
    limit_size,
    paste_first_frame,
    soft_step,
)
from worldstereo_core.geometry.render import RenderedFrames


def test_crop_cuts_both_sides_evenly():
    # Columns 0..7 hold their number; a square crop of 4 rows keeps columns 2..5.
    picture = (torch.arange(8.0) / 8).expand(1, 3, 4, 8)
    assert fit_pictures(picture, 4, 4, "crop")[0, 0, 0].tolist() == pytest.approx([0.25, 0.375, 0.5, 0.625])


def test_stretch_keeps_the_borders():
    picture = torch.zeros(1, 3, 8, 16)
    picture[..., 0:2] = 1
    stretched = fit_pictures(picture, 8, 8, "stretch")
    assert stretched[0, 0, 4, 0] > 0.7 and stretched[0, 0, 4, 4] == 0
    assert fit_pictures(picture, 8, 8, "crop").max() == 0


def test_a_fitting_picture_comes_back_unchanged():
    picture = torch.rand(2, 3, 8, 10)
    assert fit_pictures(picture, 8, 10) is picture


def test_results_stay_between_black_and_white():
    picture = (torch.rand(1, 3, 9, 7, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    fitted = fit_pictures(picture, 32, 48)
    assert fitted.shape == (1, 3, 32, 48)
    assert fitted.min() >= 0 and fitted.max() <= 1


def test_a_grey_picture_is_refused_with_its_shape():
    with pytest.raises(ShapeError, match=r"image: got a tensor of shape \[1, 1, 8, 8\]"):
        fit_pictures(torch.zeros(1, 1, 8, 8), 8, 8)


def test_an_unknown_fit_is_refused():
    with pytest.raises(WorldStereoError, match='fit: got "pad"'):
        fit_pictures(torch.zeros(1, 3, 8, 8), 8, 10, "pad")  # type: ignore[arg-type]


def test_near_depth_is_bright_and_missing_depth_black():
    # Disparities 1, 0.5 and 0.25: the middle one lies a third of the way up.
    depth = torch.tensor([[[1.0, 2.0, 4.0, 0.0, torch.inf]]])
    drawn = depth_to_pictures(depth)
    assert drawn.shape == (1, 3, 1, 5)
    assert drawn[0, 0, 0].tolist() == pytest.approx([1.0, 0.1 + 0.9 / 3, 0.1, 0.0, 0.0])


def test_linear_depth_ends_at_the_farthest_point_of_the_clip():
    depth = torch.tensor([[[1.0, 0.0]], [[4.0, torch.nan]]])
    assert depth_to_linear(depth).flatten().tolist() == pytest.approx([0.25, 0, 1, 0])


def test_depth_without_data_is_black():
    assert depth_to_pictures(torch.zeros(1, 2, 3)).max() == 0
    assert depth_to_linear(torch.zeros(1, 2, 3)).max() == 0


def test_a_pasted_first_frame_has_no_holes_and_the_render_stays_as_it_was():
    rendered = RenderedFrames(torch.zeros(2, 3, 4, 5), torch.ones(2, 4, 5), torch.zeros(2, 4, 5))
    pasted = paste_first_frame(rendered, torch.ones(3, 4, 5))
    assert pasted.image[0].min() == 1 and pasted.image[1].max() == 0
    assert pasted.hole_mask[0].max() == 0 and pasted.hole_mask[1].min() == 1
    assert rendered.image.max() == 0 and rendered.hole_mask.min() == 1


def test_a_first_frame_of_another_size_is_refused():
    rendered = RenderedFrames(torch.zeros(2, 3, 4, 5), torch.ones(2, 4, 5), torch.zeros(2, 4, 5))
    with pytest.raises(ShapeError, match=r"first_frame: got a tensor of shape \[3, 8, 10\]"):
        paste_first_frame(rendered, torch.ones(3, 8, 10))


def test_limited_pictures_keep_their_proportions_and_never_grow():
    pictures = torch.rand(2, 3, 8, 16, generator=torch.Generator().manual_seed(0))
    limited = limit_size(pictures, 8)
    assert limited.shape == (2, 3, 4, 8)
    torch.testing.assert_close(limited[0, 0, 0, 0], pictures[0, 0, :2, :2].mean())
    assert limit_size(pictures, 16) is pictures


def faded(threshold: float, softness: float) -> RenderedFrames:
    """One row of pixels: a hole, then confidence 0.1, 0.4, 0.6, 1."""
    confidence = torch.tensor([0.0, 0.1, 0.4, 0.6, 1.0])[None, None]
    holes = torch.tensor([1.0, 0, 0, 0, 0])[None, None]
    image = torch.where(holes[:, None] > 0, 0.5, 0.9).expand(1, 3, 1, 5)
    frames = RenderedFrames(image, holes, torch.ones(1, 1, 5), confidence)
    return fade_uncertain(frames, threshold, softness)


def test_uncertain_pixels_become_holes_and_grey():
    hard = faded(0.5, 0.0)
    assert hard.hole_mask.flatten().tolist() == [1, 1, 1, 0, 0]
    assert_close(hard.image[0, 0, 0], torch.tensor([0.5, 0.5, 0.5, 0.9, 0.9]))
    soft = faded(0.5, 0.4)
    assert_close(soft.hole_mask.flatten(), torch.tensor([1, 1, 0.75, 0.25, 0]))
    assert_close(soft.image[0, 0, 0], torch.tensor([0.5, 0.5, 0.6, 0.8, 0.9]))
    # A mask cut at one half, as the released models take it, is that of the hard threshold.
    assert torch.equal(soft.hole_mask >= 0.5, hard.hole_mask >= 0.5)
    assert faded(0.0, 0.0).hole_mask.flatten().tolist() == [1, 0, 0, 0, 0]


def test_uncertainty_needs_a_confidence_and_numbers_in_range():
    frames = RenderedFrames(torch.zeros(1, 3, 1, 5), torch.zeros(1, 1, 5), torch.ones(1, 1, 5))
    with pytest.raises(WorldStereoError, match="carries no confidence"):
        fade_uncertain(frames, 0.5)
    with pytest.raises(WorldStereoError, match="uncertain threshold: got 2"):
        faded(2.0, 0.0)
    with pytest.raises(WorldStereoError, match="uncertain softness: got -1"):
        faded(0.5, -1.0)


def test_a_pasted_first_frame_is_certain():
    confidence = torch.zeros(2, 4, 5)
    rendered = RenderedFrames(torch.zeros(2, 3, 4, 5), torch.ones(2, 4, 5), torch.zeros(2, 4, 5), confidence)
    pasted = paste_first_frame(rendered, torch.ones(3, 4, 5)).confidence
    assert pasted is not None and pasted[0].all() and not pasted[1].any() and not confidence.any()


def test_soft_step():
    values = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    assert soft_step(values, 0.5, 0.0).tolist() == [0, 0, 1, 1, 1]
    assert soft_step(values, 0.5, 1.0).tolist() == values.tolist()
    assert soft_step(values, 0.5, 0.5).tolist() == [0, 0, 0.5, 1, 1]
