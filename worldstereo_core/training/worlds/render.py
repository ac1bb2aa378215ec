"""Draw a world: pictures with exact depth, normals and instances, one ray per pixel and more on edges."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...checks import check_shape
from ...geometry.cameras import pixel_grid
from .casting import Hit, cast, openness, shadow
from .rays import Rays
from .world import Light, World

TILE_SIDE = 8
# Of several small frames together: what torch spends on a call by itself is shared among them.
RAYS_AT_ONCE = 55_296
EDGE_CONTRAST = 0.12
# Two more places inside a pixel for those on edges, on both sides of its centre.
EDGE_SAMPLES = ((-0.28, -0.17), (0.28, 0.17))
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


def render_world(
    world: World, w2c: Tensor, K: Tensor, height: int, width: int, *, smooth_edges: bool = True
) -> Frames:
    """Draw a world into T cameras, on the world's device.

    Args:
        w2c: [T, 4, 4]. K: [T, 3, 3] or [3, 3], pixels of a height x width image.
        smooth_edges: cast three rays in pixels that differ from a neighbour; depth, normals and instances are
            always those of the centre.

    Convention: OpenCV axes, half-pixel centres.
    """
    num_frames = check_shape("w2c", w2c, ("T", 4, 4))["T"]
    device = world.ambient.device
    K, w2c = K.to(device).expand(num_frames, 3, 3), w2c.to(device)
    together = max(1, RAYS_AT_ONCE // (height * width))
    parts = [
        _draw(world, w2c[first : first + together], K[first : first + together], height, width, smooth_edges)
        for first in range(0, num_frames, together)
    ]
    image, depth, normal, instance = (torch.cat(maps) for maps in zip(*parts, strict=True))
    return Frames(image, depth, normal, instance)


def _draw(
    world: World, w2c: Tensor, K: Tensor, height: int, width: int, smooth_edges: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The maps of ``Frames`` of F frames, drawn together."""
    order = _tiled(height, width, w2c.device)
    count, pixels = len(w2c), len(order)
    to_world = w2c[:, :3, :3].mT
    origin = -(to_world @ w2c[:, :3, 3:])[..., 0].T  # [3, F]
    through = to_world @ torch.linalg.inv(K)  # of homogeneous pixels: camera z is 1 along them
    pixel = 1 / K[:, 0, 0]
    xy = pixel_grid(height, width, device=w2c.device).reshape(-1, 2)[order]
    rays = Rays(origin, _through(through, xy).permute(1, 0, 2).reshape(3, -1), (pixels,) * count)
    colour, hit = _sample(world, rays, pixel)
    tone = _display(colour * world.exposure)
    back = torch.empty_like(order)
    back[order] = torch.arange(pixels, device=order.device)
    thing = (hit.surface.thing * (~hit.sky)).view(count, pixels)[:, back].view(count, height, width)
    if smooth_edges:
        grey = tone.mean(0).view(count, pixels)[:, back].view(count, height, width)
        edges = _edges(grey, thing).flatten(1)[:, order]
        on_edge = edges.flatten().nonzero()[:, 0]
        if len(on_edge):
            # One pixel's rays side by side, so that neighbours stay neighbours.
            places = xy[on_edge % pixels, None] + xy.new_tensor(EDGE_SAMPLES)
            lengths = tuple(edges.sum(1).tolist())
            directions = [
                _through(matrix, place.reshape(-1, 2))
                for matrix, place in zip(through, places.split(lengths), strict=True)
            ]
            samples = len(EDGE_SAMPLES)
            more = Rays(origin, torch.cat(directions, 1), tuple(samples * length for length in lengths))
            extra, _ = _sample(world, more, pixel)
            extra = _display(extra * world.exposure).view(3, -1, samples).sum(2)
            tone[:, on_edge] = (tone[:, on_edge] + extra) / (1 + samples)
    seen = (~hit.sky).float()
    maps = torch.cat([tone, (hit.time * seen)[None], hit.surface.normal * seen])
    maps = maps.view(-1, count, pixels)[..., back].view(-1, count, height, width).movedim(1, 0)
    return maps[:, :3], maps[:, 3], maps[:, 4:], thing


def _tiled(height: int, width: int, device: torch.device) -> Tensor:
    """[H * W] pixel numbers in the order of square tiles, so that a run of rays is a narrow bundle."""
    number = torch.arange(height * width, device=device).view(height, width)
    row, column = number // width // TILE_SIDE, number % width // TILE_SIDE
    return (row * width + column).flatten().argsort(stable=True)


def _through(rays: Tensor, xy: Tensor) -> Tensor:
    """World directions [..., 3, N] through pixel positions [N, 2]."""
    return rays[..., :2] @ xy.T + rays[..., 2:]


def _edges(grey: Tensor, thing: Tensor) -> Tensor:
    """[F, H, W] bool: pixels that differ from the one to the right or below, and those neighbours."""
    mask = torch.zeros_like(thing, dtype=torch.bool)
    for axis in (1, 2):
        length = thing.shape[axis] - 1
        steps = (grey.diff(dim=axis).abs() > EDGE_CONTRAST) | (thing.diff(dim=axis) != 0)
        mask.narrow(axis, 0, length).logical_or_(steps)
        mask.narrow(axis, 1, length).logical_or_(steps)
    return mask


def _sample(world: World, rays: Rays, pixel: Tensor) -> tuple[Tensor, Hit]:
    """Linear colours [3, N] along rays, and what they hit; ``pixel``: [F] width of one at z = 1."""
    hit, direction = cast(world, rays), rays.direction
    surface = hit.surface
    length = direction.square().sum(0).sqrt()
    facing = (surface.normal * direction).sum(0).abs() / length
    # A pixel's footprint on a slanted surface is longer than wide; the root is between both.
    footprint = hit.time * rays.of_each(pixel) / (surface.scale * facing.clamp(min=0.05).sqrt())
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


def _light(world: World, hit: Hit) -> Tensor:
    """Light [3, N] that reaches the points: ambient from above and below, lamps and sun with shadows."""
    normal, points = hit.surface.normal, hit.points
    up = 0.5 - 0.5 * normal[1]
    total = torch.lerp(world.ambient[1, :, None], world.ambient[0, :, None], up)
    total = total * (0.35 + 0.65 * openness(world, points, normal))
    for light in world.lights:
        total = total + light.colour[:, None] * _one_light(world, light, points, normal, hit.sky)
    return total if hit.surface.light is None else total * hit.surface.light


def _one_light(world: World, light: Light, points: Tensor, normal: Tensor, sky: Tensor) -> Tensor:
    """How much of a light arrives, [N]."""
    place = light.place[:, None]
    if light.is_sun:
        strength = (normal * place).sum(0).clamp(min=0)
    else:
        way = place - points
        square = way.square().sum(0)
        strength = (way * normal).sum(0).clamp(min=0) * square.rsqrt() / (square + 0.3)
    if light.casts:
        # Most of what faces away or is sky needs no ray.
        facing = ((strength > 0) & ~sky).nonzero()[:, 0]
        if len(facing):
            dark = shadow(world.shapes, light, points[:, facing], normal[:, facing])
            strength = strength.index_put((facing,), strength[facing] * (1 - dark))
    return strength


def _display(linear: Tensor) -> Tensor:
    """A film-like curve and display gamma: linear rgb to 0..1."""
    mapped = (linear * (2.51 * linear + 0.03)) / (linear * (2.43 * linear + 0.59) + 0.14)
    return mapped.clamp(0, 1).pow(GAMMA)
