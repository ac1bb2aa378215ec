"""Clips of procedural worlds with what a memory would know before each: made by the memory's own code."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..checks import WorldStereoError
from ..geometry.cameras import Cameras
from ..geometry.depth import depth_edges, has_depth, lower_median
from ..geometry.point_cloud import PointCloud, depth_to_points
from ..geometry.trajectory import Trajectory
from ..memory.memory import GeometricMemory
from ..memory.view import View, image_to_bytes
from ..sizes import select_keyframes
from .encoding import TrainingClip
from .geometry_errors import GeometryErrors
from .worlds.make import make_world
from .worlds.render import render_world
from .worlds.trajectories import world_trajectories
from .worlds.world import World

logger = logging.getLogger(__name__)

HELD_OUT_SEED = 1_000_000  # worlds from here on are never learnt from
ANOTHER_WORLD = 10_000_000
TRIES = 10
FEWEST_POINTS = 64


@dataclass(frozen=True)
class WorldClips:
    """Which clips of which worlds.

    Attributes:
        first_world: seed of the first world; each following one has the next.
        clips_per_world: moves through each world; later ones know what earlier ones saw, the last returns to
            the first camera.
        frames: key frames of a clip.
        height, width: pixels, multiples of 16.
        kept_frames: most frames of each earlier clip that the memory keeps.
        point_radius: of the points in renders, in half picture heights. At 64 x 96 pixels the released 0.008
            would be a quarter of a pixel; 0.03 is one pixel.
        edge_threshold: of the filter that drops points on depth edges; 0 keeps them. The released 0.35 is for
            480 rows; a slope takes 7.5 times the step between the pixels of 64 rows, hence 0.35 ** 7.5.
        errors: of the memory's depth.
    """

    first_world: int = 0
    clips_per_world: int = 4
    frames: int = 21
    height: int = 64
    width: int = 96
    kept_frames: int = 3
    point_radius: float = 0.03
    edge_threshold: float = 0.0004
    errors: GeometryErrors = field(default_factory=GeometryErrors)

    def __post_init__(self) -> None:
        for name, least in (("frames", 2), ("clips_per_world", 1), ("kept_frames", 1), ("first_world", 0)):
            if getattr(self, name) < least:
                raise WorldStereoError(f"{name}: got {getattr(self, name)}, expected at least {least}.")
        for name in ("height", "width"):
            if getattr(self, name) < 16 or getattr(self, name) % 16:
                raise WorldStereoError(f"{name}: got {getattr(self, name)}, expected a multiple of 16.")

    def make(self, index: int) -> TrainingClip:
        """Clip ``index % clips_per_world`` of world ``first_world + index // clips_per_world``."""
        offset, number = divmod(index, self.clips_per_world)
        world, moves = self._moves(self.first_world + offset)
        target = moves[number].cameras
        generator = torch.Generator().manual_seed(index)
        drawn = render_world(world, target.w2c, target.K, self.height, self.width)
        sources = [(target[:1], drawn.image[:1], drawn.depth[:1])]
        for move in moves[:number]:
            kept = move.cameras[select_keyframes(self.frames, min(self.kept_frames, self.frames))]
            sources.append((kept, *_draw(world, kept, self.height, self.width)))
        memory = self._memory(sources, generator)
        with quiet_retrieval():
            references = memory.retrieve(target, max_references=len(memory.views))
        render = memory.render(target, radius=self.point_radius)
        return TrainingClip(
            frames=drawn.image,
            cameras=target,
            render=render,
            bank=torch.stack([view.picture for view in memory.views]),
            bank_w2c=torch.stack([view.w2c for view in memory.views]),
            bank_matches=references.matches.bank_indices,
        )

    def _moves(self, seed: int) -> tuple[World, list[Trajectory]]:
        """A world and the moves through it; one too full for a camera gives way to another."""
        for attempt in range(TRIES):
            world = make_world(seed + attempt * ANOTHER_WORLD)
            with suppress(WorldStereoError):
                size = self.clips_per_world, self.frames, self.height, self.width
                return world, world_trajectories(world, seed, *size)
        raise WorldStereoError(f"worlds: {TRIES} worlds from seed {seed} on have no room for a camera.")

    def _memory(
        self, sources: list[tuple[Cameras, Tensor, Tensor]], generator: torch.Generator
    ) -> GeometricMemory:
        clouds, views = [], []
        for clip, (cameras, images, depths) in enumerate(sources):
            depths, kept = self.errors.apply(depths, generator)
            for frame, (image, depth) in enumerate(zip(images, depths, strict=True)):
                w2c, K = cameras.w2c[frame], cameras.K[frame]
                views.append(View(image_to_bytes("frame", image), w2c, K, f"{clip}/{frame:04d}", clip))
                clouds.append(self._points(image, depth, kept[frame], K, w2c))
        depth = torch.cat([depths.flatten() for _, _, depths in sources])
        valid = depth[has_depth(depth)]
        median = float(lower_median(valid)) if len(valid) else 1.0
        return GeometricMemory(PointCloud.concat(clouds), tuple(views), median)

    def _points(self, image: Tensor, depth: Tensor, kept: Tensor, K: Tensor, w2c: Tensor) -> PointCloud:
        threshold = self.edge_threshold
        inside = has_depth(depth) & ~depth_edges(depth, threshold, valid=has_depth(depth))
        if int(inside.sum()) < FEWEST_POINTS:
            return _no_points()  # a view of the sky, or of leaves
        cloud = depth_to_points(image, depth, K, w2c, edge_threshold=threshold, confidence=kept.float())
        return cloud.select(cloud.confidence > 0)


def _draw(world: World, cameras: Cameras, height: int, width: int) -> tuple[Tensor, Tensor]:
    drawn = render_world(world, cameras.w2c, cameras.K, height, width)
    return drawn.image, drawn.depth


def _no_points() -> PointCloud:
    return PointCloud(torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0), torch.zeros(0, dtype=torch.int32))


@contextmanager
def quiet_retrieval() -> Iterator[None]:
    """A bank without the view that a clip needs is an error to a user and a lesson to a model."""
    log = logging.getLogger("worldstereo_core.memory.retrieval")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
