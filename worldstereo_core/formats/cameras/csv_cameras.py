"""CSV with one camera per row and a header that names the columns.

    frame,time,x,y,z,qw,qx,qy,qz,fx,fy,cx,cy,width,height

Position and quaternion are camera-to-world: the camera's place, and the rotation that turns camera axes
(OpenCV: x right, y down, z forward) into world axes. ``time`` is in seconds, fx to cy in pixels of ``width``
x ``height``. Columns may come in any order and others are ignored. Instead of fx there may be ``focal_mm``
(with the sensor width given beside the file) or ``fov_deg`` (horizontal); cx, cy, fy, time, width and height
may be missing.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import torch
from torch import Tensor

from ...atomic import replace_when_done
from ...checks import PathError
from ...geometry.poses import matrix_to_quaternion
from ...geometry.trajectory import Trajectory
from .axes import check_numbers
from .bounded import pixels, read_text, shown
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
    quaternions_to_c2w,
)

NAME = "csv"
UP_AXIS = "-y"
POSE = ("x", "y", "z", "qw", "qx", "qy", "qz")
COLUMNS = ("frame", "time", *POSE, "fx", "fy", "cx", "cy", "width", "height")
_READ = (*COLUMNS, "focal_mm", "fov_deg")


def read_csv(path: str | os.PathLike[str], settings: FileSettings = DEFAULTS) -> CameraFile:
    """Read cameras from a CSV file.

    Raises: PathError, naming the file, column and row, if it cannot be used.
    """
    path, notes = Path(path), Notes()
    columns = _columns(path)
    missing = [name for name in POSE if name not in columns]
    if missing:
        raise PathError(
            f"{path.name}: the column {' and '.join(missing)} is missing (found: "
            f"{', '.join(columns) or 'none'}); expected a header with {', '.join(POSE)}. Add it."
        )
    count = len(columns["x"])
    check_frame_count(path, count)
    pose = torch.stack([columns[name] for name in POSE], dim=1)
    check_numbers(path, "position", pose[:, :3])
    c2w = quaternions_to_c2w(path, pose[:, :3], pose[:, 3:], notes)
    size = choose_size(path, settings, notes, _size(path, columns))
    K = _lens(path, columns, size, settings).to_K(count)
    stated = even_rate(path, "time", columns["time"].tolist()) if "time" in columns else None
    if "frame" in columns:
        even_rate(path, "frame", columns["frame"].tolist())
    return finish(
        path, NAME, c2w, K, size, choose_fps(path, settings, notes, stated), notes,
        camera_axes="opencv", up_axis=settings.up_axis or UP_AXIS, unit_scale=settings.unit_scale or 1.0,
    )  # fmt: skip


def write_csv(
    path: str | os.PathLike[str], trajectory: Trajectory, settings: FileSettings = DEFAULTS
) -> tuple[str, ...]:
    """Write cameras as CSV, whole or not at all. Returns: notes on what the format cannot hold."""
    notes = Notes()
    c2w = file_poses(trajectory, "opencv", settings.up_axis or UP_AXIS, settings.unit_scale or 1.0)
    note_lens_loss(trajectory, notes, "CSV", squareness=False, centre=False)
    if len(c2w) == 1:
        notes.add(f"CSV holds the frame rate in its times: {trajectory.fps:g} is lost with a single frame.")
    first = 0 if settings.first_frame is None else settings.first_frame
    number = torch.arange(len(c2w), dtype=torch.float64)
    K = intrinsics(trajectory)
    values = torch.cat(
        [
            (number / trajectory.fps)[:, None],
            c2w[:, :3, 3],
            matrix_to_quaternion(c2w[:, :3, :3]),
            K[:, [0, 1, 0, 1], [0, 1, 2, 2]],
        ],
        dim=1,
    ).tolist()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    size = trajectory.width, trajectory.height
    writer.writerows([first + index, *row, *size] for index, row in enumerate(values))
    with replace_when_done(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    return notes.done()


def _columns(path: Path) -> dict[str, Tensor]:
    """Known columns by name, [T] float64 each."""
    lines = [line for line in read_text(path, "a CSV file of cameras").splitlines() if line.strip()]
    lines = [line for line in lines if not line.lstrip().startswith("#")]
    if not lines:
        raise PathError(
            f"{path.name}: holds no rows, expected a header and one row per camera. Export it again."
        )
    delimiter = next((mark for mark in (",", ";", "\t") if mark in lines[0]), ",")
    try:
        header, *rows = csv.reader(lines, delimiter=delimiter)
    except csv.Error as error:
        raise PathError(f"{path.name}: is not CSV ({error}), expected columns. Export it again.") from error
    names = [name.strip().lower() for name in header]
    double = sorted({name for name in names if names.count(name) > 1 and name in _READ})
    if double:
        raise PathError(f"{path.name}: the column {double[0]} is there twice, expected once. Remove one.")
    for row, values in enumerate(rows):
        if len(values) != len(names):
            raise PathError(
                f"{path.name}: row {row} has {len(values)} values, expected {len(names)} as in the header. "
                "Correct the row."
            )
    columns = {}
    for index, name in enumerate(names):
        if name in _READ:
            columns[name] = torch.tensor(
                _numbers(path, name, [row[index] for row in rows]), dtype=torch.float64
            )
    return columns


def _numbers(path: Path, name: str, texts: list[str]) -> list[float]:
    try:
        return [float(text) for text in texts]
    except ValueError:
        for row, text in enumerate(texts):
            try:
                float(text)
            except ValueError as error:
                raise PathError(
                    f"{path.name}: column {name} of row {row} is {shown(text)}, expected a number with a "
                    "decimal point. Correct the row."
                ) from error
        raise


def _size(path: Path, columns: dict[str, Tensor]) -> tuple[int, int] | None:
    if "width" not in columns or "height" not in columns:
        return None
    sizes = []
    for name in ("height", "width"):
        values = columns[name]
        other = (values != values[0]).nonzero()
        if len(other):
            row = int(other[0])
            raise PathError(
                f"{path.name}: {name} is {values[0].item():g} in row 0 but {values[row].item():g} in row "
                f"{row}; expected one picture size. Export pictures of one size."
            )
        sizes.append(pixels(path, name, values[0].item()))
    return sizes[0], sizes[1]


def _lens(path: Path, columns: dict[str, Tensor], size: tuple[int, int], settings: FileSettings) -> Lens:
    height, width = size
    if "fx" in columns:
        fx = columns["fx"]
    elif "focal_mm" in columns:
        fx = columns["focal_mm"] * width / settings.sensor_width_mm
    elif "fov_deg" in columns:
        fov = columns["fov_deg"]
        outside = ~((fov > 0) & (fov < 180))
        if outside.any():
            row = int(outside.nonzero()[0])
            raise PathError(
                f"{path.name}: fov_deg of row {row} is {fov[row].item():g}, expected degrees between 0 and "
                "180. Correct the row."
            )
        fx = width / (2 * torch.tan(torch.deg2rad(fov) / 2))
    else:
        raise PathError(
            f"{path.name}: has none of the columns fx, focal_mm and fov_deg, so the field of view is "
            "unknown; expected one of them. Add it."
        )
    return Lens(fx, columns.get("fy", fx), columns.get("cx", width / 2), columns.get("cy", height / 2))
