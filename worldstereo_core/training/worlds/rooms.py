"""Rooms: walls with pictures and windows, furniture, partitions with doorways."""

from __future__ import annotations

import math

import torch

from .atlas import Atlas, Sky
from .chance import Chance
from .pictures import books, door, painting, rug, window
from .shapes import Shapes
from .shells import Room
from .stage import Stage, chair, ornament, plant, sofa, table, turned
from .tiles import FLOORS, FURNITURE, WALLS, boards, plaster, ramp
from .units import BALL, BOX, CYLINDER
from .world import Light, World


def make_room(chance: Chance, seed: int) -> World:
    """A furnished room of one or two parts; the floor is at y = 0 and the origin in its middle."""
    stage = Stage(chance)
    width, depth, height = chance.uniform(5, 9), chance.uniform(5, 9), chance.uniform(2.5, 3.4)
    low, high = torch.tensor([-width / 2, -height, -depth / 2]), torch.tensor([width / 2, 0.0, depth / 2])
    one_wall = stage.any_paint(WALLS, 4)
    walls = [one_wall if chance.happens(0.6) else stage.any_paint(WALLS, 4) for _ in range(4)]
    floor, ceiling = stage.any_paint(FLOORS, 3), stage.paint(chance.choose((plaster, plaster, boards)), 9)
    shell = Room(
        low,
        high,
        torch.tensor([floor, ceiling, *walls]),
        torch.tensor([chance.uniform(1.0, 2.2), 2.5] + [chance.uniform(1.2, 2.4)] * 4),
    )
    _rug(stage, width, depth)
    if chance.happens(0.5):
        _partition(stage, width, depth, height, one_wall)
    for side in range(4):
        _wall_things(stage, side, width, depth, height)
    _middle(stage, width, depth)
    lights = _lights(chance, stage, width, depth, height)
    warm = chance.colour(hue=(0.02, 0.7), saturation=(0.02, 0.2), value=(0.75, 1.0))
    ambient = torch.stack([warm * chance.uniform(0.25, 0.5), warm * chance.uniform(0.15, 0.35)])
    return World(
        kind="room",
        seed=seed,
        shapes=Shapes.of(stage.solids),
        shell=shell,
        atlas=Atlas.of(stage.tiles),
        sky=Sky.of(torch.zeros(4, 8, 3)),
        lights=tuple(lights),
        ambient=ambient,
        haze=torch.tensor([0.0, 0.0, 0.0, 1e9]),
        exposure=chance.uniform(1.1, 1.7),
        low=low + 0.4,
        high=high - torch.tensor([0.4, 0.6, 0.4]),
        eye=chance.uniform(1.2, 1.7),
    )


def _rug(stage: Stage, width: float, depth: float) -> None:
    chance = stage.chance
    if chance.happens(0.7):
        place = (chance.uniform(-0.15, 0.15) * width, 0.0, chance.uniform(-0.15, 0.15) * depth)
        size = (chance.uniform(0.3, 0.5) * width, 0.015, chance.uniform(0.25, 0.45) * depth)
        stage.add(BOX, place, size, stage.paint(rug, 0), tile=0, casts=False)


def _partition(stage: Stage, width: float, depth: float, height: float, paint: int) -> None:
    """A wall across the room with a doorway in it."""
    chance, thing = stage.chance, stage.thing()
    along_x = chance.happens(0.5)
    length, across = (width, depth) if along_x else (depth, width)
    place, gap = chance.uniform(-0.12, 0.12) * across, chance.uniform(-0.25, 0.25) * length
    opening, lintel = chance.uniform(1.1, 2.0), chance.uniform(2.0, 2.3)
    pieces = (
        (-length / 2, gap - opening / 2, 0.0, height),
        (gap + opening / 2, length / 2, 0.0, height),
        (gap - opening / 2, gap + opening / 2, lintel, height - lintel),
    )
    for begin, end, lift, tall in pieces:
        middle, long = (begin + end) / 2, end - begin
        center = (middle, -lift, place) if along_x else (place, -lift, middle)
        size = (long, tall, 0.14) if along_x else (0.14, tall, long)
        stage.add(BOX, center, size, paint, tile=1.8, thing=thing)
    for step in range(int(length / 0.5)):
        at = -length / 2 + step * 0.5
        if abs(at - gap) > opening / 2:
            stage.taken.append((at, place, 0.3) if along_x else (place, at, 0.3))
    stage.taken.append((gap, place, 0.9) if along_x else (place, gap, 0.9))


def _wall_things(stage: Stage, side: int, width: float, depth: float, height: float) -> None:
    """Furniture, pictures, doors and windows along one wall (0: +z, 1: +x, 2: -z, 3: -x)."""
    chance = stage.chance
    yaw = (math.pi, -math.pi / 2, 0.0, math.pi / 2)[side]  # their front looks into the room
    length, reach = (width, depth / 2) if side % 2 == 0 else (depth, width / 2)
    at = -length / 2 + chance.uniform(0.3, 0.8)
    while at < length / 2 - 0.7:
        span = chance.uniform(0.9, 1.6)
        middle = at + span / 2
        if middle > length / 2 - 0.3 or not stage.room_for(16):
            break
        wall_place = turned((0.0, 0.0, 0.0), yaw, middle, -reach)
        _wall_thing(stage, wall_place, yaw, span, height)
        at += span + chance.uniform(0.1, 0.9)


def _wall_thing(
    stage: Stage, place: tuple[float, float, float], yaw: float, span: float, height: float
) -> None:
    chance = stage.chance
    choice = chance.choose(
        ("shelf", "cabinet", "sofa", "picture", "picture", "window", "door", "plant", "nothing")
    )
    standing = turned(place, yaw, 0, 0.35)
    if choice in ("shelf", "cabinet", "sofa", "plant") and not stage.is_free(standing[0], standing[2], 0.45):
        choice = "picture"
    if choice == "shelf":
        size = (span * 0.9, min(chance.uniform(1.4, 2.2), height - 0.3), 0.32)
        stage.add(
            BOX, turned(place, yaw, 0, 0.17), size, stage.paint(books, chance.integer(0, 1)), yaw=yaw, tile=0
        )
    elif choice == "cabinet":
        tall = chance.uniform(0.5, 1.1)
        size = (span * 0.9, tall, 0.45)
        side, top = stage.paint(chance.choose((door, boards)), chance.integer(0, 2)), stage.paint(boards, 0)
        stage.add(BOX, turned(place, yaw, 0, 0.24), size, side, top, yaw=yaw, tile=0)
        ornament(
            stage, turned(place, yaw, chance.uniform(-0.3, 0.3) * span, 0.24, tall), chance.uniform(0.2, 0.4)
        )
    elif choice == "sofa":
        sofa(stage, turned(place, yaw, 0, 0.5), yaw)
    elif choice == "plant":
        plant(stage, turned(place, yaw, 0, 0.4), chance.uniform(0.6, 1.1))
    elif choice == "picture":
        size = (chance.uniform(0.5, 0.95) * span, chance.uniform(0.4, 0.9), 0.04)
        lift = chance.uniform(1.1, 1.4)
        stage.add(
            BOX,
            turned(place, yaw, 0, 0.02, lift),
            size,
            stage.paint(painting, chance.integer(0, 5)),
            yaw=yaw,
            tile=0,
            casts=False,
        )
    elif choice == "window":
        size = (span * 0.85, chance.uniform(0.9, 1.3), 0.06)
        stage.add(
            BOX, turned(place, yaw, 0, 0.03, 0.9), size, stage.paint(window, chance.integer(0, 1)),
            yaw=yaw, tile=0, glow=0.85, casts=False,
        )  # fmt: skip
    elif choice == "door":
        size = (0.95, 2.05, 0.07)
        stage.add(
            BOX,
            turned(place, yaw, 0, 0.03),
            size,
            stage.paint(door, chance.integer(0, 2)),
            yaw=yaw,
            tile=0,
            casts=False,
        )
    if choice in ("shelf", "cabinet", "sofa", "plant"):
        stage.taken.append((standing[0], standing[2], 0.55))


def _middle(stage: Stage, width: float, depth: float) -> None:
    """Tables with chairs, crates, balls and columns where there is room."""
    chance = stage.chance
    low, high = (-width / 2 + 0.9, -depth / 2 + 0.9), (width / 2 - 0.9, depth / 2 - 0.9)
    for _ in range(chance.integer(1, 2)):
        found = stage.find_place(low, high, 0.95)
        if found and stage.room_for(16):
            place, yaw = (found[0], 0.0, found[1]), chance.angle()
            radius = table(stage, place, yaw)
            for _ in range(chance.integer(0, 2)):
                turn = yaw + chance.choose((0, math.pi))
                chair(stage, turned(place, turn, chance.uniform(-0.3, 0.3), -radius * 0.75), turn)
    for _ in range(chance.integer(2, 4)):
        found = stage.find_place(low, high, 0.4)
        if not found or not stage.room_for(6):
            continue
        place, size = (found[0], 0.0, found[1]), chance.uniform(0.3, 0.7)
        choice = chance.choose(("crate", "ball", "column", "plant"))
        paint = stage.any_paint(FURNITURE, 3)
        if choice == "crate":
            stage.add(
                BOX, place, (size, size * chance.uniform(0.6, 1.3), size), paint, yaw=chance.angle(), tile=0
            )
        elif choice == "ball":
            stage.add(BALL, place, (size, size, size), paint, tile=0.8)
        elif choice == "column":
            tall = chance.uniform(0.6, 1.2)
            stage.add(CYLINDER, place, (0.3, tall, 0.3), paint, tile=0.6)
            ornament(stage, (place[0], -tall, place[2]), 0.28)
        else:
            plant(stage, place, chance.uniform(0.5, 0.9))


def _lights(chance: Chance, stage: Stage, width: float, depth: float, height: float) -> list[Light]:
    """A ceiling lamp that throws shadows and a weaker light from the side."""
    tint = chance.colour(hue=(0.04, 0.16), saturation=(0.02, 0.4), value=(0.9, 1.0))
    x, z = chance.uniform(-0.2, 0.2) * width, chance.uniform(-0.2, 0.2) * depth
    shade = stage.paint(ramp, 7)
    stage.add(CYLINDER, (x, -height + 0.2, z), (0.45, 0.12, 0.45), shade, glow=0.9, tile=0.5, casts=False)
    area = width * depth
    lamps = [Light(torch.tensor([x, -height + 0.3, z]), tint * area * chance.uniform(0.05, 0.09))]
    cold = chance.colour(hue=(0.5, 0.7), saturation=(0.0, 0.4), value=(0.8, 1.0))
    side = chance.choose((-1, 1))
    place = torch.tensor([side * width * 0.45, -height * 0.55, chance.uniform(-0.3, 0.3) * depth])
    lamps.append(Light(place, cold * area * chance.uniform(0.01, 0.04), casts=False))
    return lamps
