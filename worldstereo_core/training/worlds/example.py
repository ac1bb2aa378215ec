"""A world to try things in: its first picture, and what a camera move through it would see."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...geometry.cameras import Cameras
from .make import make_world
from .render import render_world
from .trajectories import world_trajectories


@dataclass(frozen=True, eq=False)
class ExampleFrames:
    """Drawn frames.

    Attributes:
        image: [T, 3, H, W] float 0..1.
        depth: [T, H, W] camera z, metres; 0 = sky.
        K: [T, 3, 3] pixels.
    """

    image: Tensor
    depth: Tensor
    K: Tensor


def draw_example(
    seed: int, height: int, width: int, kind: str | None = None, cameras: Cameras | None = None
) -> ExampleFrames:
    """Draw a world's first view, or what cameras that start there see.

    Args:
        seed, kind: of the world, see ``make_world``.
        height, width: of the first view, pixels.
        cameras: in the frame of the first camera (it stands at the origin and looks along +z), as a memory of
            the first view has them; sizes and K are theirs. None draws the first view alone.

    Raises: WorldStereoError for a seed or kind that is none, or a world without room for a camera.
    """
    world = make_world(seed, kind)
    first = world_trajectories(world, seed, 1, 2, height, width)[0].cameras[:1]
    if cameras is None:
        cameras = first
    else:
        w2c = (cameras.w2c.double() @ first.w2c.double()).float()
        cameras = Cameras(w2c, cameras.K, cameras.height, cameras.width)
    with torch.no_grad():
        drawn = render_world(world, cameras.w2c, cameras.K, cameras.height, cameras.width)
    return ExampleFrames(drawn.image, drawn.depth, cameras.K)
