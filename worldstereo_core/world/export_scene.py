"""scene.json: what the files of an exported world mean, and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from torch import Tensor

from .. import __version__
from ..formats.point_axes import UpAxis
from ..geometry.point_cloud import PointCloud
from ..geometry.trajectory import Trajectory
from ..memory.memory import GeometricMemory
from .export_targets import TARGETS, directions

SCENE_FILE = "scene.json"
SCENE_FORMAT = "worldstereo.scene"
SCENE_VERSION = 1


def describe_scene(
    folder: Path,
    files: Sequence[str],
    target: str,
    memory: GeometricMemory,
    cloud: PointCloud,
    trajectory: Trajectory | None,
    frames: Tensor | None,
) -> dict[str, Any]:
    """Contents of scene.json.

    Args:
        folder: where the files are now, for their sizes.
        files: names relative to it.
    """
    chosen = TARGETS[target]
    axes: dict[str, UpAxis] = {file.name: file.axes for file in chosen.files}
    summary = memory.summary()
    entries: list[dict[str, Any]] = []
    for name in files:
        entry: dict[str, Any] = {"name": name, "bytes": (folder / name).stat().st_size}
        if name in axes:
            entry |= {"up_axis": axes[name], "first_camera": directions(axes[name])}
        entries.append(entry)
    return {
        "format": SCENE_FORMAT,
        "version": SCENE_VERSION,
        "generator": f"ComfyUI-WorldStereo {__version__}",
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "target": target,
        "conventions": {
            "program_up": chosen.up,
            "program_is_left_handed": chosen.is_left_handed,
            "coordinates": "metres" if chosen.is_metric else "scene units",
            "source_world": "OpenCV: x right, y down, z forward of the first camera",
            "depth": "camera z in scene units, 0 = no data",
            "colours": "sRGB; linear in GLB",
        },
        "scale": {"median_depth_scene_units": memory.median_depth},
        "points": {
            "count": cloud.num_points,
            "low": cloud.xyz.amin(0).tolist(),
            "high": cloud.xyz.amax(0).tolist(),
            "has_normals": cloud.normal is not None,
        },
        "camera": None
        if trajectory is None
        else {
            "file": chosen.camera[1],
            "format": chosen.camera[0],
            "frames": trajectory.num_frames,
            "fps": trajectory.fps,
            "width": trajectory.width,
            "height": trajectory.height,
        },
        "frames": None if frames is None else len(frames),
        "files": entries,
        "provenance": {
            "history": list(memory.history),
            "clips": [
                {"clip": clip.clip, "points": clip.num_points, "views": clip.num_views}
                for clip in summary.clips
            ],
            "views": [view.name for view in memory.views],
            "trajectory": None if trajectory is None else f"{trajectory.name} ({trajectory.source})",
        },
    }
