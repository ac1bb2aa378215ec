"""Gaussian splats as SPZ: https://github.com/nianticlabs/spz (version 2, y up, 24-bit fixed point).

The file is one gzip stream. Its blocks are compressed by several threads and each ends on a whole byte, as
pigz does it, so that every reader of gzip, and the format's own, takes them as one.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Callable

import numpy as np

from ..atomic import replace_when_done
from ..checks import WorldStereoError
from ..in_order import in_order, thread_pool
from .point_axes import UpAxis
from .splats import SH_C0, THICKNESS, Progress, SplatColumns, Splats, rotations

SPZ_MAGIC, SPZ_VERSION, SPZ_COLOUR = 0x5053474E, 2, 0.15
SPZ_HEADER = struct.Struct("<IIIBBBB")
MOST_FRACTION_BITS = 20
CHUNK = 2**17
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"  # no name, no time, fastest, any system
# Level and strategy, the fastest first: as it is, no search for repeats, search. Tighter levels take several
# times as long and save a few per cent; in noise even a search finds nothing, in three times the time.
_WAYS = ((0, zlib.Z_DEFAULT_STRATEGY), (1, zlib.Z_RLE), (1, zlib.Z_DEFAULT_STRATEGY))
_WORTH_IT = 0.06  # a slower way has to save this share
_HEAD = 2**15  # bytes of a block that decide its way
_EMPTY_LAST_BLOCK = b"\x03\x00"

Encode = Callable[[int, int], np.ndarray]


def write_spz(
    path: str | os.PathLike[str],
    splats: Splats,
    *,
    up_axis: UpAxis = "y",
    scale: float = 1.0,
    progress: Progress | None = None,
) -> None:
    """Write SPZ, whole or not at all: about a tenth of the PLY's size.

    Args: as ``write_splat_ply``; the format's own axes are y up.

    Positions keep as many binary places as the extent leaves of 23 bits, at most 20. Standard deviations
    outside e^-10 to e^5.9 units (0.000045 to 380) are held to these.
    """
    count = splats.cloud.num_points
    farthest = float(splats.cloud.xyz.abs().amax()) * scale if count else 1.0
    places = min(MOST_FRACTION_BITS, 22 - math.frexp(farthest)[1])
    if places < 0:
        raise WorldStereoError(
            f"points: the farthest is {farthest:.4g} units from the origin, expected less than 4 million for "
            "SPZ. Crop far points, or choose another unit."
        )
    columns = SplatColumns(splats, up_axis, scale)
    parts = (_xyz(columns, places), _alpha(splats.opacity), _colour(columns), _scale(columns), _turn(columns))
    header = SPZ_HEADER.pack(SPZ_MAGIC, SPZ_VERSION, count, 0, places, 0, 0)
    with replace_when_done(path) as temporary, open(temporary, "wb") as file, thread_pool() as pool:
        file.write(_GZIP_HEADER + _block(memoryview(header)))
        check, length = zlib.crc32(header), len(header)
        for number, encode in enumerate(parts):
            for done, (raw, block) in in_order(pool, _packer(encode), count, CHUNK):
                file.write(block)
                check, length = zlib.crc32(raw, check), length + raw.nbytes
                if progress is not None:
                    progress(number * count + done, len(parts) * count)
        file.write(_EMPTY_LAST_BLOCK + struct.pack("<II", check, length & 0xFFFFFFFF))


def _packer(encode: Encode) -> Callable[[int, int], tuple[memoryview, bytes]]:
    def pack(first: int, last: int) -> tuple[memoryview, bytes]:
        raw = np.ascontiguousarray(encode(first, last)).reshape(-1).data
        return raw, _block(raw)

    return pack


def _block(raw: memoryview) -> bytes:
    """Deflated on its own, ending on a whole byte and open for more."""
    sizes = [len(_deflated(raw[:_HEAD], *way)) for way in _WAYS]
    fastest = next(
        way for way, size in zip(_WAYS, sizes, strict=True) if size * (1 - _WORTH_IT) <= min(sizes)
    )
    return _deflated(raw, *fastest)


def _deflated(raw: memoryview, level: int, strategy: int) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy)
    return packer.compress(raw) + packer.flush(zlib.Z_SYNC_FLUSH)


def _xyz(columns: SplatColumns, places: int) -> Encode:
    def encode(first: int, last: int) -> np.ndarray:
        steps = np.empty((last - first, 3), "<i4")
        for axis, column in enumerate(columns.xyz(first, last)):
            # Whole steps below 2^24 are exact in float32.
            steps[:, axis] = np.rint(column * np.float32(2**places))
        return steps.view(np.uint8).reshape(-1, 3, 4)[..., :3]

    return encode


def _alpha(opacity: float) -> Encode:
    return lambda first, last: np.full(last - first, round(opacity * 255), np.uint8)


def _colour(columns: SplatColumns) -> Encode:
    def encode(first: int, last: int) -> np.ndarray:
        level = (columns.rgb(first, last) - np.float32(0.5)) * np.float32(SPZ_COLOUR / SH_C0 * 255)
        return _bytes(level + np.float32(127.5))

    return encode


def _scale(columns: SplatColumns) -> Encode:
    def encode(first: int, last: int) -> np.ndarray:
        log_scale = columns.log_sigma(first, last)[:, None].repeat(3, axis=1)
        normal = columns.normal(first, last)
        if normal is not None:
            log_scale[normal[1], 2] += np.float32(math.log(THICKNESS))
        return _bytes((log_scale + 10) * 16)

    return encode


def _turn(columns: SplatColumns) -> Encode:
    def encode(first: int, last: int) -> np.ndarray:
        normal = columns.normal(first, last)
        if normal is None:
            return np.full((last - first, 3), 128, np.uint8)
        return _bytes(rotations(*normal)[:, 1:] * np.float32(127.5) + np.float32(127.5))

    return encode


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
