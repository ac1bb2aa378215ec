"""The denoising loop."""

from __future__ import annotations

import pytest
import torch

from worldstereo_core.checks import ShapeError
from worldstereo_core.model.sampling import sample
from worldstereo_core.schedule import DMDSchedule, UniPCSchedule


@pytest.mark.parametrize("schedule", [DMDSchedule(), UniPCSchedule(num_steps=5)])
def test_a_model_that_knows_the_answer_gets_there(schedule: DMDSchedule | UniPCSchedule):
    clean, noise = torch.randn(2, 2, 3, 4, generator=torch.Generator().manual_seed(0)).unbind(0)
    told: list[torch.Tensor] = []
    steps: list[tuple[int, int]] = []
    sigmas = schedule.sigmas()

    def predict(current: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        velocity = (current - clean) / sigmas[len(told)]
        told.append(timesteps)
        return velocity

    result = sample(predict, noise, schedule, lambda done, total, current: steps.append((done, total)))
    torch.testing.assert_close(result, clean, atol=1e-5, rtol=1e-5)
    assert steps[-1] == (schedule.num_steps, schedule.num_steps)
    torch.testing.assert_close(torch.stack(told)[:, 0], schedule.timesteps())
    assert told[0].shape == (2,)


def test_an_exception_in_the_callback_stops_the_run():
    class Stop(Exception):
        pass

    calls: list[int] = []

    def stop(done: int, total: int, current: torch.Tensor) -> None:
        calls.append(done)
        raise Stop

    with pytest.raises(Stop):
        sample(lambda current, timesteps: current, torch.ones(1, 1), DMDSchedule(), stop)
    assert calls == [1]


def random(seed: int) -> torch.Tensor:
    return torch.randn(1, 2, 3, 4, generator=torch.Generator().manual_seed(seed))


SCHEDULES = [DMDSchedule(), UniPCSchedule(num_steps=5)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_at_full_noise_a_clip_to_start_from_has_no_say_to_the_last_bit(
    schedule: DMDSchedule | UniPCSchedule,
):
    def predict(current: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        return current.sin() + timesteps / 1000

    plain = sample(predict, random(0), schedule)
    started = sample(predict, random(0), schedule, start=random(1), start_level=1.0)
    assert torch.equal(plain, started)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_without_noise_the_clip_comes_back_and_no_step_is_made(schedule: DMDSchedule | UniPCSchedule):
    def predict(current: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        raise AssertionError("a step was made")

    assert torch.equal(sample(predict, random(0), schedule, start=random(1), start_level=0.0), random(1))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_between_the_model_sees_the_mixture_and_only_the_last_steps(schedule: DMDSchedule | UniPCSchedule):
    seen: list[tuple[torch.Tensor, float]] = []
    steps: list[tuple[int, int]] = []

    def predict(current: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        seen.append((current, float(timesteps[0])))
        # The velocity of the straight path from the clip to this noise: the clip is where it ends.
        return random(0) - random(1)

    result = sample(
        predict,
        random(0),
        schedule,
        lambda done, total, _: steps.append((done, total)),
        start=random(1),
        start_level=0.85,
    )
    sigmas, told = schedule.sigmas(), schedule.timesteps()
    first = next(index for index, sigma in enumerate(sigmas) if sigma <= 0.85)
    by_hand = (1 - sigmas[first]) * random(1) + sigmas[first] * random(0)
    torch.testing.assert_close(seen[0][0], by_hand)
    assert [level for _, level in seen] == told[first:].tolist()
    assert steps[-1] == (len(told) - first, len(told) - first)
    torch.testing.assert_close(result, random(1), atol=1e-5, rtol=1e-5)


def test_a_clip_of_another_size_is_refused():
    with pytest.raises(ShapeError, match=r"start: .*Bring the clip"):
        sample(lambda current, _: current, random(0), DMDSchedule(), start=random(1)[:, :, :2])
