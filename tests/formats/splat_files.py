"""A reader of SPZ written from the format's description (https://github.com/nianticlabs/spz, version 2)."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np


def read_spz(path: Path) -> dict[str, np.ndarray]:
    """xyz, alpha 0..1, f_dc, log_scale and wxyz of every splat."""
    with gzip.open(path) as file:
        content = file.read()
    magic, version, count, degree, places, _, reserved = struct.unpack_from("<IIIBBBB", content)
    assert (magic, version, degree, reserved) == (0x5053474E, 2, 0, 0)
    assert len(content) == 16 + 19 * count
    data = np.frombuffer(content, np.uint8, offset=16)
    parts = np.split(data, np.cumsum([9 * count, count, 3 * count, 3 * count]))
    low, middle, high = parts[0].reshape(count, 3, 3).astype(np.int64).transpose(2, 0, 1)
    fixed = low | (middle << 8) | (high << 16)
    fixed = np.where(fixed >= 1 << 23, fixed - (1 << 24), fixed)
    xyz = parts[4].reshape(count, 3) / 127.5 - 1
    w = np.sqrt(np.clip(1 - (xyz**2).sum(1, keepdims=True), 0, None))
    return {
        "xyz": fixed / 2**places,
        "alpha": parts[1] / 255,
        "f_dc": (parts[2].reshape(count, 3) / 255 - 0.5) / 0.15,
        "log_scale": parts[3].reshape(count, 3) / 16 - 10,
        "wxyz": np.concatenate([w, xyz], axis=1),
    }
