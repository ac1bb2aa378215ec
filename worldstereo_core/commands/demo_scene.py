"""The drawn living room of README and thumbnails: rays are cast, and depth is exact.

World: OpenCV axes, metres, the floor at y = 1.2. The first camera (`start_camera`) looks along +z.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..geometry.cameras import pixel_grid
from . import demo_textures as textures

FLOOR, CEILING = 1.2, -1.5
ROOM_LOW, ROOM_HIGH = (-2.7, CEILING, -2.0), (2.9, FLOOR, 5.2)
START = (0.0, -0.1, -1.3)
# Fractions of square roots of primes: a sequence that fills pixel, hemisphere and lamps evenly.
SEQUENCE = tuple(math.sqrt(prime) % 1 for prime in (2, 3, 5, 7, 11, 13, 17))

Paint = Callable[[Tensor, Tensor], Tensor]  # points [N, 3], normals [N, 3] -> colours [N, 3]


@dataclass(frozen=True)
class Box:
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    paint: Paint

    def hit(self, origin: Tensor, direction: Tensor) -> Tensor:
        """Distance along each ray to the outside of the box, inf where missed."""
        near, far = _slab(self.low, self.high, origin, direction)
        return torch.where((near < far) & (near > 1e-4), near, torch.inf)

    def normal(self, points: Tensor) -> Tensor:
        low, high = points.new_tensor(self.low), points.new_tensor(self.high)
        offset = (points - (low + high) / 2) / ((high - low) / 2)
        axis = offset.abs().argmax(-1, keepdim=True)
        return torch.zeros_like(points).scatter(-1, axis, offset.gather(-1, axis).sign())


@dataclass(frozen=True)
class Room(Box):
    """The box seen from inside."""

    def hit(self, origin: Tensor, direction: Tensor) -> Tensor:
        return _slab(self.low, self.high, origin, direction)[1]

    def normal(self, points: Tensor) -> Tensor:
        return -super().normal(points)


@dataclass(frozen=True)
class Sphere:
    center: tuple[float, float, float]
    radius: float
    paint: Paint

    def hit(self, origin: Tensor, direction: Tensor) -> Tensor:
        offset = origin - origin.new_tensor(self.center)
        return _quadratic(
            direction.square().sum(-1), (offset * direction).sum(-1), offset.square().sum(-1), self.radius
        )

    def normal(self, points: Tensor) -> Tensor:
        return (points - points.new_tensor(self.center)) / self.radius


@dataclass(frozen=True)
class Cylinder:
    """An upright cylinder with a top."""

    base: tuple[float, float, float]
    height: float
    radius: float
    paint: Paint

    def hit(self, origin: Tensor, direction: Tensor) -> Tensor:
        base = origin.new_tensor(self.base)
        offset, flat = (origin - base)[..., [0, 2]], direction[..., [0, 2]]
        side = _quadratic(
            flat.square().sum(-1), (offset * flat).sum(-1), offset.square().sum(-1), self.radius
        )
        y = origin[..., 1] + side * direction[..., 1]
        top_y = self.base[1] - self.height
        side = torch.where((y <= self.base[1]) & (y >= top_y), side, torch.inf)
        cap = (top_y - origin[..., 1]) / direction[..., 1]
        on_cap = (offset + cap[..., None] * flat).square().sum(-1) <= self.radius**2
        cap = torch.where(on_cap & (cap > 1e-4), cap, torch.inf)
        return torch.minimum(side, cap)

    def normal(self, points: Tensor) -> Tensor:
        offset = points - points.new_tensor(self.base)
        up = points.new_tensor([0.0, -1.0, 0.0]).expand_as(points)
        outward = offset * points.new_tensor([1.0, 0.0, 1.0])
        is_top = (offset[..., 1] + self.height).abs() < 1e-3
        return torch.where(
            is_top[..., None], up, outward / outward.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        )


Shape = Box | Sphere | Cylinder


def _slab(low: tuple, high: tuple, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    inverse = 1.0 / torch.where(direction.abs() < 1e-9, 1e-9, direction)
    first, second = (origin.new_tensor(low) - origin) * inverse, (origin.new_tensor(high) - origin) * inverse
    return torch.minimum(first, second).amax(-1), torch.maximum(first, second).amin(-1)


def _quadratic(a: Tensor, half_b: Tensor, c: Tensor, radius: float) -> Tensor:
    discriminant = half_b.square() - a * (c - radius**2)
    near = (-half_b - discriminant.clamp(min=0).sqrt()) / a.clamp(min=1e-12)
    return torch.where((discriminant > 0) & (near > 1e-4), near, torch.inf)


def _plain(*rgb: float) -> Paint:
    return lambda points, normals: points.new_tensor(rgb).expand_as(points)


def _sofa() -> list[Shape]:
    cloth, cushion = textures.weave((0.13, 0.33, 0.36)), textures.weave((0.85, 0.62, 0.24))
    return [
        Box((-2.35, 0.72, 2.75), (-0.45, 1.08, 3.65), cloth),
        Box((-2.35, 0.22, 3.45), (-0.45, 0.80, 3.75), cloth),
        Box((-2.45, 0.50, 2.70), (-2.18, 1.10, 3.75), cloth),
        Box((-0.62, 0.50, 2.70), (-0.35, 1.10, 3.75), cloth),
        Box((-2.05, 0.38, 3.28), (-1.55, 0.76, 3.46), cushion),
        Box((-1.20, 0.42, 3.26), (-0.76, 0.76, 3.46), textures.weave((0.72, 0.27, 0.20))),
    ]


def _table() -> list[Shape]:
    wood, dark = textures.wood((0.52, 0.33, 0.18)), _plain(0.16, 0.11, 0.08)
    legs: list[Shape] = [
        Box((x, 0.84, z), (x + 0.06, FLOOR, z + 0.06), dark) for x in (-0.48, 0.46) for z in (1.98, 2.50)
    ]
    return [
        Box((-0.55, 0.78, 1.92), (0.60, 0.84, 2.62), wood),
        *legs,
        Sphere((0.24, 0.62, 2.30), 0.16, textures.globe),
        Cylinder((-0.24, 0.78, 2.22), 0.05, 0.20, _plain(0.86, 0.82, 0.74)),
        Sphere((-0.24, 0.67, 2.22), 0.075, _plain(0.78, 0.20, 0.12)),
        Sphere((-0.34, 0.68, 2.16), 0.06, _plain(0.90, 0.58, 0.12)),
        Sphere((-0.16, 0.685, 2.13), 0.055, _plain(0.45, 0.58, 0.16)),
    ]


def _corner() -> list[Shape]:
    """A lamp, an armchair, a plant and a cabinet on the right and in the back."""
    leaf, clay, metal = textures.foliage, textures.pottery, _plain(0.20, 0.17, 0.14)
    leaves = [
        (1.85, 0.02, 4.55, 0.30),
        (2.10, -0.22, 4.60, 0.27),
        (1.66, -0.26, 4.62, 0.24),
        (1.90, -0.46, 4.5, 0.22),
    ]
    chair = textures.weave((0.62, 0.30, 0.17))
    return [
        Cylinder((1.9, FLOOR, 4.55), 0.48, 0.26, clay),
        Cylinder((1.9, 0.75, 4.55), 0.6, 0.035, _plain(0.30, 0.20, 0.12)),
        *[Sphere((x, y, z), radius, leaf) for x, y, z, radius in leaves],
        Cylinder((1.05, FLOOR, 2.9 + 0.35), 0.03, 0.17, metal),
        Cylinder((1.05, FLOOR, 2.9 + 0.35), 1.75, 0.018, metal),
        Cylinder((1.05, -0.40, 2.9 + 0.35), 0.32, 0.21, textures.lampshade),
        Box((1.35, 0.70, 2.55), (2.25, 1.08, 3.35), chair),
        Box((1.35, 0.15, 3.20), (2.25, 0.72, 3.45), chair),
        Box((1.25, 0.52, 2.55), (1.43, 1.10, 3.45), chair),
        Box((2.17, 0.52, 2.55), (2.35, 1.10, 3.45), chair),
        Box((-0.15, 0.55, 4.72), (1.25, FLOOR, 5.18), textures.cabinet),
        Cylinder((0.15, 0.55, 4.95), 0.34, 0.10, textures.pottery),
        Sphere((0.62, 0.43, 4.95), 0.12, _plain(0.20, 0.32, 0.45)),
        Box((0.85, 0.40, 4.84), (1.10, 0.55, 5.08), _plain(0.75, 0.68, 0.55)),
    ]


SHAPES: tuple[Shape, ...] = (Room(ROOM_LOW, ROOM_HIGH, textures.room), *_sofa(), *_table(), *_corner())


def _nearest(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Distance to the nearest surface and the index of its shape."""
    best = torch.full(direction.shape[:-1], torch.inf)
    index = torch.zeros(direction.shape[:-1], dtype=torch.int64)
    for number, shape in enumerate(SHAPES):
        distance = shape.hit(origin, direction)
        closer = distance < best
        best, index = torch.where(closer, distance, best), torch.where(closer, number, index)
    return best, index


def _rays(
    w2c: Tensor, K: Tensor, height: int, width: int, offset: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """World origin [3] and directions [H*W, 3] whose camera z is 1, so that distance along them is depth."""
    xy = pixel_grid(height, width, offset).reshape(-1, 2)
    rays = torch.stack(
        [(xy[:, 0] - K[0, 2]) / K[0, 0], (xy[:, 1] - K[1, 2]) / K[1, 1], torch.ones(len(xy))], -1
    )
    rotation = w2c[:3, :3]
    return -rotation.T @ w2c[:3, 3], rays @ rotation


def start_camera(height: int, width: int) -> tuple[Tensor, Tensor]:
    """w2c [4, 4] and K [3, 3] of the picture that the demo starts from."""
    w2c = torch.eye(4)
    w2c[:3, 3] = -torch.tensor(START)
    focal = 0.76 * width
    return w2c, torch.tensor([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])


def cast_depth(w2c: Tensor, K: Tensor, height: int, width: int) -> Tensor:
    """Exact depth of the scene, [height, width] camera z in metres.

    Args:
        w2c: [4, 4]. K: [3, 3], pixels of a height x width image, half-pixel centres.
    """
    origin, direction = _rays(w2c, K, height, width, (0.5, 0.5))
    return _nearest(origin.expand_as(direction), direction)[0].reshape(height, width)


def draw_view(w2c: Tensor, K: Tensor, height: int, width: int, samples: int = 9) -> Tensor:
    """Draw the scene, [3, height, width] in 0..1.

    Args:
        w2c: [4, 4]. K: [3, 3], pixels of a height x width image, half-pixel centres.
        samples: how many rays per pixel are averaged, each with its own light and occlusion rays.
    """
    shift = torch.rand(height * width, 5, generator=torch.Generator().manual_seed(7))
    total = torch.zeros(height * width, 3)
    for number in range(samples):
        # Each pixel walks the same well-spread sequence from its own random start: little grain for few rays.
        place = number * torch.tensor(SEQUENCE)
        origin, direction = _rays(w2c, K, height, width, tuple(place[:2].frac().tolist()))
        total += _shade(origin, direction, (shift + place[2:]).frac())
    # Filmic curve, then display gamma.
    linear = total / samples
    mapped = (linear * (2.51 * linear + 0.03)) / (linear * (2.43 * linear + 0.59) + 0.14)
    return mapped.clamp(0, 1).pow(1 / 2.2).T.reshape(3, height, width)


def _shade(origin: Tensor, direction: Tensor, random: Tensor) -> Tensor:
    distance, index = _nearest(origin.expand_as(direction), direction)
    points = origin + direction * distance[:, None]
    colour, normals = torch.zeros_like(points), torch.zeros_like(points)
    for number, shape in enumerate(SHAPES):
        chosen = index == number
        if chosen.any():
            normals[chosen] = shape.normal(points[chosen])
            colour[chosen] = shape.paint(points[chosen], normals[chosen])
    glow = colour.amax(-1, keepdim=True) > 1.0  # paints above 1 are lights: shown as they are
    start = points + normals * 2e-3
    light = _ambient(start, normals, random[:, :2])
    window = textures.WINDOW_LOW, textures.WINDOW_HIGH
    light += _lamp(start, normals, window, (1.0, 0.97, 0.90), 7.5, random[:, 2:])
    bulb = ((0.92, -0.80, 3.12), (1.18, -0.70, 3.38))
    light += _lamp(start, normals, bulb, (1.0, 0.72, 0.42), 1.1, random[:, 2:])
    return torch.where(glow, colour, colour * light)


def _ambient(start: Tensor, normals: Tensor, random: Tensor) -> Tensor:
    """Soft light from everywhere, dimmed where surfaces are close (one random ray of the hemisphere)."""
    turn, lift = random[:, 0] * 2 * math.pi, random[:, 1] * 2 - 1
    flat = (1 - lift.square()).sqrt()
    # A random point on the unit ball that touches the surface: directions by the cosine law.
    ray = torch.stack([flat * torch.cos(turn), flat * torch.sin(turn), lift], -1) + normals * 1.001
    ray = ray / ray.norm(dim=-1, keepdim=True)
    reach = 0.9
    open_share = (_nearest(start, ray)[0] / reach).clamp(max=1.0)
    from_above = 0.5 - 0.5 * normals[:, 1:2]
    tint = torch.lerp(start.new_tensor([0.30, 0.25, 0.21]), start.new_tensor([0.42, 0.44, 0.48]), from_above)
    return tint * (0.25 + 0.75 * open_share[:, None])


def _lamp(start: Tensor, normals: Tensor, area: tuple, rgb: tuple, power: float, random: Tensor) -> Tensor:
    """Light of a box-shaped lamp, with the soft shadow of one random point on it."""
    low, high = start.new_tensor(area[0]), start.new_tensor(area[1])
    target = low + (high - low) * random
    way = target - start
    length = way.norm(dim=-1)
    facing = ((way * normals).sum(-1) / length).clamp(min=0)
    # Rays end a little before the lamp, so that the wall or shade around it does not shadow it.
    free = _nearest(start, way)[0] > 0.93
    return start.new_tensor(rgb) * (power * facing * free / (length.square() + 0.6))[:, None]
