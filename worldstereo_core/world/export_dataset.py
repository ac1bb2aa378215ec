"""The views of a memory as a data set: pictures and cameras for nerfstudio, COLMAP and the released code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..checks import WorldStereoError
from ..formats.cameras.axes import to_file_axes
from ..formats.colmap_tracks import write_colmap_tracks
from ..geometry.point_cloud import PointCloud
from ..geometry.poses import invert_se3
from ..memory.export_views import write_reconstruction_folder
from ..memory.memory import GeometricMemory
from ..memory.tracks import build_tracks
from ..memory.view import View
from .export_targets import Target

Progress = Callable[[int, int], None]
SCENE_NAME = "worldstereo"


def write_dataset(
    part: Path,
    target: Target,
    memory: GeometricMemory,
    cloud: PointCloud,
    max_tracked: int,
    report: Progress,
) -> list[str]:
    """Write pictures and cameras below ``part``. Returns: notes.

    Raises: WorldStereoError if the memory has no views.
    """
    if not memory.views:
        raise WorldStereoError(
            f"memory: it has no views, but {target.title} is made of pictures. Create it from a picture, or "
            "choose another target."
        )
    if target.dataset == "official":
        report(0, 1)
        write_reconstruction_folder(part, memory.views, SCENE_NAME)
        return []
    (part / "images").mkdir()
    if target.dataset == "nerfstudio":
        _write_nerfstudio(part, memory, report)
        return []
    return _write_colmap(part, memory, cloud, max_tracked, report)


def _write_nerfstudio(part: Path, memory: GeometricMemory, report: Progress) -> None:
    views = memory.views
    w2c = torch.stack([view.w2c for view in views]).cpu().double()
    poses = to_file_axes(invert_se3(w2c), "opengl", "z", 1.0).tolist()
    frames: list[dict[str, Any]] = []
    for number, (view, pose) in enumerate(zip(views, poses, strict=True)):
        report(number, len(views))
        name = f"images/{number:04d}.png"
        save_picture(part / name, view)
        K = view.K.cpu().double()
        lens = {"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
        frames.append(
            {
                "file_path": name,
                "transform_matrix": pose,
                "w": view.width,
                "h": view.height,
                **{key: float(value) for key, value in lens.items()},
            }
        )
    content = {"camera_model": "OPENCV", "ply_file_path": "points.ply", "frames": frames}
    (part / "transforms.json").write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", "utf-8")


def _write_colmap(
    part: Path, memory: GeometricMemory, cloud: PointCloud, max_tracked: int, report: Progress
) -> list[str]:
    chosen = replace(memory, points=cloud)
    # One view is enough for a picture with its points; from two on, a track needs two.
    min_views = min(2, len(memory.views))
    tracks = build_tracks(
        chosen, max_tracked, min_views, progress=lambda done, total: report(done, 2 * total)
    )
    for number, (name, view) in enumerate(zip(tracks.names, memory.views, strict=True)):
        save_picture(part / "images" / name, view)
        report(len(memory.views) + number, 2 * len(memory.views))
    (part / "sparse" / "0").mkdir(parents=True)
    write_colmap_tracks(part / "sparse" / "0", tracks)
    return [f"sparse/0: {tracks.num_points:,} points with {tracks.num_observations:,} observations."]


def save_picture(path: Path, view: View) -> None:
    from PIL import Image

    pixels = view.image.permute(1, 2, 0).cpu().contiguous().numpy()
    Image.fromarray(pixels).save(path, format="PNG", compress_level=4)
