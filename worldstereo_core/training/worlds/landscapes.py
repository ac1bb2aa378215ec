"""Landscapes: hills with meadows, rock and snow or sand, water, trees, boulders and a few houses."""

from __future__ import annotations

import torch
from torch import Tensor

from .atlas import Atlas
from .chance import Chance
from .daylight import daylight
from .pictures import facade
from .shapes import Shapes
from .stage import Stage, house, tree
from .terrain import Terrain, cast_light
from .tiles import TILE, clouds, concrete, mix, rubble, smooth
from .units import BALL, BOX, CYLINDER
from .world import World

GRID, EXTENT = 256, 90.0


def make_landscape(chance: Chance, seed: int) -> World:
    """Hills around the origin, whose ground is near y = 0."""
    stage = Stage(chance)
    heights = _heights(chance.fork("heights"))
    water = -100.0
    if chance.happens(0.6):
        water = float(heights.flatten().sort().values[int(heights.numel() * chance.uniform(0.1, 0.35))])
    sun, ambient, haze, sky, exposure = daylight(chance)
    colours = _colours(chance.fork("colours"), heights, water)
    light = cast_light(heights.clamp(min=water), EXTENT, sun.place)
    detail = stage.paint(_detail, 0)
    ground = Terrain.of(heights, colours, light, EXTENT, water, detail, chance.uniform(2.5, 5.0))
    _grow(stage, ground)
    eye = chance.uniform(1.6, 3.5)
    return World(
        kind="landscape",
        seed=seed,
        shapes=Shapes.of(stage.solids),
        shell=ground,
        atlas=Atlas.of(stage.tiles),
        sky=sky,
        lights=(sun,),
        ambient=ambient,
        haze=haze,
        exposure=exposure,
        low=torch.tensor([-25.0, -ground.high - 12.0, -25.0]),
        high=torch.tensor([25.0, -ground.low - 0.8, 25.0]),
        eye=eye,
    )


def _heights(chance: Chance) -> Tensor:
    """[GRID, GRID] metres: rolling hills, higher towards the rim so that the horizon has a shape."""
    relief = chance.uniform(2.5, 7)
    rolling = clouds(chance, 4, 2, 0.4, GRID)
    if chance.happens(0.4):
        rolling = 1 - 2 * rolling.abs()  # ridges
        rolling = rolling - rolling.mean()
    fine = clouds(chance, 16, 3, 0.5, GRID)
    axis = torch.linspace(-1, 1, GRID)
    away = (axis[:, None].square() + axis[None].square()).sqrt()
    mountains = (
        smooth(0.35, 1.1, away) * chance.uniform(4, 30) * (0.6 + clouds(chance, 4, 4, 0.5, GRID)).clamp(min=0)
    )
    heights = relief * rolling + 0.5 * fine + mountains
    return heights - heights[GRID // 2, GRID // 2]


def _colours(chance: Chance, heights: Tensor, water: float) -> Tensor:
    """[GRID, GRID, 3] colour by height and slope, wobbled so that borders look grown."""
    slope = torch.stack(torch.gradient(heights, spacing=2 * EXTENT / (GRID - 1))).norm(dim=0)
    wobble = clouds(chance, 16, 4, 0.6, GRID)
    green = chance.colour(hue=(0.16, 0.32), saturation=(0.35, 0.7), value=(0.35, 0.62))
    dry = chance.colour(hue=(0.08, 0.16), saturation=(0.3, 0.6), value=(0.5, 0.75))
    rock = chance.colour(hue=(0.0, 0.7), saturation=(0.03, 0.25), value=(0.4, 0.65))
    if chance.happens(0.2):  # a desert
        green = chance.colour(hue=(0.05, 0.12), saturation=(0.35, 0.65), value=(0.6, 0.85))
    colour = mix(green, dry, smooth(-0.2, 0.7, clouds(chance, 4, 5, 0.6, GRID)))
    colour = mix(colour, rock, smooth(0.35, 0.6, slope + 0.12 * wobble))
    if chance.happens(0.5):
        line = float(heights.max()) * chance.uniform(0.35, 0.8)
        snow = chance.colour(hue=(0.55, 0.65), saturation=(0.0, 0.08), value=(0.92, 1.0))
        colour = mix(colour, snow, smooth(line, line + 2, heights + 2 * wobble - 2 * slope))
    sand = chance.colour(hue=(0.1, 0.14), saturation=(0.2, 0.45), value=(0.7, 0.9))
    colour = mix(colour, sand, smooth(0.9, 0.3, heights - water + 0.2 * wobble))
    deep = chance.colour(hue=(0.48, 0.6), saturation=(0.35, 0.7), value=(0.3, 0.55))
    shallow = mix(deep, sand, 0.3 * smooth(-1.5, 0, heights - water))
    return mix(colour, shallow, (heights < water).float()) * 1.6


def _detail(chance: Chance) -> Tensor:
    """Grey around 0.6, for the ground's colours to be multiplied with."""
    tone = 0.62 * (1 + 0.45 * clouds(chance, 16, 3) + 0.3 * clouds(chance, 4, 3))
    return tone.clamp(0, 1)[..., None].expand(TILE, TILE, 3)


def _grow(stage: Stage, ground: Terrain) -> None:
    """Trees, boulders and houses on dry land."""
    chance = stage.chance
    wanted = [("tree", 1.2)] * chance.integer(8, 20) + [("boulder", 1.0)] * chance.integer(3, 9)
    wanted += [("house", 4.5)] * chance.integer(0, 3) + [("post", 0.5)] * chance.integer(0, 4)
    for what, radius in sorted(wanted, key=lambda entry: -entry[1]):
        reach = 38 if what != "post" else 20
        found = stage.find_place((-reach, -reach), (reach, reach), radius)
        if not found or not stage.room_for(6):
            continue
        height = float(ground.height(torch.tensor([found[0]]), torch.tensor([found[1]])))
        if height <= ground.water + 0.2:
            continue
        place = (found[0], -height + 0.15, found[1])
        if what == "tree":
            tree(stage, place, chance.uniform(2.5, 7))
        elif what == "boulder":
            size = chance.uniform(0.8, 2.6)
            shape = (size, size * chance.uniform(0.5, 0.9), size * chance.uniform(0.7, 1.3))
            stone = stage.paint(chance.choose((concrete, rubble)), chance.integer(0, 1))
            stage.add(BALL, (place[0], place[1] + 0.2, place[2]), shape, stone, yaw=chance.angle(), tile=1.5)
        elif what == "house":
            size = (chance.uniform(5, 8), chance.uniform(2.6, 4.5), chance.uniform(4, 6))
            house(stage, (place[0], place[1] + 0.6, place[2]), size, chance.angle(), facade)
        else:
            stage.add(CYLINDER, place, (0.25, chance.uniform(1, 2), 0.25), stage.paint(concrete, 2))
            stage.add(
                BOX, (place[0], place[1] - 1, place[2]), (0.6, 0.5, 0.1), stage.paint(rubble, 2), tile=0
            )
