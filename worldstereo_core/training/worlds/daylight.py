"""Sun, sky and haze of a time of day."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .atlas import Sky
from .chance import Chance
from .tiles import clouds, mix, smooth
from .world import Light

SKY_HEIGHT, SKY_WIDTH, CLOUD_TILE = 160, 512, 256


def daylight(chance: Chance) -> tuple[Light, Tensor, Tensor, Sky, float]:
    """Sun, ambient light [2, 3], haze [4], sky and exposure of a time of day."""
    time = chance.choose(("noon", "noon", "evening", "overcast", "morning", "blue"))
    height = {
        "noon": (40, 70),
        "evening": (8, 22),
        "overcast": (40, 60),
        "morning": (18, 35),
        "blue": (5, 12),
    }[time]
    rise, turn = math.radians(chance.uniform(*height)), chance.angle()
    sun = torch.tensor(
        [math.cos(rise) * math.sin(turn), -math.sin(rise), math.cos(rise) * math.cos(turn)],
        dtype=torch.float32,
    )
    top = chance.colour(hue=(0.54, 0.64), saturation=(0.45, 0.8), value=(0.55, 0.9))
    horizon = chance.colour(hue=(0.5, 0.62), saturation=(0.08, 0.3), value=(0.8, 0.97))
    light = chance.colour(hue=(0.1, 0.15), saturation=(0.05, 0.2), value=(0.95, 1.0)) * 1.8
    share, cover = 1.0, chance.uniform(0.0, 0.6)
    if time == "evening":
        horizon = chance.colour(hue=(0.0, 0.12), saturation=(0.35, 0.65), value=(0.8, 0.98))
        light = chance.colour(hue=(0.04, 0.1), saturation=(0.4, 0.65), value=(0.95, 1.0)) * 1.9
    elif time == "overcast":
        top = chance.colour(hue=(0.5, 0.65), saturation=(0.02, 0.15), value=(0.6, 0.8))
        horizon = chance.colour(hue=(0.5, 0.65), saturation=(0.0, 0.1), value=(0.75, 0.9))
        light, share, cover = light * 0.25, 1.5, 0.8
    elif time == "blue":
        top = chance.colour(hue=(0.6, 0.7), saturation=(0.5, 0.8), value=(0.25, 0.5))
        horizon = chance.colour(hue=(0.75, 1.05), saturation=(0.12, 0.4), value=(0.55, 0.8))
        light, share = light * torch.tensor([0.55, 0.4, 0.45]), 1.2
    above = (0.55 * top + 0.35 * horizon + 0.1) * share * 0.75
    ambient = torch.stack([above, above.mean() * torch.tensor([0.62, 0.56, 0.5])])
    haze = torch.cat([horizon, torch.tensor([chance.uniform(120, 600)])])
    picture = sky_picture(chance.fork("sky"), top, horizon, None if time == "overcast" else sun, cover)
    exposure = chance.uniform(0.85, 1.15) * (1.35 if time == "blue" else 1.0)
    return Light(sun, light, is_sun=True), ambient, haze, Sky.of(picture), exposure


def sky_picture(chance: Chance, top: Tensor, horizon: Tensor, sun: Tensor | None, cover: float) -> Tensor:
    """[SKY_HEIGHT, SKY_WIDTH, 3] linear sky with clouds, a sun in direction [3] and hills on the horizon."""
    fall = ((torch.arange(SKY_HEIGHT) + 0.5) / SKY_HEIGHT - 0.5)[:, None] * math.pi  # -90° is straight up
    turn = ((torch.arange(SKY_WIDTH) + 0.5) / SKY_WIDTH - 0.5)[None] * 2 * math.pi
    way = torch.stack(
        torch.broadcast_tensors(
            torch.cos(fall) * torch.sin(turn), torch.sin(fall), torch.cos(fall) * torch.cos(turn)
        )
    )
    rise = (-way[1]).clamp(min=0)
    colour = mix(horizon, top, rise.sqrt())
    # Clouds lie on a plane overhead, so they get smaller towards the horizon and fade there.
    scale = chance.uniform(14, 26) / (rise + 0.12)
    column = (way[0] * scale + CLOUD_TILE / 2).long() % CLOUD_TILE
    row = (way[2] * scale + CLOUD_TILE / 2).long() % CLOUD_TILE
    drift = clouds(chance, 4, 5, 0.55, CLOUD_TILE)[row, column]
    veil = smooth(0.55 - cover, 1.15 - cover, drift + 0.3) * smooth(0.01, 0.2, rise)
    white = (horizon * 0.4 + 0.6) * chance.uniform(0.8, 1.1)
    colour = mix(colour, white * (0.85 + 0.15 * drift[..., None]), 0.85 * veil)
    if sun is not None:
        near = (way * sun[:, None, None]).sum(0).clamp(min=0)
        colour = colour + (0.3 * near**8 + 0.8 * near**250)[..., None] * torch.tensor([1.0, 0.85, 0.6])
    if chance.happens(0.6):
        colour = _far_hills(chance, colour, rise, horizon)
    return colour


def _far_hills(chance: Chance, colour: Tensor, rise: Tensor, horizon: Tensor) -> Tensor:
    """Two ranges of hills at the end of the world, the nearer one darker."""
    tone = chance.colour(saturation=(0.1, 0.4), value=(0.2, 0.5))
    height = chance.uniform(0.02, 0.07)
    for number, share in enumerate((0.3, 0.55)):
        outline = clouds(chance, 4 << number, 5, 0.5, SKY_WIDTH)[0]
        ridge = height * (1.3 - 0.6 * number) * (1 + outline).clamp(min=0.1)
        colour = mix(colour, mix(horizon, tone, torch.tensor(share)), smooth(0.004, -0.004, rise - ridge))
    return colour
