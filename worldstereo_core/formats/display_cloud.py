"""Points as the 3D views in the browser fetch them: one small binary file, version 1.

Little endian, 16 bytes of header and then one block after another:

    b"WSPC", uint32 version = 1, uint32 count, uint32 flags
    float32 xyz * count      world coordinates, OpenCV axes, scene units
    uint8 rgb * count
    float32 confidence       * count, if flags & 1
    uint16 clip              * count, if flags & 2; numbers from 65535 share 65535

Points stand in a shuffled order, so any first part of the file is an even sample of the whole.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..atomic import write_by_content
from ..checks import WorldStereoError
from ..geometry.point_cloud import PointCloud
from .images import to_bytes

MAGIC, VERSION = b"WSPC", 1
HAS_CONFIDENCE, HAS_CLIP = 1, 2
MAX_POINTS = 300_000
HIGHEST_CLIP = 2**16 - 1
_HEADER = struct.Struct("<4sIII")
EXPECTED = "a display cloud that ComfyUI-WorldStereo wrote"


@dataclass(frozen=True, eq=False)
class DisplayCloud:
    """What a display cloud holds.

    Attributes:
        xyz: [N, 3] float32.
        rgb: [N, 3] uint8.
        confidence: [N] float32 0..1, or None.
        clip: [N] uint16, or None.
    """

    xyz: np.ndarray
    rgb: np.ndarray
    confidence: np.ndarray | None
    clip: np.ndarray | None


def display_cloud_to_bytes(
    points: PointCloud, *, max_points: int = MAX_POINTS, confidence: bool = False, clip: bool = False
) -> bytes:
    """Points for the browser: at most ``max_points`` of them, always the same ones for the same cloud.

    Args:
        points: on any device.
        confidence, clip: whether these are written too.

    Raises: WorldStereoError if a position or colour is not finite.
    """
    points = points.thinned(max_points, is_shuffled=True).to("cpu")
    if not bool(torch.isfinite(points.xyz).all()):
        bad = int((~torch.isfinite(points.xyz).all(-1)).sum())
        raise WorldStereoError(
            f"memory: {bad} of {points.num_points} positions are not finite, expected numbers. Make the "
            "memory again."
        )
    flags = HAS_CONFIDENCE * confidence + HAS_CLIP * clip
    blocks = [
        _HEADER.pack(MAGIC, VERSION, points.num_points, flags),
        points.xyz.detach().numpy().astype("<f4").tobytes(),
        to_bytes("memory: point colours", points.rgb).numpy().tobytes(),
    ]
    if confidence:
        blocks.append(points.confidence.detach().numpy().astype("<f4").tobytes())
    if clip:
        blocks.append(points.clip.clamp(0, HIGHEST_CLIP).numpy().astype("<u2").tobytes())
    return b"".join(blocks)


def display_cloud_from_bytes(content: bytes, name: str = "cloud") -> DisplayCloud:
    """Read a display cloud.

    Args:
        name: the file as the user knows it, for messages.

    Raises: WorldStereoError if it is something else, of another version, or not of the length it says.
    """
    if len(content) < _HEADER.size or content[:4] != MAGIC:
        raise WorldStereoError(
            f"{name}: {len(content)} bytes that begin with {content[:4]!r}, expected {EXPECTED}. Run the "
            "node again."
        )
    _, version, count, flags = _HEADER.unpack_from(content)
    if version != VERSION or flags & ~(HAS_CONFIDENCE | HAS_CLIP):
        raise WorldStereoError(
            f"{name}: the display cloud has version {version} and flags {flags}, expected version {VERSION}. "
            "Update ComfyUI-WorldStereo and run the node again."
        )
    blocks: list[tuple[str, int]] = [("<f4", 3), ("u1", 3)]
    blocks += [("<f4", 1)] if flags & HAS_CONFIDENCE else []
    blocks += [("<u2", 1)] if flags & HAS_CLIP else []
    expected = _HEADER.size + count * sum(np.dtype(kind).itemsize * width for kind, width in blocks)
    if len(content) != expected:
        raise WorldStereoError(
            f"{name}: has {len(content)} bytes, expected {expected} for {count} points: it was cut off or "
            "damaged. Run the node again."
        )
    found, start = [], _HEADER.size
    for kind, width in blocks:
        values = np.frombuffer(content, kind, count * width, start)
        found.append(values.reshape(count, width) if width > 1 else values)
        start += values.nbytes
    confidence = found[2] if flags & HAS_CONFIDENCE else None
    return DisplayCloud(found[0], found[1], confidence, found[-1] if flags & HAS_CLIP else None)


def write_display_cloud(
    folder: str | os.PathLike[str],
    points: PointCloud,
    *,
    max_points: int = MAX_POINTS,
    confidence: bool = False,
    clip: bool = False,
) -> Path:
    """Write a display cloud under a name made from its content; the same points give the same file.

    Raises: WorldStereoError as ``display_cloud_to_bytes``, or if there is no such folder.
    """
    content = display_cloud_to_bytes(points, max_points=max_points, confidence=confidence, clip=clip)
    return write_by_content(folder, "worldstereo_cloud_", ".bin", content)


def read_display_cloud(path: str | os.PathLike[str]) -> DisplayCloud:
    """Read a display cloud from a file. Raises: WorldStereoError, naming the file."""
    path = Path(path)
    if not path.is_file():
        raise WorldStereoError(f"{path}: there is no such file, expected {EXPECTED}. Run the node again.")
    return display_cloud_from_bytes(path.read_bytes(), path.name)
