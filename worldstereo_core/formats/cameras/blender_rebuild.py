"""Runs inside Blender: rebuild an animated camera from the data that ``write_blender`` puts in front of this
text.

Needs nothing but Blender (4.2 or later tested); it is copied into the exported script as it stands.
"""

from __future__ import annotations

from typing import Any


def rebuild(data: dict[str, Any]) -> Any:
    """Add the camera to the open scene, make it the active one, and set frame range, rate and picture size.

    Args:
        data: name, fps, first_frame, width, height, sensor_width_mm, pixel_aspect_y, and one entry per frame
            in location, quaternion (wxyz), lens_mm, shift_x and shift_y. World with z up, camera looking
            along -z.

    Returns:
        The camera object.
    """
    import bpy

    scene = bpy.context.scene
    camera = bpy.data.cameras.new(data["name"])
    holder = bpy.data.objects.new(data["name"], camera)
    scene.collection.objects.link(holder)
    scene.camera = holder
    render = scene.render
    render.resolution_x, render.resolution_y = data["width"], data["height"]
    render.resolution_percentage = 100
    # Blender's aspects are at least 1.
    aspect = data["pixel_aspect_y"]
    render.pixel_aspect_x, render.pixel_aspect_y = max(1.0, 1 / aspect), max(1.0, aspect)
    render.fps = max(1, round(data["fps"]))
    render.fps_base = render.fps / data["fps"]
    camera.sensor_fit, camera.sensor_width = "HORIZONTAL", data["sensor_width_mm"]
    holder.rotation_mode = "QUATERNION"
    frames = range(data["first_frame"], data["first_frame"] + len(data["location"]))
    scene.frame_start, scene.frame_end = frames[0], frames[-1]

    edit = bpy.context.preferences.edit
    usual = edit.keyframe_new_interpolation_type
    edit.keyframe_new_interpolation_type = "LINEAR"
    is_zoom = any(len(set(data[name])) > 1 for name in ("lens_mm", "shift_x", "shift_y"))
    try:
        for index, frame in enumerate(frames):
            holder.location = data["location"][index]
            holder.rotation_quaternion = data["quaternion"][index]
            camera.lens = data["lens_mm"][index]
            camera.shift_x, camera.shift_y = data["shift_x"][index], data["shift_y"][index]
            if len(frames) == 1:
                break
            holder.keyframe_insert("location", frame=frame)
            holder.keyframe_insert("rotation_quaternion", frame=frame)
            if is_zoom:
                for name in ("lens", "shift_x", "shift_y"):
                    camera.keyframe_insert(name, frame=frame)
    finally:
        edit.keyframe_new_interpolation_type = usual
    scene.frame_set(frames[0])
    return holder
