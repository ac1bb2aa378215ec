"""Depth from OpenEXR files."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import WorldStereoError

MAX_PIXELS = 2**28  # 16,384 x 16,384
# The header's picture size: name, type, length of the value, then left, top, right and bottom.
_WINDOW = b"dataWindow\0box2i\0\x10\0\0\0"
_HEADER_BYTES = 2**16


def check_pixels(path: Path, count: int) -> None:
    """Raise WorldStereoError if a file says it holds more pixels than any depth map has."""
    if count > MAX_PIXELS:
        raise WorldStereoError(
            f"depth: {path} says it holds {count:,} numbers, expected at most {MAX_PIXELS:,} (a map of "
            "16,384 x 16,384). It was not read: it is damaged, or made to fill the memory."
        )


def read_exr_depth(path: Path, channel: str | None = None) -> np.ndarray:
    """Read the depth channel of an EXR as [H, W].

    Args:
        path: the file.
        channel: its name; by default the only channel, else the one called Z or depth (a renderer's
            ``ViewLayer.Depth.Z`` counts, the Z of a ``Normal.X/Y/Z`` triple does not), else R where R, G
            and B are equal.

    Raises: WorldStereoError if OpenEXR is missing, the file is damaged, or no one channel is the depth.
    """
    channels = _read_channels(path)
    if channel is None:
        channel = find_depth_channel(path, channels)
    elif channel not in channels:
        raise WorldStereoError(
            f"depth: {path} has no channel '{channel}', only {sorted(channels)}. Name one of these."
        )
    return np.asarray(channels[channel])


def find_depth_channel(path: Path, channels: dict[str, np.ndarray]) -> str:
    """Choose the channel that holds depth, or raise WorldStereoError with the names there are."""
    if len(channels) == 1:
        return next(iter(channels))
    named = [name for name in channels if _is_called_depth(name, channels)]
    if len(named) == 1:
        return named[0]
    # A depth map saved as a grey picture; alpha says nothing about depth.
    is_grey = set("RGB") <= set(channels) <= set("RGBA") and all(
        np.array_equal(channels[name], channels["R"], equal_nan=True) for name in "GB"
    )
    if not named and is_grey:
        return "R"
    if not named and set(channels) in ({"Y", "A"}, {"V", "A"}):
        return "Y" if "Y" in channels else "V"
    found = f"several channels may be depth ({sorted(named)})" if named else "no channel is called Z or depth"
    raise WorldStereoError(
        f"depth: {path}: {found}; it has {sorted(channels)}. Name the channel, or save depth alone."
    )


def _is_called_depth(name: str, channels: dict[str, np.ndarray]) -> bool:
    *layers, last = name.split(".")
    if last.lower() == "depth":
        return True
    if any(layer.lower() == "depth" for layer in layers):
        return last.upper() in ("Z", "V", "Y", "R", "DEPTH")
    is_vector = ".".join([*layers, "X"]) in channels and ".".join([*layers, "Y"]) in channels
    return last.upper() == "Z" and not is_vector and not any(layer.lower() == "mist" for layer in layers)


def _check_window(path: Path) -> None:
    """Look at the size that the header states, before OpenEXR takes memory for it."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    at = head.find(_WINDOW) + len(_WINDOW)
    if at >= len(_WINDOW) and len(head) >= at + 16:
        left, top, right, bottom = struct.unpack_from("<4i", head, at)
        check_pixels(path, (right - left + 1) * (bottom - top + 1))


def _read_channels(path: Path) -> dict[str, np.ndarray]:
    try:
        import OpenEXR
    except ImportError as error:
        raise WorldStereoError(
            f"depth: {path} is an EXR file, and the package that reads EXR is not installed. "
            "Run: pip install OpenEXR  (in ComfyUI's own Python), or save the depth as NPZ."
        ) from error
    _check_window(path)
    channels: dict[str, Any] = {}
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            for number, part in enumerate(file.parts):
                # Parts may use the same channel names; the first one keeps its plain names.
                prefix = f"{part.name() or number}." if number else ""
                for name, values in part.channels.items():
                    channels[f"{prefix}{name}"] = values.pixels
    except (RuntimeError, ValueError, TypeError) as error:
        raise WorldStereoError(
            f"depth: {path} cannot be read as OpenEXR ({error}); it is damaged."
        ) from error
    flat = {name: pixels for name, pixels in channels.items() if isinstance(pixels, np.ndarray)}
    if not flat or any(pixels.dtype == object for pixels in flat.values()):
        raise WorldStereoError(
            f"depth: {path} holds no ordinary channel of one value per pixel (truncated, or deep data)."
        )
    return flat
