"""A world: solids, what surrounds them, textures, light, and where a camera may stand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .atlas import Atlas, Sky
from .shapes import Shapes
from .shells import Shell


@dataclass(frozen=True, eq=False)
class Light:
    """A lamp at a place, or the sun.

    Attributes:
        place: [3] position of a lamp, metres, or unit direction towards the sun.
        colour: [3] linear rgb; a lamp's at one metre.
        is_sun: whether ``place`` is a direction.
        casts: whether solids throw shadows of it.
    """

    place: Tensor
    colour: Tensor
    is_sun: bool = False
    casts: bool = True

    def to(self, device: torch.device | str) -> Light:
        return replace(self, place=self.place.to(device), colour=self.colour.to(device))


@dataclass(frozen=True, eq=False)
class World:
    """A static scene. OpenCV axes: x right, y down, z forward; metres.

    Attributes:
        kind: "room", "street" or "landscape". seed: what it was made from.
        shapes, shell, atlas, sky, lights: what is drawn.
        ambient: [2, 3] linear light from above and from below.
        haze: [4] colour, and metres after which most of a surface has faded into it; inf = clear.
        exposure: factor before the tone curve.
        low, high: [3] corners of the space that cameras stay in, metres.
        eye: usual height of a camera over the ground, metres.
        ground: y of the ground below the origin for flat worlds; with terrain the shell knows better.
    """

    kind: str
    seed: int
    shapes: Shapes
    shell: Shell
    atlas: Atlas
    sky: Sky
    lights: tuple[Light, ...]
    ambient: Tensor
    haze: Tensor
    exposure: float
    low: Tensor
    high: Tensor
    eye: float

    def to(self, device: torch.device | str) -> World:
        """The same world on another device."""
        return replace(
            self,
            shapes=self.shapes.to(device),
            shell=self.shell.to(device),
            atlas=self.atlas.to(device),
            sky=self.sky.to(device),
            lights=tuple(light.to(device) for light in self.lights),
            ambient=self.ambient.to(device),
            haze=self.haze.to(device),
            low=self.low.to(device),
            high=self.high.to(device),
        )

    def clearance(self, points: Tensor) -> Tensor:
        """Less than the way from points [..., 3] to the nearest surface, [...]; negative inside one."""
        flat = points.reshape(-1, 3).T
        room = self.shell.distance(flat)
        if len(self.shapes):
            room = torch.minimum(room, self.shapes.units.distance(flat).amin(0))
        return room.reshape(points.shape[:-1])
