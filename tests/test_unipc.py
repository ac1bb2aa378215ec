"""The UniPC solver: exact cases, order of accuracy, and the same numbers as diffusers'."""

from __future__ import annotations

import math

import pytest
import torch

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.schedule import UniPCSchedule, euler_step
from worldstereo_core.unipc import UniPC


def test_first_step_is_eulers():
    solver = UniPC([0.9, 0.6, 0.3, 0.0])
    sample, velocity = torch.tensor([2.0]), torch.tensor([0.5])
    expected = euler_step(sample, velocity, torch.tensor(0.9), torch.tensor(0.6))
    torch.testing.assert_close(solver.step(sample, velocity), expected)


def test_second_order_corrector_by_hand():
    # alpha = 1 - sigma; lambda = log(alpha / sigma): log(1/4), log(1), log(4): equal steps of h = log 4.
    solver = UniPC([0.8, 0.5, 0.2], order=2)
    clean0, clean1 = 3.0, 5.0
    sample0 = torch.tensor(1.0, dtype=torch.float64)
    predicted = solver.step(sample0, (sample0 - clean0) / 0.8)
    assert math.isclose(float(predicted), 1.0 * 0.5 / 0.8 + 0.5 * 0.75 * clean0)
    result = solver.step(predicted, (predicted - clean1) / 0.5)
    # Corrector of order 1 adds alpha (1 - e^-h) / 2 of the change; the last step is of order 1.
    corrected = float(predicted) + 0.5 * 0.75 * 0.5 * (clean1 - clean0)
    assert math.isclose(float(result), corrected * 0.2 / 0.5 + 0.8 * 0.75 * clean1)


def test_constant_clean_sample_is_reached_exactly():
    clean = torch.tensor([0.3, -2.0], dtype=torch.float64)
    for order in (1, 2, 3):
        schedule = UniPCSchedule(num_steps=6, order=order)
        sigmas = schedule.sigmas().double()
        solver, sample = UniPC(sigmas, order), torch.randn(2, dtype=torch.float64)
        for sigma in sigmas[:-1]:
            sample = solver.step(sample, (sample - clean) / sigma)
        torch.testing.assert_close(sample, clean)


def gaussian_error(num_steps: int, order: int) -> float:
    """Error after following the known velocity of data N(0, 1/4) from sigma 0.9 to 0.1."""
    sigmas = torch.linspace(0.9, 0.1, num_steps + 1, dtype=torch.float64)

    def deviation(sigma: float) -> float:
        return math.sqrt((1 - sigma) ** 2 / 4 + sigma**2)

    solver, sample = UniPC(sigmas, order), torch.tensor(1.0, dtype=torch.float64)
    for sigma in sigmas[:-1].tolist():
        # E[noise - data | x] for independent normal data and noise
        velocity = sample * (sigma - (1 - sigma) / 4) / deviation(sigma) ** 2
        sample = solver.step(sample, velocity)
    return abs(float(sample) - deviation(0.1) / deviation(0.9))


def test_halving_the_steps_divides_the_error_by_the_order():
    for order in (1, 2):
        ratio = gaussian_error(20, order) / gaussian_error(40, order)
        # A corrector raises the order by one; the few first steps of lower order cost some of it.
        assert ratio > 2**order * 0.9
    assert gaussian_error(20, 2) < gaussian_error(20, 1) / 3


@pytest.mark.parametrize("num_steps", [1, 2, 3, 7, 25])
@pytest.mark.parametrize("shift", [1.0, 3.0, 5.0])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_same_trajectory_as_diffusers(num_steps: int, shift: float, order: int):
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, solver_order=order
    )
    theirs.set_timesteps(num_steps)
    schedule = UniPCSchedule(num_steps=num_steps, shift=shift, order=order)
    # Later versions of diffusers have another step table; the solver is what is compared.
    theirs.timesteps, theirs.sigmas = schedule.timesteps(), schedule.sigmas()
    ours, generator = UniPC(schedule.sigmas(), order), torch.Generator().manual_seed(num_steps)
    sample = their_sample = torch.randn(1, 2, 3, generator=generator)
    for timestep in theirs.timesteps:
        velocity = torch.randn(1, 2, 3, generator=generator)
        sample = ours.step(sample, velocity)
        their_sample = theirs.step(velocity, timestep, their_sample).prev_sample
        torch.testing.assert_close(sample, their_sample, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("sigmas", [[0.5], [1.0, 0.5, 0.0], [0.5, 0.5, 0.0], [0.2, 0.4], [0.5, -0.1]])
def test_sigmas_it_cannot_solve_are_refused(sigmas: list[float]):
    with pytest.raises(WorldStereoError, match="sigmas: UniPC"):
        UniPC(sigmas)
