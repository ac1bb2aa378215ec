"""COLMAP's dense depth maps: ``stereo/depth_maps/*.geometric.bin``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..checks import WorldStereoError

MAX_HEADER = 64  # "width&height&channels&" in decimal digits


def read_colmap_depth(path: str | os.PathLike[str]) -> Tensor:
    """Read a depth map [H, W] float32, camera z in the model's units; 0 marks no data.

    The file is the text ``width&height&channels&`` and then float32, little endian, the column running
    fastest.

    Raises: WorldStereoError if the file is missing, or its size is not what its first bytes say.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WorldStereoError(f"depth: {path} cannot be read ({error.strerror}). Check the path.") from None
    parts = content[:MAX_HEADER].split(b"&", 3)
    is_header = len(parts) == 4 and all(part.isdigit() for part in parts[:3])
    width, height, channels = (int(part) for part in parts[:3]) if is_header else (0, 0, 0)
    start = sum(len(part) + 1 for part in parts[:3])
    if channels != 1 or len(content) - start != 4 * width * height or not width:
        raise WorldStereoError(
            f"depth: {path} is no COLMAP depth map: expected 'width&height&1&' and one float32 per pixel, "
            f"got {len(content)} bytes that begin with {content[:16]!r}. Run patch_match_stereo again."
        )
    values = np.frombuffer(content, dtype="<f4", offset=start).reshape(height, width)
    return torch.from_numpy(values.astype(np.float32))
