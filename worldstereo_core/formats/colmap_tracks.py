"""Tracks as a COLMAP sparse model (``cameras``, ``images``, ``points3D``) and as NPZ.

Conventions of COLMAP: cam-from-world poses with wxyz quaternions in OpenCV axes, pixels with half-pixel
centres, as ours. Identifiers count from 1. Layout: https://colmap.github.io/format.html
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..atomic import folder_when_done
from ..checks import WorldStereoError
from ..geometry.poses import matrix_to_quaternion
from ..geometry.tracks import Tracks

PINHOLE = 1
# Points lie exactly where their observations show them: observations are projections.
REPROJECTION_ERROR = 0.0


def write_track_folder(
    folder: Path, tracks: Tracks, pictures: Sequence[Tensor], is_binary: bool = True
) -> None:
    """Write a folder that COLMAP and trainers of splats open: whole, or not at all.

    ``images/`` holds the pictures, ``sparse/0/`` the model, ``correspondences.npz`` the tracks as arrays.

    Args:
        folder: must not exist; its parent must.
        pictures: [3, H, W] uint8 each, in the order of the tracks' names.
    """
    from PIL import Image

    with folder_when_done(folder) as part:
        (part / "images").mkdir()
        for name, picture in zip(tracks.names, pictures, strict=True):
            Image.fromarray(picture.permute(1, 2, 0).cpu().numpy()).save(part / "images" / name)
        (part / "sparse" / "0").mkdir(parents=True)
        write_colmap_tracks(part / "sparse" / "0", tracks, is_binary)
        write_tracks_npz(part / "correspondences.npz", tracks)


def write_colmap_tracks(folder: Path, tracks: Tracks, is_binary: bool = True) -> None:
    """Write the three files of a sparse model into an existing folder.

    Raises: WorldStereoError if a picture's name holds a space.
    """
    for name in tracks.names:
        if not name or any(letter.isspace() or letter == "\0" for letter in name):
            raise WorldStereoError(f'image name: got "{name}", expected a name without spaces. Rename it.')
    (_write_binary if is_binary else _write_text)(folder, _Model(tracks))


def write_tracks_npz(path: Path, tracks: Tracks) -> None:
    """Write the tracks as arrays; names as in ``Tracks``, with w2c, K and size of every picture."""
    cameras = tracks.cameras
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            names=np.array(tracks.names),
            w2c=torch.cat([camera.w2c for camera in cameras]).cpu().numpy(),
            K=torch.cat([camera.K for camera in cameras]).cpu().numpy(),
            height_width=np.array([(camera.height, camera.width) for camera in cameras]),
            xyz=tracks.xyz.cpu().numpy(),
            rgb=tracks.rgb.cpu().numpy(),
            point=tracks.point.cpu().numpy(),
            view=tracks.view.cpu().numpy(),
            xy=tracks.xy.cpu().numpy(),
        )


class _Model:
    """Tracks in COLMAP's terms: lenses shared by pictures, and each observation's number in its picture."""

    def __init__(self, tracks: Tracks) -> None:
        self.names = tracks.names
        lenses: dict[tuple[float, ...], int] = {}
        self.camera_of = []
        for camera in tracks.cameras:
            K = camera.K[0].double()
            lens = (
                camera.width,
                camera.height,
                *(float(K[place]) for place in ((0, 0), (1, 1), (0, 2), (1, 2))),
            )
            self.camera_of.append(lenses.setdefault(lens, len(lenses) + 1))
        self.lenses = list(lenses)
        w2c = torch.cat([camera.w2c for camera in tracks.cameras]).double().cpu()
        self.poses = torch.cat([matrix_to_quaternion(w2c[:, :3, :3]), w2c[:, :3, 3]], dim=1).tolist()
        self.xyz = tracks.xyz.double().cpu().numpy()
        self.rgb = (tracks.rgb.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
        point, view = tracks.point.cpu(), tracks.view.cpu()
        by_view = view.argsort(stable=True)
        starts = torch.searchsorted(view[by_view].contiguous(), torch.arange(len(self.names) + 1)).tolist()
        xy = tracks.xy.double().cpu()
        self.observed = []  # per picture: places [n, 2] and point identifiers [n]
        number = torch.empty_like(view)
        for start, end in pairwise(starts):
            rows = by_view[start:end]
            number[rows] = torch.arange(end - start)
            self.observed.append((xy[rows].numpy(), (point[rows] + 1).numpy()))
        ends = torch.searchsorted(point.contiguous(), torch.arange(len(self.xyz) + 1)).tolist()
        elements = torch.stack([view + 1, number], dim=1).numpy().astype("<u4")
        self.elements = [elements[start:end] for start, end in pairwise(ends)]


def _write_binary(folder: Path, model: _Model) -> None:
    chunks = [struct.pack("<Q", len(model.lenses))]
    for number, (width, height, *lens) in enumerate(model.lenses, start=1):
        chunks.append(struct.pack("<IiQQ4d", number, PINHOLE, int(width), int(height), *lens))
    (folder / "cameras.bin").write_bytes(b"".join(chunks))

    chunks = [struct.pack("<Q", len(model.names))]
    images = zip(model.poses, model.camera_of, model.names, model.observed, strict=True)
    for number, (pose, camera, name, (xy, ids)) in enumerate(images, start=1):
        chunks.append(struct.pack("<I7dI", number, *pose, camera) + name.encode() + b"\0")
        observed = np.empty(len(ids), dtype=[("x", "<f8"), ("y", "<f8"), ("id", "<u8")])
        observed["x"], observed["y"], observed["id"] = xy[:, 0], xy[:, 1], ids
        chunks.append(struct.pack("<Q", len(ids)) + observed.tobytes())
    (folder / "images.bin").write_bytes(b"".join(chunks))

    chunks = [struct.pack("<Q", len(model.xyz))]
    points = zip(model.xyz.tolist(), model.rgb.tolist(), model.elements, strict=True)
    for number, (xyz, rgb, elements) in enumerate(points, start=1):
        chunks.append(struct.pack("<Q3d3BdQ", number, *xyz, *rgb, REPROJECTION_ERROR, len(elements)))
        chunks.append(elements.tobytes())
    (folder / "points3D.bin").write_bytes(b"".join(chunks))


def _write_text(folder: Path, model: _Model) -> None:
    lines = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]: fx, fy, cx, cy"]
    for number, (width, height, *lens) in enumerate(model.lenses, start=1):
        lines.append(f"{number} PINHOLE {int(width)} {int(height)} {' '.join(map(repr, lens))}")
    _write_lines(folder / "cameras.txt", lines)

    lines = [
        "# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME",
        "# POINTS2D[] as (X, Y, POINT3D_ID)",
    ]
    images = zip(model.poses, model.camera_of, model.names, model.observed, strict=True)
    for number, (pose, camera, name, (xy, ids)) in enumerate(images, start=1):
        lines.append(f"{number} {' '.join(map(repr, pose))} {camera} {name}")
        observed = zip(xy.tolist(), ids.tolist(), strict=True)
        lines.append(" ".join(f"{x!r} {y!r} {point}" for (x, y), point in observed))
    _write_lines(folder / "images.txt", lines)

    lines = ["# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[] as (IMAGE_ID, POINT2D_IDX)"]
    points = zip(model.xyz.tolist(), model.rgb.tolist(), model.elements, strict=True)
    for number, (xyz, rgb, elements) in enumerate(points, start=1):
        track = " ".join(f"{image} {place}" for image, place in elements.tolist())
        place, colour = " ".join(map(repr, xyz)), " ".join(map(str, rgb))
        lines.append(f"{number} {place} {colour} {REPROJECTION_ERROR} {track}")
    _write_lines(folder / "points3D.txt", lines)


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
