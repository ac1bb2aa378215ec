"""What rays meet first, what stands before a light, and how open a place is.

On a CPU rays go in bundles: most solids lie outside the narrow cone of a few hundred neighbouring rays, and
those that remain fit into the cache. A GPU takes all rays and all solids at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .shapes import FAR, Shapes, nearest
from .shells import Surface
from .world import Light, World

BUNDLE = 1024  # rays
SHADOW_GAP = 2e-3  # metres a shadow ray starts before its surface
CONTACT = 0.3  # metres within which a neighbouring surface keeps ambient light away
FIRST_THING = 10  # instance numbers below belong to sky and shell


@dataclass(frozen=True, eq=False)
class Hit:
    """What N rays of one camera meet.

    Attributes:
        time: [N] ray parameter, which is camera z where rays have z = 1; FAR in the sky.
        points: [3, N] world. surface: what is there. glow: [N] share of its colour that shines by itself.
        sky: [N] bool.
    """

    time: Tensor
    points: Tensor
    surface: Surface
    glow: Tensor
    sky: Tensor


def _bundles(rays: Tensor) -> list[slice]:
    count = rays.shape[-1]
    size = BUNDLE if rays.device.type == "cpu" else max(count, 1)
    return [slice(begin, min(begin + size, count)) for begin in range(0, count, size)]


def _among(shapes: Shapes, rays: Tensor, inside: Callable[[], Tensor]) -> tuple[Shapes, Tensor | None]:
    """The solids that a bundle can meet, and their numbers; all of them (None) on a GPU."""
    if rays.device.type != "cpu":
        return shapes, None
    keep = inside()
    return shapes.select(keep), keep.nonzero()[:, 0]


def _cone(direction: Tensor) -> tuple[Tensor, Tensor]:
    """Axis [3] and half angle of the narrowest cone around the mean of directions [3, N]."""
    unit = direction * direction.square().sum(0).rsqrt()
    axis = unit.mean(1)
    axis = axis / axis.norm().clamp(min=1e-9)
    # Two thousandths of a radian cover the rounding of acos near 1.
    return axis, torch.acos((axis @ unit).amin().clamp(-1, 1)) + 2e-3


def _ball(points: Tensor) -> tuple[Tensor, Tensor]:
    """Center [3] and radius of a ball around points [3, N]."""
    low, high = points.amin(1), points.amax(1)
    return (low + high) / 2, (high - low).norm() / 2


def cast(world: World, origin: Tensor, direction: Tensor) -> Hit:
    """Follow rays from one origin [3, 1] along [3, N]; neighbours should be close to one another."""
    shell_time = world.shell.enter(origin, direction)
    time, index = _first_solid(world.shapes, origin, direction)
    on_solid = time < shell_time
    time = torch.minimum(time, shell_time)
    points = origin + direction * time.clamp(max=1e4)
    surface, glow = world.shell.surface(points), torch.zeros_like(time)
    rays = on_solid.nonzero()[:, 0]
    if len(rays):
        index = index[rays]
        surface = _over(surface, rays, world.shapes, index, points[:, rays])
        glow[rays] = world.shapes.glow.index_select(0, index)
    return Hit(time, points, surface, glow, time >= FAR)


def _first_solid(shapes: Shapes, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Parameter [N] of the nearest solid, FAR if there is none, and its number."""
    time = torch.full_like(direction[0], FAR)
    number = torch.zeros_like(time, dtype=torch.int64)
    for bundle in _bundles(direction):
        part = direction[:, bundle]
        near, numbers = _among(shapes, part, lambda part=part: shapes.in_cone(origin[:, 0], *_cone(part)))
        if not len(near):
            continue
        time[bundle], index = nearest(near.enter(near.into_unit(origin), near.turned(part)))
        number[bundle] = index if numbers is None else numbers[index]
    return time, number


def _over(surface: Surface, rays: Tensor, shapes: Shapes, index: Tensor, points: Tensor) -> Surface:
    """The shell's surfaces with those of solids in their place."""
    normal, lies, turned = shapes.facing(index, points)
    half = shapes.half.index_select(0, index).T
    tile_size = shapes.tile.index_select(0, index)
    fits = (tile_size <= 0).float()
    # Texture axes: x and z on what faces up or down, else y and the horizontal axis that lies flatter.
    steep = (normal[1].abs() < 0.7).float()
    across = (turned[0].abs() > turned[2].abs()).float() * steep
    u = torch.lerp(lies[0], lies[2], across)
    v = torch.lerp(lies[2], lies[1], steep)
    width, height = torch.lerp(half[0], half[2], across), torch.lerp(half[2], half[1], steep)
    scale = torch.lerp(tile_size, 2 * width, fits)
    u = u / scale + 0.5 * fits
    v = torch.lerp(v / scale, v / (2 * height) + 0.5, fits)
    tile = torch.where(steep > 0, shapes.side.index_select(0, index), shapes.top.index_select(0, index))
    tint, light = surface.tint, surface.light
    if tint is not None:
        tint = tint.clone()
        tint[:, rays] = 1
    if light is not None:
        light = light.clone()
        light[rays] = 1
    parts = (surface.normal, surface.tile, surface.u, surface.v, surface.scale, surface.thing)
    normal_all, tile_all, u_all, v_all, scale_all, thing_all = (part.clone() for part in parts)
    normal_all[:, rays] = normal
    tile_all[rays], u_all[rays], v_all[rays], scale_all[rays] = tile, u, v, scale
    thing_all[rays] = FIRST_THING + shapes.thing.index_select(0, index)
    return Surface(normal_all, tile_all, u_all, v_all, scale_all, thing_all, tint, light)


def openness(world: World, points: Tensor, normal: Tensor) -> Tensor:
    """[N] 0..1: how free the space is in front of surfaces; 1 on open planes, less in corners."""
    away = points + normal * CONTACT
    free = world.shell.distance(away)
    shapes = world.shapes
    for bundle in _bundles(away):
        part = away[:, bundle]
        near, _ = _among(shapes, part, lambda part=part: _within_contact(shapes, part))
        if len(near):
            free[bundle] = torch.minimum(free[bundle], near.distance(part).amin(0))
    return (free / CONTACT).clamp(0, 1)


def _within_contact(shapes: Shapes, points: Tensor) -> Tensor:
    center, radius = _ball(points)
    return shapes.in_ball(center, radius + CONTACT)


def shadow(shapes: Shapes, light: Light, points: Tensor, normal: Tensor) -> Tensor:
    """[N] 1 where a solid stands between the points and the light."""
    start = points + normal * SHADOW_GAP
    dark = torch.zeros_like(points[0])
    for bundle in _bundles(start):
        part = start[:, bundle]
        near, _ = _among(shapes, part, lambda part=part: _between(shapes, light, part))
        if len(near):
            dark[bundle] = _blocked(near, light, part)
    return dark


def _between(shapes: Shapes, light: Light, points: Tensor) -> Tensor:
    if light.is_sun:
        return shapes.in_beam(*_ball(points), light.place)
    return shapes.in_cone(light.place, *_cone(points - light.place[:, None]))


def _blocked(shapes: Shapes, light: Light, points: Tensor) -> Tensor:
    place = light.place[:, None]
    if light.is_sun:
        return (shapes.enter(shapes.into_unit(points), shapes.turned(place)).amin(0) < FAR / 2).float()
    # From the lamp outwards: its origin is the same for all rays.
    return (shapes.enter(shapes.into_unit(place), shapes.turned(points - place)).amin(0) < 1).float()
