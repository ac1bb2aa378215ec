"""Texture tiles that show something: facades, paintings, book shelves, rugs, doors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .chance import Chance
from .tiles import TILE, boards, bricks, clouds, concrete, grid, lit, mix, noise, per_cell, plaster, smooth


def facade(chance: Chance) -> Tensor:
    """Four floors of four windows; every fourth or so is lit or has its curtains drawn."""
    u, v = grid()
    floors, bays = 4, chance.choose((3, 4))
    wall = chance.choose((bricks, plaster, concrete, plaster))(chance)
    row, column = (v * floors).floor(), (u * bays).floor()
    x, y = (u * bays) % 1 - 0.5, (v * floors) % 1 - 0.5
    half_width, half_height = chance.uniform(0.18, 0.36), chance.uniform(0.24, 0.36)
    inside = torch.maximum(x.abs() / half_width, (y + 0.02).abs() / half_height)
    frame = chance.colour(saturation=(0.0, 0.5), value=(0.15, 0.95))
    dark = chance.colour(hue=(0.5, 0.65), saturation=(0.2, 0.5), value=(0.08, 0.3))
    bright = chance.colour(hue=(0.5, 0.65), saturation=(0.1, 0.4), value=(0.55, 0.9))
    glass = mix(dark, bright, smooth(0.3, 1.0, per_cell(chance, row, column, floors, bays) + 0.4 * (y + x)))
    warm = chance.colour(hue=(0.07, 0.14), saturation=(0.2, 0.5), value=(0.8, 1.0))
    glass = mix(glass, warm, (per_cell(chance, row, column, floors, bays) > 0.8).float())
    bar = torch.minimum(x.abs(), (y + 0.02).abs()) < 0.018
    glass = mix(glass, frame, bar.float())
    colour = mix(wall, frame, (inside < 1.16).float())
    colour = mix(colour, glass, (inside < 1).float())
    sill = (y > half_height - 0.02) & (y < half_height + 0.06) & (x.abs() < half_width * 1.35)
    colour = mix(colour, frame * 0.8, sill.float())
    ledge = (v * floors % 1) > 0.955
    return mix(colour, wall.mean(dim=(0, 1)) * chance.uniform(0.5, 1.3), 0.8 * ledge.float()).clamp(0, 1)


def painting(chance: Chance) -> Tensor:
    """A framed picture: hills under a sky, or shapes on a ground."""
    u, v = grid()
    picture = _hills(chance, u, v) if chance.happens(0.5) else _shapes(chance, u, v)
    edge = torch.maximum((u - 0.5).abs(), (v - 0.5).abs())
    frame = chance.colour(hue=(0.05, 0.14), saturation=(0.1, 0.7), value=(0.1, 0.7))
    mount = chance.colour(saturation=(0.0, 0.15), value=(0.8, 0.95))
    picture = mix(picture, mount, (edge > 0.39).float())
    return mix(picture, frame, (edge > 0.44).float())


def _hills(chance: Chance, u: Tensor, v: Tensor) -> Tensor:
    colour = mix(chance.colour(value=(0.5, 0.9)), chance.colour(value=(0.7, 1.0)), (v * 1.6).clamp(0, 1))
    x, y = chance.uniform(0.2, 0.8), chance.uniform(0.15, 0.4)
    sun = (u - x).square() + (v - y).square() < chance.uniform(0.003, 0.012)
    colour = mix(colour, chance.colour(hue=(0.08, 0.15), value=(0.9, 1.0)), sun.float())
    for layer in range(3):
        height = 0.45 + 0.14 * layer + 0.12 * noise(chance, 4 << layer)[:1]
        colour = mix(
            colour, chance.colour(value=(0.6 - 0.2 * layer, 0.7 - 0.2 * layer)), (v > height).float()
        )
    return colour


def _shapes(chance: Chance, u: Tensor, v: Tensor) -> Tensor:
    colour = chance.colour(saturation=(0.05, 0.4), value=(0.6, 0.95)).expand(TILE, TILE, 3)
    for _ in range(chance.integer(3, 6)):
        x, y = u - chance.uniform(0.2, 0.8), v - chance.uniform(0.2, 0.8)
        turn, size = chance.angle(), chance.uniform(0.06, 0.25)
        along, across = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
        if chance.happens(0.5):
            inside = x * x + y * y < size * size
        else:
            inside = (along.abs() < size) & (across.abs() < size * chance.uniform(0.2, 1))
        colour = mix(colour, chance.colour(saturation=(0.4, 0.9), value=(0.2, 0.95)), 0.9 * inside.float())
    return colour


def books(chance: Chance) -> Tensor:
    """Shelves of hashed width, height and colour."""
    u, v = grid()
    shelves, slots = chance.choose((3, 4)), chance.choose((12, 16, 20))
    shelf, slot = (v * shelves).floor(), (u * slots).floor()
    x, y = (u * slots) % 1, (v * shelves) % 1
    covers = torch.stack([chance.colour(saturation=(0.2, 0.8), value=(0.15, 0.8)) for _ in range(9)])
    book = covers[(per_cell(chance, shelf, slot, shelves, slots) * 8.99).long()]
    tall = 0.12 + 0.3 * per_cell(chance, shelf, slot, shelves, slots)
    book = lit(book, 0.55 + 0.5 * torch.sin(x * math.pi))
    band = (y > 0.6) & (y < 0.66) & (per_cell(chance, shelf, slot, shelves, slots) > 0.5)
    book = mix(book, torch.tensor([0.7, 0.55, 0.25]), band.float())
    colour = mix(torch.tensor([0.02, 0.015, 0.01]), book, (y > tall).float())
    wood = boards(chance)
    board = (y < 0.08) | (u < 0.03) | (u > 0.97)
    return mix(colour, wood, board.float())


def rug(chance: Chance) -> Tensor:
    """Concentric bands with a pattern between them."""
    u, v = grid()
    edge = torch.maximum((u - 0.5).abs(), (v - 0.5).abs()) * 2
    diamonds = ((u * 9 % 1) - 0.5).abs() + ((v * 9 % 1) - 0.5).abs()
    ground, band, thread = (chance.colour(saturation=(0.3, 0.8), value=(0.2, 0.85)) for _ in range(3))
    colour = ground.expand(TILE, TILE, 3)
    inner, outer = sorted((chance.uniform(0.35, 0.6), chance.uniform(0.65, 0.9)))
    ring = (edge > inner) & (edge < outer)
    colour = mix(colour, band, ring.float())
    colour = mix(colour, thread, ((diamonds < 0.3) & ((edge < inner - 0.06) | ring)).float())
    colour = mix(colour, thread, ((edge - outer).abs() < 0.03).float())
    return lit(colour, 1 + 0.2 * clouds(chance, 32, 2))


def door(chance: Chance) -> Tensor:
    """Two panels and a knob; v = 0 is the top."""
    u, v = grid()
    base = chance.colour(saturation=(0.1, 0.7), value=(0.25, 0.85))
    grain = 1 + 0.12 * clouds(chance, 8, 3)
    shade = torch.ones_like(u)
    for low, high in ((0.08, 0.45), (0.52, 0.92)):
        inside = torch.maximum((u - 0.5).abs() / 0.34, (v - (low + high) / 2).abs() / ((high - low) / 2))
        shade = shade - 0.35 * ((inside > 0.86) & (inside < 1)).float() - 0.08 * (inside < 0.86).float()
    knob = (u - 0.9).square() + ((v - 0.5) * 2).square() < 0.0016
    colour = mix(lit(base, grain * shade), torch.tensor([0.7, 0.55, 0.25]), knob.float())
    frame = (u < 0.04) | (u > 0.96) | (v < 0.03)
    return mix(colour, base * 0.4, frame.float())


def window(chance: Chance) -> Tensor:
    """A view outside behind bars; meant to glow."""
    u, v = grid()
    sky = mix(
        chance.colour(hue=(0.52, 0.65), saturation=(0.2, 0.6), value=(0.6, 0.95)), torch.ones(3) * 0.9, v
    )
    sky = lit(sky, 1 + 0.2 * clouds(chance, 2, 4))
    hill = v > 0.68 + 0.08 * noise(chance, 8)[:1]
    colour = mix(sky, chance.colour(hue=(0.2, 0.4), value=(0.25, 0.6)), hill.float())
    bars = chance.choose((1, 2, 3))
    bar = (((u * bars) % 1 - 0.5).abs() > 0.46) | ((v - 0.4).abs() < 0.02) | (v < 0.03) | (v > 0.97)
    return mix(colour, chance.colour(saturation=(0, 0.4), value=(0.4, 0.9)), bar.float())


def sign(chance: Chance) -> Tensor:
    """A board with strokes that look like writing."""
    u, v = grid()
    ground, ink = chance.colour(saturation=(0.3, 0.9), value=(0.2, 0.8)), chance.colour(value=(0.85, 1.0))
    strokes = (noise(chance, 16) > 0.1) & ((v * 3 % 1 - 0.5).abs() < 0.28) & ((u - 0.5).abs() < 0.42)
    edge = torch.maximum((u - 0.5).abs(), (v - 0.5).abs()) > 0.46
    return mix(ground, ink, (strokes | edge).float())


def road(chance: Chance) -> Tensor:
    """Road surface with a broken line in its middle; u runs across."""
    u, v = grid()
    base = chance.colour(saturation=(0.0, 0.08), value=(0.22, 0.42))
    colour = lit(base, 1 + 0.25 * clouds(chance, 32, 2) + 0.2 * clouds(chance, 4, 3))
    paint = chance.colour(hue=(0.12, 0.16), saturation=(0.0, 0.6), value=(0.75, 0.95))
    line = ((u - 0.5).abs() < 0.014) & (v < 0.6) | ((u - 0.5).abs() > 0.46) & ((u - 0.5).abs() < 0.475)
    return mix(colour, paint, 0.85 * line.float())
