"""Camera moves through a world that keep clear of things and come back to what was seen."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...checks import WorldStereoError
from ...geometry.cameras import Cameras, fov_to_K, look_at
from ...geometry.trajectory import Trajectory
from .chance import Chance
from .terrain import Terrain
from .world import World

CLEARANCE = 0.3  # metres a camera keeps from every surface
TRIES = 40
FOV_DEG = (55.0, 85.0)
# How far a clip goes: metres, and degrees it turns, for each kind of world.
STRIDE = {"room": (0.4, 2.5), "street": (1.5, 8.0), "landscape": (3.0, 14.0)}
TURN_DEG = 75.0


def world_trajectories(
    world: World, seed: int, clips: int = 4, frames: int = 9, height: int = 64, width: int = 96
) -> list[Trajectory]:
    """Several moves through one world, each starting where a viewer already was.

    The first starts at a place with a view; each next one starts where one before it ended or began; the last
    one, if there are two or more, starts at the last end and returns to the very first camera.

    Args:
        seed: chooses the moves; the same world and seed give the same ones.
        clips: how many moves. frames: cameras of each. height, width: picture size that K is for.

    Raises: WorldStereoError for less than one clip or frame, or if the world has no room for a camera.
    """
    if clips < 1 or frames < 1:
        raise WorldStereoError(
            f"trajectories: got {clips} clips of {frames} frames, expected at least one of each. "
            "Ask for one clip and one frame or more."
        )
    chance = Chance(world.seed).fork(f"{world.kind}/moves/{seed}")
    K = fov_to_K(math.radians(chance.uniform(*FOV_DEG)), height, width)
    host = world.to("cpu")
    start = _start(host, chance)
    ends = [start]
    moves: list[Tensor] = []
    for clip in range(clips):
        returns = clip == clips - 1 and clips > 1
        begin = ends[-1] if returns or chance.happens(0.6) else chance.choose(ends)
        poses = (
            _way_back(host, chance, moves, start, frames) if returns else _move(host, chance, begin, frames)
        )
        moves.append(poses)
        ends.append(poses[-1])
    return [
        Trajectory(
            Cameras(_w2c(poses), K.repeat(frames, 1, 1), height, width),
            name=f"{world.kind} {world.seed} clip {number + 1}",
            source="procedural world",
        )
        for number, poses in enumerate(moves)
    ]


def _w2c(poses: Tensor) -> Tensor:
    """[T, 4, 4] of poses [T, 5]: x, y, z, yaw and pitch (up is positive), radians."""
    yaw, pitch = poses[:, 3], poses[:, 4]
    forward = torch.stack(
        [torch.sin(yaw) * torch.cos(pitch), -torch.sin(pitch), torch.cos(yaw) * torch.cos(pitch)], 1
    )
    return look_at(poses[:, :3].double(), (poses[:, :3] + forward).double()).float()


def _over_ground(world: World, points: Tensor, eye: float) -> Tensor:
    """Points [N, 3] set to a height over the ground."""
    level = torch.zeros_like(points[:, 0])
    if isinstance(world.shell, Terrain):
        level = -world.shell.height(points[:, 0], points[:, 2])
    return torch.stack([points[:, 0], level - eye, points[:, 2]], 1)


def _start(world: World, chance: Chance) -> Tensor:
    """A pose [5] with free space around it and something to see in front."""
    count = 256
    places = world.low + (world.high - world.low) * chance.tensor(count, 3)
    places = _over_ground(world, places, world.eye * chance.uniform(0.85, 1.15))
    clear = world.clearance(places)
    free = (clear > CLEARANCE * 1.5).nonzero()[:, 0]
    if not len(free):
        raise WorldStereoError(
            f"world: {world.kind} {world.seed} has no room for a camera. Choose another seed."
        )
    places = places[free[:8]]
    yaw = torch.linspace(-math.pi, math.pi, 13)[:-1] + chance.angle()
    views = torch.cat([places.repeat_interleave(12, 0), yaw.repeat(len(places))[:, None]], 1)
    # A good view sees far, and sees near and far things: how far a ray fan reaches, and its spread.
    fan = torch.tensor([-0.45, -0.2, 0.0, 0.2, 0.45])
    turns = views[:, 3, None] + fan
    reach = _look(world, views[:, :3].repeat_interleave(5, 0), turns.reshape(-1)).view(-1, 5)
    limit = 8.0 if world.kind == "room" else 30.0
    score = reach.clamp(max=limit).log().mean(1) + 0.7 * reach.clamp(max=limit).log().std(1)
    best = score.topk(4).indices[chance.integer(0, 3)]
    return torch.cat([views[best], torch.tensor([chance.uniform(-0.16, 0.02)])])


def _look(world: World, places: Tensor, yaw: Tensor) -> Tensor:
    """Distance [N] that is free ahead, walked by the clearance."""
    way = torch.stack([torch.sin(yaw), torch.full_like(yaw, 0.05), torch.cos(yaw)], 1)
    gone = torch.zeros_like(yaw)
    for _ in range(20):
        gone = gone + world.clearance(places + way * gone[:, None]).clamp(min=0.0)
    return gone.clamp(0.05, 100)


def _is_clear(world: World, places: Tensor) -> bool:
    steps = torch.linspace(0, 1, 4)[:-1, None, None]
    between = torch.lerp(places[:-1], places[1:], steps).reshape(-1, 3) if len(places) > 1 else places
    inside = bool(((places >= world.low) & (places <= world.high)).all())
    return inside and float(world.clearance(between).min()) > CLEARANCE


def _ease(chance: Chance, frames: int) -> Tensor:
    time = torch.linspace(0, 1, frames)
    return torch.lerp(time, time * time * (3 - 2 * time), chance.uniform(0, 1))


def _move(world: World, chance: Chance, begin: Tensor, frames: int) -> Tensor:
    """A walk, an arc or a look around from a pose: poses [T, 5]."""
    low, high = STRIDE[world.kind]
    for attempt in range(TRIES):
        shrink = 1 - 0.8 * attempt / TRIES
        stride = chance.uniform(low, high) * shrink
        heading = (
            begin[3]
            + chance.choose((0.0, 0.0, 0.4, -0.4, math.pi / 2, -math.pi / 2, math.pi))
            + 0.2 * chance.angle()
        )
        turn = math.radians(TURN_DEG) * chance.uniform(-1, 1)
        progress = _ease(chance, frames)[:, None]
        direction = torch.stack([torch.sin(heading), torch.zeros(()), torch.cos(heading)])
        sideways = torch.stack([torch.cos(heading), torch.zeros(()), -torch.sin(heading)])
        bow = chance.uniform(-0.3, 0.3) * stride * torch.sin(math.pi * progress)
        places = begin[:3] + direction * stride * progress + sideways * bow
        lift = chance.uniform(-0.35, 0.35) * (1 if world.kind == "room" else 2) * shrink
        if isinstance(world.shell, Terrain):
            eye = float(-world.shell.height(begin[None, 0], begin[None, 2]) - begin[1])
            places = torch.lerp(_over_ground(world, places, eye), places, 0.3)
        places = places + torch.tensor([0.0, lift, 0.0]) * progress
        yaw = begin[3] + turn * progress
        pitch = begin[4] + (chance.uniform(-0.2, 0.08) - begin[4]) * progress
        if _is_clear(world, places):
            return torch.cat([places, yaw, pitch], 1)
    turn = math.radians(TURN_DEG) * chance.choose((-1, 1)) * _ease(chance, frames)[:, None]
    return torch.cat([begin[:3].expand(frames, 3), begin[3] + turn, begin[4].expand(frames, 1)], 1)


def _way_back(world: World, chance: Chance, moves: list[Tensor], start: Tensor, frames: int) -> Tensor:
    """From the last pose to the first camera: straight if nothing is in the way, else as it came."""
    last = moves[-1][-1]
    progress = _ease(chance, frames)[:, None]
    straight = torch.lerp(last[:3], start[:3], progress)
    if isinstance(world.shell, Terrain):
        eye = -world.shell.height(straight[:, 0], straight[:, 2]) - straight[:, 1]
        low = torch.stack([torch.zeros(frames), (world.eye - eye).clamp(min=0), torch.zeros(frames)], 1)
        straight = straight - low * torch.sin(math.pi * progress)
    turn = math.remainder(float(start[3] - last[3]), 2 * math.pi)
    pitch = torch.lerp(last[4], start[4], progress)
    if _is_clear(world, straight):
        return torch.cat([straight, last[3] + turn * progress, pitch], 1)
    # Clips may start at any earlier end: clip by clip back until one begins at the start.
    trail: list[Tensor] = []
    goal = last[:3]
    for poses in reversed(moves):
        if torch.equal(poses[-1, :3], goal):
            trail.append(poses.flip(0))
            goal = poses[0, :3]
    path = torch.cat(trail)[:, :3]
    length = torch.cat([torch.zeros(1), path.diff(dim=0).norm(dim=1).cumsum(0)])
    at = progress[:, 0] * length[-1]
    index = torch.searchsorted(length, at.contiguous()).clamp(1, len(length) - 1)
    share = (at - length[index - 1]) / (length[index] - length[index - 1]).clamp(min=1e-9)
    places = torch.lerp(path[index - 1], path[index], share.clamp(0, 1)[:, None])
    return torch.cat([places, last[3] + turn * progress, pitch], 1)
