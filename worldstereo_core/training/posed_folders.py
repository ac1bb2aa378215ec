"""Folders of real pictures with cameras and depth: nerfstudio's transforms.json, or a COLMAP model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..checks import PathError, WorldStereoError
from ..formats.cameras.bounded import natural_order, read_json_object
from ..formats.cameras.colmap import colmap_image_names, read_colmap
from ..formats.cameras.nerfstudio import EXPECTED, read_nerfstudio
from ..formats.colmap_depth import read_colmap_depth
from ..formats.depth_files import SUFFIXES, read_depth
from ..formats.images import read_image
from ..geometry.cameras import Cameras, central_window
from ..geometry.pictures import fit_pictures

COLMAP_PLACES = ("sparse/0", "sparse", "colmap/sparse/0", ".")
DEPTH_FOLDERS = ("depth", "depths", "depth_maps", "stereo/depth_maps")
COLMAP_DEPTH = (".geometric.bin", ".photometric.bin")
ASPECT_TOLERANCE = 0.02  # depth sensors have fewer pixels than the camera, but its proportions
LEAST_DEPTH = 0.01  # share of a picture's pixels that must have depth


@dataclass(frozen=True, eq=False)
class PosedFolder:
    """Pictures, depth maps and cameras of one static scene, in the order they were taken.

    Attributes:
        folder: where it is. pictures, depths: [N] files.
        cameras: N cameras at the pictures' size; poses and depth share one unit.
        depth_scale: what depth values are multiplied by to get there.
    """

    folder: Path
    pictures: tuple[Path, ...]
    depths: tuple[Path, ...]
    cameras: Cameras
    depth_scale: float = 1.0

    def __len__(self) -> int:
        return len(self.pictures)

    def read(self, frames: Sequence[int], height: int, width: int) -> tuple[Cameras, Tensor, Tensor]:
        """Cameras, pictures [T, 3, H, W] 0..1 and depth [T, H, W] of some frames, cropped to a size.

        Raises: WorldStereoError, naming the file, for one that cannot be read, differs in size or holds next
            to no depth.
        """
        pictures = torch.cat([self._picture(number, height, width) for number in frames])
        depths = torch.stack([self._depth(number, height, width) for number in frames])
        return self.cameras[list(frames)].cropped(height, width), pictures, depths

    def _picture(self, number: int, height: int, width: int) -> Tensor:
        picture = read_image(self.pictures[number])
        expected = self.cameras.height, self.cameras.width
        if tuple(picture.shape[1:]) != expected:
            raise WorldStereoError(
                f"{self.folder}: {self.pictures[number].name} has height x width {picture.shape[1]} x "
                f"{picture.shape[2]}, but the cameras are for {expected[0]} x {expected[1]}; expected "
                "one size for all. Resize the pictures or export the cameras for them."
            )
        return fit_pictures(picture[None], height, width)

    def _depth(self, number: int, height: int, width: int) -> Tensor:
        path = self.depths[number]
        is_colmap = path.name.endswith(COLMAP_DEPTH)
        depth = read_colmap_depth(path) if is_colmap else read_depth(path).depth
        rows, columns = depth.shape
        wanted = self.cameras.height / self.cameras.width
        if abs(rows / columns / wanted - 1) > ASPECT_TOLERANCE:
            raise WorldStereoError(
                f"{self.folder}: the depth {path.name} has height x width {rows} x {columns}, its picture "
                f"{self.cameras.height} x {self.cameras.width}; expected the same proportions. Export depth "
                "that covers the picture."
            )
        valid = torch.isfinite(depth) & (depth > 0)
        if float(valid.float().mean()) < LEAST_DEPTH:
            nans = int(torch.isnan(depth).sum())
            raise WorldStereoError(
                f"{self.folder}: the depth {path.name} has data in {int(valid.sum())} of {depth.numel()} "
                f"pixels ({nans} are NaN), expected at least {LEAST_DEPTH:.0%}. Remove this frame or make "
                "its depth again."
            )
        depth = torch.where(valid, depth, 0.0) * self.depth_scale
        window_rows, window_columns, top, left = central_window((rows, columns), (height, width))
        window = depth[top : top + window_rows, left : left + window_columns]
        # The nearest value: a mean over an edge would be a depth where nothing is.
        return interpolate(window[None, None], (height, width), mode="nearest-exact")[0, 0]


def read_posed_folder(folder: str | Path, *, depth_scale: float = 1.0) -> PosedFolder:
    """Find the cameras, pictures and depth maps of a folder; files are opened later.

    Cameras come from ``transforms.json``, whose frames may name their ``depth_file_path``, or from a COLMAP
    model in ``sparse/0``, ``sparse`` or the folder itself, whose pictures are in ``images``. Depth that is
    not named is looked for under the picture's name in ``depth``, ``depths``, ``depth_maps`` or
    ``stereo/depth_maps``: EXR, NPZ, NPY, 16-bit PNG (millimetres), or COLMAP's own maps.

    Args:
        depth_scale: what depth is multiplied by to be in the unit of the poses.

    Raises: PathError or WorldStereoError, naming folder and file, if something is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PathError(f"folder: {folder} does not exist or is no folder. Check the path.")
    if not depth_scale > 0:
        raise WorldStereoError(f"depth_scale: got {depth_scale}, expected a number above 0.")
    if (folder / "transforms.json").is_file():
        names, stated, cameras = _nerfstudio(folder)
    else:
        names, stated, cameras = _colmap(folder)
    pictures = tuple(_existing(folder, name) for name in names)
    depths = tuple(
        _existing(folder, depth) if depth else _depth_beside(folder, name)
        for name, depth in zip(names, stated, strict=True)
    )
    return PosedFolder(folder, pictures, depths, cameras, depth_scale)


def _nerfstudio(folder: Path) -> tuple[list[str], list[str | None], Cameras]:
    path = folder / "transforms.json"
    cameras = read_nerfstudio(path).trajectory.cameras
    frames = read_json_object(path, EXPECTED)["frames"]
    names = [frame.get("file_path") for frame in frames]
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise PathError(f"{path}: frame {index} has no file_path, expected its picture. Export it again.")
    order = natural_order(names)
    return (
        [names[index] for index in order],
        [frames[index].get("depth_file_path") for index in order],
        cameras,
    )


def _colmap(folder: Path) -> tuple[list[str], list[str | None], Cameras]:
    for place in COLMAP_PLACES:
        model = folder / place
        if any((model / f"images{suffix}").is_file() for suffix in (".txt", ".bin")):
            cameras = read_colmap(model).trajectory.cameras
            names = [f"images/{name}" for name in colmap_image_names(model)]
            return names, [None] * len(names), cameras
    raise PathError(
        f"{folder}: has no transforms.json and no COLMAP model (images.txt or images.bin) in "
        f"{', '.join(COLMAP_PLACES)}. Put the cameras of the pictures there."
    )


def _existing(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise PathError(f"{folder}: the file {name} that the cameras name is missing. Copy it there.")
    return path


def _depth_beside(folder: Path, name: str) -> Path:
    """The depth map of a picture by its name, with or without the picture's own ending."""
    inner = Path(name).relative_to("images") if Path(name).parts[0] == "images" else Path(Path(name).name)
    for place in DEPTH_FOLDERS:
        base = folder / place / inner
        for suffix in (*SUFFIXES, *COLMAP_DEPTH):
            for path in (base.with_suffix(suffix), base.with_name(base.name + suffix)):
                if path.is_file():
                    return path
    raise PathError(
        f"{folder}: no depth for {name}; looked for {inner.with_suffix('').as_posix()} with "
        f"{', '.join((*SUFFIXES, *COLMAP_DEPTH))} in {', '.join(DEPTH_FOLDERS)}. Add it, or remove the frame "
        "from the cameras."
    )
