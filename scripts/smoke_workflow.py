"""A workflow without models for comfy-test's CPU machines: a wall becomes points, a camera passes it.

It lies in workflows/tests, which ComfyUI does not offer as templates.
"""

from __future__ import annotations

from .workflow_graph import Graph, Node

NAME = "geometry_without_models"
WIDTH, HEIGHT = 192, 128


def plain(graph: Graph, title: str, color: int) -> Node:
    node = graph.add("EmptyImage", title=title, height=110)
    node.values.update(width=WIDTH, height=HEIGHT, batch_size=1, color=color)
    return node


def describe(graph: Graph) -> None:
    wall, depth = plain(graph, "A wall", 0x70A0C0), plain(graph, "Its depth", 0x808080)
    memory = graph.add("WorldStereo_CreateMemory", image=wall["IMAGE"], geometry=depth["IMAGE"], fov_deg=60.0)
    move = graph.add(
        "WorldStereo_BuildTrajectory", height=660, memory=memory["memory"], preset="truck right", frames=5
    )
    render = graph.add(
        "WorldStereo_RenderMemory",
        height=480,
        memory=memory["memory"],
        trajectory=move["trajectory"],
        first_frame=wall["IMAGE"],
    )
    cloud = graph.add("WorldStereo_ExportPointCloud", memory=memory["memory"])
    save = graph.add("WorldStereo_SaveTrajectory", trajectory=move["trajectory"])
    keep = graph.add("WorldStereo_SaveMemory", memory=memory["memory"])
    graph.group(
        "Without models", 0, 0, [[wall, depth, memory], [move], [render], [cloud, save, keep]], "#3f789e"
    )
