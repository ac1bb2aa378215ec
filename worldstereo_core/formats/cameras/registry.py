"""The table of camera formats, and reading and writing a trajectory in any of them.

found = read_camera_file("shot.glb", size=(480, 768))
found.trajectory, found.format, found.notes
notes = write_trajectory("shot.usda", trajectory, "usd", sensor_width_mm=24.9)
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ...checks import PathError, WorldStereoError
from ...geometry.trajectory import Trajectory
from . import (
    after_effects,
    alembic,
    blender,
    chan,
    colmap,
    csv_cameras,
    gltf,
    load3d,
    nerfstudio,
    official,
    usd,
)
from .axes import UP_AXES
from .exchange import CameraFile, FileSettings

logger = logging.getLogger(__name__)

_HEAD_BYTES, _TAIL_BYTES = 2**20, 2**16
# What a damaged file makes parsers raise; anything else is a mistake of ours and is let through.
_MALFORMED = (
    ArithmeticError,
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)

Reader = Callable[[Path, FileSettings], CameraFile]
Writer = Callable[[Path, Trajectory, FileSettings], tuple[str, ...]]


@dataclass(frozen=True)
class CameraFormat:
    """One row of the table.

    Attributes:
        name: what files and nodes call it.
        title: for people.
        suffixes: file name endings; the first is used for writing.
        read, write: None where a direction does not exist.
        sniff: whether content belongs to it, given the path and the ends of the file.
        up_axes: up axes that may be asked for, the usual one first.
        unit_scale: scene units per file unit unless the caller or the file says otherwise.
        package: pip package it needs, and for which direction.
        keeps: what comes back from a round trip beside poses and frame count.
        is_folder: it is written as a folder of files.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    read: Reader | None
    write: Writer | None
    sniff: Callable[[Path, bytes], bool]
    up_axes: tuple[str, ...]
    keeps: str
    unit_scale: float = 1.0
    package: str = ""
    is_folder: bool = False


def _holds(*words: bytes) -> Callable[[Path, bytes], bool]:
    return lambda _, ends: all(word in ends for word in words)


def _begins(*words: bytes) -> Callable[[Path, bytes], bool]:
    return lambda _, ends: ends.startswith(words)


def _is_gltf(path: Path, ends: bytes) -> bool:
    return ends.startswith(b"glTF") or (path.suffix.lower() == ".gltf" and b'"asset"' in ends)


def _is_colmap(path: Path, ends: bytes) -> bool:
    names = tuple(f"{part}{suffix}" for part in colmap.PARTS for suffix in (".txt", ".bin"))
    return any((path / name).is_file() for name in names[:4]) if path.is_dir() else path.name in names


def _is_official(path: Path, ends: bytes) -> bool:
    return b'"extrinsic"' in ends or b'"intrinsic"' in ends


def _is_chan(path: Path, ends: bytes) -> bool:
    line = next((line for line in ends[:4096].splitlines() if line.strip()), b"")
    words = line.replace(b",", b" ").split()
    return path.suffix.lower() == ".chan" or (len(words) == 8 and all(map(_is_number, words)))


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _is_csv(path: Path, ends: bytes) -> bool:
    lines = [line for line in ends[:4096].lower().splitlines() if line.strip() and not line.startswith(b"#")]
    return path.suffix.lower() == ".csv" or (bool(lines) and b"qw" in lines[0] and b"qx" in lines[0])


# The order counts: the first format that recognises a file reads it.
FORMATS: tuple[CameraFormat, ...] = (
    CameraFormat(
        official.NAME,
        "WorldStereo camera.json",
        (".json",),
        official.read_official,
        official.write_official,
        _is_official,
        ("-y", "y", "z"),
        "lens, size, fps: all",
    ),
    CameraFormat(
        nerfstudio.NAME,
        "nerfstudio transforms.json",
        (".json",),
        nerfstudio.read_nerfstudio,
        nerfstudio.write_nerfstudio,
        _holds(b'"frames"', b'"transform_matrix"'),
        ("z", "y", "-y"),
        "lens, size; fps in a key of ours",
    ),
    CameraFormat(
        colmap.NAME,
        "COLMAP model (text and binary)",
        (".bin", ".txt"),
        colmap.read_colmap,
        colmap.write_colmap,
        _is_colmap,
        ("-y", "y", "z"),
        "lens, size; no fps",
        is_folder=True,
    ),
    CameraFormat(
        gltf.NAME,
        "glTF camera animation (GLB)",
        (".glb", ".gltf"),
        gltf.read_gltf,
        gltf.write_gltf,
        _is_gltf,
        ("y",),
        "vertical field of view, fps; size and the whole lens in extras",
    ),
    CameraFormat(
        usd.NAME,
        "USD camera",
        (".usda", ".usd", ".usdc"),
        usd.read_usd,
        usd.write_usd,
        _begins(b"#usda", b"PXR-USDC"),
        ("y", "z"),
        "lens, fps, up axis, units; size in attributes of ours",
        package=f"{usd.PACKAGE} (import)",
    ),
    CameraFormat(
        alembic.NAME,
        "Alembic camera",
        (".abc",),
        alembic.read_alembic,
        alembic.write_alembic,
        _begins(b"Ogawa"),
        ("y", "z"),
        "lens, fps; size in properties of ours",
        package=f"{alembic.PACKAGE} (both)",
    ),
    CameraFormat(
        blender.NAME,
        "Blender Python script",
        (".py",),
        None,
        blender.write_blender,
        lambda _, __: False,
        ("z",),
        "lens, size, fps; back through blender_export.py and camera.json",
    ),
    CameraFormat(
        chan.NAME,
        "Nuke .chan",
        (".chan",),
        chan.read_chan,
        chan.write_chan,
        _is_chan,
        ("y", "z"),
        "vertical field of view; no size, no fps",
    ),
    CameraFormat(
        after_effects.NAME,
        "After Effects keyframe text",
        (".txt",),
        after_effects.read_after_effects,
        after_effects.write_after_effects,
        _begins(b"Adobe After Effects", b"\xef\xbb\xbfAdobe After Effects"),
        ("-y",),
        "focal length, size, fps; no principal point",
        unit_scale=after_effects.UNIT_SCALE,
    ),
    CameraFormat(
        load3d.NAME,
        "ComfyUI LOAD3D_CAMERA (JSON)",
        (".json",),
        load3d.read_load3d,
        load3d.write_load3d,
        _holds(b'"position"', b'"cameraType"'),
        ("y", "z", "-y"),
        "vertical field of view; size and fps in keys of ours",
    ),
    CameraFormat(
        csv_cameras.NAME,
        "CSV",
        (".csv",),
        csv_cameras.read_csv,
        csv_cameras.write_csv,
        _is_csv,
        ("-y", "y", "z"),
        "lens, size; fps from the times",
    ),
)
BY_NAME = {form.name: form for form in FORMATS}
READABLE = tuple(form.name for form in FORMATS if form.read)
WRITABLE = tuple(form.name for form in FORMATS if form.write)


def sniff_format(path: str | os.PathLike[str]) -> CameraFormat:
    """The format of a file or folder, by its content and then its name.

    Raises: PathError if there is no such file or no format recognises it.
    """
    path = Path(path)
    ends = b""
    if not path.is_dir():
        try:
            with path.open("rb") as file:
                ends = file.read(_HEAD_BYTES)
                size = file.seek(0, os.SEEK_END)
                if size > _HEAD_BYTES:
                    file.seek(max(_HEAD_BYTES, size - _TAIL_BYTES))
                    ends += file.read()
        except FileNotFoundError as error:
            raise PathError(
                f"{path}: there is no such file; expected a camera file. Check the name."
            ) from error
        except OSError as error:
            raise PathError(f"{path.name}: cannot be read ({error}). Check the file.") from error
    for form in FORMATS:
        if form.read and form.sniff(path, ends):
            return form
    if ends.startswith(b"PK\x03\x04"):
        raise PathError(
            f"{path.name}: is a zip archive, expected a camera file. Unpack it and choose the file inside."
        )
    readable = [BY_NAME[name] for name in READABLE]
    known = "; ".join(f"{form.title} ({', '.join(form.suffixes)})" for form in readable)
    raise PathError(f"{path.name}: is in no known camera format. Expected one of: {known}.")


def read_camera_file(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    sensor_width_mm: float = 36.0,
    up_axis: str | None = None,
    unit_scale: float | None = None,
    rotation_order: str = "ZXY",
) -> CameraFile:
    """Read a camera file of any known format, with notes on everything that was assumed or repaired.

    Args:
        path: the file, or the folder of a COLMAP model.
        format: one of ``READABLE``; None looks at the content.
        fps, size, sensor_width_mm, up_axis, unit_scale, rotation_order: see ``FileSettings``; what the file
            states is believed over them, except ``unit_scale``.

    Raises: PathError or ShapeError, naming the file and the field, if it cannot be used.
    """
    settings = FileSettings(fps, size, sensor_width_mm, up_axis, unit_scale, rotation_order)
    form = sniff_format(path) if format is None else _find(format, READABLE)
    assert form.read is not None
    _check_up(form, settings)
    try:
        return form.read(Path(path), settings)
    except WorldStereoError:
        raise
    except _MALFORMED as error:
        raise PathError(
            f"{Path(path).name}: is damaged or not as {form.title} lays it down ({type(error).__name__}: "
            f"{str(error)[:200]}). Export the camera again."
        ) from error


def read_trajectory(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    sensor_width_mm: float = 36.0,
    up_axis: str | None = None,
    unit_scale: float | None = None,
    rotation_order: str = "ZXY",
) -> Trajectory:
    """As ``read_camera_file``, with the notes logged as warnings."""
    found = read_camera_file(
        path,
        format=format,
        fps=fps,
        size=size,
        sensor_width_mm=sensor_width_mm,
        up_axis=up_axis,
        unit_scale=unit_scale,
        rotation_order=rotation_order,
    )
    for note in found.notes:
        logger.warning("%s", note)
    return found.trajectory


def write_trajectory(
    path: str | os.PathLike[str],
    trajectory: Trajectory,
    format: str,
    *,
    sensor_width_mm: float = 36.0,
    up_axis: str | None = None,
    unit_scale: float | None = None,
    rotation_order: str = "ZXY",
    first_frame: int | None = None,
) -> tuple[str, ...]:
    """Write a trajectory, whole or not at all; an existing file is replaced.

    Args:
        path: the file, or for COLMAP the folder.
        format: one of ``WRITABLE``.
        sensor_width_mm, up_axis, unit_scale, rotation_order, first_frame: see ``FileSettings``.

    Returns:
        Notes on what the format cannot hold and on what the other program has to be told.

    Raises: PathError or ShapeError if the cameras are unusable, WorldStereoError if the folder does not
        exist.
    """
    settings = FileSettings(None, None, sensor_width_mm, up_axis, unit_scale, rotation_order, first_frame)
    form = _find(format, WRITABLE)
    assert form.write is not None
    _check_up(form, settings)
    # Writing takes the CPU's numbers; a trajectory on a GPU is as good.
    on_cpu = replace(trajectory, cameras=trajectory.cameras.to("cpu"))
    return form.write(Path(path), on_cpu, settings)


def _find(name: str, choices: tuple[str, ...]) -> CameraFormat:
    if name not in choices:
        raise PathError(f"format: got {name!r}, expected one of: {', '.join(choices)}. Choose one of them.")
    return BY_NAME[name]


def _check_up(form: CameraFormat, settings: FileSettings) -> None:
    if settings.up_axis is not None and settings.up_axis not in form.up_axes:
        raise PathError(
            f"up axis: got {settings.up_axis!r} for {form.title}, expected {' or '.join(form.up_axes)} (of "
            f"{', '.join(UP_AXES)}). Leave it out for the usual one, {form.up_axes[0]}."
        )
