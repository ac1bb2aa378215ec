"""Runs in a process of its own with Blender as a module (bpy): every way between us and Blender, errors as
JSON.

    python inside_blender.py REPOSITORY FOLDER

FOLDER holds trajectory.json (a camera.json with fps) and the files written from it; blender.json with the
largest errors of each way is written beside them.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

repository, folder = sys.argv[1], Path(sys.argv[2])
sys.path.insert(0, repository)

import bpy  # noqa: E402
import torch  # noqa: E402
from bpy_extras.object_utils import world_to_camera_view  # noqa: E402
from mathutils import Vector  # noqa: E402

from worldstereo_core.formats.cameras.axes import file_from_ours  # noqa: E402
from worldstereo_core.formats.cameras.registry import read_camera_file  # noqa: E402
from worldstereo_core.geometry.cameras import project  # noqa: E402

EXPORT = Path(repository) / "worldstereo_core" / "formats" / "cameras" / "blender_export.py"


def empty_scene(fps: float) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    render = bpy.context.scene.render
    render.resolution_x, render.resolution_y = 80, 48
    render.fps = round(fps)
    render.fps_base = render.fps / fps


def errors(path: Path, expected) -> dict[str, float]:
    found = read_camera_file(path, size=(48, 80)).trajectory
    return {
        "frames": found.num_frames,
        "pose": (found.w2c - expected.w2c).abs().max().item(),
        "K": (found.K - expected.K).abs().max().item(),
        "fps": found.fps,
    }


def export_script(path: Path) -> None:
    sys.argv = ["blender", "--", str(path)]
    runpy.run_path(str(EXPORT), run_name="__main__")


def rebuild(script: str, expected) -> dict[str, float]:
    empty_scene(24)
    runpy.run_path(str(folder / script), run_name="__main__")
    export_script(folder / "back.json")
    scene, worst = bpy.context.scene, 0.0
    point = torch.tensor([0.3, 0.1, 2.0])
    there = Vector((file_from_ours("z") @ point.double()).tolist())
    for frame in range(expected.num_frames):
        scene.frame_set(scene.frame_start + frame)
        seen = world_to_camera_view(scene, scene.camera, there)
        xy = torch.tensor([seen.x * 80, (1 - seen.y) * 48])
        K, w2c = expected.K[frame : frame + 1], expected.w2c[frame : frame + 1]
        worst = max(worst, (project(point[None, None], K, w2c)[0][0, 0] - xy).abs().max().item())
    return {**errors(folder / "back.json", expected), "pixel": worst}


def imported(load: Callable[[str], object], name: str, first: int, expected) -> dict[str, float]:
    empty_scene(expected.fps)
    load(str(folder / name))
    scene = bpy.context.scene
    scene.camera = next(entry for entry in bpy.data.objects if entry.type == "CAMERA")
    scene.render.resolution_x, scene.render.resolution_y = 80, 48
    scene.frame_start, scene.frame_end = first, first + expected.num_frames - 1
    export_script(folder / "back.json")
    return errors(folder / "back.json", expected)


def exported(save: Callable[[str], object], name: str, expected) -> dict[str, float]:
    empty_scene(24)
    runpy.run_path(str(folder / "plain.py"), run_name="__main__")
    save(str(folder / name))
    return errors(folder / name, expected)


plain, rich, tall = (
    read_camera_file(folder / f"{name}.json").trajectory for name in ("plain", "rich", "tall")
)


def import_gltf(path: str) -> None:
    bpy.ops.import_scene.gltf(filepath=path)


def import_usd(path: str) -> None:
    bpy.ops.wm.usd_import(filepath=path)


def import_alembic(path: str) -> None:
    bpy.ops.wm.alembic_import(filepath=path)


def export_gltf(path: str) -> None:
    bpy.ops.export_scene.gltf(filepath=path, export_cameras=True)


def export_usd(path: str) -> None:
    bpy.ops.wm.usd_export(filepath=path, export_animation=True)


def export_alembic(path: str) -> None:
    bpy.ops.wm.alembic_export(filepath=path)


results = {
    "rebuild plain": rebuild("plain.py", plain),
    "rebuild tall": rebuild("tall.py", tall),
    "import gltf": imported(import_gltf, "plain.glb", 0, plain),
    "import usd": imported(import_usd, "plain.usda", 1, plain),
    "import usd rich": imported(import_usd, "rich.usda", 1, rich),
    "export gltf": exported(export_gltf, "of_blender.glb", plain),
    "export usd": exported(export_usd, "of_blender.usdc", plain),
}
if (folder / "plain.abc").exists():
    results["import alembic"] = imported(import_alembic, "plain.abc", 1, plain)
    results["export alembic"] = exported(export_alembic, "of_blender.abc", plain)
(folder / "blender.json").write_text(json.dumps(results, indent=1))
