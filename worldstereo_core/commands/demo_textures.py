"""Procedural paints of the demo's room: points [N, 3] and normals [N, 3] to linear colours [N, 3].

Colours above 1 mark surfaces that glow.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WINDOW_LOW, WINDOW_HIGH = (-2.69, -1.00, 2.35), (-2.66, 0.35, 4.45)

BOOK_COVERS = (
    (0.36, 0.08, 0.06),
    (0.07, 0.16, 0.26),
    (0.10, 0.22, 0.14),
    (0.50, 0.36, 0.14),
    (0.55, 0.48, 0.36),
    (0.20, 0.10, 0.06),
    (0.30, 0.14, 0.09),
    (0.06, 0.07, 0.10),
    (0.44, 0.24, 0.10),
    (0.14, 0.26, 0.28),
)


def _hash(*numbers: Tensor) -> Tensor:
    """A repeatable value in 0..1 for each set of whole numbers."""
    mixed = sum(number * factor for number, factor in zip(numbers, (12.9898, 78.233, 37.719), strict=False))
    return (torch.sin(torch.as_tensor(mixed)) * 43758.5453).frac().abs()


def _noise(points: Tensor, frequency: float) -> Tensor:
    """Smooth noise in 0..1."""
    scaled = points * frequency
    cell, part = scaled.floor(), scaled.frac().where(scaled >= 0, scaled - scaled.floor())
    blend = part * part * (3 - 2 * part)
    total = torch.zeros(len(points))
    for corner in range(8):
        step = points.new_tensor([corner & 1, corner >> 1 & 1, corner >> 2 & 1])
        weight = torch.where(step > 0, blend, 1 - blend).prod(-1)
        total += weight * _hash(*(cell + step).unbind(-1))
    return total


def _mix(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    return first + (second - first) * share[:, None]


def _rgb(points: Tensor, *rgb: float) -> Tensor:
    return points.new_tensor(rgb).expand(len(points), 3)


def _inside(u: Tensor, v: Tensor, low: tuple[float, float], high: tuple[float, float]) -> Tensor:
    return (u > low[0]) & (u < high[0]) & (v > low[1]) & (v < high[1])


def room(points: Tensor, normals: Tensor) -> Tensor:
    """Floor boards with a rug, a book wall, a window, pictures on plaster, a beamed ceiling."""
    colour = torch.zeros_like(points)
    axis, sign = normals.abs().argmax(-1), normals.sum(-1) > 0
    for chosen, paint in (
        ((axis == 1) & ~sign, _floor),
        ((axis == 1) & sign, _ceiling),
        ((axis == 2) & ~sign, _back_wall),
        ((axis == 0) & sign, _window_wall),
        ((axis == 0) & ~sign, _book_wall),
        ((axis == 2) & sign, lambda p: _plaster(p, 0.62, 0.52, 0.40)),
    ):
        if chosen.any():
            colour[chosen] = paint(points[chosen])
    return colour


def _plaster(points: Tensor, red: float, green: float, blue: float) -> Tensor:
    return (
        _rgb(points, red, green, blue)
        * (0.90 + 0.16 * _noise(points, 6.0) + 0.05 * _noise(points, 40.0))[:, None]
    )


def _boards(
    along: Tensor, across: Tensor, points: Tensor, width: float, base: tuple[float, float, float]
) -> Tensor:
    row = (across / width).floor()
    shifted = along + 1.7 * _hash(row)
    board = (shifted / 1.4).floor()
    tone = 0.65 + 0.6 * _hash(row, board)
    grain_points = torch.stack([along * 1.5, across * 28, row * 3.1], -1)
    grain = 0.75 + 0.45 * _noise(grain_points, 1.6)
    u, v = (across / width) % 1, (shifted / 1.4) % 1
    seam = (u < 0.035) | (v < 0.006)
    colour = points.new_tensor(base) * (tone * grain)[:, None]
    return torch.where(seam[:, None], colour * 0.35, colour)


def _floor(points: Tensor) -> Tensor:
    x, z = points[:, 0], points[:, 2]
    colour = _boards(z, x, points, 0.17, (0.34, 0.19, 0.095))
    # A rug of concentric bands with a fringe of diamonds.
    u, v = (x - 0.0) / 1.75, (z - 2.55) / 1.05
    edge = torch.maximum(u.abs(), v.abs())
    diamonds = ((u * 14).frac().abs() - 0.5).abs() + ((v * 9).frac().abs() - 0.5).abs()
    rug = _rgb(points, 0.42, 0.07, 0.06)
    rug = torch.where(((edge > 0.60) & (edge < 0.84))[:, None], _rgb(points, 0.05, 0.09, 0.20), rug)
    rug = torch.where(
        ((edge > 0.60) & (edge < 0.84) & (diamonds < 0.42))[:, None], _rgb(points, 0.72, 0.52, 0.25), rug
    )
    rug = torch.where(((edge < 0.52) & (diamonds < 0.26))[:, None], _rgb(points, 0.70, 0.55, 0.36), rug)
    rug = torch.where(
        ((edge > 0.55) & (edge < 0.60) | (edge > 0.90))[:, None], _rgb(points, 0.68, 0.56, 0.40), rug
    )
    rug = rug * (0.78 + 0.4 * _noise(points, 70.0))[:, None]
    return torch.where((edge < 0.94)[:, None], rug, colour)


def _ceiling(points: Tensor) -> Tensor:
    beam = ((points[:, 2] / 1.2) % 1) < 0.14
    wood = _boards(points[:, 0], points[:, 2], points, 0.17, (0.30, 0.19, 0.11))
    return torch.where(beam[:, None], wood, _plaster(points, 0.80, 0.77, 0.70))


def _back_wall(points: Tensor) -> Tensor:
    x, y = points[:, 0], points[:, 1]
    colour = _plaster(points, 0.55, 0.42, 0.28)
    panels = ((x / 0.28) % 1 < 0.06) | ((y > 0.52) & (y < 0.56))
    wainscot = torch.where(panels[:, None], _rgb(points, 0.12, 0.17, 0.16), _rgb(points, 0.20, 0.28, 0.26))
    colour = torch.where((y > 0.52)[:, None], wainscot, colour)
    for low, high, picture in (
        ((-2.15, -0.95), (-0.75, 0.02), _landscape),
        ((-0.25, -0.90), (0.45, 0.10), _abstract),
        ((0.62, -0.72), (1.12, -0.08), _moon),
    ):
        frame = _inside(x, y, (low[0] - 0.07, low[1] - 0.07), (high[0] + 0.07, high[1] + 0.07))
        mount = _inside(x, y, (low[0] - 0.035, low[1] - 0.035), (high[0] + 0.035, high[1] + 0.035))
        inner = _inside(x, y, low, high)
        colour = torch.where(frame[:, None], _rgb(points, 0.10, 0.065, 0.04), colour)
        colour = torch.where(mount[:, None], _rgb(points, 0.80, 0.76, 0.66), colour)
        u, v = (x - low[0]) / (high[0] - low[0]), (y - low[1]) / (high[1] - low[1])
        colour = torch.where(inner[:, None], picture(points, u, v), colour)
    return colour


def _landscape(points: Tensor, u: Tensor, v: Tensor) -> Tensor:
    colour = _mix(_rgb(points, 0.20, 0.38, 0.60), _rgb(points, 0.95, 0.62, 0.30), (v * 1.8).clamp(0, 1))
    sun = (u - 0.68).square() * 2.1 + (v - 0.36).square()
    colour = torch.where((sun < 0.008)[:, None], _rgb(points, 0.98, 0.90, 0.60), colour)
    for height, depth, rgb in (
        (0.50, 3.0, (0.30, 0.27, 0.42)),
        (0.62, 5.0, (0.16, 0.24, 0.28)),
        (0.76, 8.0, (0.07, 0.16, 0.11)),
    ):
        ridge = height + 0.10 * torch.sin(u * depth + depth) + 0.05 * torch.sin(u * depth * 2.7 + 1)
        colour = torch.where((v > ridge)[:, None], _rgb(points, *rgb), colour)
    return colour


def _abstract(points: Tensor, u: Tensor, v: Tensor) -> Tensor:
    colour = _rgb(points, 0.82, 0.76, 0.62)
    discs = (
        (0.35, 0.30, 0.24, (0.70, 0.16, 0.10)),
        (0.62, 0.55, 0.28, (0.06, 0.20, 0.34)),
        (0.38, 0.74, 0.18, (0.85, 0.55, 0.10)),
    )
    for x, y, radius, rgb in discs:
        inside = (u - x).square() + ((v - y) * 1.4).square() < radius**2
        colour = torch.where(inside[:, None], colour * 0.25 + points.new_tensor(rgb) * 0.75, colour)
    bar = (u - 0.5 * v - 0.22).abs() < 0.02
    return torch.where(bar[:, None], _rgb(points, 0.05, 0.05, 0.06), colour)


def _moon(points: Tensor, u: Tensor, v: Tensor) -> Tensor:
    colour = _mix(_rgb(points, 0.02, 0.03, 0.09), _rgb(points, 0.10, 0.17, 0.32), v.clamp(0, 1))
    moon = (u - 0.5).square() + ((v - 0.4) * 1.28).square() < 0.055
    return torch.where(
        moon[:, None], _rgb(points, 0.90, 0.86, 0.70) * (0.7 + 0.4 * _noise(points, 22.0))[:, None], colour
    )


def _window_wall(points: Tensor) -> Tensor:
    y, z = points[:, 1], points[:, 2]
    colour = _plaster(points, 0.36, 0.45, 0.44)
    low, high = (WINDOW_LOW[2], WINDOW_LOW[1]), (WINDOW_HIGH[2], WINDOW_HIGH[1])
    frame = _inside(z, y, (low[0] - 0.10, low[1] - 0.10), (high[0] + 0.10, high[1] + 0.10))
    inner = _inside(z, y, low, high)
    bar = ((z - (low[0] + high[0]) / 2).abs() < 0.03) | ((y - (low[1] + 0.45)).abs() < 0.025)
    v = (y - low[1]) / (high[1] - low[1])
    sky = _mix(_rgb(points, 1.25, 1.75, 2.40), _rgb(points, 2.60, 2.50, 2.20), v.clamp(0, 1))
    hill = v > 0.72 + 0.06 * torch.sin(z * 5.0) + 0.03 * torch.sin(z * 13.0)
    sky = torch.where(hill[:, None], _rgb(points, 0.55, 1.05, 0.45), sky)
    colour = torch.where(frame[:, None], _rgb(points, 0.78, 0.75, 0.68), colour)
    return torch.where((inner & ~bar)[:, None], sky, colour)


def _book_wall(points: Tensor) -> Tensor:
    """Shelves from floor to ceiling: books of hashed width, height and colour."""
    y, z = points[:, 1], points[:, 2]
    shelf_height = 0.36
    shelf = (y / shelf_height).floor()
    v = (y / shelf_height) % 1
    slot = ((z + 0.11 * _hash(shelf)) / 0.052).floor()
    u = ((z + 0.11 * _hash(shelf)) / 0.052) % 1
    tall = 0.14 + 0.30 * _hash(slot, shelf)
    covers = points.new_tensor(BOOK_COVERS)
    tone = 0.6 + 0.8 * _hash(shelf, slot)
    book = covers[(_hash(slot, shelf, shelf + 3) * len(covers)).long()] * tone[:, None]
    band = (v > 0.62) & (v < 0.67) & (_hash(slot + 9, shelf) > 0.45)
    book = torch.where(band[:, None], _rgb(points, 0.68, 0.55, 0.25), book)
    shade = (0.55 + 0.45 * torch.sin(u * 3.1416))[:, None]
    dark = _rgb(points, 0.035, 0.024, 0.016)
    colour = torch.where((v > tall)[:, None], book * shade, dark)
    board = (v < 0.07) | (((z / 1.3) % 1) < 0.035)
    return torch.where(board[:, None], _boards(z, y, points, 0.4, (0.30, 0.18, 0.10)), colour)


def weave(rgb: tuple[float, float, float]) -> Callable[[Tensor, Tensor], Tensor]:
    def paint(points: Tensor, normals: Tensor) -> Tensor:
        threads = (
            torch.sin(points[:, 0] * 260) * torch.sin(points[:, 1] * 260) * torch.sin(points[:, 2] * 260)
        )
        tone = 0.82 + 0.30 * _noise(points, 14.0) + 0.10 * threads
        return points.new_tensor(rgb) * tone[:, None]

    return paint


def wood(rgb: tuple[float, float, float]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda points, normals: _boards(points[:, 0], points[:, 2], points, 0.14, rgb)


def globe(points: Tensor, normals: Tensor) -> Tensor:
    """Seas and lands, with two rings of latitude."""
    land = _noise(normals + 5.0, 3.2) > 0.52
    colour = torch.where(land[:, None], _rgb(points, 0.42, 0.46, 0.16), _rgb(points, 0.05, 0.22, 0.36))
    ring = ((normals[:, 1] % 0.5) - 0.25).abs() < 0.012
    return torch.where(ring[:, None], _rgb(points, 0.70, 0.60, 0.35), colour)


def foliage(points: Tensor, normals: Tensor) -> Tensor:
    spots = _noise(points, 26.0)
    return _mix(
        _rgb(points, 0.03, 0.10, 0.03), _rgb(points, 0.26, 0.46, 0.12), (spots * 1.6 - 0.35).clamp(0, 1)
    )


def pottery(points: Tensor, normals: Tensor) -> Tensor:
    stripe = ((points[:, 1] * 12) % 1) < 0.3
    base = _rgb(points, 0.62, 0.30, 0.16) * (0.85 + 0.25 * _noise(points, 18.0))[:, None]
    return torch.where(stripe[:, None], _rgb(points, 0.80, 0.70, 0.52), base)


def lampshade(points: Tensor, normals: Tensor) -> Tensor:
    """Lit from inside: it glows, brighter in its middle."""
    middle = 1 - ((points[:, 1] + 0.56) / 0.2).square().clamp(max=1)
    return _rgb(points, 1.55, 1.10, 0.62) * (0.75 + 0.6 * middle)[:, None]


def cabinet(points: Tensor, normals: Tensor) -> Tensor:
    x, y = points[:, 0], points[:, 1]
    colour = _boards(y, x + points[:, 2], points, 0.2, (0.34, 0.20, 0.10))
    front = normals[:, 2] < -0.5
    u = ((x + 0.15) / 0.4667) % 1
    groove = front & ((u < 0.03) | (u > 0.97) | ((y - 0.62).abs() < 0.012))
    knob = front & ((u - 0.88).square() * 0.22 + (y - 0.85).square() < 0.0007)
    colour = torch.where(groove[:, None], colour * 0.3, colour)
    return torch.where(knob[:, None], _rgb(points, 0.75, 0.60, 0.30), colour)
