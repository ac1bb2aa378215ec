"""A clip's files: frames, cameras, latents, depth, and what the clip brought into the memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checks import ShapeError, WorldStereoError, check_shape
from ..formats.camera_json import read_camera_json, write_camera_json
from ..formats.images import read_image, write_png
from ..geometry.point_cloud import PointCloud
from ..geometry.trajectory import Trajectory
from ..memory.memory import GeometricMemory
from ..memory.storage import load_memory, save_memory
from ..tensor_writer import write_tensors

Progress = Callable[[int, int], None]

FRAMES = "frames"
CAMERAS = "camera.json"
LATENTS = "latents.safetensors"
DEPTH = "depth.safetensors"
GROWTH = "memory.safetensors"
_PIXELS_PER_CELL = 8


@dataclass(frozen=True, eq=False)
class ClipContents:
    """Everything about a finished clip that is kept.

    Attributes:
        frames: [T, 3, H, W] float 0..1; kept with 8 bits.
        trajectory: T cameras.
        grown: the memory that holds the clip as well; see ``growth_of``.
        latents: [16, T, h, w] the VAE's own latents of the frames, as LATENT sockets carry them, or None.
        depth: [T, H, W] camera z as it was estimated, 0 = no data, or None.
    """

    frames: Tensor
    trajectory: Trajectory
    grown: GeometricMemory
    latents: Tensor | None = None
    depth: Tensor | None = None

    def __post_init__(self) -> None:
        size = check_shape("images", self.frames, ("T", 3, "H", "W"), "Give the frames of one clip.")
        count, height, width = size["T"], size["H"], size["W"]
        if self.trajectory.num_frames != count:
            raise ShapeError(
                f"images and trajectory differ in frames: got {count} images and "
                f"{self.trajectory.num_frames} cameras, expected as many of both. Give the trajectory the "
                "clip was made with."
            )
        if self.latents is not None:
            cells = (16, count, height // _PIXELS_PER_CELL, width // _PIXELS_PER_CELL)
            hint = "Wire the sampled latent of this very clip, before Key Frames to Images."
            check_shape("latent", self.latents, cells, hint)
        if self.depth is not None:
            check_shape("geometry", self.depth, (count, height, width), "Give depth of these very frames.")


def growth_of(
    before: GeometricMemory, after: GeometricMemory, clip: int, latents: Tensor | None
) -> GeometricMemory:
    """What a clip added: its points, views and history alone, numbered ``clip``.

    Args:
        latents: [16, T, h, w] of the clip's frames; each new view gets its frame's.

    Raises: WorldStereoError if ``after`` is not ``before`` with something added at its end.
    """
    count, views, lines = before.points.num_points, len(before.views), len(before.history)
    is_appended = (
        after.points.num_points >= count
        and len(after.views) > views
        and torch.equal(after.points.xyz[:count], before.points.xyz)
        and torch.equal(after.points.rgb[:count], before.points.rgb)
        and all(torch.equal(a.w2c, b.w2c) for a, b in zip(after.views, before.views, strict=False))
        and after.median_depth == before.median_depth
    )
    if not is_appended:
        raise WorldStereoError(
            f"memory: got {after.points.num_points:,} points and {len(after.views)} views, expected the "
            f"world's own {count:,} points and {views} views first, unchanged, and the clip's after them. "
            "Wire the world's memory through Update Geometric Memory alone; clean or edit the memory after "
            "the last clip."
        )
    added = tuple(
        replace(view, clip=clip, latent=_latent_of(view.name, latents)) for view in after.views[views:]
    )
    points = after.points.select(slice(count, None))
    return replace(
        after,
        points=replace(points, clip=torch.full_like(points.clip, clip)),
        views=added,
        history=after.history[lines:],
    )


def _latent_of(name: str, latents: Tensor | None) -> Tensor | None:
    """[16, h, w] of the frame that a view's name ends in, as ``update_memory`` names views."""
    frame = name.rpartition("/")[2]
    if latents is None or not frame.isdigit() or int(frame) >= latents.shape[1]:
        return None
    return latents[:, int(frame)].float().cpu().clone()


def join(memory: GeometricMemory, growth: GeometricMemory) -> GeometricMemory:
    """The memory with what a clip added."""
    points = memory.points
    if growth.points.num_points:
        points = PointCloud.concat([points, growth.points])
    return replace(
        memory,
        points=points,
        views=(*memory.views, *growth.views),
        history=(*memory.history, *growth.history),
    )


def write_clip(
    folder: Path, contents: ClipContents, growth: GeometricMemory, progress: Progress | None = None
) -> None:
    """Write a clip's files into an empty folder."""
    frames = folder / FRAMES
    frames.mkdir()
    for index, frame in enumerate(contents.frames):
        write_png(frames / f"{index:04d}.png", frame)
        if progress is not None:
            progress(index + 1, len(contents.frames))
    write_camera_json(folder / CAMERAS, contents.trajectory.cameras, contents.trajectory.fps)
    save_memory(folder / GROWTH, growth)
    for name, key, tensor in ((LATENTS, "latents", contents.latents), (DEPTH, "depth", contents.depth)):
        if tensor is not None:
            write_tensors(folder / name, {key: tensor.float()})


def read_frame(folder: Path, frame: int) -> Tensor:
    """[3, H, W] one frame of a stored clip."""
    return read_image(folder / FRAMES / f"{frame:04d}.png")


def read_frames(folder: Path, count: int, progress: Progress | None = None) -> Tensor:
    """[T, 3, H, W] all frames of a stored clip."""
    frames = []
    for index in range(count):
        frames.append(read_frame(folder, index))
        if progress is not None:
            progress(index + 1, count)
    return torch.stack(frames)


def read_trajectory(folder: Path, facts: dict[str, Any]) -> Trajectory:
    """The cameras of a stored clip, with the name, rate and pivot that its record keeps."""
    pivot = facts.get("pivot")
    return Trajectory(
        read_camera_json(folder / CAMERAS),
        fps=float(facts["fps"]),
        name=str(facts["name"]),
        source=str(facts["source"]),
        pivot=None if pivot is None else (float(pivot[0]), float(pivot[1]), float(pivot[2])),
    )


def trajectory_facts(trajectory: Trajectory) -> dict[str, Any]:
    """What ``read_trajectory`` needs besides the cameras."""
    pivot = None if trajectory.pivot is None else list(trajectory.pivot)
    return {"name": trajectory.name, "source": trajectory.source, "fps": trajectory.fps, "pivot": pivot}


def read_latents(folder: Path) -> Tensor | None:
    """[16, T, h, w], or None if the clip was saved without."""
    return _read_tensor(folder / LATENTS, "latents")


def read_depth(folder: Path) -> Tensor | None:
    """[T, H, W] camera z as it was estimated, or None if the clip was saved without."""
    return _read_tensor(folder / DEPTH, "depth")


def read_growth(folder: Path) -> GeometricMemory:
    """What the clip brought into the memory."""
    return load_memory(folder / GROWTH)


def _read_tensor(path: Path, key: str) -> Tensor | None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        return None
    try:
        return load_file(path)[key]
    except (SafetensorError, OSError, KeyError) as error:
        raise WorldStereoError(
            f"{path}: it cannot be read ({error}). The file was edited or damaged; put a copy of it back, or "
            "reject the clip and make it anew."
        ) from error
