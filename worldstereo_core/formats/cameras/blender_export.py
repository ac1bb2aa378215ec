"""Runs inside Blender: write the scene's camera as an official camera.json that this package reads.

    blender scene.blend --background --python blender_export.py -- camera.json

or open it in Blender's text editor and press Run; the file then goes beside the .blend. Every frame of the
scene's range is written as rendered: parents, constraints and drivers count. Needs nothing but Blender (4.2
or later tested).
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def export(path: str, scene: Any = None) -> int:
    """Write the active camera of ``scene`` over its frame range.

    World-to-camera matrices in OpenCV axes (x right, y down, z forward; the world likewise, so Blender's up
    is -y), intrinsics in pixels of the rendered picture, frames per second beside them.

    Returns:
        The number of frames.
    """
    import bpy
    from mathutils import Matrix

    scene = scene or bpy.context.scene
    if scene.camera is None or scene.camera.type != "CAMERA":
        raise RuntimeError("the scene has no active camera; choose one (View > Cameras > Set Active Object)")
    if scene.camera.data.type != "PERSP":
        raise RuntimeError(f"the camera is of type {scene.camera.data.type}; switch it to Perspective")
    percent = scene.render.resolution_percentage / 100
    width, height = int(scene.render.resolution_x * percent), int(scene.render.resolution_y * percent)
    world = Matrix(((1, 0, 0, 0), (0, 0, -1, 0), (0, 1, 0, 0), (0, 0, 0, 1)))
    flip = Matrix.Diagonal((1, -1, -1, 1))
    extrinsic, intrinsic = [], []
    current = scene.frame_current
    try:
        for frame in range(scene.frame_start, scene.frame_end + 1, max(1, scene.frame_step)):
            scene.frame_set(frame)
            camera = scene.camera.evaluated_get(bpy.context.evaluated_depsgraph_get())
            # A scaled camera renders as an unscaled one.
            place, turn, _ = camera.matrix_world.decompose()
            pose = world @ Matrix.Translation(place) @ turn.to_matrix().to_4x4() @ flip
            extrinsic.append([list(row) for row in pose.inverted()])
            intrinsic.append(intrinsics(camera.data, scene.render, width, height))
    finally:
        scene.frame_set(current)
    content = {
        "extrinsic": extrinsic,
        "intrinsic": intrinsic,
        "width": width,
        "height": height,
        "fps": scene.render.fps / scene.render.fps_base / max(1, scene.frame_step),
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file)
    return len(extrinsic)


def intrinsics(camera: Any, render: Any, width: int, height: int) -> list[list[float]]:
    """K of a Blender camera in pixels of a ``width`` x ``height`` picture.

    Blender lays the sensor over the side that sensor_fit names (AUTO: the longer one, in units of pixel
    aspect) and counts shifts in that side's length.
    """
    x, y = render.pixel_aspect_x, render.pixel_aspect_y
    is_wide = width * x >= height * y
    is_horizontal = camera.sensor_fit == "HORIZONTAL" or (camera.sensor_fit == "AUTO" and is_wide)
    sensor = camera.sensor_height if camera.sensor_fit == "VERTICAL" else camera.sensor_width
    side = width * x if is_horizontal else height * y  # length of the sensor's side in square units
    focal = camera.lens / sensor * side
    cx = width / 2 - camera.shift_x * side / x
    cy = height / 2 + camera.shift_y * side / y
    return [[focal / x, 0.0, cx], [0.0, focal / y, cy], [0.0, 0.0, 1.0]]


def main() -> None:
    import bpy

    given = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    folder = os.path.dirname(bpy.data.filepath) or os.getcwd()
    path = os.path.abspath(given[0]) if given else os.path.join(folder, "camera.json")
    count = export(path)
    sys.stdout.write(f"{count} cameras written to {path}\n")


if __name__ == "__main__":
    main()
