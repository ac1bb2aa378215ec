"""Point clouds as LAS 1.2, which Unreal's LiDAR plugin, CloudCompare and surveying programs open.

LAS is right-handed with z up and metres. Layout: ASPRS LAS Specification 1.2, point format 2.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable

import numpy as np
import torch

from ..atomic import replace_when_done
from ..checks import WorldStereoError
from ..geometry.point_cloud import PointCloud
from .ply import CHUNK, to_levels
from .point_axes import UpAxis, turned

HEADER = struct.Struct("<4sHH16sBB32s32sHHHIIBHI5I12d")
ROW = np.dtype(
    [
        *(("x", "<i4"), ("y", "<i4"), ("z", "<i4"), ("intensity", "<u2"), ("returns", "u1")),
        *(("classification", "u1"), ("angle", "i1"), ("user_data", "u1"), ("source", "<u2")),
        *(("red", "<u2"), ("green", "<u2"), ("blue", "<u2")),
    ]
)
_ONE_RETURN = 0b001001  # return 1 of 1
_SOFTWARE = b"ComfyUI-WorldStereo"


def write_las(
    path: str | os.PathLike[str],
    cloud: PointCloud,
    *,
    up_axis: UpAxis = "z",
    scale: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write points with colours, confidence (as intensity) and clip (as point source), whole or not at all.

    Args:
        path: the file.
        cloud: the points; more than 2^32 - 1 do not fit the format.
        up_axis: ``"z"`` as the format has it.
        scale: metres per scene unit.
        progress: called with (points written, points in all); it may raise to stop.
    """
    count = cloud.num_points
    if not 0 < count < 2**32:
        raise WorldStereoError(f"points: got {count:,}, expected 1 to 4,294,967,295 for LAS.")
    corners = torch.stack([cloud.xyz.amin(0), cloud.xyz.amax(0)]).cpu()
    corners = turned(corners, up_axis).double() * scale
    low, high = corners.amin(0), corners.amax(0)
    # Positions are whole steps of this power of ten, as fine as 32 bits allow.
    step = 10.0 ** math.ceil(math.log10(max(float((high - low).max()), 1e-9) / 2e9))
    header = HEADER.pack(
        b"LASF", 0, 0, bytes(16), 1, 2, b"OTHER", _SOFTWARE, 1, 2026, HEADER.size, HEADER.size, 0, 2,
        ROW.itemsize, count, count, 0, 0, 0, 0, step, step, step, *low.tolist(),
        *(value for pair in zip(high.tolist(), low.tolist(), strict=True) for value in pair),
    )  # fmt: skip
    with replace_when_done(path) as temporary, open(temporary, "wb") as file:
        file.write(header)
        for first in range(0, count, CHUNK):
            part = cloud.select(slice(first, first + CHUNK)).to("cpu")
            rows = np.zeros(part.num_points, ROW)
            steps = ((turned(part.xyz, up_axis).double() * scale - low) / step).round().numpy()
            for axis, name in enumerate("xyz"):
                rows[name] = steps[:, axis]
            levels = to_levels(part.rgb).numpy().astype("<u2") * 257
            for channel, name in enumerate(("red", "green", "blue")):
                rows[name] = levels[:, channel]
            rows["intensity"] = (part.confidence.clamp(0, 1) * 65535).round().numpy()
            rows["returns"] = _ONE_RETURN
            rows["source"] = part.clip.clamp(0, 65535).numpy()
            file.write(rows.tobytes())
            if progress is not None:
                progress(first + len(rows), count)
