"""One clip as an app: picture, move and prompt in, clip out."""

from __future__ import annotations

from .. import workflow_kits as kits
from .. import workflow_notes as notes
from .. import workflow_pieces as pieces
from ..thumbnail_scene import Image, Scene
from ..workflow_graph import Graph

TEXT = f"""\
# One clip, as an app

The workflow opens as an app with five inputs: picture, camera move, degrees, distance, prompt. *Graph* in \
the bar above shows what is behind it, and **App builder** there changes what the app offers.

{notes.STEPS}

{notes.CLIP_LENGTH}
"""


def describe(graph: Graph) -> None:
    made = pieces.first_clip(graph, kits.MEMORY_DMD, TEXT)
    move = made.nodes["move"]
    graph.show_as_app(
        [
            (made.nodes["picture"], "image", {"description": "The picture the clip starts with."}),
            (move, "preset", {"description": "Directions are the camera's."}),
            (move, "amount_deg", {"description": "For orbit, pan, tilt and roll."}),
            (
                move,
                "distance",
                {"description": "For dolly and truck; 1 = to the middle of the scene."},
            ),
            (made.nodes["prompt"], "text", {"height": 140}),
        ],
        [made.nodes["save"]],
    )


def thumbnail(scene: Scene) -> Image:
    return scene.halves(scene.move("pan right", 15.0))
