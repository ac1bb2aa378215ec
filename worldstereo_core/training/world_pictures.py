"""Single views of drawn worlds, from anywhere a camera may stand."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import WorldStereoError
from ..geometry.cameras import fov_to_K, look_at
from .data_order import mix_seeds
from .worlds.make import make_world
from .worlds.render import render_world
from .worlds.world import World

MIN_CLEARANCE = 0.4  # metres to the nearest surface; nearer there is only blur to see
MAX_CLEARANCE = 5.0
MAX_TILT = math.radians(25)
FOV_RANGE_DEG = (50.0, 90.0)


def draw_world_pictures(
    seeds: range,
    frames_per_world: int,
    height: int,
    width: int,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Draw random views of worlds.

    Args:
        seeds: of the worlds.
        height, width: pixels.
        progress: called with (done, total) after each world.

    Returns:
        uint8 [len(seeds) * frames_per_world, 3, H, W]; a function of the arguments alone.
    """
    pictures = torch.empty(len(seeds), frames_per_world, 3, height, width, dtype=torch.uint8)
    for index, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(mix_seeds(seed, frames_per_world))
        world = make_world(seed)
        w2c = stand_anywhere(world, frames_per_world, generator)
        low, high = FOV_RANGE_DEG
        fov = math.radians(low + (high - low) * float(torch.rand((), generator=generator)))
        frames = render_world(world, w2c, fov_to_K(fov, height, width), height, width)
        pictures[index] = frames.image.mul(255).round_().clamp_(0, 255).to(torch.uint8)
        if progress is not None:
            progress(index + 1, len(seeds))
    return pictures.flatten(0, 1)


def stand_anywhere(world: World, count: int, generator: torch.Generator) -> Tensor:
    """Random cameras near surfaces but not in them, level to within 25°: w2c [count, 4, 4].

    Raises: WorldStereoError if the world has no free place.
    """
    places = world.low + torch.rand(64 * count, 3, generator=generator) * (world.high - world.low)
    clearance = world.clearance(places)
    places = places[(clearance > MIN_CLEARANCE) & (clearance < MAX_CLEARANCE)][:count]
    if not len(places):
        raise WorldStereoError(f"world {world.seed}: no free place for a camera. Choose another first seed.")
    places = places[torch.arange(count) % len(places)]
    yaw, tilt = (2 * torch.rand(2, count, generator=generator) - 1).unbind()
    yaw, tilt = math.pi * yaw, MAX_TILT * tilt
    ahead = torch.stack([yaw.sin() * tilt.cos(), tilt.sin(), yaw.cos() * tilt.cos()], dim=-1)
    return look_at(places, places + ahead)
