"""Point clouds as PLY: written in chunks, read back whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import torch
from torch import Tensor

from ..atomic import replace_when_done
from ..checks import WorldStereoError
from ..geometry.point_cloud import PointCloud
from .point_axes import FROM_OURS, UpAxis, turned, turned_back

CHUNK = 2**18

# PLY's names for numbers, old and new, and numpy's without byte order.
NUMBER_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
}
PLY_NAMES = {"<f4": "float", "u1": "uchar", "<i4": "int"}


def write_ply(
    target: str | os.PathLike[str] | BinaryIO,
    cloud: PointCloud,
    *,
    up_axis: UpAxis = "y",
    binary: bool = True,
    scale: float = 1.0,
    has_confidence: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a point cloud with colours, confidence, clip number, and normals where it has them.

    Args:
        target: a path (the file appears whole or not at all) or an open binary file.
        cloud: the points.
        up_axis: ``"y"`` turns the cloud by 180 degrees about x, so that it stands upright in viewers, where
            y is up; ``"z"`` turns it for programs where z is up (Blender, Unreal); ``"-y"`` keeps our OpenCV
            axes (y down); ``"y-left"`` mirrors it for left-handed programs (Unity) that take coordinates as
            they are. A comment in the file says which.
        binary: little endian; False writes text.
        scale: file units per scene unit.
        has_confidence: write the confidence of each point.
        progress: called with (points written, points in all); it may raise to stop.
    """
    if up_axis not in FROM_OURS:
        raise WorldStereoError(
            f'up_axis: got "{up_axis}", expected "y" (viewers), "z" (Blender), "-y" (OpenCV) or "y-left" '
            "(Unity)."
        )
    if not isinstance(target, (str, os.PathLike)):
        _write(target, cloud, up_axis, binary, scale, has_confidence, progress)
        return
    with replace_when_done(target) as temporary, open(temporary, "wb") as file:
        _write(file, cloud, up_axis, binary, scale, has_confidence, progress)


def read_ply(source: str | os.PathLike[str] | BinaryIO, *, up_axis: UpAxis | None = None) -> PointCloud:
    """Read a point cloud; x, y, z and red, green, blue are needed, the rest is optional.

    Args:
        source: a path or an open binary file.
        up_axis: of the file; by default what its comment says, else ``"-y"`` (coordinates as they are).

    Raises: WorldStereoError if the file is missing, damaged, or has no coloured points.
    """
    if isinstance(source, (str, os.PathLike)):
        if not Path(source).is_file():
            raise WorldStereoError(f"point cloud: {source} does not exist or is no file. Check the path.")
        with open(source, "rb") as file:
            return _read(file, str(source), up_axis)
    return _read(source, "the PLY data", up_axis)


def _write(
    file: BinaryIO,
    cloud: PointCloud,
    up_axis: UpAxis,
    binary: bool,
    scale: float,
    has_confidence: bool,
    progress: Callable[[int, int], None] | None,
) -> None:
    fields = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
    if cloud.normal is not None:
        fields += [("nx", "<f4"), ("ny", "<f4"), ("nz", "<f4")]
    fields += [("red", "u1"), ("green", "u1"), ("blue", "u1")]
    fields += [("confidence", "<f4")] if has_confidence else []
    fields += [("clip", "<i4")]
    properties = "".join(f"property {PLY_NAMES[kind]} {name}\n" for name, kind in fields)
    file.write(
        f"ply\nformat {'binary_little_endian' if binary else 'ascii'} 1.0\n"
        f"comment WorldStereo point cloud\ncomment up_axis {up_axis}\n"
        f"element vertex {cloud.num_points}\n{properties}end_header\n".encode("ascii")
    )
    written = 0
    for rows in _rows(cloud, np.dtype(fields), up_axis, scale):
        if binary:
            file.write(rows.tobytes())
        else:
            formats = ["%.9g" if kind == "<f4" else "%d" for _, kind in fields]
            np.savetxt(file, rows, fmt=formats)
        written += len(rows)
        if progress is not None:
            progress(written, cloud.num_points)


def _rows(cloud: PointCloud, layout: np.dtype, up_axis: UpAxis, scale: float) -> Iterator[np.ndarray]:
    for first in range(0, cloud.num_points, CHUNK):
        part = cloud.select(slice(first, first + CHUNK)).to("cpu")
        vectors = {
            ("x", "y", "z"): turned(part.xyz, up_axis) * scale,
            ("red", "green", "blue"): to_levels(part.rgb),
        }
        if part.normal is not None:
            vectors["nx", "ny", "nz"] = turned(part.normal, up_axis)
        rows = np.empty(part.num_points, layout)
        for names, values in vectors.items():
            for name, column in zip(names, values.unbind(-1), strict=True):
                rows[name] = column.numpy()
        rows["clip"] = part.clip.numpy()
        if "confidence" in (layout.names or ()):
            rows["confidence"] = part.confidence.numpy()
        yield rows


def to_levels(rgb: Tensor) -> Tensor:
    """Colours 0..1 as uint8."""
    return rgb.clamp(0, 1).mul(255).round_().to(torch.uint8)


def _read(file: BinaryIO, name: str, up_axis: UpAxis | None) -> PointCloud:
    encoding, count, fields, written_up_axis = _read_header(file, name)
    up_axis = up_axis or written_up_axis
    order = ">" if encoding == "binary_big_endian" else "<"
    layout = np.dtype([(field, order + kind) for field, kind in fields])
    if encoding == "ascii":
        try:
            rows = np.loadtxt(file, dtype=layout, max_rows=count, ndmin=1) if count else np.empty(0, layout)
        except ValueError as error:
            raise WorldStereoError(f"point cloud: a line of {name} is no vertex ({error}).") from error
    else:
        data = file.read(count * layout.itemsize)
        rows = np.frombuffer(data[: len(data) // layout.itemsize * layout.itemsize], layout)
    if len(rows) < count:
        raise WorldStereoError(
            f"point cloud: {name} ends after {len(rows)} of {count} points: it is incomplete. "
            "Export it again."
        )
    missing = {"x", "y", "z", "red", "green", "blue"} - set(layout.names or ())
    if missing:
        raise WorldStereoError(
            f"point cloud: {name} has the properties {list(layout.names or ())}; {sorted(missing)} are "
            "missing. Only clouds with 3D positions and RGB colours can be read."
        )

    def columns(*names: str) -> Tensor:
        return torch.from_numpy(np.stack([rows[column].astype(np.float32) for column in names], axis=-1))

    colours = columns("red", "green", "blue")
    has = set(layout.names or ()).__contains__
    return PointCloud(
        xyz=turned_back(columns("x", "y", "z"), up_axis),
        rgb=colours / 255 if layout["red"].kind in "iu" else colours,
        confidence=columns("confidence")[:, 0] if has("confidence") else torch.ones(count),
        clip=torch.from_numpy(
            rows["clip"].astype(np.int32) if has("clip") else np.zeros(count, dtype=np.int32)
        ),
        normal=turned_back(columns("nx", "ny", "nz"), up_axis)
        if has("nx") and has("ny") and has("nz")
        else None,
    )


def _read_header(file: BinaryIO, name: str) -> tuple[str, int, list[tuple[str, str]], UpAxis]:
    if file.readline().strip() != b"ply":
        raise WorldStereoError(f"point cloud: {name} does not begin with 'ply', so it is no PLY file.")
    encoding, count, up_axis = "", -1, "-y"
    fields: list[tuple[str, str]] = []
    in_vertex = False
    while (line := file.readline()) and line.strip() != b"end_header":
        words = line.decode("ascii", errors="replace").split()
        match words:
            case ["format", encoding, *_]:
                pass
            case ["comment", "up_axis", "y" | "z" | "-y" | "y-left" as up_axis]:
                pass
            case ["element", "vertex", number] if number.isdigit():
                count, in_vertex = int(number), True
            case ["element", *_] if count < 0:
                raise WorldStereoError(
                    f"point cloud: {name} begins with '{' '.join(words)}', expected its vertices first."
                )
            case ["element", *_]:
                in_vertex = False
            case ["property", kind, field] if in_vertex and kind in NUMBER_TYPES:
                fields.append((field, NUMBER_TYPES[kind]))
            case ["property", *_] if in_vertex:
                raise WorldStereoError(
                    f"point cloud: {name} has the property '{' '.join(words)}', expected plain numbers."
                )
    if not line or count < 0 or encoding not in ("ascii", "binary_little_endian", "binary_big_endian"):
        raise WorldStereoError(f"point cloud: the header of {name} is incomplete or damaged.")
    return encoding, count, fields, cast(UpAxis, up_axis)
