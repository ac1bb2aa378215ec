"""Step tables, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.schedule import (
    DMDSchedule,
    UniPCSchedule,
    add_noise,
    euler_step,
    first_step,
    shift_sigmas,
)


def test_four_distilled_steps():
    schedule = DMDSchedule()
    # 250, 500, 750, 1000 of 1000, each s -> 5 s / (1 + 4 s).
    expected = torch.tensor([1000.0, 937.5, 2500 / 3, 625.0])
    torch.testing.assert_close(schedule.timesteps(), expected)
    torch.testing.assert_close(schedule.sigmas(), torch.cat([expected / 1000, torch.zeros(1)]))
    assert schedule.timesteps().dtype is torch.float32


def test_a_single_distilled_step_is_the_last_of_the_table():
    torch.testing.assert_close(DMDSchedule(num_steps=1).timesteps(), torch.tensor([625.0]))


def test_shift_1_changes_nothing_and_ends_are_fixed():
    even = torch.linspace(0, 1, 7)
    torch.testing.assert_close(shift_sigmas(even, 1), even)
    torch.testing.assert_close(shift_sigmas(torch.tensor([0.0, 1.0]), 8), torch.tensor([0.0, 1.0]))


def test_flow_steps_truncate_what_the_model_is_told_only():
    schedule = UniPCSchedule(num_steps=4, shift=3.0)
    assert schedule.timesteps().tolist() == [999, 899, 749, 499]
    torch.testing.assert_close(schedule.sigmas()[0], torch.tensor(3 * 0.999 / (1 + 2 * 0.999)))
    exact = UniPCSchedule(num_steps=4, shift=3.0, truncates_timesteps=False).timesteps()
    torch.testing.assert_close(exact, schedule.sigmas()[:-1] * 1000)


@pytest.mark.parametrize(
    "schedule", [DMDSchedule(num_steps=7, shift=2.0), UniPCSchedule(num_steps=9, shift=8.0)]
)
def test_noise_levels_fall_to_zero(schedule: DMDSchedule | UniPCSchedule):
    sigmas = schedule.sigmas()
    assert len(sigmas) == schedule.num_steps + 1
    assert bool((sigmas.diff() < 0).all())
    assert sigmas[-1] == 0


def test_euler_steps_along_the_true_velocity_end_at_the_clean_sample():
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 1, 3, 2, generator=generator).unbind(0)
    sigmas = DMDSchedule().sigmas()
    current = noise
    for index in range(4):
        current = euler_step(current, noise - clean, sigmas[index], sigmas[index + 1])
    torch.testing.assert_close(current, clean, atol=1e-6, rtol=1e-5)


def test_added_noise_mixes_by_the_timestep_of_each_sample():
    clean, noise = torch.zeros(2, 1, 1, 1), torch.ones(2, 1, 1, 1)
    mixed = add_noise(clean, noise, torch.tensor([250.0, 1000.0]))
    torch.testing.assert_close(mixed.flatten(), torch.tensor([0.25, 1.0]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: DMDSchedule(num_steps=0),
        lambda: DMDSchedule(start=0),
        lambda: DMDSchedule(start=1200),
        lambda: DMDSchedule(shift=-1),
        lambda: UniPCSchedule(num_steps=0),
        lambda: UniPCSchedule(order=4),
    ],
)
def test_impossible_schedules_are_refused(make):
    with pytest.raises(WorldStereoError, match="expected"):
        make()


SCHEDULES = [DMDSchedule(num_steps=4, shift=5.0), UniPCSchedule(num_steps=6, shift=3.0)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_denoise_1_is_the_whole_schedule_and_0_has_no_step(schedule: DMDSchedule | UniPCSchedule):
    assert torch.equal(replace(schedule, denoise=1.0).sigmas(), schedule.sigmas())
    assert len(replace(schedule, denoise=0.0).sigmas()) == 0
    assert len(replace(schedule, denoise=0.0).timesteps()) == 0


def test_half_denoise_spreads_the_steps_over_the_last_half_of_the_way():
    # 500, 375, 250, 125 of 1000, each s -> 5 s / (1 + 4 s).
    expected = torch.tensor([2.5 / 3, 1.875 / 2.5, 1.25 / 2, 0.625 / 1.5, 0.0])
    torch.testing.assert_close(DMDSchedule(denoise=0.5).sigmas(), expected)
    # Half the way in half of twice as many steps is the tail of those, as core counts it.
    torch.testing.assert_close(
        UniPCSchedule(num_steps=6, denoise=0.5).sigmas(),
        UniPCSchedule(num_steps=12).sigmas()[6:],
        atol=2e-3,
        rtol=0,
    )


@pytest.mark.parametrize("denoise", [-0.1, 1.01])
def test_a_denoise_that_is_no_share_is_refused(denoise: float):
    with pytest.raises(WorldStereoError, match="denoise: got"):
        DMDSchedule(denoise=denoise)


@pytest.mark.parametrize(
    ("level", "step"), [(1.0, 0), (0.94, 1), (0.9375, 1), (0.833, 2), (0.8, 3), (0.63, 3), (0.0, 4)]
)
def test_sampling_from_a_clip_begins_with_the_first_step_at_or_below_its_noise(level: float, step: int):
    # 1, 0.9375, 0.8333, 0.625, 0
    assert first_step(DMDSchedule().sigmas(), level) == step


def test_from_pure_noise_the_whole_flow_schedule_is_made_although_it_begins_below_1():
    sigmas = UniPCSchedule(num_steps=5).sigmas()
    assert float(sigmas[0]) < 1 and first_step(sigmas, 1.0) == 0


def test_a_noise_level_below_all_steps_is_refused():
    with pytest.raises(WorldStereoError, match=r"start level: got 0\.5, .*4 steps begins at 0\.625\. Set at"):
        first_step(DMDSchedule().sigmas(), 0.5)
    with pytest.raises(WorldStereoError, match=r"start level: got 1\.1"):
        first_step(DMDSchedule().sigmas(), 1.1)
