"""Nuke's ``.chan``: one line per frame, columns without names.

    frame tx ty tz rx ry rz vfov

Position in file units, world with y up, camera looking along -z; rotations in degrees, applied in an order
that the file does not state (Nuke: ZXY, Blender's add-on: XYZ by default); the vertical field of view in
degrees. Frame rate and picture size are not in the file.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from ...atomic import replace_when_done
from ...checks import PathError
from ...geometry.trajectory import Trajectory
from .axes import check_numbers, euler_to_matrix, matrix_to_euler
from .bounded import read_text, shown
from .exchange import (
    DEFAULTS,
    CameraFile,
    FileSettings,
    Lens,
    Notes,
    check_frame_count,
    choose_fps,
    choose_size,
    even_rate,
    file_poses,
    finish,
    intrinsics,
    note_lens_loss,
)

NAME = "chan"
UP_AXIS = "y"
_COLUMNS = "frame tx ty tz rx ry rz vfov"


def read_chan(path: str | os.PathLike[str], settings: FileSettings = DEFAULTS) -> CameraFile:
    """Read a .chan file; the picture size comes from ``settings``.

    Raises: PathError, naming the file and the line or column, if it cannot be used.
    """
    path, notes = Path(path), Notes()
    rows = []
    for number, line in enumerate(read_text(path, "a Nuke .chan file").splitlines(), start=1):
        words = line.replace(",", " ").split()
        if not words or words[0].startswith("#"):
            continue
        try:
            rows.append([float(word) for word in words[:8]])
        except ValueError as error:
            raise PathError(
                f"{path.name}: line {number} is {shown(line)}, expected the numbers {_COLUMNS}. Export it "
                f"again."
            ) from error
        if len(words) == 7:
            raise PathError(
                f"{path.name}: line {number} has no vfov, so the field of view is unknown; expected the "
                f"eight columns {_COLUMNS}. Export it from a camera, not from another object."
            )
        if len(words) != 8:
            raise PathError(
                f"{path.name}: line {number} has {len(words)} columns, expected the eight {_COLUMNS}. Export "
                "it again."
            )
    check_frame_count(path, len(rows))
    values = torch.tensor(rows, dtype=torch.float64)
    check_numbers(path, "the line", values)
    even_rate(path, "frame", values[:, 0].tolist())
    step = (values[1, 0] - values[0, 0]).item() if len(values) > 1 else 1.0
    if step != 1:
        notes.add(f"{path.name}: frame numbers go up by {step:g}; each line counts as one frame.")
    c2w = torch.eye(4, dtype=torch.float64).repeat(len(values), 1, 1)
    c2w[:, :3, :3] = euler_to_matrix(torch.deg2rad(values[:, 4:7]), settings.rotation_order)
    c2w[:, :3, 3] = values[:, 1:4]
    vfov = values[:, 7]
    outside = ~((vfov > 0) & (vfov < 180))
    if outside.any():
        bad = int(outside.nonzero()[0])
        raise PathError(
            f"{path.name}: vfov of frame {bad} is {vfov[bad].item():g}, expected degrees between 0 and 180. "
            "Export it again."
        )
    size = choose_size(path, settings, notes, None)
    focal = size[0] / (2 * torch.tan(torch.deg2rad(vfov) / 2))
    K = Lens(focal, focal, size[1] / 2, size[0] / 2).to_K(len(values))
    return finish(
        path, NAME, c2w, K, size, choose_fps(path, settings, notes, None), notes,
        camera_axes="opengl", up_axis=settings.up_axis or UP_AXIS, unit_scale=settings.unit_scale or 1.0,
    )  # fmt: skip


def write_chan(
    path: str | os.PathLike[str], trajectory: Trajectory, settings: FileSettings = DEFAULTS
) -> tuple[str, ...]:
    """Write a .chan file, whole or not at all. Returns: notes on what the format cannot hold."""
    notes = Notes()
    c2w = file_poses(trajectory, "opengl", settings.up_axis or UP_AXIS, settings.unit_scale or 1.0)
    note_lens_loss(trajectory, notes, ".chan")
    notes.add(
        f".chan holds neither frame rate ({trajectory.fps:g}) nor picture size ({trajectory.width} x "
        f"{trajectory.height}); give both where it is read. Rotation order: {settings.rotation_order}."
    )
    angles = torch.rad2deg(matrix_to_euler(c2w[:, :3, :3], settings.rotation_order))
    focal = intrinsics(trajectory)[:, 1, 1]
    vfov = torch.rad2deg(2 * torch.atan(trajectory.height / (2 * focal)))
    values = torch.cat([c2w[:, :3, 3], angles, vfov[:, None]], dim=1).tolist()
    first = 1 if settings.first_frame is None else settings.first_frame
    lines = [f"{first + index} {' '.join(map(repr, row))}\n" for index, row in enumerate(values)]
    with replace_when_done(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
    return notes.done()
