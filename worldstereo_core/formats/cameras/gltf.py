"""glTF 2.0 camera animation, as GLB: one camera node with translation and rotation keys.

glTF is right-handed with y up in metres; the camera looks along -z. Keys have times in seconds, so the frame
rate follows from them. The field of view is vertical and fixed in core glTF; a zoom is written with the
extension KHR_animation_pointer, which viewers without it ignore. What glTF has no place for (picture size,
principal point, frame rate) stands in the camera's ``extras`` and is used on reading as long as it agrees
with the rest.
"""

from __future__ import annotations

import json
import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...atomic import replace_when_done
from ...geometry.poses import matrix_to_quaternion
from ...geometry.trajectory import Trajectory
from .bounded import number, pixels
from .exchange import (
    DEFAULTS,
    CameraFile,
    FileSettings,
    Lens,
    Notes,
    choose_fps,
    choose_size,
    even_rate,
    file_poses,
    finish,
    intrinsics,
    note_lens_loss,
)
from .gltf_reader import Gltf, sample_camera

NAME = "gltf"
UP_AXIS = "y"
EXTRAS = "worldstereo"
POINTER = "KHR_animation_pointer"
_MAGIC, _JSON, _BIN = 0x46546C67, 0x4E4F534A, 0x004E4942


def write_gltf(
    path: str | os.PathLike[str], trajectory: Trajectory, settings: FileSettings = DEFAULTS
) -> tuple[str, ...]:
    """Write a GLB, whole or not at all. Returns: notes on what the format cannot hold."""
    notes = Notes()
    c2w = file_poses(trajectory, "opengl", UP_AXIS, settings.unit_scale or 1.0)
    K = intrinsics(trajectory)
    note_lens_loss(trajectory, notes, "glTF", squareness=False, centre=False)
    _note_extras(trajectory, K, notes)
    translation = c2w[:, :3, 3].numpy().astype("<f4")
    rotation = _xyzw(c2w)
    yfov = (2 * torch.atan(trajectory.height / (2 * K[:, 1, 1]))).numpy().astype("<f4")
    lens = K[:, [0, 1, 0, 1], [0, 1, 2, 2]].tolist()
    is_fixed = all(row == lens[0] for row in lens)
    extras = {
        "width": trajectory.width,
        "height": trajectory.height,
        "fps": trajectory.fps,
        "fx_fy_cx_cy": lens[:1] if is_fixed else lens,
    }
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "ComfyUI-WorldStereo"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [
            {
                "name": "camera",
                "camera": 0,
                "translation": translation[0].tolist(),
                "rotation": rotation[0].tolist(),
            }
        ],
        "cameras": [
            {
                "type": "perspective",
                "perspective": {
                    "yfov": float(yfov[0]),
                    "aspectRatio": trajectory.width / trajectory.height,
                    "znear": 0.01,
                },
                "extras": {EXTRAS: extras},
            }
        ],
    }
    tracks = {"translation": translation, "rotation": rotation}
    if not is_fixed:
        tracks["yfov"] = yfov
        document["extensionsUsed"] = [POINTER]
        notes.add(f"The zoom is written with {POINTER}; programs without that extension show the first lens.")
    binary = _animate(document, tracks, trajectory.fps) if len(c2w) > 1 else b""
    with replace_when_done(path) as temporary:
        temporary.write_bytes(_pack(document, binary))
    return notes.done()


def read_gltf(path: str | os.PathLike[str], settings: FileSettings = DEFAULTS) -> CameraFile:
    """Read the first perspective camera of a .glb or .gltf file.

    glTF has times instead of frames: every key is a frame if keys are evenly spaced and ``settings.fps`` is
    not given; else the animation is sampled at that rate. Files of ours say their frame rate.

    Raises: PathError, naming the file and the field, if it cannot be used.
    """
    path, notes = Path(path), Notes()
    document = Gltf.open(path)
    camera_index, camera = document.camera(notes)
    extras = camera.get("extras")
    held = extras.get(EXTRAS) if isinstance(extras, dict) else None
    ours: dict[str, Any] = held if isinstance(held, dict) else {}
    stated = None
    if "width" in ours and "height" in ours:
        stated = pixels(path, "extras.height", ours["height"]), pixels(path, "extras.width", ours["width"])
    size = choose_size(path, settings, notes, stated)
    times = document.times(camera_index)
    rate = number(path, "extras.fps", ours["fps"]) if "fps" in ours else None
    if rate is None and settings.fps is not None and len(times) > 1:
        times = document.sample_times(times, settings.fps, notes)
        rate = settings.fps
    elif rate is None:
        rate = even_rate(path, "animation time", times)
    elif len(times) > 1:
        even_rate(path, "animation time", times)
    c2w, yfov = sample_camera(document, camera_index, camera, times, notes)
    K = _lenses(path, camera, ours, yfov, size, notes)
    fps = choose_fps(path, settings, notes, rate)
    return finish(
        path, NAME, c2w, K, size, fps, notes,
        camera_axes="opengl", up_axis=UP_AXIS, unit_scale=settings.unit_scale or 1.0,
    )  # fmt: skip


def _note_extras(trajectory: Trajectory, K: Tensor, notes: Notes) -> None:
    lossy = Notes()
    note_lens_loss(trajectory, lossy, "glTF")
    if lossy.lines:
        notes.add(
            "Non-square pixels and the principal point are in extras only: this package reads them back, "
            "other programs show a centred lens of the same vertical field of view."
        )


def _xyzw(c2w: Tensor) -> np.ndarray:
    """[T, 4] float32 quaternions that change sign nowhere, so that viewers turn the short way."""
    quaternion = matrix_to_quaternion(c2w[:, :3, :3]).numpy()
    flips = np.where((quaternion[1:] * quaternion[:-1]).sum(1) < 0, -1.0, 1.0)
    quaternion[1:] *= np.cumprod(flips)[:, None]
    return quaternion[:, [1, 2, 3, 0]].astype("<f4")


def _animate(document: dict[str, Any], tracks: dict[str, np.ndarray], fps: float) -> bytes:
    """Add an animation of all tracks to the document; returns the binary buffer."""
    times = (np.arange(len(tracks["translation"])) / fps).astype("<f4")
    arrays = {"times": times, **tracks}
    kinds = {"times": "SCALAR", "translation": "VEC3", "rotation": "VEC4", "yfov": "SCALAR"}
    binary = b""
    views, accessors = [], []
    for index, (name, array) in enumerate(arrays.items()):
        data = np.ascontiguousarray(array).tobytes()
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(data)})
        accessor = {"bufferView": index, "componentType": 5126, "count": len(array), "type": kinds[name]}
        if name == "times":
            accessor |= {"min": [float(array[0])], "max": [float(array[-1])]}
        accessors.append(accessor)
        binary += data
    channels = []
    for index, name in enumerate(tracks):
        target: dict[str, Any] = {"node": 0, "path": name}
        if name == "yfov":
            pointer = {"pointer": "/cameras/0/perspective/yfov"}
            target = {"path": "pointer", "extensions": {POINTER: pointer}}
        channels.append({"sampler": index, "target": target})
    samplers = [{"input": 0, "output": index, "interpolation": "LINEAR"} for index in range(1, len(arrays))]
    document["animations"] = [{"name": "camera", "channels": channels, "samplers": samplers}]
    document |= {"accessors": accessors, "bufferViews": views, "buffers": [{"byteLength": len(binary)}]}
    return binary


def _pack(document: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(document, allow_nan=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), _JSON) + text
    if binary:
        binary += b"\0" * (-len(binary) % 4)
        chunks += struct.pack("<II", len(binary), _BIN) + binary
    return struct.pack("<III", _MAGIC, 2, 12 + len(chunks)) + chunks


def _lenses(
    path: Path,
    camera: dict[str, Any],
    ours: dict[str, Any],
    yfov: Tensor,
    size: tuple[int, int],
    notes: Notes,
) -> Tensor:
    """[T, 3, 3] from the vertical field of view, or from extras if they agree with it."""
    height, width = size
    fy = height / (2 * torch.tan(yfov / 2))
    aspect = camera["perspective"].get("aspectRatio")
    if aspect is not None and not ours:
        shape = number(path, "aspectRatio", aspect)
        if not (math.isfinite(shape) and abs(shape / (width / height) - 1) < 0.01):
            notes.add(
                f"{path.name}: aspectRatio is {shape:g} but {width} x {height} pixels have "
                f"{width / height:g}; the vertical field of view was kept."
            )
    rows = ours.get("fx_fy_cx_cy")
    if (
        isinstance(rows, list)
        and len(rows) in (1, len(fy))
        and all(isinstance(row, list) and len(row) == 4 for row in rows)
    ):
        values = torch.tensor(
            [[number(path, "extras.fx_fy_cx_cy", value) for value in row] for row in rows],
            dtype=torch.float64,
        ).expand(len(fy), 4)
        if ((values[:, 1] / fy - 1).abs() < 1e-4).all():
            return Lens(*values.unbind(1)).to_K(len(fy))
        notes.add(f"{path.name}: the lens was changed since it was written; extras were not used.")
    return Lens(fy, fy, width / 2, height / 2).to_K(len(fy))
