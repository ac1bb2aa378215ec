"""Render an exported folder inside Blender: its points, seen by the camera that its own script makes.

    python scripts/blender_picture.py FOLDER PICTURE.png FRAME

Needs bpy. Run by draw_exports.py, in a process of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bpy


def main(folder: Path, picture: Path, frame: int) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.ply_import(filepath=str(folder / "points.ply"))
    points = bpy.context.view_layer.objects.active
    exec(
        compile((folder / "camera.py").read_text(encoding="utf-8"), "camera.py", "exec"),
        {"__name__": "__main__"},
    )
    show_as_balls(points, 0.009)
    scene = bpy.context.scene
    scene.world = bpy.data.worlds.new("paper")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.85, 0.85, 0.84, 1)
    scene.render.engine = "CYCLES"
    scene.cycles.device, scene.cycles.samples, scene.cycles.use_denoising = "CPU", 8, False
    scene.view_settings.view_transform = "Standard"
    scene.render.filepath = str(picture)
    scene.frame_set(frame)
    bpy.ops.render.render(write_still=True)


def show_as_balls(points: bpy.types.Object, radius: float) -> None:
    """Balls in the points' own colours, which need no light."""
    material = bpy.data.materials.new("own colours")
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    colour, light = nodes.new("ShaderNodeAttribute"), nodes.new("ShaderNodeEmission")
    colour.attribute_name = points.data.color_attributes[0].name
    output = nodes.new("ShaderNodeOutputMaterial")
    links.new(colour.outputs["Color"], light.inputs["Color"])
    links.new(light.outputs["Emission"], output.inputs["Surface"])

    group = bpy.data.node_groups.new("balls", "GeometryNodeTree")
    group.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    group.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    start, end = group.nodes.new("NodeGroupInput"), group.nodes.new("NodeGroupOutput")
    balls, painted = group.nodes.new("GeometryNodeMeshToPoints"), group.nodes.new("GeometryNodeSetMaterial")
    balls.inputs["Radius"].default_value = radius
    painted.inputs["Material"].default_value = material
    group.links.new(start.outputs[0], balls.inputs[0])
    group.links.new(balls.outputs[0], painted.inputs["Geometry"])
    group.links.new(painted.outputs["Geometry"], end.inputs[0])
    points.modifiers.new("balls", "NODES").node_group = group


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
