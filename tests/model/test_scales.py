"""A smaller clip as the start of a larger one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from worldstereo_core.checks import ShapeError
from worldstereo_core.geometry.pictures import fit_pictures
from worldstereo_core.model.scales import enlarged_start, smaller_noise


class Pixels:
    """A VAE whose latents are the pictures themselves, which its caller can read."""

    def encode_keyframes(self, images: Tensor, progress: object = None) -> Tensor:
        return images.movedim(0, 1)[None]

    encode_video = decode_keyframes = encode_keyframes


def test_noise_of_half_the_size_is_the_sum_of_four_over_two():
    noise = torch.arange(16.0).view(1, 4, 4)
    expected = torch.tensor([[[5.0, 9.0], [21.0, 25.0]]])  # (0 + 1 + 4 + 5) / 2, ...
    torch.testing.assert_close(smaller_noise(noise, 2, 2), expected)


@pytest.mark.parametrize(("rows", "columns"), [(6, 8), (4, 5), (5, 3), (1, 1)])
def test_smaller_noise_is_white_and_of_unit_variance_at_any_size(rows: int, columns: int):
    # By linearity: the cells, as sums of independent numbers, are orthonormal.
    basis = torch.eye(6 * 8).view(-1, 6, 8)
    weights = smaller_noise(basis, rows, columns).flatten(1)
    torch.testing.assert_close(weights.T @ weights, torch.eye(rows * columns))


def test_noise_does_not_grow():
    with pytest.raises(ShapeError, match=r"noise: 4 cells cannot be brought to 5"):
        smaller_noise(torch.zeros(4, 4), 4, 5)


def test_the_clip_is_enlarged_in_pictures_and_begins_with_the_known_frame():
    frames = torch.rand(3, 3, 8, 10, generator=torch.Generator().manual_seed(0))
    first = torch.full((3, 16, 20), 0.25)
    start = enlarged_start(Pixels(), frames, 16, 20, first)[0].movedim(0, 1)
    assert torch.equal(start[0], first)
    assert torch.equal(start[1:], fit_pictures(frames, 16, 20, "stretch")[1:])


def test_a_clip_larger_than_its_start_and_a_first_frame_of_another_size_are_refused():
    frames = torch.zeros(2, 3, 16, 32)
    with pytest.raises(ShapeError, match=r"clip: it is 16x32 .* 16x16 was asked for"):
        enlarged_start(Pixels(), frames, 16, 16)
    with pytest.raises(ShapeError, match=r"first_frame: .*larger size"):
        enlarged_start(Pixels(), frames, 32, 64, torch.zeros(3, 16, 32))
