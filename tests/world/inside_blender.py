"""Open an exported folder inside Blender and say where things are: python inside_blender.py FOLDER RESULT."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bpy
from mathutils import Vector


def places(kind: str, load: object, path: Path) -> dict[str, list]:
    """Points in Blender's world, and their colours where there are any."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    load(filepath=str(path))
    (mesh,) = (entry for entry in bpy.data.objects if entry.type in ("MESH", "POINTCLOUD"))
    found = {kind: [list(mesh.matrix_world @ vertex.co) for vertex in mesh.data.vertices]}
    if mesh.data.color_attributes:
        colours = mesh.data.color_attributes[0].data
        found[f"{kind} colours"] = [list(entry.color_srgb)[:3] for entry in colours]
    return found


def main(folder: Path, result: Path) -> None:
    found = places("glb", bpy.ops.import_scene.gltf, folder / "points.glb")
    found |= places("ply", bpy.ops.wm.ply_import, folder / "points.ply")
    script = compile((folder / "camera.py").read_text(encoding="utf-8"), "camera.py", "exec")
    exec(script, {"__name__": "__main__"})
    scene = bpy.context.scene
    for frame in (scene.frame_start, scene.frame_end):
        scene.frame_set(frame)
        matrix = scene.camera.matrix_world
        turn = matrix.to_quaternion()
        ways = [list(turn @ Vector(way)) for way in ((1, 0, 0), (0, 1, 0), (0, 0, -1))]
        found[f"camera {frame}"] = [list(matrix.translation), *ways]
    result.write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
