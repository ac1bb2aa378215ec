"""What rays meet first, what stands before a light, and how open a place is.

On a CPU rays go in bundles: most solids lie outside the narrow cone of a few hundred neighbouring rays, and
those that remain fit into the cache. A GPU takes all rays and all solids at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .shapes import Shapes, nearest
from .shells import Surface
from .units import FAR, Units
from .world import Light, World

BUNDLE = 2048  # rays
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


@dataclass(frozen=True, eq=False)
class Rays:
    """N rays of F cameras, one camera's after the other's.

    Attributes:
        origin: [3, F]. direction: [3, N]; neighbours should be close to one another.
        lengths: how many rays each camera has.
    """

    origin: Tensor
    direction: Tensor
    lengths: tuple[int, ...]

    def of_each(self, values: Tensor) -> Tensor:
        """What belongs to cameras, [..., F], for every ray, [..., N]."""
        if len(self.lengths) == 1:
            return values
        return torch.cat(
            [
                values[..., number, None].expand(*values.shape[:-1], length)
                for number, length in enumerate(self.lengths)
            ],
            -1,
        )

    def by_camera(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """For each camera that has rays their run, the origin [3, 1] and the directions [3, n]."""
        begin = 0
        for number, length in enumerate(self.lengths):
            run = slice(begin, begin + length)
            if length:
                yield run, self.origin[:, number : number + 1], self.direction[:, run]
            begin += length


def _bundles(rays: Tensor) -> int:
    """How many bundles N rays [3, N] make."""
    return -(-rays.shape[1] // BUNDLE)


def _bundled(rays: Tensor) -> Tensor:
    """Rays [3, N] as [3, K, BUNDLE]; the last one is repeated to fill up."""
    missing = _bundles(rays) * BUNDLE - rays.shape[1]
    if missing:
        rays = torch.cat([rays, rays[:, -1:].expand(3, missing)], 1)
    return rays.view(3, -1, BUNDLE)


def _groups(
    shapes: Shapes, rays: Tensor, inside: Callable[[Tensor], Tensor], *, casting: bool = False
) -> Iterator[tuple[slice, Units, Tensor | None]]:
    """Runs of rays [3, N] with the solids they can meet and those solids' numbers (None: all of them).

    Args:
        inside: from rays [3, K, BUNDLE] to the [K, P] bool mask of solids that each bundle can meet.
        casting: only those that throw shadows.
    """
    count = rays.shape[1]
    if rays.device.type != "cpu":
        yield slice(0, count), shapes.casting if casting else shapes.units, None
        return
    chosen = inside(_bundled(rays))
    for number, (units, numbers) in enumerate(shapes.groups(chosen & shapes.casts if casting else chosen)):
        if len(units):
            yield slice(number * BUNDLE, min((number + 1) * BUNDLE, count)), units, numbers


def _cones(direction: Tensor) -> tuple[Tensor, Tensor]:
    """Axis [K, 3] and half angle [K] of cones around the mean of each K of directions [3, K, n]."""
    unit = direction * direction.square().sum(0).rsqrt()
    axis = unit.mean(2, keepdim=True)
    axis = axis * axis.square().sum(0).clamp(min=1e-18).rsqrt()
    # Two thousandths of a radian cover the rounding of acos near 1.
    return axis[..., 0].T, torch.acos((axis * unit).sum(0).amin(1).clamp(-1, 1)) + 2e-3


def _balls(points: Tensor) -> tuple[Tensor, Tensor]:
    """Center [K, 3] and radius [K] of balls around points [3, K, n]."""
    low, high = points.amin(2).T, points.amax(2).T
    return (low + high) / 2, (high - low).square().sum(1).sqrt() / 2


def cast(world: World, rays: Rays) -> Hit:
    """Follow rays to what they meet first."""
    shell_time = torch.cat(
        [world.shell.enter(origin, direction) for _, origin, direction in rays.by_camera()]
    )
    time, index = _first_solid(world.shapes, rays)
    on_solid = time < shell_time
    time = torch.minimum(time, shell_time)
    points = rays.of_each(rays.origin) + rays.direction * time.clamp(max=1e4)
    surface, glow = world.shell.surface(points), torch.zeros_like(time)
    met = on_solid.nonzero()[:, 0]
    if len(met):
        index = index[met]
        surface = _over(surface, met, world.shapes, index, points[:, met])
        glow[met] = world.shapes.glow.index_select(0, index)
    return Hit(time, points, surface, glow, time >= FAR)


def _first_solid(shapes: Shapes, rays: Rays) -> tuple[Tensor, Tensor]:
    """Parameter [N] of the nearest solid, FAR if there is none, and its number."""
    time = torch.full_like(rays.direction[0], FAR)
    number = torch.zeros_like(time, dtype=torch.int64)
    if not len(shapes):
        return time, number
    for camera, origin, direction in rays.by_camera():
        times, numbers_of = time[camera], number[camera]
        for run, units, numbers in _groups(
            shapes,
            direction,
            lambda bundles, origin=origin: shapes.in_cones(origin[:, 0], *_cones(bundles)),
        ):
            near = units.enter(units.into_unit(origin), units.turned(direction[:, run]))
            times[run], index = nearest(near)
            numbers_of[run] = index if numbers is None else numbers[index]
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
    away, shapes = points + normal * CONTACT, world.shapes
    free = world.shell.distance(away)

    def inside(bundles: Tensor) -> Tensor:
        return shapes.in_boxes(bundles.amin(2).T - CONTACT, bundles.amax(2).T + CONTACT)

    if len(shapes) and away.shape[1]:
        for run, units, _ in _groups(shapes, away, inside, casting=True):
            free[run] = torch.minimum(free[run], units.distance(away[:, run]).amin(0))
    return (free / CONTACT).clamp(0, 1)


def shadow(shapes: Shapes, light: Light, points: Tensor, normal: Tensor) -> Tensor:
    """[N] 1 where a solid stands between the points and the light."""
    start, place = points + normal * SHADOW_GAP, light.place[:, None]
    dark = torch.zeros_like(points[0])
    if not len(shapes) or not points.shape[1]:
        return dark
    if light.is_sun:
        inside = lambda rays: shapes.in_beams(*_balls(rays), light.place)  # noqa: E731
        for run, units, _ in _groups(shapes, start, inside, casting=True):
            entered = units.enter(units.into_unit(start[:, run]), units.turned(place))
            dark[run] = (entered.amin(0) < FAR / 2).float()
        return dark
    # From the lamp outwards: its origin is the same for all rays.
    way = start - place
    inside = lambda rays: shapes.in_cones(light.place, *_cones(rays))  # noqa: E731
    for run, units, _ in _groups(shapes, way, inside, casting=True):
        dark[run] = (units.enter(units.into_unit(place), units.turned(way[:, run])).amin(0) < 1).float()
    return dark
