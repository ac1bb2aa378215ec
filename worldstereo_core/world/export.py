"""A world as one folder for another program: points, splats, cameras, pictures, depth, and what they mean."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from ..atomic import folder_when_done
from ..checks import WorldStereoError, check_shape
from ..formats.cameras.registry import write_trajectory
from ..formats.exr_writer import write_exr_depth
from ..formats.images import write_png
from ..formats.las import write_las
from ..formats.ply import write_ply
from ..formats.points_glb import write_points_glb
from ..formats.splats import SIZE, Splats, write_splat_ply
from ..formats.spz import write_spz
from ..formats.video import write_mp4
from ..geometry.point_cloud import PointCloud
from ..geometry.spacing import local_spacing
from ..geometry.trajectory import DEFAULT_FPS, Trajectory
from ..memory.memory import GeometricMemory
from .export_dataset import write_dataset
from .export_scene import SCENE_FILE, SCENE_FORMAT, describe_scene
from .export_targets import COMFYUI_POINTS, COMFYUI_SPLATS, TARGETS, PartFile, Target
from .staging import explain_disk

Progress = Callable[[int, int], None]
IfExists = Literal["number", "stop", "replace"]
Pictures = Literal["stills and video", "stills", "video"]
_STEPS = 1000  # of the progress bar, per stage


@dataclass(frozen=True, eq=False)
class ExportSettings:
    """What to write and how.

    Attributes:
        target: one of ``TARGETS``.
        min_confidence: points below it are left out, 0 to 1.
        has_confidence: PLY files carry the confidence of each point.
        metres_per_unit: length of a scene unit, for programs that know metres.
        splat_size: standard deviation of a splat over the spacing of the points around it.
        has_depth: write the depth of every view that has one.
        pictures: what becomes of the clip's frames.
        fps: of the video; 0 = the trajectory's, else 16.
        max_tracked: points followed through the views for COLMAP.
    """

    target: str
    min_confidence: float = 0.0
    has_confidence: bool = True
    metres_per_unit: float = 1.0
    splat_size: float = SIZE
    has_depth: bool = False
    pictures: Pictures = "stills and video"
    fps: float = 0.0
    max_tracked: int = 50_000

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise WorldStereoError(
                f'target: got "{self.target}", expected one of {", ".join(TARGETS)}. Choose one of them.'
            )
        for name, value in (
            ("metres per scene unit", self.metres_per_unit),
            ("splat size", self.splat_size),
        ):
            if not (math.isfinite(value) and value > 0):
                raise WorldStereoError(f"{name}: got {value}, expected a number above 0.")
        if not (math.isfinite(self.fps) and self.fps >= 0):
            raise WorldStereoError(f"fps: got {self.fps}, expected frames per second, or 0 for the usual.")


@dataclass(frozen=True, eq=False)
class ExportedWorld:
    """What was written.

    Attributes:
        folder: where.
        files: names relative to it.
        notes: what a format cannot hold.
        cloud: the points.
        splats: the splats of the points.
    """

    folder: Path
    files: tuple[str, ...]
    notes: tuple[str, ...]
    cloud: PointCloud
    splats: Splats

    @property
    def num_points(self) -> int:
        return self.cloud.num_points

    @property
    def text(self) -> str:
        """The folder and what is in it, as lines to read."""
        plain = [name for name in self.files if "/" not in name]
        folders = sorted({name.split("/")[0] for name in self.files if "/" in name})
        counts = [
            f"{folder}/ ({sum(name.startswith(folder + '/') for name in self.files)} files)"
            for folder in folders
        ]
        head = f"{self.num_points:,} points: {self.folder}"
        return "\n".join([head, *(f"  {name}" for name in [*plain, *counts]), *self.notes])


def export_world(
    folder: Path,
    memory: GeometricMemory,
    settings: ExportSettings,
    *,
    trajectory: Trajectory | None = None,
    frames: Tensor | None = None,
    is_replaced: bool = False,
    progress: Progress | None = None,
) -> ExportedWorld:
    """Write a world for one program: the whole folder, or nothing.

    Args:
        folder: does not exist, or is an earlier export and ``is_replaced``; its parent is made.
        memory: points and views.
        trajectory: cameras to write in the program's own format.
        frames: [T, 3, H, W] 0..1 of a clip, written as stills and video.
        progress: called with (steps done, steps in all); it may raise to stop, and then nothing is left.

    Raises: WorldStereoError if nothing is left to export, a folder in the way is no export, or the disk is
    full.
    """
    target = TARGETS[settings.target]
    cloud = _chosen_points(memory, settings)
    if frames is not None:
        check_shape("images", frames, ("T", 3, "H", "W"))
    if folder.exists():
        check_replaceable(folder, is_replaced)
    splats = make_splats(cloud, settings.splat_size, _slice(progress, 0, 2))
    progress = _second_half(progress)
    stages = _stages(target, memory, settings, splats, trajectory, frames)
    notes: list[str] = []
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder_when_done(folder, is_replaced=is_replaced) as part:
            for number, stage in enumerate(stages):
                notes += stage(part, _slice(progress, number, len(stages)))
            files = sorted(path.relative_to(part).as_posix() for path in part.rglob("*") if path.is_file())
            scene = describe_scene(part, files, settings.target, memory, cloud, trajectory, frames)
            scene["scale"] |= {
                "metres_per_scene_unit": settings.metres_per_unit,
                "file_units_per_scene_unit": _file_scale(target, settings),
            }
            scene["notes"] = notes
            (part / SCENE_FILE).write_text(json.dumps(scene, indent=1, allow_nan=False) + "\n", "utf-8")
    except OSError as error:
        reason, advice = explain_disk(error)
        raise WorldStereoError(
            f"name: {folder} could not be written, because {reason}. Nothing was left behind. {advice}, then "
            "run again."
        ) from error
    return ExportedWorld(folder, (*files, SCENE_FILE), tuple(notes), cloud, splats)


def write_previews(base: Path, written: ExportedWorld, progress: Progress | None = None) -> tuple[Path, Path]:
    """Points and splats that ComfyUI shows upright: ``<base>_points.ply`` and ``<base>_splats.ply``."""
    points, splats = (base.with_name(f"{base.name}_{kind}.ply") for kind in ("points", "splats"))
    write_ply(points, written.cloud, up_axis=COMFYUI_POINTS.axes, progress=_slice(progress, 0, 2))
    write_splat_ply(splats, written.splats, up_axis=COMFYUI_SPLATS.axes, progress=_slice(progress, 1, 2))
    return points, splats


def check_replaceable(folder: Path, is_replaced: bool) -> None:
    """Raise WorldStereoError unless the folder may give way: it was asked for, and it is an export."""
    if not is_replaced:
        raise WorldStereoError(
            f'name: "{folder.name}" exists already, so nothing was written. Give another name, or set '
            "if_exists to number or replace."
        )
    try:
        found = json.loads((folder / SCENE_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or found.get("format") != SCENE_FORMAT:
        raise WorldStereoError(
            f'name: the folder "{folder.name}" was not written by this node (it has no {SCENE_FILE} of it), '
            "so it is not replaced. Give another name."
        )


Stage = Callable[[Path, Progress], "list[str]"]


def _stages(
    target: Target,
    memory: GeometricMemory,
    settings: ExportSettings,
    splats: Splats,
    trajectory: Trajectory | None,
    frames: Tensor | None,
) -> list[Stage]:
    cloud = splats.cloud
    scale = _file_scale(target, settings)
    stages: list[Stage] = []
    for file in target.files:
        stages.append(_part_stage(file, splats, scale, settings.has_confidence))
    if trajectory is not None:
        stages.append(_camera_stage(target, trajectory, scale))
    if target.dataset is not None:
        stages.append(
            lambda part, report: write_dataset(part, target, memory, cloud, settings.max_tracked, report)
        )
    if settings.has_depth:
        stages.append(lambda part, report: _write_depths(part, memory, report))
    if frames is not None:
        fps = settings.fps or (trajectory.fps if trajectory is not None else DEFAULT_FPS)
        stages.append(lambda part, report: _write_frames(part, frames, settings.pictures, fps, report))
    return stages


def _chosen_points(memory: GeometricMemory, settings: ExportSettings) -> PointCloud:
    points = memory.points
    if settings.min_confidence > 0:
        points = points.select(points.confidence >= settings.min_confidence)
    if points.num_points == 0:
        raise WorldStereoError(
            f"min_confidence: none of the {memory.points.num_points:,} points reaches "
            f"{settings.min_confidence:g}, expected at least one. Lower it."
        )
    return points


def _file_scale(target: Target, settings: ExportSettings) -> float:
    return settings.metres_per_unit if target.is_metric else 1.0


def _slice(progress: Progress | None, number: int, count: int) -> Progress:
    """A stage's own progress as a part of the whole."""

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(number * _STEPS + _STEPS * done // max(total, 1), count * _STEPS)

    return report


def _second_half(progress: Progress | None) -> Progress | None:
    """Progress of the files, after the sizes of the splats."""
    if progress is None:
        return None
    return lambda done, total: progress(total + done, 2 * total)


def make_splats(cloud: PointCloud, size: float, progress: Progress | None = None) -> Splats:
    """Splats as large as the points around each leave room, times ``size``."""
    return Splats(cloud, local_spacing(cloud.xyz, progress) * size)


def _part_stage(file: PartFile, splats: Splats, scale: float, has_confidence: bool) -> Stage:
    def write(part: Path, report: Progress) -> list[str]:
        path, cloud = part / file.name, splats.cloud
        match file.name:
            case "points.ply":
                write_ply(
                    path,
                    cloud,
                    up_axis=file.axes,
                    scale=scale,
                    has_confidence=has_confidence,
                    progress=report,
                )
            case "points.glb":
                write_points_glb(path, cloud, scale=scale, progress=report)
            case "points.las":
                write_las(path, cloud, up_axis=file.axes, scale=scale, progress=report)
            case "splats.ply":
                write_splat_ply(path, splats, up_axis=file.axes, scale=scale, progress=report)
            case "splats.spz":
                write_spz(path, splats, up_axis=file.axes, scale=scale, progress=report)
        return []

    return write


def _camera_stage(target: Target, trajectory: Trajectory, scale: float) -> Stage:
    def write(part: Path, report: Progress) -> list[str]:
        report(0, 1)
        format, name = target.camera
        own = None if scale == 1.0 else 1 / scale
        notes = write_trajectory(part / name, trajectory, format, up_axis=target.camera_up, unit_scale=own)
        return [f"{name}: {note}" for note in notes]

    return write


def _write_depths(part: Path, memory: GeometricMemory, report: Progress) -> list[str]:
    (part / "depth").mkdir()
    without = 0
    for number, view in enumerate(memory.views):
        report(number, len(memory.views))
        if view.depth is None:
            without += 1
        else:
            write_exr_depth(part / "depth" / f"{number:04d}.exr", view.depth)
    return [f"depth: {without} of {len(memory.views)} views have none."] if without else []


def _write_frames(part: Path, frames: Tensor, pictures: Pictures, fps: float, report: Progress) -> list[str]:
    count = len(frames)
    kinds = pictures.count("stills") + pictures.count("video")
    if "stills" in pictures:
        (part / "frames").mkdir()
        for number, frame in enumerate(frames, start=1):
            write_png(part / "frames" / f"{number:05d}.png", frame)
            report(number, kinds * count)
    if "video" in pictures:
        before = (kinds - 1) * count
        write_mp4(
            part / "video.mp4", frames, fps, progress=lambda done, _: report(before + done, kinds * count)
        )
    return []
