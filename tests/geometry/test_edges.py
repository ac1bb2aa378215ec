"""Canny's detector beside OpenCV's, pixel by pixel, and on a step whose edge is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.geometry.edges import canny

cv2 = pytest.importorskip("cv2")


def pictures(channels: int, height: int, width: int, smooth: int) -> torch.Tensor:
    """[2, C, H, W] random pictures, smoothed and stretched to 0..1."""
    noise = torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(smooth))
    soft = avg_pool2d(noise, smooth, stride=1, padding=smooth // 2)
    return (soft - soft.min()) / (soft.max() - soft.min())


@pytest.mark.parametrize("smooth", [1, 5, 9])
@pytest.mark.parametrize(("channels", "height", "width"), [(3, 40, 56), (1, 33, 47)])
@pytest.mark.parametrize(("low", "high"), [(100, 200), (50, 120), (300, 600)])
def test_edges_are_opencvs_to_the_pixel(channels, height, width, smooth, low, high):
    batch = pictures(channels, height, width, smooth)
    ours = canny(batch, low, high)
    for frame, picture in enumerate(batch):
        bytes_ = (picture * 255).round().byte().movedim(0, -1).squeeze(-1).numpy()
        theirs = cv2.Canny(np.ascontiguousarray(bytes_), low, high) > 0
        assert (ours[frame].numpy() == theirs).all()


def test_a_step_gives_one_line_and_a_flat_picture_none():
    step = torch.zeros(1, 1, 8, 10)
    step[..., 6:] = 1.0
    edges = canny(step)[0]
    # The gradient is equally high on both sides of the step; the later column of the two does not win.
    assert edges.sum(0).tolist() == [0, 0, 0, 0, 0, 8, 0, 0, 0, 0]
    assert not canny(torch.full((1, 3, 8, 10), 0.5)).any()


def test_thresholds_in_the_wrong_order_are_refused():
    with pytest.raises(WorldStereoError, match="low and high: got 200 and 100"):
        canny(torch.zeros(1, 1, 8, 10), 200, 100)
