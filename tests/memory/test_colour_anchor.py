"""Colours held to the memory's: planted changes come back, and what is new does not count."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.memory.colour_anchor import MIN_CELLS, anchor_colours, fit_colour_anchor

T, H, W = 4, 48, 64


def scene(seed: int = 0) -> Tensor:
    """[T, 3, H, W] smooth pictures that use much of the range."""
    coarse = torch.rand(T, 3, 6, 8, generator=torch.Generator().manual_seed(seed)) * 0.6 + 0.2
    return torch.nn.functional.interpolate(coarse, (H, W), mode="bicubic").clamp(0.1, 0.9)


def nothing_hidden() -> Tensor:
    return torch.zeros(T, H, W)


def tinted(pictures: Tensor, gain: tuple, offset: tuple) -> Tensor:
    """Pictures whose tint grows evenly from none in the first frame to all of it in the last."""
    time = torch.linspace(0, 1, len(pictures))[:, None, None, None]
    gains, offsets = (torch.tensor(values)[:, None, None] for values in (gain, offset))
    return torch.lerp(pictures, gains * pictures + offsets, time)


def test_a_constant_gain_is_found_and_undone():
    known = scene()
    gain = torch.tensor([0.9, 1.0, 1.05])
    clip = known * gain[:, None, None]
    anchored, anchor = anchor_colours(clip, known, nothing_hidden())
    assert_close(anchor.gain, (1 / gain).expand(2, 3), atol=0.01, rtol=0)
    assert_close(anchor.offset, torch.zeros(2, 3), atol=0.01, rtol=0)
    assert_close(anchored[1:], known[1:], atol=0.01, rtol=0)


def test_a_tint_that_grows_over_the_clip_is_undone():
    known = scene()
    clip = tinted(known, (0.9, 1.0, 1.0), (0.05, 0.0, -0.04))
    anchored, anchor = anchor_colours(clip, known, nothing_hidden())
    assert anchor.error_before > 0.01 and anchor.error_after < 0.004
    assert float((anchored[1:] - known[1:]).abs().mean()) < 0.004


def test_colours_that_agree_stay():
    known = scene()
    anchored, _ = anchor_colours(known, known, nothing_hidden())
    assert_close(anchored, known, atol=1e-4, rtol=0)


def test_a_new_object_does_not_count():
    known = scene()
    clip = known * 0.95
    clip[:, :, 10:30, 12:40] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
    anchored, _ = anchor_colours(clip, known, nothing_hidden())
    outside = torch.ones(H, W, dtype=torch.bool)
    outside[10:30, 12:40] = False
    assert float((anchored - known)[1:, :, outside].abs().mean()) < 0.006


def test_generated_detail_does_not_flatten_the_line():
    known = scene()
    noise = 0.15 * torch.randn(known.shape, generator=torch.Generator().manual_seed(3))
    anchor = fit_colour_anchor((known * 0.9 + noise).clamp(0, 1), known, nothing_hidden())
    assert_close(anchor.gain, torch.full((2, 3), 1 / 0.9), atol=0.08, rtol=0)


def test_holes_do_not_count():
    known = scene()
    holes = nothing_hidden()
    holes[:, :, 32:] = 1
    render = known.clone()
    render[:, :, :, 32:] = 0.5
    anchored, anchor = anchor_colours(known * 0.9, render, holes)
    assert_close(anchored[1:], known[1:], atol=0.02, rtol=0)
    assert anchor.num_cells < T * H * W / 4 / 2


def test_frame_0_is_the_start_picture_and_does_not_count():
    known = scene()
    clip = known * 0.9
    clip[0] = known[0] = 0.3
    _, anchor = anchor_colours(clip, known, nothing_hidden())
    assert_close(anchor.gain, torch.full((2, 3), 1 / 0.9), atol=0.02, rtol=0)


def test_a_clip_that_sees_nothing_known_stays_and_says_so():
    known, holes = scene(), torch.ones(T, H, W)
    clip = known * 0.5
    anchored, anchor = anchor_colours(clip, known, holes)
    assert anchored is clip and anchor.num_cells == 0
    assert "too little of the memory is seen" in anchor.text
    assert MIN_CELLS > 4, "a gain and an offset with their change are four unknowns"


def test_strength_is_a_share_of_the_change():
    known = scene()
    clip = known * 0.9
    full, _ = anchor_colours(clip, known, nothing_hidden())
    half, _ = anchor_colours(clip, known, nothing_hidden(), 0.5)
    none, _ = anchor_colours(clip, known, nothing_hidden(), 0.0)
    assert_close(half, (full + clip) / 2)
    assert torch.equal(none, clip)


def test_sizes_and_strength_are_checked():
    known = scene()
    with pytest.raises(ShapeError, match="render: got a tensor of shape"):
        anchor_colours(known, known[:, :, :-8], nothing_hidden())
    with pytest.raises(ShapeError, match="holes: got a tensor of shape"):
        anchor_colours(known, known, torch.zeros(T, H, W + 1))
    with pytest.raises(ShapeError, match="got 1 frame"):
        anchor_colours(known[:1], known[:1], nothing_hidden()[:1])
    with pytest.raises(WorldStereoError, match="strength: got 2"):
        anchor_colours(known, known, nothing_hidden(), 2)
