"""USD cameras: a ``UsdGeomCamera`` with one matrix per frame.

Right-handed, the camera looks along -z, matrices are written for row vectors (the translation is the last
row). The layer states up axis, metres per unit and frame rate. Apertures and focal length are in
millimetres, as other programs write them; together with the aperture offsets they hold K exactly. The
picture size is not part of USD, so it is written beside them as ``worldstereo:width`` and
``worldstereo:height``.

Written as text, which needs no library. Reading needs the package usd-core.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

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
    choose_up,
    file_poses,
    finish,
    note_lens_loss,
)
from .film import Film

NAME = "usd"
UP_AXIS = "y"
PACKAGE = "usd-core"
_SIZE = ("worldstereo:height", "worldstereo:width")


def write_usd(
    path: str | os.PathLike[str], trajectory: Trajectory, settings: FileSettings = DEFAULTS
) -> tuple[str, ...]:
    """Write a USD text layer, whole or not at all.

    One scene unit counts as one metre: metersPerUnit is the unit scale.

    Returns:
        Notes on what the format cannot hold.
    """
    notes = Notes()
    up, scale = settings.up_axis or UP_AXIS, settings.unit_scale or 1.0
    c2w = file_poses(trajectory, "opengl", up, scale)
    note_lens_loss(trajectory, notes, "USD", squareness=False, centre=False)
    first = 1 if settings.first_frame is None else settings.first_frame
    last = first + len(c2w) - 1
    film = Film.of(trajectory, settings.sensor_width_mm)
    lines = [
        "#usda 1.0",
        "(",
        '    defaultPrim = "camera"',
        '    doc = "ComfyUI-WorldStereo camera"',
        f"    endTimeCode = {last}",
        f"    framesPerSecond = {trajectory.fps!r}",
        f"    metersPerUnit = {scale!r}",
        f"    startTimeCode = {first}",
        f"    timeCodesPerSecond = {trajectory.fps!r}",
        f'    upAxis = "{up.upper()}"',
        ")",
        "",
        'def Camera "camera"',
        "{",
        f"    float2 clippingRange = ({0.01 / scale!r}, {10000 / scale!r})",
        *_samples("float focalLength", film.focal, first),
        *_samples("float horizontalAperture", film.width, first),
        *_samples("float horizontalApertureOffset", film.offset_x, first),
        '    token projection = "perspective"',
        *_samples("float verticalAperture", film.height, first),
        *_samples("float verticalApertureOffset", film.offset_y, first),
        f"    custom int {_SIZE[0]} = {trajectory.height}",
        f"    custom int {_SIZE[1]} = {trajectory.width}",
        "    matrix4d xformOp:transform.timeSamples = {",
        *(f"        {first + index}: {_matrix(rows)}," for index, rows in enumerate(c2w.mT.tolist())),
        "    }",
        '    uniform token[] xformOpOrder = ["xformOp:transform"]',
        "}",
        "",
    ]
    with replace_when_done(path) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")
    return notes.done()


def read_usd(path: str | os.PathLike[str], settings: FileSettings = DEFAULTS) -> CameraFile:
    """Read the first camera of a .usda, .usdc or .usd layer that refers to no other file.

    Raises: PathError if usd-core is missing, or naming the file and the field if the layer cannot be used.
    """
    path, notes = Path(path), Notes()
    read_bytes(path, "a USD layer")  # size, presence, no zip
    stage = _open(path)
    from pxr import UsdGeom

    cameras = [UsdGeom.Camera(prim) for prim in stage.Traverse() if prim.IsA(UsdGeom.Camera)]
    if not cameras:
        raise PathError(
            f"{path.name}: holds no Camera prim, expected one. Export the camera, not only meshes."
        )
    camera = cameras[0]
    if len(cameras) > 1:
        names = ", ".join(str(other.GetPath()) for other in cameras[1:4])
        notes.add(f"{path.name}: {camera.GetPath()} was read; the file also holds {names}.")
    times, fps = _times(path, stage, camera, settings, notes)
    cache = UsdGeom.XformCache()
    raw = np.empty((len(times), 4, 4))
    for index, time in enumerate(times):
        cache.SetTime(time)
        raw[index] = cache.GetLocalToWorldTransform(camera.GetPrim())
    c2w = rigid_part(path, f"the transform of {camera.GetPath()}", torch.from_numpy(raw).mT, notes)
    prim = camera.GetPrim()
    sides = [prim.GetAttribute(name).Get() for name in _SIZE]
    stated = None if None in sides else (int(sides[0]), int(sides[1]))
    size = choose_size(path, settings, notes, stated)
    film = Film(
        _values(camera.GetFocalLengthAttr(), times),
        _values(camera.GetHorizontalApertureAttr(), times),
        _values(camera.GetVerticalApertureAttr(), times),
        _values(camera.GetHorizontalApertureOffsetAttr(), times),
        _values(camera.GetVerticalApertureOffsetAttr(), times),
    )
    up = choose_up(path, settings, notes, UsdGeom.GetStageUpAxis(stage).lower(), UP_AXIS)
    metres = UsdGeom.GetStageMetersPerUnit(stage) if UsdGeom.StageHasAuthoredMetersPerUnit(stage) else 1.0
    scale = settings.unit_scale
    if scale is None:
        scale = metres
        if metres != 1:
            notes.add(f"{path.name}: one unit is {metres:g} m; positions were turned into metres.")
    return finish(
        path, NAME, c2w, film.to_K(path, size, notes, stated is not None), size, fps, notes,
        camera_axes="opengl", up_axis=up, unit_scale=scale,
    )  # fmt: skip


def _open(path: Path) -> Any:
    try:
        from pxr import Sdf, Tf, Usd
    except ImportError as error:
        raise PathError(
            f"{path.name}: reading USD needs the package {PACKAGE}, which is not installed. Run: pip install "
            f"{PACKAGE}"
        ) from error
    try:
        # Anonymous: USD keeps opened layers by name and would give an older version of a rewritten file.
        layer = Sdf.Layer.OpenAsAnonymous(str(path))
    except Tf.ErrorException as error:
        raise PathError(
            f"{path.name}: is not a USD layer ({str(error).strip().splitlines()[-1][:160]}); expected .usda, "
            ".usdc or .usd. Export the camera again."
        ) from error
    if layer is None:
        raise PathError(f"{path.name}: is not a USD layer, expected .usda, .usdc or .usd. Export it again.")
    outside = sorted({*layer.GetCompositionAssetDependencies(), *layer.GetExternalAssetDependencies()})
    if outside:
        raise PathError(
            f"{path.name}: refers to {outside[0][:80]!r}, expected a layer that stands alone. Flatten the "
            "stage (usdcat --flatten) and choose the result."
        )
    return Usd.Stage.Open(layer)


def _times(
    path: Path, stage: Any, camera: Any, settings: FileSettings, notes: Notes
) -> tuple[list[Any], float]:
    """Time codes of the frames and frames per second."""
    from pxr import Usd

    codes_per_second = stage.GetTimeCodesPerSecond()
    has_rate = stage.HasAuthoredMetadata("timeCodesPerSecond") or stage.HasAuthoredMetadata("framesPerSecond")
    fps = choose_fps(path, settings, notes, codes_per_second if has_rate else None)
    keys = sorted(set(_keyed(camera)))
    if not keys:
        return [Usd.TimeCode.Default()], fps
    start, end = keys[0], keys[-1]
    if stage.HasAuthoredTimeCodeRange():
        start, end = stage.GetStartTimeCode(), stage.GetEndTimeCode()
    span = end - start
    if not 0 <= span < float("inf"):
        raise PathError(
            f"{path.name}: startTimeCode is {start:g} and endTimeCode {end:g}; expected an end after the "
            "start. Correct the layer."
        )
    check_frame_count(path, int(min(span, 1e12)) + 1)
    if abs(span - round(span)) > 1e-6:
        notes.add(f"{path.name}: the time range {start:g} to {end:g} is cut to whole frames.")
    if any(abs(key - start - round(key - start)) > 1e-6 for key in keys):
        notes.add(f"{path.name}: has keys between frames; the camera was sampled on whole frames.")
    return [Usd.TimeCode(start + index) for index in range(int(span + 1e-6) + 1)], fps


def _keyed(camera: Any) -> Iterable[float]:
    """Time codes of all keys that move the camera, its parents or its lens."""
    from pxr import UsdGeom

    prim = camera.GetPrim()
    for attribute in (camera.GetFocalLengthAttr(), camera.GetHorizontalApertureAttr()):
        yield from attribute.GetTimeSamples()
    while prim and not prim.IsPseudoRoot():
        if prim.IsA(UsdGeom.Xformable):
            yield from UsdGeom.Xformable(prim).GetTimeSamples()
        prim = prim.GetParent()


def _values(attribute: Any, times: list[Any]) -> Tensor:
    if attribute.GetNumTimeSamples() == 0:
        return torch.full((len(times),), float(attribute.Get()), dtype=torch.float64)
    return torch.tensor([attribute.Get(time) for time in times], dtype=torch.float64)


def _samples(declaration: str, values: Tensor, first: int) -> list[str]:
    """An attribute with one value per frame, or one value if it does not change."""
    numbers = values.tolist()
    if all(number == numbers[0] for number in numbers):
        return [f"    {declaration} = {numbers[0]!r}"]
    keys = (f"        {first + index}: {number!r}," for index, number in enumerate(numbers))
    return [f"    {declaration}.timeSamples = {{", *keys, "    }"]


def _matrix(rows: list[list[float]]) -> str:
    return "( " + ", ".join("(" + ", ".join(map(repr, row)) + ")" for row in rows) + " )"
