"""Seamless texture tiles [TILE, TILE, 3] in linear colour, each painted from a source of chance."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from .chance import Chance

TILE = 128

Painter = Callable[[Chance], Tensor]


def noise(chance: Chance, cells: int, size: int = TILE) -> Tensor:
    """[size, size] smooth noise of mean 0, about -1..1, that repeats at the edges."""
    grid = chance.tensor(1, 1, cells, cells) * 2 - 1
    ring = 2  # bicubic reads two neighbours on each side
    wrapped = pad(grid, (ring, ring, ring, ring), mode="circular") if cells > 1 else grid.expand(1, 1, 5, 5)
    scale = size // cells
    drawn = interpolate(wrapped, scale_factor=scale, mode="bicubic", align_corners=False)[0, 0]
    return drawn[ring * scale : ring * scale + size, ring * scale : ring * scale + size]


def clouds(chance: Chance, cells: int = 4, octaves: int = 4, gain: float = 0.55, size: int = TILE) -> Tensor:
    """[size, size] noise summed over octaves, about -1..1."""
    total, weight, reach = torch.zeros(size, size), 1.0, 0.0
    for octave in range(octaves):
        count = cells << octave
        if count > size // 2:
            break
        total, reach = total + weight * noise(chance, count, size), reach + weight
        weight *= gain
    return total / reach * 1.6


def grid() -> tuple[Tensor, Tensor]:
    """u, v [TILE, TILE] in 0..1 at texel centres."""
    axis = (torch.arange(TILE) + 0.5) / TILE
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    return u, v


def mix(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    return first + (second - first) * share[..., None]


def lit(colour: Tensor, tone: Tensor) -> Tensor:
    """A colour or a picture, brightened texel by texel."""
    return (colour * tone[..., None]).clamp(0, 1)


def smooth(edge0: float, edge1: float, values: Tensor) -> Tensor:
    share = ((values - edge0) / (edge1 - edge0)).clamp(0, 1)
    return share * share * (3 - 2 * share)


def neighbour(chance: Chance, colour: Tensor, spread: float = 0.35) -> Tensor:
    """A colour near another one, lighter or darker."""
    return (
        colour * (1 + (chance.tensor(3) - 0.5) * 0.5 * spread) * chance.uniform(1 - spread, 1 + spread)
    ).clamp(0.01, 0.95)


def per_cell(chance: Chance, row: Tensor, column: Tensor, rows: int, columns: int) -> Tensor:
    """A random number for each cell of a rows x columns pattern, spread over the tile."""
    return chance.tensor(rows, columns)[row.long() % rows, column.long() % columns]


def plaster(chance: Chance) -> Tensor:
    base = chance.colour(saturation=(0.03, 0.45), value=(0.55, 0.92))
    return lit(base, 1 + 0.10 * clouds(chance, 2, 3) + 0.07 * clouds(chance, 16, 3))


def concrete(chance: Chance) -> Tensor:
    base = chance.colour(saturation=(0.0, 0.12), value=(0.35, 0.75))
    stain = smooth(0.1, 0.8, clouds(chance, 2, 4))
    return lit(base, 1 + 0.22 * clouds(chance, 8, 4) - 0.3 * stain)


def checker(chance: Chance) -> Tensor:
    u, v = grid()
    count = chance.choose((2, 4, 8))
    light = chance.colour(saturation=(0.0, 0.5), value=(0.6, 0.95))
    dark = chance.colour(saturation=(0.1, 0.8), value=(0.08, 0.5))
    odd = ((u * count).floor() + (v * count).floor()) % 2
    seam = torch.maximum(((u * count) % 1 - 0.5).abs(), ((v * count) % 1 - 0.5).abs()) > 0.47
    tone = 1 + 0.15 * clouds(chance, 4, 4) - 0.35 * seam.float()
    return lit(mix(light, dark, odd), tone)


def stripes(chance: Chance) -> Tensor:
    u, v = grid()
    across = u if chance.happens(0.6) else v
    count = chance.choose((3, 4, 6, 8))
    first, second, third = (
        chance.colour(),
        chance.colour(saturation=(0.0, 0.4), value=(0.5, 0.95)),
        chance.colour(),
    )
    place = (across * count) % 1
    colour = mix(first, second, (place > chance.uniform(0.3, 0.7)).float())
    colour = mix(colour, third, ((place - 0.15).abs() < chance.uniform(0.02, 0.07)).float())
    return lit(colour, 1 + 0.12 * clouds(chance, 16, 3))


def bricks(chance: Chance) -> Tensor:
    u, v = grid()
    rows, columns = chance.choose(((8, 4), (10, 4), (6, 3), (12, 5)))
    row = (v * rows).floor()
    shifted = u * columns + 0.5 * (row % 2)
    column = shifted.floor()
    base = chance.colour(hue=(-0.03, 0.12), saturation=(0.15, 0.7), value=(0.35, 0.8))
    mortar = chance.colour(saturation=(0, 0.15), value=(0.45, 0.8))
    tone = 0.7 + 0.6 * per_cell(chance, row, column, rows, columns)
    edge = torch.maximum(
        ((shifted % 1) - 0.5).abs() * 2 - (1 - 0.06 * columns / 4), ((v * rows % 1) - 0.5).abs() * 2 - 0.84
    )
    brick = lit(base, tone * (1 + 0.2 * clouds(chance, 8, 4)))
    return mix(brick, lit(mortar, 1 + 0.15 * clouds(chance, 16, 3)), smooth(-0.06, 0.06, edge))


def boards(chance: Chance) -> Tensor:
    u, v = grid()
    count = chance.choose((3, 4, 6, 8))
    lengths = chance.choose((1, 2))
    row = (u * count).floor()
    offset = chance.tensor(count)[row.long() % count]
    along = v * lengths + offset
    tone = 0.72 + 0.55 * per_cell(chance, along.floor() % lengths, row, lengths, count)
    base = chance.colour(hue=(0.04, 0.11), saturation=(0.3, 0.75), value=(0.25, 0.75))
    grain = clouds(chance, 16, 3)
    streak = noise(chance, 32)[:1].roll(chance.integer(0, TILE), 1).expand(TILE, TILE)
    seam = (((u * count) % 1 - 0.5).abs() > 0.46) | (((along % 1) - 0.5).abs() > 0.492)
    return lit(base, tone * (1 + 0.10 * grain + 0.16 * streak) * (1 - 0.55 * seam.float()))


def marble(chance: Chance) -> Tensor:
    u, v = grid()
    base = chance.colour(saturation=(0.0, 0.35), value=(0.5, 0.95))
    vein = chance.colour(saturation=(0.0, 0.5), value=(0.1, 0.6))
    wave = torch.sin(
        2 * math.pi * (chance.integer(1, 3) * u + chance.integer(0, 2) * v) + 5 * clouds(chance, 2, 5)
    )
    return mix(lit(base, 1 + 0.1 * clouds(chance, 4, 4)), vein, 0.8 * (1 - wave.abs()).clamp(0, 1) ** 5)


def dots(chance: Chance) -> Tensor:
    u, v = grid()
    count = chance.choose((2, 3, 4, 6))
    ground, dot = chance.colour(value=(0.4, 0.9)), chance.colour(value=(0.1, 0.95))
    row = (v * count).floor()
    x, y = (u * count + 0.5 * (row % 2)) % 1 - 0.5, (v * count) % 1 - 0.5
    inside = smooth(0.03, -0.03, (x * x + y * y).sqrt() - chance.uniform(0.18, 0.36))
    return lit(mix(ground, dot, inside), 1 + 0.12 * clouds(chance, 16, 3))


def cloth(chance: Chance) -> Tensor:
    u, v = grid()
    base = chance.colour(saturation=(0.2, 0.8), value=(0.25, 0.8))
    thread = torch.sin(u * math.pi * 64) * torch.sin(v * math.pi * 64)
    colour = base.expand(TILE, TILE, 3)
    if chance.happens(0.5):  # a tartan
        other = chance.colour(saturation=(0.2, 0.8))
        for line in (u, v):
            count = chance.choose((2, 3, 4))
            band = (line * count % 1 < chance.uniform(0.15, 0.4)).float()
            colour = mix(colour, other, 0.5 * band)
    return lit(colour, 1 + 0.1 * thread + 0.15 * clouds(chance, 8, 3))


def rubble(chance: Chance) -> Tensor:
    """Stones between mortar: the cells of scattered points."""
    side = chance.choose((5, 7, 9))
    u, v = grid()
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    sites = torch.stack([column, row], -1) + 0.15 + 0.7 * chance.tensor(side, side, 2)
    away = torch.full((2, TILE, TILE), 9.0)
    owner = torch.zeros(TILE, TILE, dtype=torch.long)
    for index, site in enumerate(sites.reshape(-1, 2)):
        x = (u * side - site[0] + side / 2) % side - side / 2
        y = (v * side - site[1] + side / 2) % side - side / 2
        distance = (x * x + y * y).sqrt()
        owner = torch.where(distance < away[0], index, owner)
        away[1] = torch.minimum(away[1], torch.maximum(away[0], distance))
        away[0] = torch.minimum(away[0], distance)
    base = chance.colour(hue=(0.02, 0.16), saturation=(0.03, 0.35), value=(0.4, 0.75))
    tone = (0.65 + 0.6 * chance.tensor(side * side))[owner]
    joint = smooth(0.16, 0.04, away[1] - away[0])
    stone = lit(base, tone * (1 + 0.2 * clouds(chance, 8, 4)) * (1.1 - 0.25 * away[0]))
    return mix(stone, base * chance.uniform(0.25, 0.6), joint)


def slabs(chance: Chance) -> Tensor:
    u, v = grid()
    count = chance.choose((2, 3, 4))
    base = chance.colour(saturation=(0.0, 0.3), value=(0.45, 0.85))
    tone = 0.82 + 0.3 * per_cell(chance, (v * count).floor(), (u * count).floor(), count, count)
    edge = torch.maximum(((u * count) % 1 - 0.5).abs(), ((v * count) % 1 - 0.5).abs())
    return lit(base, tone * (1 + 0.15 * clouds(chance, 8, 4)) * (1 - 0.5 * smooth(0.455, 0.48, edge)))


def grass(chance: Chance) -> Tensor:
    base = chance.colour(hue=(0.17, 0.33), saturation=(0.35, 0.75), value=(0.25, 0.6))
    dry = chance.colour(hue=(0.09, 0.16), saturation=(0.3, 0.6), value=(0.45, 0.7))
    colour = mix(base, dry, 0.7 * smooth(0.0, 0.8, clouds(chance, 2, 4)))
    return lit(colour, 1 + 0.5 * clouds(chance, 16, 3) + 0.15 * clouds(chance, 4, 2))


def soil(chance: Chance) -> Tensor:
    base = chance.colour(hue=(0.04, 0.12), saturation=(0.15, 0.6), value=(0.25, 0.7))
    other = neighbour(chance, base, 0.6)
    return lit(mix(base, other, smooth(-0.3, 0.5, clouds(chance, 2, 5))), 1 + 0.35 * clouds(chance, 16, 3))


def asphalt(chance: Chance) -> Tensor:
    base = chance.colour(saturation=(0.0, 0.08), value=(0.22, 0.48))
    patch = smooth(0.2, 0.3, clouds(chance, 2, 3))
    return lit(base, 1 + 0.25 * clouds(chance, 32, 2) + 0.15 * clouds(chance, 4, 3) - 0.2 * patch)


def snow(chance: Chance) -> Tensor:
    base = chance.colour(hue=(0.55, 0.65), saturation=(0.0, 0.12), value=(0.85, 0.97))
    return lit(base, 1 + 0.08 * clouds(chance, 4, 5))


def foliage(chance: Chance) -> Tensor:
    hue = (0.2, 0.38) if chance.happens(0.75) else (0.02, 0.16)
    light = chance.colour(hue=hue, saturation=(0.35, 0.8), value=(0.45, 0.75))
    spots = clouds(chance, 8, 3)
    return lit(mix(light * 0.22, light, smooth(-0.5, 0.6, spots)), 1 + 0.3 * clouds(chance, 32, 2))


def bark(chance: Chance) -> Tensor:
    base = chance.colour(hue=(0.03, 0.11), saturation=(0.1, 0.5), value=(0.2, 0.5))
    ridges = noise(chance, 16)[:1].expand(TILE, TILE)
    return lit(base, 1 + 0.4 * ridges + 0.3 * clouds(chance, 8, 4))


def roof(chance: Chance) -> Tensor:
    u, v = grid()
    rows, columns = chance.choose(((8, 8), (10, 12), (6, 8)))
    base = chance.colour(hue=(-0.04, 0.08), saturation=(0.2, 0.7), value=(0.3, 0.65))
    if chance.happens(0.3):
        base = chance.colour(hue=(0.5, 0.7), saturation=(0.05, 0.3), value=(0.25, 0.5))
    row = (v * rows).floor()
    column = u * columns + 0.5 * (row % 2)
    bow = (1 - ((column % 1) * 2 - 1) ** 2).sqrt()
    tone = 0.75 + 0.4 * per_cell(chance, row, column.floor(), rows, columns)
    return lit(base, tone * (0.45 + 0.55 * (v * rows % 1)) * (0.7 + 0.35 * bow))


def metal(chance: Chance) -> Tensor:
    u, _ = grid()
    base = chance.colour(saturation=(0.0, 0.6), value=(0.25, 0.8))
    ribs = 1 + 0.15 * torch.sin(u * 2 * math.pi * chance.choose((4, 8, 12)))
    rust = chance.colour(hue=(0.03, 0.07), saturation=(0.6, 0.8), value=(0.3, 0.5))
    return mix(lit(base, ribs), rust, chance.uniform(0, 0.8) * smooth(0.3, 0.7, clouds(chance, 4, 4)))


def ramp(chance: Chance) -> Tensor:
    """One colour fading into another and back, so that the tile still repeats."""
    _, v = grid()
    first, second = chance.colour(value=(0.4, 0.95)), chance.colour(value=(0.15, 0.7))
    return lit(mix(first, second, 0.5 - 0.5 * torch.cos(2 * math.pi * v)), 1 + 0.06 * clouds(chance, 8, 3))


WALLS: tuple[Painter, ...] = (plaster, plaster, bricks, stripes, boards, concrete, rubble, dots, slabs, ramp)
FLOORS: tuple[Painter, ...] = (boards, boards, checker, marble, slabs, cloth, concrete)
FURNITURE: tuple[Painter, ...] = (boards, cloth, metal, marble, ramp, stripes, dots, checker, plaster)
