"""Checks of the samplers under ComfyUI's Python."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comfy.model_sampling
import comfy.samplers
import torch
from safetensors.torch import load_file
from tiny_graph import Calls, difference, load, make_condition, sample

from worldstereo_core.adapters.comfy.patch import apply_control
from worldstereo_core.adapters.comfy.samplers import make_unipc_sampler, sample_flow_unipc
from worldstereo_core.schedule import DMDSchedule, UniPCSchedule


class GivenModel:
    """Stands in for core's denoiser: answers with given velocities and notes the timesteps it is told."""

    def __init__(self, velocities: list[torch.Tensor], latent: torch.Tensor | None = None):
        flow = comfy.model_sampling.ModelSamplingDiscreteFlow()
        self.inner_model = SimpleNamespace(inner_model=SimpleNamespace(model_sampling=flow))
        self.velocities, self.latent_image = velocities, latent
        self.samples: list[torch.Tensor] = []
        self.timesteps: list[float] = []

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, **_: Any) -> torch.Tensor:
        index = len(self.samples)
        self.samples.append(x.clone())
        self.timesteps.append(float(self.inner_model.inner_model.model_sampling.timestep(sigma)[0]))
        return x - sigma.view(-1, 1, 1, 1, 1) * self.velocities[index]


def golden_unipc(golden: str) -> dict[str, Any]:
    """Every step of the golden trajectories through the sampler function; core's initial scaling is
    undone."""
    folder = Path(golden)
    tensors = load_file(folder / "g10_unipc.safetensors")
    manifest = json.loads((folder / "g10_unipc.json").read_text())
    results: dict[str, Any] = {}
    for case in manifest["cases"]:
        name, steps = case["case"], case["steps"]
        if f"{name}.model_output0" not in tensors:
            continue  # the 40-step case holds its table only
        outputs = [tensors[f"{name}.model_output{i}"].float() for i in range(steps)]
        sigmas = UniPCSchedule(steps, case["flow_shift"]).sigmas()
        kept = sigmas.clone()
        model = GivenModel(outputs, torch.zeros_like(outputs[0]))
        start = tensors[f"{name}.sample0"].float()
        last = sample_flow_unipc(model, sigmas[0] * start, sigmas, disable=True)
        samples = [*model.samples, last]
        results[name] = {
            "error": max(difference(s, tensors[f"{name}.sample{i}"]) for i, s in enumerate(samples)),
            "timesteps": max(abs(a - b) for a, b in zip(model.timesteps, case["timesteps"], strict=True)),
            "sigmas": difference(sigmas, torch.tensor(case["sigmas"])),
            "unchanged": bool((sigmas == kept).all()),
        }
    return results


def exact_timesteps() -> list[float]:
    sigmas = UniPCSchedule(4, 3.0).sigmas()
    model = GivenModel([torch.ones(1, 1, 1, 1, 1)] * 4)
    sample_flow_unipc(model, torch.ones(1, 1, 1, 1, 1), sigmas, disable=True, official_timesteps=False)
    return [abs(told - 1000 * float(sigma)) for told, sigma in zip(model.timesteps, sigmas, strict=False)]


def start_on_content() -> float:
    """On a latent with content, core's mixture is kept."""
    latent, x = torch.full((1, 1, 1, 1, 1), 0.5), torch.full((1, 1, 1, 1, 1), 2.0)
    model = GivenModel([torch.ones(1, 1, 1, 1, 1)] * 2, latent)
    sample_flow_unipc(model, x, torch.tensor([0.6, 0.3, 0.0]), disable=True)
    return difference(model.samples[0], x)


def unipc_through_core(weights: str) -> dict[str, Any]:
    """The sampler in a real guider: progress reported, sigmas untouched, result finite, repeatable."""
    loaded = load(weights)
    model = apply_control(loaded.model, loaded.control, make_condition())
    sigmas = UniPCSchedule(4, 3.0).sigmas()
    kept, steps = sigmas.clone(), []
    first = sample(
        model,
        sampler=make_unipc_sampler(),
        sigmas=sigmas,
        callback=lambda step, *_: steps.append(step),
    )
    again = sample(model, sampler=make_unipc_sampler(), sigmas=sigmas)
    return {
        "steps": steps,
        "unchanged": bool((sigmas == kept).all()),
        "finite": bool(first.isfinite().all()),
        "difference": difference(first, again),
    }


def unipc_on_dmd_sigmas(weights: str) -> None:
    sample(load(weights).model, sampler=make_unipc_sampler(), sigmas=DMDSchedule().sigmas())


def dmd_with_euler(weights: str) -> dict[str, Any]:
    """The DMD table with core's euler: timesteps the network is told, and one Euler trajectory by hand."""
    loaded = load(weights)
    told: list[float] = []
    calls = Calls()
    model = apply_control(loaded.model, loaded.control, make_condition(), probe=calls)

    def note(executor: Any, x: torch.Tensor, timestep: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        told.append(float(timestep.flatten()[0]))
        return executor(x, timestep, *args, **kwargs)

    model.add_wrapper_with_key("diffusion_model", "note", note)
    schedule = DMDSchedule(3, 500.0, 1000.0, 3.0)
    sigmas = schedule.sigmas()
    result = sample(model, cfg=1.0, sigmas=sigmas)
    return {
        "timesteps": max(abs(a - float(b)) for a, b in zip(told, schedule.timesteps(), strict=True)),
        "finite": bool(result.isfinite().all()),
        "control": calls.count("control0"),
    }
