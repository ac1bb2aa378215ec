"""Streets: a road between pavements and houses, trees, lamps, cars and crates under a sky."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .atlas import Atlas
from .chance import Chance
from .daylight import daylight
from .pictures import door, facade, road, sign
from .shapes import Shapes
from .shells import Ground
from .stage import Stage, house, tree, turned
from .tiles import FURNITURE, asphalt, clouds, concrete, grass, grid, lit, metal, mix, plaster, slabs, soil
from .units import BALL, BOX, CYLINDER
from .world import World


def make_street(chance: Chance, seed: int) -> World:
    """A street along z; the road is at y = 0 and the origin in its middle."""
    stage = Stage(chance)
    half_road, pavement = chance.uniform(2.5, 4.5), chance.uniform(1.8, 3.2)
    length = 64.0
    ground = stage.paint(chance.choose((asphalt, grass, soil, slabs)), 0)
    stage.add(
        BOX,
        (0, 0.01, 0),
        (2 * half_road, 0.02, length),
        stage.paint(road, 0),
        tile=2 * half_road,
        casts=False,
    )
    kerb = stage.paint(chance.choose((slabs, concrete, slabs)), 1)
    for side in (-1, 1):
        place = (side * (half_road + pavement / 2), 0.05, 0.0)
        stage.add(BOX, place, (pavement, 0.17, length), kerb, tile=chance.uniform(1.5, 2.5), casts=False)
        _houses(stage, side, half_road + pavement)
    for _ in range(chance.integer(8, 13)):
        _street_thing(stage, half_road, pavement)
    sun, ambient, haze, sky, exposure = daylight(chance)
    return World(
        kind="street",
        seed=seed,
        shapes=Shapes.of(stage.solids),
        shell=Ground(0.03, 150.0, ground, chance.uniform(2.0, 4.0)),
        atlas=Atlas.of(stage.tiles),
        sky=sky,
        lights=(sun,),
        ambient=ambient,
        haze=haze,
        exposure=exposure,
        low=torch.tensor([-half_road - pavement + 0.6, -4.0, -20.0]),
        high=torch.tensor([half_road + pavement - 0.6, -0.7, 20.0]),
        eye=chance.uniform(1.3, 2.2),
    )


def _houses(stage: Stage, side: int, edge: float) -> None:
    """A row of houses from one end of the street to the other."""
    chance = stage.chance
    at = -34.0
    while at < 32 and stage.room_for(40):
        width, depth = chance.uniform(5, 11), chance.uniform(6, 9)
        back = chance.choose((0.0, 0.0, 0.5, 2.5))
        height, x = chance.choose((3.2, 6.2, 6.4, 9.2, 12.0)), side * (edge + depth / 2 + back)
        place = (x, 0.05, at + width / 2)
        yaw = math.pi / 2
        if chance.happens(0.5) and height < 10:
            house(stage, place, (width, height, depth), yaw, facade)
        else:
            paint, thing = stage.paint(facade, chance.integer(0, 5)), stage.thing()
            top = stage.paint(chance.choose((concrete, plaster)), 2)
            stage.add(BOX, place, (width, height, depth), paint, top, yaw=yaw, tile=0, thing=thing)
        front = side * (edge + back)
        if chance.happens(0.6):
            where = (front, 0.0, at + chance.uniform(0.25, 0.75) * width)
            stage.add(
                BOX,
                where,
                (1.1, 2.2, 0.12),
                stage.paint(door, chance.integer(0, 2)),
                yaw=yaw,
                tile=0,
                casts=False,
            )
        if chance.happens(0.35):
            where = (front - side * 0.1, -2.5, at + width / 2)
            size = (chance.uniform(1.5, 3), chance.uniform(0.5, 0.9), 0.2)
            stage.add(BOX, where, size, stage.paint(sign, chance.integer(0, 2)), yaw=yaw, tile=0, casts=False)
        at += width + chance.choose((0.0, 0.0, 0.6, 3.0))


def _street_thing(stage: Stage, half_road: float, pavement: float) -> None:
    chance = stage.chance
    side = chance.choose((-1, 1))
    on_pavement = side * (half_road + chance.uniform(0.3, 0.6) * pavement)
    z = chance.uniform(-20, 20)
    choice = chance.choose(("tree", "tree", "lamp", "car", "car", "crate", "barrel", "bollard"))
    x = side * (half_road - 1.1) if choice == "car" else on_pavement
    radius = {"tree": 1.2, "car": 2.4, "lamp": 0.8}.get(choice, 0.6)
    if not stage.is_free(x, z, radius) or not stage.room_for(8):
        return
    stage.taken.append((x, z, radius))
    place = (x, -0.1, z)
    if choice == "tree":
        tree(stage, place, chance.uniform(3, 6))
    elif choice == "lamp":
        pole, thing = stage.paint(metal, 5), stage.thing()
        stage.add(CYLINDER, place, (0.12, 3.6, 0.12), pole, thing=thing)
        stage.add(
            BALL, turned(place, 0, 0, 0, 3.5), (0.4, 0.4, 0.4), stage.paint(plaster, 8), glow=0.6, thing=thing
        )
    elif choice == "car":
        _car(stage, (x, 0.0, z), chance.choose((0, math.pi)))
    elif choice == "crate":
        size = chance.uniform(0.5, 1.0)
        stage.add(BOX, place, (size, size, size), stage.any_paint(FURNITURE, 3), yaw=chance.angle(), tile=0)
    elif choice == "barrel":
        stage.add(CYLINDER, place, (0.6, 0.9, 0.6), stage.any_paint(FURNITURE, 3), tile=0.9)
    else:
        stage.add(CYLINDER, place, (0.2, 0.8, 0.2), stage.any_paint(FURNITURE, 3), tile=0.5)
        stage.add(
            BALL, turned(place, 0, 0, 0, 0.75), (0.26, 0.26, 0.26), stage.any_paint(FURNITURE, 3), tile=0.5
        )


def _car(stage: Stage, place: tuple[float, float, float], yaw: float) -> None:
    chance, thing = stage.chance, stage.thing()
    body, glass = stage.paint(_car_paint, chance.integer(0, 3)), stage.paint(_car_glass, 0)
    stage.add(BOX, turned(place, yaw, 0, 0, 0.3), (1.75, 0.55, 4.1), body, yaw=yaw, thing=thing)
    stage.add(BOX, turned(place, yaw, 0, -0.2, 0.85), (1.55, 0.5, 2.2), glass, body, yaw=yaw, thing=thing)
    tyre = stage.paint(_tyre, 0)
    for x in (-0.8, 0.8):
        for z in (-1.3, 1.3):
            stage.add(BALL, turned(place, yaw, x, z), (0.3, 0.66, 0.66), tyre, yaw=yaw, thing=thing)


def _car_paint(chance: Chance) -> Tensor:
    return lit(chance.colour(saturation=(0.0, 0.9), value=(0.3, 0.95)), 1 + 0.05 * clouds(chance, 4, 2))


def _car_glass(chance: Chance) -> Tensor:
    _, v = grid()
    return mix(torch.tensor([0.10, 0.14, 0.18]), torch.tensor([0.3, 0.4, 0.5]), 0.5 - 0.5 * torch.cos(v * 12))


def _tyre(chance: Chance) -> Tensor:
    return lit(torch.tensor([0.03, 0.03, 0.035]), 1 + 0.3 * clouds(chance, 8, 2))
