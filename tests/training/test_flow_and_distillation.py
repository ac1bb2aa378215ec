"""Noise levels, velocities, and the gradient of distribution matching."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.model.sampling import sample
from worldstereo_core.schedule import DMDSchedule, shift_sigmas
from worldstereo_core.training.distillation import matching_loss, simulate
from worldstereo_core.training.flow import NoiseLevels, clean_from_velocity, noisy_clip, velocity_loss

SHAPE = (2, 16, 3, 4, 6)


def random(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def test_the_true_velocity_has_no_loss_and_leads_back_to_the_clean_clip():
    clean, noise, timesteps = random(0), random(1), torch.tensor([250.0, 900.0])
    noisy = noisy_clip(clean, noise, timesteps)
    torch.testing.assert_close(noisy[0], 0.75 * clean[0] + 0.25 * noise[0])
    torch.testing.assert_close(velocity_loss(noise - clean, clean, noise), torch.zeros(2))
    torch.testing.assert_close(velocity_loss(noise - clean + 2, clean, noise), torch.full((2,), 4.0))
    torch.testing.assert_close(clean_from_velocity(noisy, noise - clean, timesteps), clean)


def test_uniform_levels_cover_every_part_of_the_range():
    levels = NoiseLevels(shift=1.0, lowest=0.5, highest=1.0)
    timesteps = levels.draw(10, torch.Generator().manual_seed(0)).sort().values
    parts = (timesteps - 500) / 50
    assert torch.equal(parts.floor(), torch.arange(10.0))


def test_shift_moves_levels_as_at_inference():
    plain = NoiseLevels(shift=1.0).draw(5, torch.Generator().manual_seed(0))
    shifted = NoiseLevels(shift=3.0).draw(5, torch.Generator().manual_seed(0))
    torch.testing.assert_close(shifted, shift_sigmas(plain / 1000, 3.0) * 1000)


def test_logit_normal_favours_the_middle():
    levels = NoiseLevels(1.0, "logit_normal").draw(1000, torch.Generator().manual_seed(0)) / 1000
    assert 0.6 < ((levels > 0.25) & (levels < 0.75)).float().mean() < 0.85


def test_levels_that_are_none_are_refused():
    with pytest.raises(WorldStereoError, match=r"lowest: got levels 0\.5\.\.0\.5"):
        NoiseLevels(lowest=0.5, highest=0.5)


def generator_of(weight: Tensor):
    def predict(noisy: Tensor, timesteps: Tensor) -> Tensor:
        return weight * noisy + timesteps.view(-1, 1, 1, 1, 1) / 1000

    return predict


def test_the_last_simulated_step_is_what_sampling_gives():
    schedule, predict = DMDSchedule(4, shift=5.0), generator_of(torch.tensor(0.3))
    torch.testing.assert_close(
        simulate(predict, random(0), schedule, 3), sample(predict, random(0), schedule)
    )


def test_gradients_pass_through_one_step_alone():
    schedule, calls = DMDSchedule(4, shift=5.0), []
    weight = torch.tensor(0.3, requires_grad=True)

    def predict(noisy: Tensor, timesteps: Tensor) -> Tensor:
        calls.append((float(timesteps[0]), torch.is_grad_enabled(), noisy.requires_grad))
        return weight * noisy

    simulate(predict, random(0), schedule, 2).sum().backward()
    expected = schedule.timesteps().tolist()[:3]
    assert [time for time, _, _ in calls] == pytest.approx(expected)
    assert [grad for _, grad, _ in calls] == [False, False, True]
    assert not any(of_earlier for _, _, of_earlier in calls) and weight.grad is not None


def test_the_matching_gradient_is_fake_minus_real_over_the_distance():
    timesteps = torch.tensor([500.0, 500.0])
    clean = random(0).requires_grad_(True)
    noisy = random(1)
    real_clean, fake_clean = random(2), random(3)
    velocity = [(noisy - each) / 0.5 for each in (real_clean, fake_clean)]
    matching_loss(clean, noisy, velocity[0], velocity[1], timesteps).backward()
    distance = (clean.detach() - real_clean).abs().mean(dim=(1, 2, 3, 4), keepdim=True)
    assert clean.grad is not None
    torch.testing.assert_close(
        clean.grad * clean.numel(), (fake_clean - real_clean) / distance, rtol=1e-4, atol=1e-5
    )


def test_agreeing_scores_move_nothing():
    clean = random(0).requires_grad_(True)
    matching_loss(clean, random(1), random(2), random(2), torch.tensor([300.0, 700.0])).backward()
    assert clean.grad is not None and clean.grad.abs().max() == 0
