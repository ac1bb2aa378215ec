"""What each program gets when a world is exported: a table, so that tests and documentation read the same.

Axes are those of the files; what the program does with them on import stands beside, as data too, and a test
applies it: after the import, right, up and forward of our first camera must be where the program has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..formats.point_axes import FROM_OURS, UpAxis

Part = Literal["points.ply", "points.glb", "points.las", "splats.ply", "splats.spz"]
Dataset = Literal["nerfstudio", "colmap", "official"]
Matrix = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]

_AS_IS: Matrix = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
_HALF_TURN_X: Matrix = ((1, 0, 0), (0, -1, 0), (0, 0, -1))
_HALF_TURN_Z: Matrix = ((-1, 0, 0), (0, -1, 0), (0, 0, 1))
# Unreal's importer of LAS turns metres into centimetres and right-handed into left-handed.
_UNREAL: Matrix = ((100, 0, 0), (0, -100, 0), (0, 0, 100))
# glTF is right-handed, Unity left-handed: its importers turn x over.
_MIRROR_X: Matrix = ((-1, 0, 0), (0, 1, 0), (0, 0, 1))

# The formats' own axes.
GLTF_AXES: UpAxis = "y"
LAS_AXES: UpAxis = "z"
SPZ_AXES: UpAxis = "y"


@dataclass(frozen=True)
class PartFile:
    """One file of points or splats.

    Attributes:
        name: file name, which says the kind too.
        axes: axes of the file.
        opened: matrix that the program applies to the file's coordinates on import.
    """

    name: Part
    axes: UpAxis
    opened: Matrix = _AS_IS


@dataclass(frozen=True)
class Target:
    """What one program gets.

    Attributes:
        title: as the drop-down has it.
        files: points and splats.
        up: which way is up in the program, as one of its axes with a sign, e.g. ``"+z"``.
        is_left_handed: the program's own axes.
        camera: name of the camera format and of its file, if a trajectory is given.
        camera_up: up axis asked of that format; None is its usual one.
        dataset: pictures and cameras of the memory's views, in the layout of this program.
        is_metric: coordinates are metres, so the scale of the scene counts; else scene units are kept.
    """

    title: str
    files: tuple[PartFile, ...]
    up: str
    camera: tuple[str, str]
    camera_up: str | None = None
    is_left_handed: bool = False
    dataset: Dataset | None = None
    is_metric: bool = True


TARGETS: dict[str, Target] = {
    target.title: target
    for target in (
        Target(
            "Blender",
            (PartFile("points.ply", "z"),),
            up="+z",
            camera=("blender", "camera.py"),
        ),
        Target(
            "Unreal",
            (PartFile("points.las", LAS_AXES, _UNREAL),),
            up="+z",
            camera=("usd", "camera.usda"),
            camera_up="z",
            is_left_handed=True,
        ),
        Target(
            "Unity",
            (
                PartFile("points.glb", GLTF_AXES, _MIRROR_X),
                PartFile("points.ply", "y-left"),
                PartFile("splats.ply", "y-left"),
            ),
            up="+y",
            camera=("gltf", "camera.glb"),
            is_left_handed=True,
        ),
        Target(
            "SuperSplat",
            (PartFile("splats.ply", "-y", _HALF_TURN_Z),),
            up="+y",
            camera=("camera_json", "camera.json"),
            is_metric=False,
        ),
        Target(
            "three.js",
            (
                PartFile("points.glb", GLTF_AXES),
                PartFile("points.ply", "y"),
                PartFile("splats.spz", SPZ_AXES),
            ),
            up="+y",
            camera=("gltf", "camera.glb"),
        ),
        Target(
            "nerfstudio",
            (PartFile("points.ply", "z"),),
            up="+z",
            camera=("nerfstudio", "camera_transforms.json"),
            dataset="nerfstudio",
            is_metric=False,
        ),
        Target(
            "COLMAP",
            (PartFile("points.ply", "-y"),),
            up="-y",
            camera=("camera_json", "camera.json"),
            dataset="colmap",
            is_metric=False,
        ),
        Target(
            "raw",
            (
                PartFile("points.ply", "-y"),
                PartFile("splats.ply", "-y"),
            ),
            up="-y",
            camera=("camera_json", "camera.json"),
            is_metric=False,
        ),
        Target(
            "official reconstruction folder",
            (),
            up="-y",
            camera=("camera_json", "camera.json"),
            dataset="official",
            is_metric=False,
        ),
    )
}
# How ComfyUI's own viewers turn a file: points stay as they are, splats of any format make a half turn.
COMFYUI_POINTS = PartFile("points.ply", "y")
COMFYUI_SPLATS = PartFile("splats.ply", "-y", _HALF_TURN_X)


def directions(axes: UpAxis) -> dict[str, list[float]]:
    """Unit vectors in a file's coordinates that our first camera calls right, up and forward."""
    rows = FROM_OURS[axes]
    return {
        "right": [row[0] for row in rows],
        "up": [0.0 - row[1] for row in rows],
        "forward": [row[2] for row in rows],
    }
