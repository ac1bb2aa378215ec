"""A camera path flown by hand in the node's own 3D view, checked, then made into a clip."""

from __future__ import annotations

from worldstereo_core.geometry.camera_path import CameraPath, Waypoint, spread_times
from worldstereo_core.geometry.path_spline import sample_path

from .. import workflow_kits as kits
from .. import workflow_notes as notes
from .. import workflow_pieces as pieces
from ..thumbnail_scene import GOLD, Image, Scene
from ..workflow_graph import Graph

TEXT = f"""\
# Fly the camera in the node

A 3D view of your picture's points, with the camera path in it.

1. Put the model files in place (note below). Choose **Your picture**.
2. Select *Edit Camera Path in 3D* and press the play button above it: the points appear. This takes seconds \
and no model.
3. Drag waypoints, or look around and press **Record**: the view becomes a waypoint. The small picture shows \
what the camera sees at the playhead; **L** looks through it. **?** lists mouse and keys.
4. Press play above the node again: what is wrong is drawn on the path (collisions, too fast, places nobody \
has seen, holes).
5. Run.

An orbit of 30° stands there until you draw. A path from *Build Camera Path* or *Draw Camera Path on Image* \
can be wired into **path** as the start. To go on after a clip, wire its trajectory into \
**continue_from**.

{notes.CLIP_LENGTH}
"""


def describe(graph: Graph) -> None:
    shared, source, edge = pieces.beginning(graph, kits.MEMORY_DMD, TEXT)
    edit = graph.add(
        "WorldStereo_EditPath",
        title="Fly the camera here",
        width=1000,
        height=900,
        memory=source.memory,
        frames=shared.kit.frames,
    )
    path = graph.group("4 · Your path", edge + pieces.SPACE, 0, [[edit]], pieces.GOLD)
    check = graph.add(
        "WorldStereo_CheckTrajectory",
        title="Would it work? Look before you pay",
        width=420,
        height=680,
        memory=source.memory,
        trajectory=edit["trajectory"],
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
    pieces.interpolation(graph, path.left, below, made.images)


def thumbnail(scene: Scene) -> Image:
    """The points from above and behind, with a path of four waypoints and its cameras."""
    places = ((0.0, 0.0, 0.0), (-0.9, -0.15, 0.5), (-0.5, -0.55, 1.5), (0.7, -0.3, 1.7))
    aim = (0.3, 0.5, 4.0)
    path = CameraPath(tuple(spread_times([Waypoint(place) for place in places]))).looking_at(*aim)
    return scene.overview([(sample_path(path, 21), GOLD)], taken_in=0)
