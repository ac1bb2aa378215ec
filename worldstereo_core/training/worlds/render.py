"""Draw a world: pictures with exact depth, normals and instances, one ray per pixel and more on edges."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...checks import check_shape
from ...geometry.cameras import pixel_grid
from .shapes import FAR, Shapes, nearest
from .shells import Surface
from .world import Light, World

SHADOW_GAP = 2e-3  # metres a shadow ray starts before its surface
CONTACT = 0.3  # metres within which a neighbouring surface keeps ambient light away
EDGE_CONTRAST = 0.06
# Three more places inside a pixel for those on edges, the corners of a turned triangle around the centre.
EDGE_SAMPLES = ((-0.31, -0.17), (0.30, -0.20), (0.02, 0.34))
FIRST_THING = 10  # instance numbers below belong to sky and shell
GAMMA = 1 / 2.2


@dataclass(frozen=True, eq=False)
class Frames:
    """T drawn frames.

    Attributes:
        image: [T, 3, H, W] float 0..1.
        depth: [T, H, W] camera z of the surface at the pixel's centre, metres; 0 = sky.
        normal: [T, 3, H, W] unit, WORLD axes, towards the camera; 0 in the sky.
        instance: [T, H, W] int64: 0 sky, below 10 the surroundings, then one number per thing.
    """

    image: Tensor
    depth: Tensor
    normal: Tensor
    instance: Tensor


@dataclass(frozen=True, eq=False)
class _Cast:
    """What N rays of one camera hit: parameter (= camera z), solid (len(shapes) = shell), point, surface."""

    time: Tensor
    points: Tensor
    surface: Surface
    glow: Tensor
    sky: Tensor


def render_world(
    world: World, w2c: Tensor, K: Tensor, height: int, width: int, *, smooth_edges: bool = True
) -> Frames:
    """Draw a world into T cameras, on the world's device.

    Args:
        w2c: [T, 4, 4]. K: [T, 3, 3] or [3, 3], pixels of a height x width image.
        smooth_edges: cast four rays in pixels that differ from a neighbour; depth, normals and instances are
            always those of the centre.

    Convention: OpenCV axes, half-pixel centres.
    """
    num_frames = check_shape("w2c", w2c, ("T", 4, 4))["T"]
    device = world.ambient.device
    K, w2c = K.to(device).expand(num_frames, 3, 3), w2c.to(device)
    frames = [
        _draw(world, w2c[number], K[number], height, width, smooth_edges) for number in range(num_frames)
    ]
    image, depth, normal, instance = (torch.stack(parts) for parts in zip(*frames, strict=True))
    return Frames(image, depth, normal, instance)


def _draw(
    world: World, w2c: Tensor, K: Tensor, height: int, width: int, smooth_edges: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    shapes = world.shapes
    if len(shapes):
        shapes = shapes.select(shapes.seen_by(w2c, K, height, width))
    to_world = w2c[:3, :3].T
    origin = -(to_world @ w2c[:3, 3:])
    rays = to_world @ torch.linalg.inv(K)  # of homogeneous pixels: camera z is 1 along them
    pixel = 1 / float(K[0, 0])
    xy = pixel_grid(height, width, device=w2c.device).reshape(-1, 2)
    colour, hit = _sample(world, shapes, origin, _through(rays, xy), pixel)
    tone = _display(colour * world.exposure)
    if smooth_edges:
        thing = hit.surface.thing * (~hit.sky)
        on_edge = _edges(tone.view(3, height, width), thing.view(height, width)).flatten().nonzero()[:, 0]
        if len(on_edge):
            places = xy[on_edge]
            more = torch.cat([places + places.new_tensor(shift) for shift in EDGE_SAMPLES])
            extra, _ = _sample(world, shapes, origin, _through(rays, more), pixel)
            extra = _display(extra * world.exposure).view(3, len(EDGE_SAMPLES), -1).sum(1)
            tone[:, on_edge] = (tone[:, on_edge] + extra) / (1 + len(EDGE_SAMPLES))
    seen = (~hit.sky).float()
    depth = (hit.time * seen).view(height, width)
    normal = (hit.surface.normal * seen).view(3, height, width)
    instance = (hit.surface.thing * (~hit.sky)).view(height, width)
    return tone.view(3, height, width), depth, normal, instance


def _through(rays: Tensor, xy: Tensor) -> Tensor:
    """World directions [3, N] through pixel positions [N, 2]."""
    return rays[:, :2] @ xy.T + rays[:, 2:]


def _edges(picture: Tensor, thing: Tensor) -> Tensor:
    """[H, W] bool: pixels that differ from the one to the right or below, and those neighbours."""
    grey = picture.mean(0)
    mask = torch.zeros_like(thing, dtype=torch.bool)
    for axis in (0, 1):
        length = thing.shape[axis] - 1
        steps = (grey.diff(dim=axis).abs() > EDGE_CONTRAST) | (thing.diff(dim=axis) != 0)
        mask.narrow(axis, 0, length).logical_or_(steps)
        mask.narrow(axis, 1, length).logical_or_(steps)
    return mask


def _sample(
    world: World, shapes: Shapes, origin: Tensor, direction: Tensor, pixel: float
) -> tuple[Tensor, _Cast]:
    """Linear colours [3, N] along rays from one origin, and what they hit."""
    hit = _cast(world, shapes, origin, direction)
    surface = hit.surface
    length = direction.square().sum(0).sqrt()
    facing = (surface.normal * direction).sum(0).abs() / length
    # A pixel's footprint on a slanted surface is longer than wide; the root is between both.
    footprint = hit.time * pixel / (surface.scale * facing.clamp(min=0.05).sqrt())
    albedo = world.atlas.sample(surface.tile, surface.u, surface.v, footprint)
    if surface.tint is not None:
        albedo = albedo * surface.tint
    colour = albedo * torch.lerp(_light(world, hit), torch.ones_like(albedo), hit.glow)
    haze = 1 - torch.exp(hit.time * length * (-2 / world.haze[3]))
    colour = torch.lerp(colour, world.haze[:3, None].expand_as(colour), haze)
    if bool(hit.sky.any()):
        sky = world.sky.sample(direction / length)
        colour = torch.lerp(colour, sky, hit.sky.float())
    return colour, hit


def _cast(world: World, shapes: Shapes, origin: Tensor, direction: Tensor) -> _Cast:
    shell_time = world.shell.enter(origin, direction)
    num_rays = direction.shape[1]
    if not len(shapes):
        points = origin + direction * shell_time.clamp(max=1e4)
        surface = world.shell.surface(points)
        return _Cast(shell_time, points, surface, torch.zeros(num_rays).to(points), shell_time >= FAR)
    unit_origin, unit_direction = shapes.into_unit(origin), shapes.turned(direction)
    time, index = nearest(shapes.enter(unit_origin, unit_direction))
    on_shape = time < shell_time
    time = torch.minimum(time, shell_time)
    points = origin + direction * time.clamp(max=1e4)
    surface = world.shell.surface(points)
    glow = torch.zeros_like(time)
    rays = on_shape.nonzero()[:, 0]
    if len(rays):
        index, surface = index[rays], _over(surface, rays, shapes, index[rays], points[:, rays])
        glow[rays] = shapes.glow.index_select(0, index)
    return _Cast(time, points, surface, glow, time >= FAR)


def _over(surface: Surface, rays: Tensor, shapes: Shapes, index: Tensor, points: Tensor) -> Surface:
    """The shell's surfaces with those of solids in their place."""
    normal, local = shapes.facing(index, points)
    half = shapes.half.index_select(0, index).T
    tile_size = shapes.tile.index_select(0, index)
    fits = (tile_size <= 0).float()
    # Texture axes: x and z on what faces up or down, else y and the horizontal axis that lies flatter.
    lies = half * local
    steep = (normal[1].abs() < 0.7).float()
    turned = (shapes.to_unit.reshape(-1, 9).index_select(0, index).T.reshape(3, 3, -1) * normal).sum(1) * half
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


def _light(world: World, hit: _Cast) -> Tensor:
    """Light [3, N] that reaches the points: ambient from above and below, lamps and sun with shadows."""
    normal, points = hit.surface.normal, hit.points
    up = 0.5 - 0.5 * normal[1]
    total = torch.lerp(world.ambient[1, :, None], world.ambient[0, :, None], up)
    away = points + normal * CONTACT
    openness = (world.clearance(away.T) / CONTACT).clamp(0, 1)
    total = total * (0.35 + 0.65 * openness)
    for light in world.lights:
        total = total + _one_light(world, light, points, normal)
    return total if hit.surface.light is None else total * hit.surface.light


def _one_light(world: World, light: Light, points: Tensor, normal: Tensor) -> Tensor:
    place = light.place[:, None]
    if light.is_sun:
        strength = (normal * place).sum(0).clamp(min=0)
    else:
        way = place - points
        square = way.square().sum(0)
        strength = (way * normal).sum(0).clamp(min=0) * square.rsqrt() / (square + 0.3)
    if light.casts and len(world.shapes):
        strength = strength * (1 - _shadow(world.shapes, light, points, normal))
    return light.colour[:, None] * strength


def _shadow(shapes: Shapes, light: Light, points: Tensor, normal: Tensor) -> Tensor:
    """[N] 1 where a solid stands between the points and the light."""
    start = points + normal * SHADOW_GAP
    place = light.place[:, None]
    if light.is_sun:
        time = shapes.enter(shapes.into_unit(start), shapes.turned(place)).amin(0)
        return (time < FAR / 2).float()
    # From the lamp outwards: its origin is the same for all rays.
    time = shapes.enter(shapes.into_unit(place), shapes.turned(start - place)).amin(0)
    return (time < 1).float()


def _display(linear: Tensor) -> Tensor:
    """A film-like curve and display gamma: linear rgb to 0..1."""
    mapped = (linear * (2.51 * linear + 0.03)) / (linear * (2.43 * linear + 0.59) + 0.14)
    return mapped.clamp(0, 1).pow(GAMMA)
