"""Points as GLB: one glTF 2.0 mesh of POINTS with linear colours, which browsers and game engines open."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..atomic import replace_when_done
from ..checks import WorldStereoError
from ..geometry.point_cloud import PointCloud
from .ply import CHUNK
from .point_axes import turned

UP_AXIS = "y"
_MAGIC, _JSON, _BIN = 0x46546C67, 0x4E4F534A, 0x004E4942
_FLOAT, _UNSIGNED_SHORT, _POINTS, _ARRAY_BUFFER = 5126, 5123, 0, 34962


def write_points_glb(
    path: str | os.PathLike[str],
    cloud: PointCloud,
    *,
    scale: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write points with colours, and normals where the cloud has them, whole or not at all.

    Colours are 16-bit and linear, as glTF demands; viewers show them as they were.

    Args:
        path: the file.
        cloud: the points, at least one.
        scale: metres per scene unit.
        progress: called with (steps done, steps in all); it may raise to stop.

    Raises: WorldStereoError if there is no point or the file would pass the format's 4 GiB.
    """
    count = cloud.num_points
    kinds = [("POSITION", "VEC3", 12), ("COLOR_0", "VEC4", 8)]
    if cloud.normal is not None:
        kinds.append(("NORMAL", "VEC3", 12))
    size = count * sum(row for _, _, row in kinds)
    if count == 0 or size > 2**32 - 2**16:
        raise WorldStereoError(
            f"points: got {count:,}, expected at least one and less than 4 GiB of them for GLB. Raise "
            "min_confidence, or export PLY."
        )
    text = json.dumps(_document(cloud, kinds, size, scale), separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 4)
    with replace_when_done(path) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack("<IIIII", _MAGIC, 2, 12 + 8 + len(text) + 8 + size, len(text), _JSON) + text)
        file.write(struct.pack("<II", size, _BIN))
        for number, (name, _, _) in enumerate(kinds):
            for done, rows in _rows(cloud, name, scale):
                file.write(rows.tobytes())
                if progress is not None:
                    progress(number * count + done, len(kinds) * count)


def _document(
    cloud: PointCloud, kinds: list[tuple[str, str, int]], size: int, scale: float
) -> dict[str, Any]:
    ends = torch.stack([cloud.xyz.amin(0), cloud.xyz.amax(0)]).cpu()
    ends = turned(ends, UP_AXIS) * scale
    views, accessors, start = [], [], 0
    for number, (name, kind, row) in enumerate(kinds):
        length = row * cloud.num_points
        views.append({"buffer": 0, "byteOffset": start, "byteLength": length, "target": _ARRAY_BUFFER})
        is_colour = name == "COLOR_0"
        accessor: dict[str, Any] = {
            "bufferView": number,
            "componentType": _UNSIGNED_SHORT if is_colour else _FLOAT,
            "count": cloud.num_points,
            "type": kind,
        }
        accessor |= {"normalized": True} if is_colour else {}
        if name == "POSITION":
            accessor |= {"min": ends.amin(0).tolist(), "max": ends.amax(0).tolist()}
        accessors.append(accessor)
        start += length
    attributes = {name: number for number, (name, _, _) in enumerate(kinds)}
    return {
        "asset": {"version": "2.0", "generator": "ComfyUI-WorldStereo"},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "points"}],
        "meshes": [{"primitives": [{"attributes": attributes, "mode": _POINTS, "material": 0}]}],
        "materials": [{"name": "points", "extensions": {"KHR_materials_unlit": {}}}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": size}],
    }


def _rows(cloud: PointCloud, name: str, scale: float) -> Iterator[tuple[int, np.ndarray]]:
    for first in range(0, cloud.num_points, CHUNK):
        part = slice(first, first + CHUNK)
        if name == "POSITION":
            rows = (turned(cloud.xyz[part].cpu(), UP_AXIS) * scale).numpy().astype("<f4", copy=False)
        elif name == "NORMAL":
            assert cloud.normal is not None
            rows = turned(_unit(cloud.normal[part].cpu()), UP_AXIS).numpy().astype("<f4", copy=False)
        else:
            linear = srgb_to_linear(cloud.rgb[part].cpu().clamp(0, 1))
            rows = np.full((len(linear), 4), 65535, "<u2")
            rows[:, :3] = (linear * 65535).round().numpy()
        yield first + len(rows), rows


def _unit(normal: Tensor) -> Tensor:
    """Normals of length 1; where fused normals cancelled, towards the viewer, since glTF knows no absence."""
    length = normal.norm(dim=-1, keepdim=True)
    return torch.where(length > 1e-6, normal / length.clamp(min=1e-6), normal.new_tensor([0.0, 0, -1]))


def srgb_to_linear(colour: Tensor) -> Tensor:
    """Display values 0..1 to light, IEC 61966-2-1."""
    return torch.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
