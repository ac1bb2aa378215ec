"""A painted wall, a camera that moves along it, and clips of what it sees: worlds small enough to count."""

from __future__ import annotations

import torch
from torch import Tensor

from worldstereo_core.geometry.cameras import Cameras, unproject
from worldstereo_core.geometry.trajectory import Trajectory
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory
from worldstereo_core.world.clip_files import ClipContents
from worldstereo_core.world.manifest import ClipRecord
from worldstereo_core.world.world import World, add_clip

HEIGHT, WIDTH, FRAMES = 16, 24, 3
WALL = 4.0
FOCAL = 12.0
K = torch.tensor([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
# Discs of more than a pixel, so that sub-pixel shifts leave no holes between neighbours.
RADIUS = 0.2


def along(first: float, last: float, name: str = "truck") -> Trajectory:
    """A trajectory that moves to the right; positions in scene units."""
    w2c = torch.eye(4).repeat(FRAMES, 1, 1)
    w2c[:, 0, 3] = -torch.linspace(first, last, FRAMES)
    return Trajectory(Cameras(w2c, K.expand(FRAMES, 3, 3), HEIGHT, WIDTH), name=name, source="test")


def look(cameras: Cameras) -> tuple[Tensor, Tensor]:
    """Pictures [T, 3, H, W] of the wall, and its depth [T, H, W]."""
    depths = torch.full((len(cameras), cameras.height, cameras.width), WALL)
    points = unproject(depths, cameras.K, cameras.w2c)
    waves = [torch.sin(points[..., axis] * 0.9 + 2.0 * axis) * 0.3 + 0.5 for axis in range(3)]
    return torch.stack(waves, dim=1), depths


def start_memory() -> GeometricMemory:
    pictures, depths = look(along(0, 0).cameras[:1])
    return initialise_memory(pictures[0], depths[0], K)


def latents_of(frames: Tensor, seed: int = 0) -> Tensor:
    """[16, T, h, w] numbers that stand for the frames' latents."""
    shape = (16, len(frames), HEIGHT // 8, WIDTH // 8)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def contents(world: World, trajectory: Trajectory, seed: int = 0) -> ClipContents:
    """A clip of what is really there, and the world's memory grown by it."""
    frames, depths = look(trajectory.cameras)
    grown, _ = world.memory().update(frames, trajectory, depths, keep_frames=2, radius=RADIUS)
    return ClipContents(frames, trajectory, grown, latents_of(frames, seed), depths)


def add(world: World, trajectory: Trajectory, slot: int | None = None, **facts) -> tuple[World, ClipRecord]:
    """Make and save a clip."""
    world = world.reload()
    return add_clip(world, contents(world, trajectory), slot=slot, **facts)
