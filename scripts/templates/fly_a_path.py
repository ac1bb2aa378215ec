"""A camera path of one's own, drawn on the picture and checked before the model runs."""

from __future__ import annotations

from worldstereo_core.formats.polyline import polyline_from_text
from worldstereo_core.geometry.drawn_path import draw_path
from worldstereo_core.geometry.path_picture import draw_on_picture
from worldstereo_core.geometry.path_spline import sample_path

from .. import workflow_kits as kits
from .. import workflow_notes as notes
from .. import workflow_pieces as pieces
from ..thumbnail_scene import Image, Scene, to_image
from ..workflow_graph import BYPASSED, Box, Graph, Output

TEXT = f"""\
# Fly a path of your own

Draw where the camera goes on your picture, check it in seconds, then let the model paint it.

1. Put the model files in place (note below). Choose **Your picture**.
2. In *Draw Camera Path on Image* write the points of a line: percent or pixels from the left and the top, \
in order. Coordinates of a spline editor can be wired in. The preview shows the cameras on the picture.
3. *Check Camera Trajectory* says what would go wrong: collisions, holes, too fast, places nobody has seen. \
Select it and press the play button above it: this takes seconds. Set it to *stop* and a bad path never \
reaches the model.
4. Run.

Other ways to a path: write waypoints in *Build Camera Path*, turn a 3D viewer (*Add Waypoint from 3D \
Viewer*), or ask *Suggest Camera Trajectory* where to look next. *Edit Camera Trajectory* loops, smooths, \
mirrors and shakes any of them.

{notes.CLIP_LENGTH}
"""
# Along the floor and up to the middle of most pictures.
LINE = "52%,82% 58%,68% 60%,58%"


WAYS = """\
These nodes are bypassed; select one and press Ctrl+B to switch it on.

- *Build Camera Path*: waypoints as text. Wire its **path** into *Sample Camera Path*.
- *Suggest Camera Trajectory*: moves that show what the memory has not seen yet. Wire its **trajectory** \
into *Check Camera Trajectory*.
- *Edit Camera Trajectory*: one change at a time.
- *Camera of a Frame* gives a camera to a 3D viewer, *Add Waypoint from 3D Viewer* takes one back.
"""


def describe(graph: Graph) -> None:
    shared, source, edge = pieces.beginning(graph, kits.MEMORY_DMD, TEXT)
    draw = graph.add(
        "WorldStereo_DrawPath",
        width=400,
        height=620,
        memory=source.memory,
        line=LINE,
        reach=0.35,
        look="as at the start",
    )
    sample = graph.add(
        "WorldStereo_SamplePath",
        width=400,
        height=520,
        path=draw["path"],
        memory=source.memory,
        frames=shared.kit.frames,
    )
    path = graph.group("4 · Your path", edge + pieces.SPACE, 0, [[draw], [sample]], pieces.GOLD)
    check = graph.add(
        "WorldStereo_CheckTrajectory",
        title="Would it work? Look before you pay",
        width=420,
        height=680,
        memory=source.memory,
        trajectory=sample["trajectory"],
        first_frame=source.start,
    )
    made = pieces.clip(
        graph,
        path.right + pieces.SPACE,
        0,
        shared,
        source.start,
        source.memory,
        [check],
        number="5",
        name="clip",
    )
    below = graph.align([path, *made.boxes]) + pieces.SPACE
    ways = other_ways(graph, path.left, below, source.memory)
    pieces.interpolation(graph, ways.right + pieces.SPACE, below, made.images)


def other_ways(graph: Graph, left: int, top: int, memory: Output) -> Box:
    """Bypassed: paths from elsewhere, and what can be done with them."""
    build = graph.add("WorldStereo_BuildPath", mode=BYPASSED, width=400, height=560, memory=memory)
    suggest = graph.add("WorldStereo_SuggestTrajectory", mode=BYPASSED, width=400, height=600, memory=memory)
    edit = graph.add(
        "WorldStereo_EditTrajectory",
        mode=BYPASSED,
        width=400,
        height=480,
        trajectory=suggest["trajectory"],
        operation="smooth",
        memory=memory,
    )
    camera = graph.add(
        "WorldStereo_TakeCamera", mode=BYPASSED, width=400, trajectory=edit["trajectory"], frame=-1
    )
    waypoint = graph.add(
        "WorldStereo_AddWaypoint",
        mode=BYPASSED,
        width=400,
        height=560,
        camera_info=camera["camera_info"],
        path=build["path"],
        memory=memory,
    )
    note = graph.note(WAYS, title="Other ways to a path", width=400, height=260)
    return graph.group(
        "Off: other ways to a path",
        left,
        top,
        [[note, build], [suggest], [edit, camera], [waypoint]],
        pieces.GREY,
    )


def thumbnail(scene: Scene) -> Image:
    view = scene.memory.views[0]
    camera = view.camera
    line = polyline_from_text("30%,95% 60%,76% 68%,60% 56%,52%", (view.height, view.width))
    assert view.depth is not None
    path = draw_path(line, view.depth, camera, reach=0.6, scale=scene.memory.median_depth)
    picture = draw_on_picture(scene.picture, camera, sample_path(path, 21), line)
    return to_image(picture.movedim(-1, 0))
