"""Where builders put solids and textures together until a world is made of them."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from .chance import Chance
from .shapes import MAX_SHAPES, Solid
from .tiles import FURNITURE, Painter, bark, boards, cloth, foliage, metal, roof
from .units import BALL, BOX, CONE, CYLINDER, GABLE

Placed = tuple[float, float, float]  # x, y of the ground, z


class Stage:
    """Solids, textures and instances gathered so far. One stage makes one world."""

    def __init__(self, chance: Chance) -> None:
        self.chance = chance
        self.tiles: list[Tensor] = []
        self.solids: list[Solid] = []
        self.num_things = 0
        self.taken: list[tuple[float, float, float]] = []  # x, z, radius of what stands on the ground
        self._cache: dict[tuple[Painter, int], int] = {}

    def paint(self, painter: Painter, variant: int = 0) -> int:
        """The number of a texture; the same painter and variant give the same one."""
        key = (painter, variant)
        if key not in self._cache:
            self.tiles.append(painter(self.chance.fork(f"{painter.__name__}{variant}")))
            self._cache[key] = len(self.tiles) - 1
        return self._cache[key]

    def any_paint(self, painters: tuple[Painter, ...], variants: int = 2) -> int:
        return self.paint(self.chance.choose(painters), self.chance.integer(0, variants - 1))

    def thing(self) -> int:
        self.num_things += 1
        return self.num_things - 1

    def room_for(self, count: int) -> bool:
        return len(self.solids) + count <= MAX_SHAPES

    def is_free(self, x: float, z: float, radius: float) -> bool:
        """Whether nothing on the ground reaches into a circle."""
        return all(math.hypot(x - u, z - v) > radius + other for u, v, other in self.taken)

    def find_place(
        self, low: tuple[float, float], high: tuple[float, float], radius: float, tries: int = 30
    ) -> tuple[float, float] | None:
        """A free circle inside a rectangle of x and z, taken from then on; None if there is none left."""
        for _ in range(tries):
            x = self.chance.uniform(low[0] + radius, max(high[0] - radius, low[0] + radius))
            z = self.chance.uniform(low[1] + radius, max(high[1] - radius, low[1] + radius))
            if self.is_free(x, z, radius):
                self.taken.append((x, z, radius))
                return x, z
        return None

    def add(
        self,
        kind: int,
        center: Placed,
        size: Placed,
        side: int,
        top: int | None = None,
        *,
        yaw: float = 0.0,
        tile: float = 1.0,
        glow: float = 0.0,
        thing: int | None = None,
        casts: bool = True,
    ) -> None:
        """Add a solid of full ``size`` whose BOTTOM middle is at ``center`` (y points down)."""
        x, y, z = center
        half = (size[0] / 2, size[1] / 2, size[2] / 2)
        number = self.thing() if thing is None else thing
        self.solids.append(
            Solid(
                kind,
                (x, y - half[1], z),
                half,
                side,
                side if top is None else top,
                yaw,
                tile,
                glow,
                number,
                casts,
            )
        )


def turned(place: Placed, yaw: float, x: float, z: float, lift: float = 0.0) -> Placed:
    """A place beside another one: x to the right and z ahead in a frame turned by yaw, lifted by metres."""
    cosine, sine = math.cos(yaw), math.sin(yaw)
    return place[0] + cosine * x + sine * z, place[1] - lift, place[2] - sine * x + cosine * z


def table(stage: Stage, place: Placed, yaw: float) -> float:
    """A table with something on it; returns the radius of the floor it takes."""
    chance = stage.chance
    width, depth, height = chance.uniform(0.9, 1.7), chance.uniform(0.7, 1.0), chance.uniform(0.45, 0.78)
    wood, thing = stage.paint(boards, chance.integer(0, 2)), stage.thing()
    stage.add(BOX, turned(place, yaw, 0, 0, height - 0.06), (width, 0.06, depth), wood, yaw=yaw, thing=thing)
    if chance.happens(0.5):
        for x in (-1, 1):
            for z in (-1, 1):
                leg = turned(place, yaw, x * (width / 2 - 0.06), z * (depth / 2 - 0.06))
                stage.add(BOX, leg, (0.07, height - 0.06, 0.07), wood, yaw=yaw, thing=thing)
    else:
        stage.add(CYLINDER, place, (0.16, height - 0.06, 0.16), wood, thing=thing)
        stage.add(CYLINDER, place, (width * 0.5, 0.05, width * 0.5), wood, thing=thing)
    for _ in range(chance.integer(1, 3)):
        spot = turned(
            place, yaw, chance.uniform(-0.4, 0.4) * width, chance.uniform(-0.35, 0.35) * depth, height
        )
        ornament(stage, spot, chance.uniform(0.12, 0.3))
    return 0.5 * math.hypot(width, depth)


def ornament(stage: Stage, place: Placed, size: float) -> None:
    """A small thing to put on something."""
    chance = stage.chance
    colour = stage.any_paint(FURNITURE, 3)
    kind = chance.choose((BALL, CYLINDER, BOX, CONE))
    tall = size * chance.uniform(0.6, 1.6)
    wide = size * chance.uniform(0.5, 1.1)
    shape = (wide, tall if kind != BALL else wide, wide)
    stage.add(kind, place, shape, colour, yaw=chance.angle(), tile=chance.uniform(0.2, 0.5))


def chair(stage: Stage, place: Placed, yaw: float) -> None:
    chance = stage.chance
    seat, thing = stage.paint(chance.choose((cloth, boards)), chance.integer(0, 2)), stage.thing()
    stage.add(BOX, turned(place, yaw, 0, 0, 0.4), (0.45, 0.08, 0.45), seat, yaw=yaw, thing=thing)
    stage.add(BOX, turned(place, yaw, 0, -0.2, 0.48), (0.45, 0.5, 0.06), seat, yaw=yaw, thing=thing)
    stage.add(BOX, place, (0.34, 0.4, 0.34), stage.paint(boards, 1), yaw=yaw, thing=thing)


def sofa(stage: Stage, place: Placed, yaw: float) -> None:
    """Its back is behind it (-z in its own frame)."""
    chance = stage.chance
    cover, thing, width = stage.paint(cloth, chance.integer(0, 3)), stage.thing(), chance.uniform(1.2, 2.2)
    stage.add(BOX, place, (width, 0.42, 0.85), cover, yaw=yaw, thing=thing)
    stage.add(BOX, turned(place, yaw, 0, -0.34, 0.3), (width, 0.5, 0.2), cover, yaw=yaw, thing=thing)
    for x in (-1, 1):
        arm = turned(place, yaw, x * (width / 2 - 0.08), 0)
        stage.add(BOX, arm, (0.18, 0.6, 0.9), cover, yaw=yaw, thing=thing)
    cushion = turned(place, yaw, chance.uniform(-0.3, 0.3) * width, -0.1, 0.42)
    stage.add(BALL, cushion, (0.42, 0.36, 0.2), stage.paint(cloth, 4), yaw=yaw + 0.3)


def plant(stage: Stage, place: Placed, height: float) -> None:
    chance = stage.chance
    thing, leaf = stage.thing(), stage.paint(foliage, chance.integer(0, 2))
    pot = chance.uniform(0.3, 0.45)
    stage.add(CYLINDER, place, (pot, pot * 0.8, pot), stage.paint(metal, 3), thing=thing)
    for _ in range(chance.integer(2, 3)):
        size = chance.uniform(0.35, 0.6) * height
        spot = turned(
            place, chance.angle(), chance.uniform(0, 0.12), 0, pot * 0.6 + chance.uniform(0, 0.5) * height
        )
        stage.add(BALL, spot, (size, size * 1.15, size), leaf, tile=0.6, thing=thing)


def tree(stage: Stage, place: Placed, height: float) -> None:
    """A leafy tree or a conifer."""
    chance = stage.chance
    thing, trunk, leaf = stage.thing(), stage.paint(bark, 0), stage.paint(foliage, chance.integer(0, 2))
    if chance.happens(0.5):
        stage.add(CYLINDER, place, (0.05 * height, 0.5 * height, 0.05 * height), trunk, thing=thing)
        for _ in range(chance.integer(1, 2)):
            wide = height * chance.uniform(0.4, 0.6)
            spot = turned(
                place, chance.angle(), chance.uniform(0, 0.12) * height, 0, height * chance.uniform(0.3, 0.5)
            )
            stage.add(BALL, spot, (wide, wide * 0.95, wide), leaf, tile=2.5, thing=thing)
    else:
        wide = height * chance.uniform(0.35, 0.5)
        stage.add(CYLINDER, place, (0.05 * height, 0.3 * height, 0.05 * height), trunk, thing=thing)
        stage.add(
            CONE,
            turned(place, 0, 0, 0, 0.15 * height),
            (wide, 0.85 * height, wide),
            leaf,
            tile=2.5,
            thing=thing,
        )


def house(stage: Stage, place: Placed, size: Placed, yaw: float, wall: Callable[[Chance], Tensor]) -> None:
    """Walls with windows under a gable."""
    chance = stage.chance
    thing = stage.thing()
    variant = chance.integer(0, 5)
    stage.add(BOX, place, size, stage.paint(wall, variant), yaw=yaw, tile=0, thing=thing)
    overhang = (size[0] + 0.5, size[2] * chance.uniform(0.4, 0.8), size[2] + 0.5)
    tiles = stage.paint(roof, chance.integer(0, 2))
    stage.add(GABLE, turned(place, 0, 0, 0, size[1]), overhang, tiles, tiles, yaw=yaw, tile=2.2, thing=thing)
