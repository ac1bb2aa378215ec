"""Camera moves that generate is asked for: presets, camera files and paths of waypoints."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..checks import PathError, WorldStereoError
from ..formats.camera_json import read_camera_json
from ..geometry.camera_path import CameraPath
from ..geometry.cameras import Cameras
from ..geometry.path_spline import sample_path
from ..geometry.trajectory import PRESETS, Trajectory, build_trajectory
from ..memory.memory import GeometricMemory
from ..model.config import WorldStereoConfig
from ..sizes import select_keyframes
from .scene_files import (
    Source,
    check_shape_of_picture,
    photo_camera,
    read_cameras,
    read_path_file,
    require_file,
)

# Presets whose amount is degrees; the others travel median depths, or zoom by a factor.
TURNS, ZOOMS = ("pan", "tilt", "roll", "orbit"), ("zoom",)


@dataclass(frozen=True)
class PresetMove:
    """A preset with the options that differ from its defaults."""

    preset: str
    options: dict[str, float]


def first_camera(paths: list[tuple[str, str]], image_path: Path) -> Cameras | None:
    """The photo's camera as the first file among the paths has it."""
    for option, value in paths:
        if option == "camera":
            return read_cameras("--camera", Path(value), image_path)
        if option == "path":
            return photo_camera(read_path_file("--path", Path(value)), image_path)
    return None


def read_path(
    option: str, value: str, size: tuple[int, int], image_path: Path
) -> PresetMove | Trajectory | CameraPath:
    """Read what --trajectory, --camera or --path names.

    Args:
        option: "trajectory", "camera" or "path".
        value: its value.
        size: height and width of the photo.
        image_path: the photo, for messages.

    Raises: WorldStereoError if there is no such preset or file, or the file does not fit the photo.
    """
    if option == "path":
        return read_path_file("--path", Path(value))
    if option == "camera":
        path = require_file("--camera", Path(value))
        cameras = read_camera_json(path, size=size)
        check_shape_of_picture(cameras, image_path, size)
        return Trajectory(cameras, name=path.name, source=value)
    preset, amount = parse_preset(value)
    kind = preset.split()[0]
    name = "amount_deg" if kind in TURNS else "focal_end" if kind in ZOOMS else "distance"
    return PresetMove(preset, {} if amount is None else {name: amount})


def to_trajectory(
    path: PresetMove | Trajectory | CameraPath,
    args: argparse.Namespace,
    source: Source,
    memory: GeometricMemory,
    config: WorldStereoConfig,
) -> Trajectory:
    height, width = source.size
    key_frames = config.num_keyframes if args.frames is None else args.frames
    num_frames = config.control.num_mask_frames(key_frames)
    if num_frames < 2:
        raise WorldStereoError(f"--frames: got {key_frames}, expected at least 2 (a released clip has 21).")
    if isinstance(path, CameraPath):
        return sample_path(path, num_frames, easing=args.easing, height=height, width=width)
    if isinstance(path, Trajectory):
        if path.num_frames < num_frames:
            raise PathError(
                f"--camera {path.source}: {path.num_frames} poses, expected at least {num_frames}. Write one "
                "pose per key frame, or ask for fewer with --frames."
            )
        cameras = path.cameras[select_keyframes(path.num_frames, num_frames)]
        return replace(path, cameras=cameras.resized(height, width))
    options: dict[str, Any] = path.options
    return build_trajectory(
        path.preset,
        start=(source.w2c, source.K),
        height=height,
        width=width,
        num_frames=num_frames,
        pivot_depth=memory.median_depth,
        **options,
    )


def parse_preset(text: str) -> tuple[str, float | None]:
    """``"orbit right:30"`` -> ``("orbit right", 30.0)``; None without an amount.

    Raises: PathError if the preset is unknown or the amount no number.
    """
    preset, colon, amount = text.partition(":")
    preset = preset.strip().lower().replace("_", " ").replace("-", " ")
    if preset not in PRESETS:
        raise PathError(f"--trajectory: no preset {preset!r}. Choose one of: {', '.join(PRESETS)}.")
    if not colon:
        return preset, None
    try:
        return preset, float(amount)
    except ValueError:
        text = f"--trajectory {text}: {amount!r} is not a number. Write e.g. 'orbit right:30'."
        raise PathError(text) from None
