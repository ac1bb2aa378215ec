"""Depth as OpenEXR: one channel Z of 32-bit floats, scan lines, no compression.

Layout: https://openexr.com/en/latest/OpenEXRFileLayout.html
"""

from __future__ import annotations

import os
import struct

import numpy as np
from torch import Tensor

from ..atomic import replace_when_done
from ..checks import check_shape

_MAGIC, _VERSION = 20000630, 2
_FLOAT, _NO_COMPRESSION, _INCREASING_Y = 2, 0, 0


def write_exr_depth(path: str | os.PathLike[str], depth: Tensor) -> None:
    """Write [H, W] camera z, 0 = no data, whole or not at all."""
    height, width = check_shape("depth", depth, ("H", "W")).values()
    values = depth.detach().float().cpu().numpy().astype("<f4")
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    channel = b"Z\0" + struct.pack("<iB3xii", _FLOAT, 0, 1, 1) + b"\0"
    header = struct.pack("<ii", _MAGIC, _VERSION) + b"".join(
        name + b"\0" + kind + b"\0" + struct.pack("<i", len(value)) + value
        for name, kind, value in (
            (b"channels", b"chlist", channel),
            (b"compression", b"compression", bytes([_NO_COMPRESSION])),
            (b"dataWindow", b"box2i", window),
            (b"displayWindow", b"box2i", window),
            (b"lineOrder", b"lineOrder", bytes([_INCREASING_Y])),
            (b"pixelAspectRatio", b"float", struct.pack("<f", 1)),
            (b"screenWindowCenter", b"v2f", struct.pack("<2f", 0, 0)),
            (b"screenWindowWidth", b"float", struct.pack("<f", 1)),
        )
    )
    header += b"\0"
    lines = np.empty(height, [("y", "<i4"), ("bytes", "<i4"), ("z", "<f4", (width,))])
    lines["y"], lines["bytes"], lines["z"] = np.arange(height), 4 * width, values
    offsets = len(header) + 8 * height + lines.itemsize * np.arange(height, dtype="<u8")
    with replace_when_done(path) as temporary:
        temporary.write_bytes(header + offsets.tobytes() + lines.tobytes())
