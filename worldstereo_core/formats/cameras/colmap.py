"""COLMAP sparse models: ``cameras``, ``images`` and ``points3D`` as text or binary, in one folder.

Poses are cam-from-world (our w2c) in OpenCV axes with a wxyz quaternion; K is in pixels with half-pixel
centres, as ours. The world has no fixed up; ours is written as it is. There is no frame rate: images are put
in the order of their names.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...atomic import folder_when_done, replace_when_done
from ...checks import PathError
from ...geometry.poses import invert_se3, matrix_to_quaternion
from ...geometry.trajectory import Trajectory
from .bounded import natural_order, read_bytes, read_text, shown
from .exchange import (
    DEFAULTS,
    CameraFile,
    FileSettings,
    Notes,
    check_frame_count,
    choose_fps,
    file_poses,
    finish,
    intrinsics,
    note_lens_loss,
    quaternions_to_c2w,
)

NAME = "colmap"
UP_AXIS = "-y"
PARTS = ("cameras", "images", "points3D")
# Model id: name, number of parameters, which of them are fx, fy, cx, cy. The rest bend the picture.
_MODELS = {
    0: ("SIMPLE_PINHOLE", 3, (0, 0, 1, 2)),
    1: ("PINHOLE", 4, (0, 1, 2, 3)),
    2: ("SIMPLE_RADIAL", 4, (0, 0, 1, 2)),
    3: ("RADIAL", 5, (0, 0, 1, 2)),
    4: ("OPENCV", 8, (0, 1, 2, 3)),
    6: ("FULL_OPENCV", 12, (0, 1, 2, 3)),
}
_REFUSED = {
    5: ("OPENCV_FISHEYE", 8),
    7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4),
    9: ("RADIAL_FISHEYE", 5),
}
_IDS = {name: model for model, (name, *_) in _MODELS.items()}


@dataclass(frozen=True)
class _Camera:
    model: int
    width: int
    height: int
    params: tuple[float, ...]


@dataclass(frozen=True)
class _Image:
    pose: tuple[float, ...]  # qw qx qy qz tx ty tz
    camera: int
    name: str


def read_colmap(path: str | os.PathLike[str], settings: FileSettings = DEFAULTS) -> CameraFile:
    """Read a sparse model.

    Args:
        path: its folder, or one of its files. Text is taken if both are there and the folder was given.

    Raises: PathError, naming the file and the field, if it cannot be used.
    """
    path, notes = Path(path), Notes()
    folder = path if path.is_dir() else path.parent
    is_text = (folder / "images.txt").exists() if path.is_dir() else path.suffix == ".txt"
    suffix = ".txt" if is_text else ".bin"
    cameras_path, images_path = folder / f"cameras{suffix}", folder / f"images{suffix}"
    cameras = (_cameras_text if is_text else _cameras_binary)(cameras_path)
    images = (_images_text if is_text else _images_binary)(images_path)
    check_frame_count(images_path, len(images))
    order = natural_order([image.name for image in images])
    if order != list(range(len(images))):
        notes.add(f"{images_path.name}: images were put in the order of their names.")
        images = [images[index] for index in order]
    pose = torch.tensor([image.pose for image in images], dtype=torch.float64)
    w2c = quaternions_to_c2w(images_path, pose[:, 4:], pose[:, :4], notes)
    K, size = _lenses(cameras_path, images_path, cameras, images, notes)
    fps = choose_fps(path, settings, notes, None)
    return finish(
        folder / "colmap" if folder.name in ("", "0") else folder, NAME, invert_se3(w2c), K, size, fps, notes,
        camera_axes="opencv", up_axis=settings.up_axis or UP_AXIS, unit_scale=settings.unit_scale or 1.0,
    )  # fmt: skip


def colmap_image_names(path: str | os.PathLike[str]) -> list[str]:
    """Names of a sparse model's images, in the order that ``read_colmap`` gives their cameras in."""
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    is_text = (folder / "images.txt").exists() if path.is_dir() else path.suffix == ".txt"
    images = _images_text(folder / "images.txt") if is_text else _images_binary(folder / "images.bin")
    names = [image.name for image in images]
    return [names[index] for index in natural_order(names)]


def write_colmap(
    path: str | os.PathLike[str],
    trajectory: Trajectory,
    settings: FileSettings = DEFAULTS,
    image_names: Sequence[str] | None = None,
    is_binary: bool = True,
) -> tuple[str, ...]:
    """Write a sparse model without points into a folder, each file whole or not at all.

    Args:
        path: the folder; one that is missing appears whole or not at all.
        image_names: default frame_00001.png and so on.

    Returns:
        Notes on what the format cannot hold.
    """
    notes, folder = Notes(), Path(path)
    c2w = file_poses(trajectory, "opencv", settings.up_axis or UP_AXIS, settings.unit_scale or 1.0)
    note_lens_loss(trajectory, notes, "COLMAP", squareness=False, centre=False)
    notes.add(f"COLMAP holds no frame rate: {trajectory.fps:g} frames per second, dropped.")
    w2c = invert_se3(c2w)
    poses = torch.cat([matrix_to_quaternion(w2c[:, :3, :3]), w2c[:, :3, 3]], dim=1).tolist()
    if image_names is None:
        image_names = [f"frame_{number:05d}.png" for number in range(1, len(poses) + 1)]
    for name in image_names:
        if not name or any(character.isspace() or character == "\0" for character in name):
            raise PathError(
                f"image name: got {shown(name)}, expected a name without spaces. Rename the picture."
            )
    K = intrinsics(trajectory)
    lens = K[:, [0, 1, 0, 1], [0, 1, 2, 2]]
    unique, camera_of = torch.unique(lens, dim=0, return_inverse=True)
    images = list(zip(poses, (camera_of + 1).tolist(), image_names, strict=True))
    size = trajectory.width, trajectory.height
    write = _write_binary if is_binary else _write_text
    if folder.is_dir():
        write(folder, unique.tolist(), size, images)
    else:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder_when_done(folder) as part:
            write(part, unique.tolist(), size, images)
    return notes.done()


def _write_text(
    folder: Path,
    lenses: list[list[float]],
    size: tuple[int, int],
    images: list[tuple[list[float], int, str]],
) -> None:
    cameras = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]: fx, fy, cx, cy"]
    for number, lens in enumerate(lenses, start=1):
        cameras.append(f"{number} PINHOLE {size[0]} {size[1]} {' '.join(map(repr, lens))}")
    lines = ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME, then one line of POINTS2D[]"]
    for number, (pose, camera, name) in enumerate(images, start=1):
        lines.append(f"{number} {' '.join(map(repr, pose))} {camera} {name}\n")
    points = ["# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[]"]
    for part, text in zip(PARTS, (cameras, lines, points), strict=True):
        with replace_when_done(folder / f"{part}.txt") as temporary:
            temporary.write_text("\n".join(text) + "\n", encoding="utf-8")


def _write_binary(
    folder: Path,
    lenses: list[list[float]],
    size: tuple[int, int],
    images: list[tuple[list[float], int, str]],
) -> None:
    cameras = [struct.pack("<Q", len(lenses))]
    for number, lens in enumerate(lenses, start=1):
        cameras.append(struct.pack("<IiQQ4d", number, _IDS["PINHOLE"], *size, *lens))
    entries = [struct.pack("<Q", len(images))]
    for number, (pose, camera, name) in enumerate(images, start=1):
        entries.append(struct.pack("<I7dI", number, *pose, camera))
        entries.append(name.encode("utf-8") + b"\0" + struct.pack("<Q", 0))
    for part, chunks in zip(PARTS, (cameras, entries, [struct.pack("<Q", 0)]), strict=True):
        with replace_when_done(folder / f"{part}.bin") as temporary:
            temporary.write_bytes(b"".join(chunks))


def _lenses(
    cameras_path: Path, images_path: Path, cameras: dict[int, _Camera], images: list[_Image], notes: Notes
) -> tuple[Tensor, tuple[int, int]]:
    rows, size = [], None
    for frame, image in enumerate(images):
        camera = cameras.get(image.camera)
        if camera is None:
            raise PathError(
                f"{images_path.name}: image {image.name} has the camera {image.camera}, which "
                f"{cameras_path.name} does not hold; expected its intrinsics there. Export the model again."
            )
        here = camera.height, camera.width
        if size is not None and here != size:
            raise PathError(
                f"{cameras_path.name}: frame {frame} is {here[1]} x {here[0]} pixels, but those before it "
                f"are {size[1]} x {size[0]}; expected one size for all. Keep the pictures of one camera."
            )
        size = here
        name, _, lens = _MODELS[camera.model]
        if any(value != 0 for value in camera.params[max(lens) + 1 :]):
            notes.add(f"{cameras_path.name}: the lens distortion of {name} was dropped; K is used alone.")
        rows.append([camera.params[index] for index in lens])
    assert size is not None
    lens = torch.tensor(rows, dtype=torch.float64)
    K = torch.eye(3, dtype=torch.float64).repeat(len(rows), 1, 1)
    K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2] = lens.unbind(1)
    return K, size


def _camera(path: Path, model: int, width: int, height: int, params: Sequence[float]) -> _Camera:
    count = _MODELS[model][1]
    if len(params) != count or not (1 <= width <= 1e6 and 1 <= height <= 1e6):
        raise PathError(
            f"{path.name}: a {_MODELS[model][0]} camera has {len(params)} parameters and {width} x {height} "
            f"pixels; expected {count} and a positive size. Export the model again."
        )
    return _Camera(model, width, height, tuple(params))


def _refuse_model(path: Path, model: object) -> PathError:
    return PathError(
        f"{path.name}: the camera model {model} is no pinhole with simple distortion; expected one of "
        f"{', '.join(_IDS)}. Undistort the images with COLMAP's image_undistorter first."
    )


def _cameras_text(path: Path) -> dict[int, _Camera]:
    cameras = {}
    for number, line in enumerate(read_text(path, "a COLMAP cameras.txt").splitlines(), start=1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        try:
            key, model, width, height = int(words[0]), words[1], int(words[2]), int(words[3])
            params = [float(word) for word in words[4:]]
        except (ValueError, IndexError) as error:
            raise _bad_line(path, number, line, "CAMERA_ID MODEL WIDTH HEIGHT PARAMS") from error
        if model not in _IDS:
            raise _refuse_model(path, model)
        cameras[key] = _camera(path, _IDS[model], width, height, params)
    return cameras


def _images_text(path: Path) -> list[_Image]:
    images: list[_Image] = []
    is_points = False
    for number, line in enumerate(read_text(path, "a COLMAP images.txt").splitlines(), start=1):
        if line.startswith("#"):
            continue
        if is_points:  # the line of observed points, which may be empty
            is_points = False
            continue
        words = line.split(maxsplit=9)
        if not words:
            continue
        try:
            pose = tuple(float(word) for word in words[1:8])
            int(words[0])
            images.append(_Image(pose, int(words[8]), words[9].strip()))
        except (ValueError, IndexError) as error:
            raise _bad_line(path, number, line, "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME") from error
        is_points = True
    return images


def _bad_line(path: Path, number: int, line: str, expected: str) -> PathError:
    return PathError(
        f"{path.name}: line {number} is {shown(line)}, expected {expected}. Export the model again."
    )


class _Reader:
    """Little-endian numbers from bytes that may end too early."""

    def __init__(self, path: Path) -> None:
        self.path, self.data, self.at = path, read_bytes(path, f"a COLMAP {path.name}"), 0

    def take(self, form: str) -> tuple:
        size = struct.calcsize(form)
        self._need(size)
        values = struct.unpack_from(form, self.data, self.at)
        self.at += size
        return values

    def skip(self, size: int) -> None:
        self._need(size)
        self.at += size

    def text(self) -> str:
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise self._short()
        word, self.at = self.data[self.at : end], end + 1
        return word.decode("utf-8", errors="replace")

    def _need(self, size: int) -> None:
        if size > len(self.data) - self.at:
            raise self._short()

    def _short(self) -> PathError:
        return PathError(
            f"{self.path.name}: ends after {len(self.data)} bytes in the middle of an entry, expected a "
            "whole COLMAP file. It is damaged or not in COLMAP's binary form; export it again."
        )


def _cameras_binary(path: Path) -> dict[int, _Camera]:
    reader, cameras = _Reader(path), {}
    for _ in range(reader.take("<Q")[0]):
        key, model, width, height = reader.take("<IiQQ")
        if model not in _MODELS:
            raise _refuse_model(path, _REFUSED.get(model, (model,))[0])
        cameras[key] = _camera(path, model, width, height, reader.take(f"<{_MODELS[model][1]}d"))
    return cameras


def _images_binary(path: Path) -> list[_Image]:
    reader, images = _Reader(path), []
    for _ in range(reader.take("<Q")[0]):
        _, *pose, camera = reader.take("<I7dI")
        name = reader.text()
        reader.skip(24 * reader.take("<Q")[0])  # x, y and the id of a point each
        images.append(_Image(tuple(pose), camera, name))
    return images
