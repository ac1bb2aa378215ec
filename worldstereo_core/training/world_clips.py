"""Clips of procedural worlds with what a memory would know before each: made by the memory's own code."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..checks import WorldStereoError
from ..geometry.cameras import Cameras, project_to_pixels, unproject
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


SAME_SURFACE = 0.03  # two depths of one surface differ by less, as a share


@dataclass(frozen=True, eq=False)
class Source:
    """Frames that a memory was made from: cameras, pictures [T, 3, H, W], exact depth [T, H, W]."""

    cameras: Cameras
    images: Tensor
    depths: Tensor


@dataclass(frozen=True, eq=False)
class WorldScene:
    """A clip with the truth about it.

    Attributes:
        kind: of world.
        cameras, frames, depth: the clip: T cameras, [T, 3, H, W] 0..1, exact camera z [T, H, W], 0 = sky.
        sources: what the memory was made from; the first is the clip's own first frame.
        memory: its points may be disturbed.
        instance: [T, H, W] int64 number of the thing each pixel shows, 0 = sky; None where nobody knows.
    """

    kind: str
    cameras: Cameras
    frames: Tensor
    depth: Tensor
    sources: tuple[Source, ...]
    memory: GeometricMemory
    instance: Tensor | None = None

    def seen_before(self) -> Tensor:
        """[T, H, W] bool: the pixel's surface, or the sky in its direction, is visible in a source."""
        cameras = self.cameras
        points = unproject(self.depth, cameras.K, cameras.w2c).flatten(1, 2)
        is_sky = (self.depth <= 0).flatten(1)
        # Sky has a direction alone: a point so far away that its place does not matter.
        far = unproject(torch.full_like(self.depth, 1e6), cameras.K, cameras.w2c).flatten(1, 2)
        points = torch.where(is_sky[..., None], far, points).reshape(-1, 3)
        seen = torch.zeros(len(points), dtype=torch.bool)
        for source in self.sources:
            for frame in range(source.cameras.num_frames):
                row, column, z, inside = project_to_pixels(points, source.cameras[frame : frame + 1])
                depth = source.depths[frame][row, column]
                shown = torch.where(depth > 0, (z - depth).abs() < SAME_SURFACE * depth, is_sky.flatten())
                seen |= inside & shown
        return seen.view(self.depth.shape)


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

    def scene(self, index: int) -> WorldScene:
        """Clip ``index % clips_per_world`` of world ``first_world + index // clips_per_world``."""
        offset, number = divmod(index, self.clips_per_world)
        world, moves = self._moves(self.first_world + offset)
        target = moves[number].cameras
        drawn = render_world(world, target.w2c, target.K, self.height, self.width)
        sources = [Source(target[:1], drawn.image[:1], drawn.depth[:1])]
        for move in moves[:number]:
            kept = move.cameras[select_keyframes(self.frames, min(self.kept_frames, self.frames))]
            seen = render_world(world, kept.w2c, kept.K, self.height, self.width)
            sources.append(Source(kept, seen.image, seen.depth))
        memory = self._memory(sources, torch.Generator().manual_seed(index))
        return WorldScene(
            world.kind, target, drawn.image, drawn.depth, tuple(sources), memory, drawn.instance
        )

    def make(self, index: int) -> TrainingClip:
        """The same as what training needs of it."""
        scene = self.scene(index)
        memory = scene.memory
        with quiet_retrieval():
            references = memory.retrieve(scene.cameras, max_references=len(memory.views))
        return TrainingClip(
            frames=scene.frames,
            cameras=scene.cameras,
            render=memory.render(scene.cameras, radius=self.point_radius),
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

    def _memory(self, sources: list[Source], generator: torch.Generator) -> GeometricMemory:
        clouds, views = [], []
        for clip, source in enumerate(sources):
            depths, kept = self.errors.apply(source.depths, generator)
            for frame, (image, depth) in enumerate(zip(source.images, depths, strict=True)):
                w2c, K = source.cameras.w2c[frame], source.cameras.K[frame]
                views.append(View(image_to_bytes("frame", image), w2c, K, f"{clip}/{frame:04d}", clip))
                clouds.append(self._points(image, depth, kept[frame], K, w2c))
        depth = torch.cat([source.depths.flatten() for source in sources])
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
