"""What rays meet first, what stands before a light, and how open a place is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .bundles import Bundles, Pairs
from .rays import Rays
from .shapes import Shapes
from .shells import Surface
from .units import FAR
from .world import Light, World

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


def cast(world: World, rays: Rays) -> Hit:
    """Follow rays to what they meet first."""
    shell_time = world.shell.enter(rays)
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
    if not len(shapes) or not rays.direction.shape[1]:
        time = torch.full_like(rays.direction[0], FAR)
        return time, torch.zeros_like(time, dtype=torch.int64)
    bundles = Bundles.of(rays.direction, rays.lengths)
    apex = rays.origin.T[bundles.camera]  # [K, 3]

    def enter(pairs: Pairs, directions: Tensor, run: slice) -> Tensor:
        return pairs.units.enter(pairs.into_unit(apex[run, :, None]), pairs.turned(directions))

    return bundles.nearest(shapes, shapes.in_cones(apex, *bundles.cones()), enter)


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

    if len(shapes) and away.shape[1]:
        bundles = Bundles.of(away)

        def distance(pairs: Pairs, points: Tensor, _: slice) -> Tensor:
            return pairs.units.measure(pairs.into_unit(points))

        chosen = shapes.near_boxes(*bundles.boxes(), CONTACT) & shapes.casts
        free = torch.minimum(free, bundles.least(shapes, chosen, distance))
    return (free / CONTACT).clamp(0, 1)


def shadow(shapes: Shapes, light: Light, points: Tensor, normal: Tensor) -> Tensor:
    """[N] 1 where a solid stands between the points and the light."""
    start, place = points + normal * SHADOW_GAP, light.place[:, None]
    if not len(shapes) or not points.shape[1]:
        return torch.zeros_like(points[0])
    if light.is_sun:
        bundles = Bundles.of(start)

        def enter(pairs: Pairs, starts: Tensor, run: slice) -> Tensor:
            towards = place.expand(len(starts), 3, 1)
            return pairs.units.enter(pairs.into_unit(starts), pairs.turned(towards))

        chosen = shapes.in_beams(*bundles.balls(), light.place) & shapes.casts
        return (bundles.least(shapes, chosen, enter) < FAR / 2).float()
    # From the lamp outwards: its origin is the same for all rays.
    bundles = Bundles.of(start - place)

    def leave(pairs: Pairs, ways: Tensor, run: slice) -> Tensor:
        return pairs.units.enter(pairs.into_unit(place.expand(len(ways), 3, 1)), pairs.turned(ways))

    chosen = shapes.in_cones(light.place[None], *bundles.cones()) & shapes.casts
    return (bundles.least(shapes, chosen, leave) < 1).float()
