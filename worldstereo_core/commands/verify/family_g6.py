"""g6: the distilled model's step table, its Euler steps and its way of adding noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...schedule import DMDSchedule, add_noise, euler_step
from .checks import Check, compare, find_bound
from .golden import Golden

INPUT_GLOBS = ("*.sample0", "*.model_output*", "*.add_noise.orig", "*.add_noise.noise")


def schedule_from(facts: Mapping[str, Any]) -> DMDSchedule:
    """The schedule of a case, or of a pipeline's scheduler configuration."""
    return DMDSchedule(
        num_steps=facts["dmd_steps"],
        start=facts["start_timesteps"],
        end=facts["num_train_timesteps"],
        shift=facts["shift"],
    )


def compute(golden: Golden, adapter: str) -> dict[str, Tensor]:
    """Timesteps, samples after every step, and noised samples of every case."""
    computed: dict[str, Tensor] = {}
    for facts in golden.cases:
        case, schedule = facts["case"], schedule_from(facts)
        sigmas = schedule.sigmas()
        computed[f"{case}.timesteps"] = schedule.timesteps()
        sample = golden.input(f"{case}.sample0")
        for step in range(schedule.num_steps):
            velocity = golden.input(f"{case}.model_output{step}")
            sample = euler_step(sample, velocity, sigmas[step], sigmas[step + 1])
            computed[f"{case}.sample{step + 1}"] = sample
        if golden.has_input(f"{case}.add_noise.orig"):
            clean, noise = (golden.input(f"{case}.add_noise.{name}") for name in ("orig", "noise"))
            times = schedule.timesteps()[:1].expand(clean.shape[0])
            computed[f"{case}.add_noise.out"] = add_noise(clean, noise, times, schedule.end)
    return computed


def facts(golden: Golden, adapter: str) -> list[Check]:
    """The step tables that the manifest itself lists."""
    checks = []
    for facts in golden.cases:
        schedule = schedule_from(facts)
        computed = {"sigmas": schedule.sigmas(), "timesteps": schedule.timesteps()}
        checks += compare_lists(golden, facts["case"], facts, computed)
    return checks


def compare_lists(
    golden: Golden, case: str, listed: Mapping[str, Any], computed: Mapping[str, Tensor]
) -> list[Check]:
    """Judge number lists of a manifest by the golden's own bounds."""
    checks = []
    for key, tensor in computed.items():
        name = f"{case}.{key}"
        bound = find_bound(name, golden.checks)
        if bound is not None and listed.get(key):
            checks.append(compare(name, tensor, torch.tensor(listed[key], dtype=torch.float64), bound))
    return checks
