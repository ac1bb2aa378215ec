"""PSNR, SSIM and gradient deviation: by hand where possible, else by what they are for."""

from __future__ import annotations

import torch
from torch import Tensor

from worldstereo_core.training.picture_metrics import gradient_deviation, masked_psnr, ssim


def pictures() -> Tensor:
    return torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(0))


def blurred(picture: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(picture, 3, 1, 1, count_include_pad=False)


def test_psnr_of_a_tenth_is_twenty_decibels():
    truth = torch.full((1, 3, 4, 5), 0.5)
    torch.testing.assert_close(masked_psnr(truth + 0.1, truth), torch.tensor(20.0))


def test_psnr_counts_the_masked_pixels_alone():
    truth = torch.full((1, 3, 4, 5), 0.5)
    got, mask = truth.clone(), torch.zeros(1, 4, 5, dtype=torch.bool)
    got[..., 2:] += 0.1
    got[..., :2] += 0.4
    mask[..., 2:] = True
    torch.testing.assert_close(masked_psnr(got, truth, mask), torch.tensor(20.0))
    assert bool(masked_psnr(got, truth, torch.zeros_like(mask)).isnan())


def test_equal_pictures_are_alike_in_every_measure():
    truth = pictures()
    torch.testing.assert_close(ssim(truth, truth), torch.tensor(1.0))
    torch.testing.assert_close(gradient_deviation(truth, truth), torch.tensor(0.0))


def test_ssim_of_flat_pictures_is_its_luminance_term():
    # (2 a b + c1) / (a^2 + b^2 + c1) with a = 0.4, b = 0.6.
    got, truth = torch.full((1, 3, 16, 16), 0.4), torch.full((1, 3, 16, 16), 0.6)
    torch.testing.assert_close(ssim(got, truth), torch.tensor((0.48 + 1e-4) / (0.52 + 1e-4)))


def test_blur_is_noticed_more_than_a_brighter_picture():
    truth = pictures()
    soft, bright = blurred(truth), (truth + 0.05)
    assert ssim(soft, truth) < ssim(bright, truth) - 0.1
    assert gradient_deviation(soft, truth) > gradient_deviation(bright, truth) + 0.05


def test_more_noise_is_worse():
    truth, noise = pictures(), torch.randn(2, 3, 20, 24, generator=torch.Generator().manual_seed(1))
    values = [
        (ssim(truth + s * noise, truth), -gradient_deviation(truth + s * noise, truth)) for s in (0.02, 0.2)
    ]
    assert values[0][0] > values[1][0] and values[0][1] > values[1][1]


def test_ssim_of_a_part_looks_at_that_part():
    truth = pictures()
    got = truth.clone()
    got[..., 12:] = blurred(got[..., 12:])
    left = torch.zeros(2, 20, 24, dtype=torch.bool)
    left[..., :8] = True
    torch.testing.assert_close(ssim(got, truth, left), torch.tensor(1.0))
    assert ssim(got, truth, ~left) < 0.95
