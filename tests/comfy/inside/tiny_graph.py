"""A tiny WorldStereo graph without a server: loader, control, conditioning and sampling as the nodes use
them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import comfy.clip_vision
import comfy.sample
import comfy.samplers
import torch
from torch import Tensor

from worldstereo_core.adapters.comfy.loader import LoadedWorldStereo, load_worldstereo
from worldstereo_core.model.condition import ControlCondition

FRAMES, HEIGHT, WIDTH = 5, 8, 12  # of the latent: all different, none a divisor of another
SIGMAS = (1.0, 0.9, 0.6, 0.0)


@lru_cache
def load(weights: str, variant: str = "memory", weight_dtype: str = "fp32") -> LoadedWorldStereo:
    folder = Path(weights)
    return load_worldstereo(
        folder / "wan_base_comfy.safetensors",
        folder / f"worldstereo-{variant}" / "model.safetensors",
        weight_dtype,
    )


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def make_condition(
    variant: str = "memory", frames: int = FRAMES, width: int = WIDTH, height: int = HEIGHT
) -> ControlCondition:
    holes = (random(1, 1, frames, 8 * height, 8 * width, seed=1) > 0).float()
    references: dict[str, Tensor] = {}
    if variant != "camera":
        references = {
            "reference_latents": random(1, 16, 2, height, width, seed=2),
            "reference_index": torch.tensor([0, min(2, frames - 2)]),
            "camera_tokens": random(1, frames, 7, seed=3),
            "reference_camera_tokens": random(1, 2, 7, seed=4),
        }
    return ControlCondition(
        render_latents=random(1, 16, frames, height, width, seed=5),
        hole_mask=holes,
        rays=random(1, 6, frames, 8 * height, 8 * width, seed=6),
        **references,
    )


def conditioning(seed: int, **extra: Any) -> list[Any]:
    """CONDITIONING with everything that an image-to-video model expects."""
    vision = comfy.clip_vision.Output()
    vision["penultimate_hidden_states"] = random(1, 257, 1280, seed=100)
    mask = torch.ones(1, 1, FRAMES, HEIGHT, WIDTH)
    mask[:, :, 0] = 0
    values = {
        "concat_latent_image": random(1, 16, FRAMES, HEIGHT, WIDTH, seed=101),
        "concat_mask": mask,
        "clip_vision_output": vision,
        **extra,
    }
    return [
        [random(1, 512, 4096, seed=seed), {key: value for key, value in values.items() if value is not None}]
    ]


def sample(
    model: Any,
    cfg: float = 4.0,
    sampler: Any = "euler",
    sigmas: Tensor | None = None,
    frames: int = FRAMES,
    batch: int = 1,
    callback: Any = None,
    **extra: Any,
) -> Tensor:
    """Sample with core's samplers; returns the latent."""
    if isinstance(sampler, str):
        sampler = comfy.samplers.sampler_object(sampler)
    noise = random(1, 16, frames, HEIGHT, WIDTH, seed=7).repeat(batch, 1, 1, 1, 1)
    return comfy.sample.sample_custom(
        model,
        noise,
        cfg,
        sampler,
        torch.tensor(SIGMAS) if sigmas is None else sigmas,
        conditioning(11, **extra),
        conditioning(12, **extra),
        torch.zeros_like(noise),
        callback=callback,
        disable_pbar=True,
        seed=0,
    )


def difference(first: Tensor, second: Tensor) -> float:
    return float((first - second).abs().max())


class Calls:
    """Counts calls and remembers token counts; handed to the hook as its probe, or used as a patch."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.tokens: list[int] = []

    def __call__(self, name: str, tensor: Tensor) -> None:
        self.names.append(name)
        self.tokens.append(tensor.shape[1])

    def count(self, name: str) -> int:
        return self.names.count(name)
