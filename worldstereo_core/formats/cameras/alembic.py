"""Alembic cameras through the package alembic3d (Alembic's own Python binding as wheels).

World with y up, the camera looks along -z, matrices are for row vectors. Focal length is in millimetres,
apertures and film offsets in centimetres; together they hold K exactly. Picture size and frame rate are
written beside them as user properties of the camera; the frame rate also follows from the sample times.

FBX has no writer that can be installed with pip except Blender itself, so Alembic is the format for programs
that read neither USD nor glTF.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from ...atomic import replace_when_done
from ...checks import PathError
from ...geometry.trajectory import Trajectory
from .axes import rigid_part
from .bounded import read_bytes
from .exchange import (
    DEFAULTS,
    CameraFile,
    FileSettings,
    Notes,
    check_frame_count,
    choose_fps,
    choose_size,
    even_rate,
    file_poses,
    finish,
    note_lens_loss,
)
from .film import Film

NAME = "alembic"
UP_AXIS = "y"
PACKAGE = "alembic3d"
_HEIGHT, _WIDTH, _FPS = "worldstereo_height", "worldstereo_width", "worldstereo_fps"


def write_alembic(
    path: str | os.PathLike[str], trajectory: Trajectory, settings: FileSettings = DEFAULTS
) -> tuple[str, ...]:
    """Write an Ogawa archive, whole or not at all.

    Returns:
        Notes on what the format cannot hold.

    Raises: PathError if alembic3d is missing.
    """
    _load(Path(path))
    notes = Notes()
    c2w = file_poses(trajectory, "opengl", settings.up_axis or UP_AXIS, settings.unit_scale or 1.0)
    note_lens_loss(trajectory, notes, "Alembic", squareness=False, centre=False)
    with replace_when_done(path) as temporary:
        _write(
            temporary, c2w.mT.tolist(), Film.of(trajectory, settings.sensor_width_mm), trajectory, settings
        )
    return notes.done()


def _write(
    path: Path,
    matrices: list[list[list[float]]],
    film: Film,
    trajectory: Trajectory,
    settings: FileSettings,
) -> None:
    # Alembic closes its file when the last of these objects is gone, so they live in a function of their own.
    import imath
    from alembic3d import Abc, AbcGeom
    from alembic3d.AbcCoreAbstract import TimeSampling

    first = 1 if settings.first_frame is None else settings.first_frame
    archive = Abc.OArchive(str(path))
    sampling = archive.addTimeSampling(TimeSampling(1 / trajectory.fps, first / trajectory.fps))
    xform = AbcGeom.OXform(archive.getTop(), "camera", sampling)
    camera = AbcGeom.OCamera(xform, "cameraShape", sampling)
    properties = camera.getSchema().getUserProperties()
    Abc.OInt32Property(properties, _HEIGHT).setValue(trajectory.height)
    Abc.OInt32Property(properties, _WIDTH).setValue(trajectory.width)
    Abc.ODoubleProperty(properties, _FPS).setValue(trajectory.fps)
    lens = torch.stack([film.focal, film.width, film.height, film.offset_x, film.offset_y], dim=1).tolist()
    for rows, (focal, width, height, offset_x, offset_y) in zip(matrices, lens, strict=True):
        pose = AbcGeom.XformSample()
        pose.setMatrix(imath.M44d(*[value for row in rows for value in row]))
        xform.getSchema().set(pose)
        sample = AbcGeom.CameraSample()
        sample.setFocalLength(focal)
        sample.setHorizontalAperture(width / 10)
        sample.setVerticalAperture(height / 10)
        sample.setHorizontalFilmOffset(offset_x / 10)
        sample.setVerticalFilmOffset(offset_y / 10)
        camera.getSchema().set(sample)


def read_alembic(path: str | os.PathLike[str], settings: FileSettings = DEFAULTS) -> CameraFile:
    """Read the first camera of an Ogawa archive.

    Raises: PathError if alembic3d is missing, or naming the file and the field if the archive cannot be used.
    """
    path, notes = Path(path), Notes()
    if not read_bytes(path, "an Alembic archive").startswith(b"Ogawa"):
        raise PathError(
            f"{path.name}: does not begin with 'Ogawa', expected an Alembic archive of that kind."
        )
    _load(path)
    from alembic3d import Abc, AbcGeom

    try:
        archive = Abc.IArchive(str(path))
    except RuntimeError as error:
        raise PathError(f"{path.name}: cannot be opened ({error}); expected an Alembic archive.") from error
    chains = _find(AbcGeom, archive.getTop(), ())
    if not chains:
        raise PathError(f"{path.name}: holds no camera, expected one. Export the camera, not only meshes.")
    *parents, shape = chains[0]
    name = shape.getFullName()
    if len(chains) > 1:
        notes.add(f"{path.name}: holds {len(chains)} cameras; {name} was read.")
    camera = AbcGeom.ICamera(shape.getParent(), shape.getName()).getSchema()
    xforms = [AbcGeom.IXform(parent.getParent(), parent.getName()).getSchema() for parent in parents]
    count, sampling = max(
        ((schema.getNumSamples(), schema.getTimeSampling()) for schema in [*xforms, camera]),
        key=lambda counted: counted[0],
    )
    check_frame_count(path, count)
    times = [sampling.getSampleTime(index) for index in range(count)]
    selectors = [Abc.ISampleSelector(time) for time in times]
    c2w = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    for xform in xforms:
        local = [_rows(xform.getValue(selector).getMatrix()) for selector in selectors]
        c2w = c2w @ torch.tensor(local, dtype=torch.float64).mT
    c2w = rigid_part(path, f"the transform of {name}", c2w, notes)
    film, stated_size, stated_fps = _lens(Abc, camera, selectors)
    rate = even_rate(path, "sample time", times)
    fps = choose_fps(path, settings, notes, rate if stated_fps is None else stated_fps)
    size = choose_size(path, settings, notes, stated_size)
    return finish(
        path, NAME, c2w, film.to_K(path, size, notes, stated_size is not None), size, fps, notes,
        camera_axes="opengl", up_axis=settings.up_axis or UP_AXIS, unit_scale=settings.unit_scale or 1.0,
    )  # fmt: skip


def _load(path: Path) -> None:
    try:
        import alembic3d  # noqa: F401
    except ImportError as error:
        raise PathError(
            f"{path.name}: Alembic needs the package {PACKAGE}, which is not installed. Run: pip install "
            f"{PACKAGE}"
        ) from error


def _find(geometry: Any, parent: Any, above: tuple[Any, ...], depth: int = 0) -> list[tuple[Any, ...]]:
    """Every camera with the transforms above it, from the root down."""
    found = []
    for index in range(parent.getNumChildren() if depth < 100 else 0):
        child = parent.getChild(index)
        if geometry.ICamera.matches(child.getHeader()):
            found.append((*above, child))
        is_xform = geometry.IXform.matches(child.getHeader())
        found += _find(geometry, child, (*above, child) if is_xform else above, depth + 1)
    return found


def _rows(matrix: Any) -> list[list[float]]:
    return [[matrix[row][column] for column in range(4)] for row in range(4)]


def _lens(abc: Any, camera: Any, selectors: list[Any]) -> tuple[Film, tuple[int, int] | None, float | None]:
    """The film of every frame, and our own size (height, width) and frame rate if they are there."""
    rows = []
    for selector in selectors:
        sample = camera.getValue(selector)
        squeeze = sample.getLensSqueezeRatio()
        rows.append(
            [
                sample.getFocalLength(),
                sample.getHorizontalAperture() * squeeze * 10,
                sample.getVerticalAperture() * 10,
                sample.getHorizontalFilmOffset() * 10,
                sample.getVerticalFilmOffset() * 10,
            ]
        )
    film = Film(*torch.tensor(rows, dtype=torch.float64).unbind(1))
    properties = camera.getUserProperties()
    if not properties.valid():
        return film, None, None
    headers = {
        properties.getPropertyHeader(index).getName() for index in range(properties.getNumProperties())
    }
    if not {_HEIGHT, _WIDTH, _FPS} <= headers:
        return film, None, None
    height, width = (abc.IInt32Property(properties, name).getValue() for name in (_HEIGHT, _WIDTH))
    return film, (height, width), abc.IDoubleProperty(properties, _FPS).getValue()
