"""The denoising loop."""

from __future__ import annotations

import pytest
import torch

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
