"""The released samplers in ComfyUI's terms.

ComfyUI's Wan models take timestep = 1000 * sigma and predict with v = (x - denoised) / sigma, so the tables
of ``schedule`` are SIGMAS as they are: the DMD table goes to core's euler, the UniPC table to the sampler
below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...unipc import UniPC


def make_unipc_sampler(order: int = 2, official_timesteps: bool = True) -> Any:
    """A SAMPLER that solves the flow with UniPC (B(h) = exp(h) - 1), as the released pipelines do.

    Args:
        order: of the solver, 1 to 3; 2 = released.
        official_timesteps: tell the model timesteps rounded down to whole numbers; the solver keeps the exact
            sigmas either way.
    """
    import comfy.samplers

    options = {"order": order, "official_timesteps": official_timesteps}
    return comfy.samplers.KSAMPLER(sample_flow_unipc, options)  # pyright: ignore[reportAttributeAccessIssue]


@torch.no_grad()
def sample_flow_unipc(
    model: Any,
    x: Tensor,
    sigmas: Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: Callable[[dict[str, Any]], None] | None = None,
    disable: bool | None = None,
    order: int = 2,
    official_timesteps: bool = True,
) -> Tensor:
    """Sampler function of a KSAMPLER: ``model(x, sigma)`` returns the denoised latent. Never writes to
    sigmas.

    Raises: WorldStereoError if the sigmas do not fall from below 1.
    """
    from tqdm.auto import trange

    solver = UniPC(sigmas, order)
    x = _undo_initial_scaling(model, x, solver.sigmas[0])
    ones = x.new_ones(x.shape[0])
    for index in trange(solver.num_steps, disable=disable):
        sigma = solver.sigmas[index]
        told = _whole_timestep(model, sigma) if official_timesteps else sigma
        denoised = model(x, told * ones, **(extra_args or {}))
        velocity = (x - denoised) / told
        if callback is not None:
            step = {"i": index, "x": x, "sigma": sigmas[index], "sigma_hat": sigmas[index]}
            callback({**step, "denoised": x - sigma * velocity})
        x = solver.step(x, velocity)
    return x


def _whole_timestep(model: Any, sigma: float) -> float:
    """The sigma whose timestep is a whole number, at or below the given one."""
    timestep = float(model.inner_model.inner_model.model_sampling.timestep(torch.tensor(sigma)))
    # Below the first whole timestep there is no velocity to be had from a denoised latent.
    return sigma * int(timestep) / timestep if timestep >= 1 else sigma


def _undo_initial_scaling(model: Any, x: Tensor, sigma: float) -> Tensor:
    """Start from the noise itself, as the released code does.

    Core hands over sigma * noise + (1 - sigma) * latent, with a first sigma just below 1. On a latent with
    content the mixture is what was asked for, and stays.
    """
    latent = getattr(model, "latent_image", None)
    if latent is not None and bool(latent.count_nonzero()):
        return x
    return x / sigma
