"""The part of glTF 2.0 that a camera needs: chunks, accessors, node chains and animation sampling."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...checks import PathError
from ...geometry.poses import slerp
from .axes import rigid_part, rotation_from_quaternion
from .bounded import beside, number, parse_json, read_bytes, shown
from .exchange import Notes, check_frame_count

EXPECTED = "a glTF 2.0 file with a camera"
_POINTER = "KHR_animation_pointer"
_MAX_PARENTS = 256
_PARTS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
# Component types: numpy type, and the divisor of normalised integers.
_TYPES = {
    5120: ("<i1", 127),
    5121: ("<u1", 255),
    5122: ("<i2", 32767),
    5123: ("<u2", 65535),
    5126: ("<f4", 1),
}


@dataclass(frozen=True)
class Gltf:
    """A parsed document with its buffers."""

    path: Path
    content: dict[str, Any]
    binary: bytes | None

    @staticmethod
    def open(path: Path) -> Gltf:
        data = read_bytes(path, EXPECTED)
        binary = None
        if data[:4] == b"glTF":
            data, binary = _chunks(path, data)
        content = parse_json(path, data, EXPECTED)
        asset = content.get("asset") if isinstance(content, dict) else None
        if not isinstance(asset, dict) or "version" not in asset:
            raise PathError(f"{path.name}: has no asset.version, expected {EXPECTED}. Choose another file.")
        if not str(asset["version"]).startswith("2."):
            raise PathError(
                f"{path.name}: asset.version is {shown(asset['version'])}, expected 2.0. Export it as glTF "
                f"2.0."
            )
        return Gltf(path, content, binary)

    def entry(self, kind: str, index: Any) -> dict[str, Any]:
        """One object of a top-level list. Raises: PathError if it is not there."""
        entries = self.content.get(kind, [])
        if isinstance(index, int) and isinstance(entries, list) and 0 <= index < len(entries):
            found = entries[index]
            if isinstance(found, dict):
                return found
        raise PathError(
            f"{self.path.name}: {kind}[{shown(index)}] is missing, so the file is damaged. Export again."
        )

    def camera(self, notes: Notes) -> tuple[int, dict[str, Any]]:
        """Node index and camera of the first node with a perspective camera."""
        nodes = self.content.get("nodes", [])
        holders = [i for i, node in enumerate(nodes) if isinstance(node, dict) and "camera" in node]
        if not holders:
            raise PathError(
                f"{self.path.name}: no node has a camera, expected one. Export with cameras included."
            )
        if len(holders) > 1:
            notes.add(f"{self.path.name}: holds {len(holders)} cameras; {self._name(holders[0])} was read.")
        camera = self.entry("cameras", nodes[holders[0]]["camera"])
        if camera.get("type") != "perspective" or not isinstance(camera.get("perspective"), dict):
            raise PathError(
                f"{self.path.name}: the camera {self._name(holders[0])} is {shown(camera.get('type'))}, "
                "expected 'perspective'. Switch it to perspective."
            )
        return holders[0], camera

    def _name(self, node: int) -> str:
        return shown(self.content["nodes"][node].get("name", f"node {node}"))

    def chain(self, node: int) -> list[int]:
        """Nodes from the root down to ``node``. Raises: PathError if parents form a circle."""
        parents = {}
        for index, entry in enumerate(self.content["nodes"]):
            for child in entry.get("children", []) if isinstance(entry, dict) else []:
                parents[child] = index
        chain = [node]
        while chain[0] in parents:
            if parents[chain[0]] in chain or len(chain) >= _MAX_PARENTS:
                raise PathError(
                    f"{self.path.name}: nodes[{chain[0]}] is its own parent, or has more than {_MAX_PARENTS} "
                    "above it. Export it again."
                )
            chain.insert(0, parents[chain[0]])
        return chain

    def channels(self, node: int) -> dict[tuple[int | str, str], dict[str, Any]]:
        """Samplers by (node, path) for the chain of ``node``, and ("camera", "yfov"); the first counts."""
        chain = set(self.chain(node))
        camera = self.content["nodes"][node]["camera"]
        pointer = f"/cameras/{camera}/perspective/yfov"
        found: dict[tuple[int | str, str], dict[str, Any]] = {}
        for animation in self.content.get("animations", []):
            for channel in animation.get("channels", []):
                target = channel.get("target", {})
                key: tuple[int | str, str] = (target.get("node"), target.get("path"))
                if target.get("path") == "pointer":
                    if target.get("extensions", {}).get(_POINTER, {}).get("pointer") != pointer:
                        continue
                    key = ("camera", "yfov")
                elif key[0] not in chain or key[1] not in ("translation", "rotation", "scale"):
                    continue
                samplers, index = animation.get("samplers", []), channel.get("sampler")
                if not isinstance(index, int) or not 0 <= index < len(samplers):
                    raise PathError(
                        f"{self.path.name}: an animation channel has no sampler. Export it again."
                    )
                found.setdefault(key, samplers[index])
        return found

    def times(self, node: int) -> list[float]:
        """All key times of the camera in seconds, ascending; [0] without an animation."""
        times = {0.0} if not self.channels(node) else set()
        for sampler in self.channels(node).values():
            times |= set(self.key_times(sampler).tolist())
        check_frame_count(self.path, len(times))
        return sorted(times)

    def key_times(self, sampler: dict[str, Any]) -> np.ndarray:
        """Key times of one sampler. Raises: PathError if they do not grow."""
        times = self.accessor(sampler.get("input"), "SCALAR")[:, 0]
        if len(times) == 0 or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise PathError(
                f"{self.path.name}: the key times of an animation do not grow from key to key. Export it "
                f"again."
            )
        return times

    def sample_times(self, times: list[float], fps: float, notes: Notes) -> list[float]:
        """Times of frames at ``fps`` from the first key to the last."""
        span = (times[-1] - times[0]) * fps
        check_frame_count(self.path, int(min(span, 1e12)) + 1)
        count = int(span + 0.02) + 1
        if count != len(times) or abs(span - (len(times) - 1)) > 0.02:
            notes.add(
                f"{self.path.name}: {len(times)} keys were sampled to {count} frames at {fps:g} per second."
            )
        return [min(times[0] + index / fps, times[-1]) for index in range(count)]

    def accessor(self, index: Any, kind: str) -> np.ndarray:
        """[count, parts] float64. Raises: PathError if it lies outside its buffer or has an odd form."""
        accessor = self.entry("accessors", index)
        name = f"{self.path.name}: accessors[{index}]"
        if (
            accessor.get("type") != kind
            or accessor.get("componentType") not in _TYPES
            or "sparse" in accessor
        ):
            raise PathError(
                f"{name} has type {shown(accessor.get('type'))} and componentType "
                f"{shown(accessor.get('componentType'))}, expected plain {kind} numbers. Export it again."
            )
        form, divisor = _TYPES[accessor["componentType"]]
        view = self.entry("bufferViews", accessor.get("bufferView"))
        data = self._buffer(view.get("buffer"))
        parts, item = _PARTS[kind], np.dtype(form).itemsize
        stride = view.get("byteStride") or parts * item
        sizes = [accessor.get("count"), accessor.get("byteOffset", 0), view.get("byteOffset", 0), stride]
        if not all(isinstance(size, int) and size >= 0 for size in sizes):
            raise PathError(f"{name} has sizes that are no whole numbers. Export it again.")
        count, start = sizes[0], sizes[1] + sizes[2]
        end = start + stride * (count - 1) + parts * item if count else start
        if end > len(data) or stride < parts * item:
            raise PathError(
                f"{name} ends at byte {end}, but its buffer has {len(data)}. The file is damaged."
            )
        array = np.ndarray((count, parts), form, data, start, (stride, item)).astype(np.float64)
        return array / divisor if divisor == 1 else np.maximum(array / divisor, -1.0)

    def _buffer(self, index: Any) -> bytes:
        buffer = self.entry("buffers", index)
        uri = buffer.get("uri")
        if uri is None:
            if index == 0 and self.binary is not None:
                return self.binary
            raise PathError(f"{self.path.name}: buffers[{index}] holds no data. Export it again.")
        if isinstance(uri, str) and uri.startswith("data:"):
            try:
                return base64.b64decode(uri.partition(",")[2], validate=True)
            except binascii.Error as error:
                raise PathError(f"{self.path.name}: buffers[{index}].uri is no base64 ({error}).") from error
        if not isinstance(uri, str):
            raise PathError(f"{self.path.name}: buffers[{index}].uri is {shown(uri)}, expected text.")
        return read_bytes(beside(self.path, f"buffers[{index}].uri", uri), "a glTF buffer")


def sample_camera(
    document: Gltf, node: int, camera: dict[str, Any], times: list[float], notes: Notes
) -> tuple[Tensor, Tensor]:
    """Camera-to-world matrices [T, 4, 4] and vertical fields of view [T] in radians, float64."""
    channels = document.channels(node)
    time = torch.tensor(times, dtype=torch.float64)
    world = torch.eye(4, dtype=torch.float64).repeat(len(time), 1, 1)
    for index in document.chain(node):
        world = world @ _local(document, index, channels, time, notes)
    c2w = rigid_part(document.path, f"the transform of node {document._name(node)}", world, notes)
    given = number(document.path, "perspective.yfov", camera["perspective"].get("yfov"))
    sampler = channels.get(("camera", "yfov"))
    yfov = torch.full_like(time, given)
    if sampler is not None:
        yfov = _sample(document, sampler, "SCALAR", time)[:, 0]
    if not bool(((yfov > 0) & (yfov < math.pi)).all()):
        raise PathError(
            f"{document.path.name}: yfov leaves 0 to {math.pi:.4f} radians. Export the camera again."
        )
    return c2w, yfov


def _local(
    document: Gltf,
    index: int,
    channels: dict[tuple[int | str, str], dict[str, Any]],
    time: Tensor,
    notes: Notes,
) -> Tensor:
    """[T, 4, 4] of one node: its matrix, or translation, rotation and scale, animated or not."""
    node, name = document.content["nodes"][index], f"nodes[{index}]"
    local = torch.eye(4, dtype=torch.float64).repeat(len(time), 1, 1)
    if "matrix" in node:
        values = _vector(document, node, "matrix", 16, name)
        return values.reshape(4, 4).mT.expand_as(local).clone()

    def track(part: str, kind: str, usual: list[float]) -> Tensor:
        sampler = channels.get((index, part))
        if sampler is not None:
            return _sample(document, sampler, kind, time, is_rotation=part == "rotation")
        return _vector(document, {part: usual, **node}, part, len(usual), name).expand(len(time), -1)

    xyzw = track("rotation", "VEC4", [0.0, 0.0, 0.0, 1.0])
    rotation = rotation_from_quaternion(document.path, xyzw[:, [3, 0, 1, 2]], notes, f"rotation of {name}")
    local[:, :3, :3] = rotation * track("scale", "VEC3", [1.0] * 3)[:, None, :]
    local[:, :3, 3] = track("translation", "VEC3", [0.0] * 3)
    return local


def _vector(document: Gltf, node: dict[str, Any], field: str, length: int, name: str) -> Tensor:
    values = node[field]
    if not isinstance(values, list) or len(values) != length:
        raise PathError(
            f"{document.path.name}: {name}.{field} is {shown(values)}, expected {length} numbers."
        )
    return torch.tensor(
        [number(document.path, f"{name}.{field}", value) for value in values], dtype=torch.float64
    )


def _sample(
    document: Gltf, sampler: dict[str, Any], kind: str, time: Tensor, is_rotation: bool = False
) -> Tensor:
    """[T, parts] values of a sampler at ``time``; before the first key and after the last they are held."""
    keys = torch.from_numpy(document.key_times(sampler).copy())
    values = torch.from_numpy(document.accessor(sampler.get("output"), kind))
    interpolation = sampler.get("interpolation", "LINEAR")
    wanted = len(keys) * (3 if interpolation == "CUBICSPLINE" else 1)
    if len(values) != wanted or interpolation not in ("LINEAR", "STEP", "CUBICSPLINE"):
        raise PathError(
            f"{document.path.name}: an animation has {len(keys)} keys, {len(values)} values and "
            f"interpolation {shown(interpolation)}; expected {wanted} values. Export it again."
        )
    if interpolation == "CUBICSPLINE":
        into, values, out = values[0::3], values[1::3], values[2::3]
    after = torch.searchsorted(keys, time, right=True).clamp(max=len(keys) - 1)
    before = (after - 1).clamp(min=0)
    before = torch.where(time >= keys[-1], len(keys) - 1, before)
    if interpolation == "STEP":
        return values[before]
    step = (keys[after] - keys[before]).clamp(min=1e-12)
    fraction = ((time - keys[before]) / step).clamp(0, 1)
    if interpolation == "CUBICSPLINE":
        s, d = fraction[:, None], step[:, None]
        return (
            (2 * s**3 - 3 * s**2 + 1) * values[before]
            + d * (s**3 - 2 * s**2 + s) * out[before]
            + (3 * s**2 - 2 * s**3) * values[after]
            + d * (s**3 - s**2) * into[after]
        )
    if is_rotation:
        return slerp(values[before], values[after], fraction)
    return torch.lerp(values[before], values[after], fraction[:, None])


def _chunks(path: Path, data: bytes) -> tuple[bytes, bytes | None]:
    """The JSON and the binary chunk of a GLB."""
    if len(data) < 20:
        raise PathError(f"{path.name}: ends after {len(data)} bytes, expected a whole GLB. Export it again.")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise PathError(f"{path.name}: is GLB version {version}, expected 2. Export it as glTF 2.0.")
    if length > len(data):
        raise PathError(f"{path.name}: has {len(data)} bytes of {length}, so it is cut off. Export it again.")
    found: dict[int, bytes] = {}
    at = 12
    while at + 8 <= length:
        size, kind = struct.unpack_from("<II", data, at)
        if at + 8 + size > length:
            raise PathError(
                f"{path.name}: a chunk of {size} bytes passes the end of the file. Export it again."
            )
        found.setdefault(kind, data[at + 8 : at + 8 + size])
        at += 8 + size
    if 0x4E4F534A not in found:
        raise PathError(f"{path.name}: has no JSON chunk, expected {EXPECTED}. Export it again.")
    return found[0x4E4F534A], found.get(0x004E4942)
