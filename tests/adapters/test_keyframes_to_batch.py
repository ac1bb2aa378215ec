"""Key frames as single pictures for a decoder that takes a clip for a video."""

from __future__ import annotations

import pytest
import torch

from worldstereo_core.adapters.comfy.vae import keyframes_to_batch
from worldstereo_core.checks import ShapeError


def test_frames_of_a_clip_become_a_batch_in_order():
    latents = torch.arange(3.0).reshape(1, 1, 3, 1, 1).expand(1, 16, 3, 8, 10)
    split = keyframes_to_batch(latents)
    assert split.shape == (3, 16, 1, 8, 10)
    assert split[:, 0, 0, 0, 0].tolist() == [0, 1, 2]


def test_clips_of_a_batch_follow_one_another():
    latents = torch.arange(6.0).reshape(2, 1, 3, 1, 1).expand(2, 16, 3, 8, 10)
    assert keyframes_to_batch(latents)[:, 5, 0, 2, 3].tolist() == [0, 1, 2, 3, 4, 5]


def test_latents_of_another_family_are_refused():
    with pytest.raises(ShapeError, match="latent: got a tensor of shape"):
        keyframes_to_batch(torch.zeros(1, 4, 64, 64))
