"""Depth maps in files: EXR, NPZ, NPY and 16-bit PNG."""

from __future__ import annotations

import math
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.lib.npyio import NpzFile
from torch import Tensor

from ..checks import ShapeError, WorldStereoError
from .exr import check_pixels, read_exr_depth

SUFFIXES = (".exr", ".npz", ".npy", ".png")
_NUMPY = b"\x93NUMPY"


@dataclass(frozen=True, eq=False)
class DepthFile:
    """What a depth file says.

    Attributes:
        depth: [H, W] float32, camera z in scene units; 0 or non-finite marks no data.
        K: [3, 3] float32, pixels of the H x W map, or None where the file carries none.
        w2c: [4, 4] float32 of the camera the map was seen from, or None.
    """

    depth: Tensor
    K: Tensor | None = None
    w2c: Tensor | None = None


def read_depth(
    path: str | os.PathLike[str], *, png_scale: float = 0.001, channel: str | None = None
) -> DepthFile:
    """Read a depth map.

    NPZ carries ``depth`` and optionally ``K`` and ``w2c``; NPY, EXR and PNG carry depth alone.

    Args:
        path: a .exr, .npz, .npy or .png file.
        png_scale: scene units per step of a 16-bit PNG; 0.001 reads millimetres as metres.
        channel: of an EXR with several that could be depth.

    Raises: WorldStereoError if the file is missing, damaged, or does not hold exactly one depth map.
    """
    path = Path(path)
    if not path.is_file():
        raise WorldStereoError(f"depth: {path} does not exist or is no file. Check the path.")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _read_npz(path)
    if suffix == ".npy":
        array = _load_numpy(path)
        if not isinstance(array, np.ndarray):
            raise WorldStereoError(f"depth: {path} is named .npy but holds an archive. Rename it to .npz.")
        return DepthFile(_depth_map(path, array))
    if suffix == ".exr":
        return DepthFile(_depth_map(path, read_exr_depth(path, channel)))
    if suffix == ".png":
        return DepthFile(_depth_map(path, _read_png16(path) * png_scale))
    raise WorldStereoError(
        f"depth: {path.name} has the suffix '{suffix}', expected one of {', '.join(SUFFIXES)}. "
        "Save depth as 32-bit EXR or as an NPZ with the key 'depth'."
    )


def _load_numpy(path: Path) -> np.ndarray | NpzFile:
    try:
        with path.open("rb") as file:
            if file.read(len(_NUMPY)) == _NUMPY:
                file.seek(0)
                _check_header(path, file)
        return np.load(path, allow_pickle=False)
    except WorldStereoError:
        raise
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise WorldStereoError(
            f"depth: {path} cannot be read as NumPy data ({error}). It is damaged or holds Python objects, "
            "which are refused because loading them could run code. Save plain arrays with numpy.savez."
        ) from error


def _read_npz(path: Path) -> DepthFile:
    archive = _load_numpy(path)
    if not isinstance(archive, NpzFile):
        raise WorldStereoError(f"depth: {path} is named .npz but holds a single array. Rename it to .npy.")
    with archive:
        if "depth" not in archive.files:
            raise WorldStereoError(
                f"depth: {path} has the keys {sorted(archive.files)}, expected 'depth' and, optionally, 'K' "
                "and 'w2c'. Save it again with numpy.savez(path, depth=...)."
            )
        try:
            keys = [key for key in ("depth", "K", "w2c") if key in archive.files]
            for key in keys:
                with archive.zip.open(f"{key}.npy") as member:
                    _check_header(path, member)
            arrays = {key: archive[key] for key in keys}
        except WorldStereoError:
            raise
        except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise WorldStereoError(f"depth: {path} is damaged or holds Python objects ({error}).") from error
    return DepthFile(
        depth=_depth_map(path, arrays["depth"]),
        K=_matrix(path, "K", arrays["K"], 3) if "K" in arrays else None,
        w2c=_matrix(path, "w2c", arrays["w2c"], 4) if "w2c" in arrays else None,
    )


def _check_header(path: Path, file: IO[bytes]) -> None:
    """Look at the size that an array says it has, before memory is taken for it."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    check_pixels(path, math.prod(read(file)[0]))


def _depth_map(path: Path, values: np.ndarray) -> Tensor:
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[-1]):
        values = values[0] if values.shape[0] == 1 else values[..., 0]
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "fiu":
        raise ShapeError(
            f"depth: {path} holds an array of shape {list(values.shape)} and type {values.dtype}, expected "
            "one map [height, width] of numbers."
        )
    depth = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
    if not bool((torch.isfinite(depth) & (depth > 0)).any()):
        raise WorldStereoError(
            f"depth: no pixel of {path} has data: no value is finite and above 0. Check what was saved."
        )
    return depth


def _matrix(path: Path, key: str, values: np.ndarray, size: int) -> Tensor:
    if values.shape == (1, size, size):
        values = values[0]
    if values.shape != (size, size) or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise ShapeError(
            f"depth: {key} in {path} has shape {list(values.shape)} and type {values.dtype}, expected a "
            f"finite [{size}, {size}] matrix."
        )
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _read_png16(path: Path) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            mode = image.mode
            values = np.array(image)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise WorldStereoError(
            f"depth: {path} cannot be read as PNG ({error}); it may be damaged."
        ) from error
    if not mode.startswith("I"):
        raise WorldStereoError(
            f"depth: {path} is a PNG of mode '{mode}', expected 16-bit grey. Pictures of depth in 8 bits or "
            "colours have lost the distances; save 16-bit PNG, EXR or NPZ."
        )
    return values.astype(np.float32)
