"""Six clips along a path that comes back to its beginning, made by one node, kept in a world folder."""

from __future__ import annotations

from .. import workflow_kits as kits
from .. import workflow_notes as notes
from .. import workflow_pieces as pieces
from ..thumbnail_scene import Image, Scene
from ..workflow_graph import Box, Graph, Node, Output
from ..workflow_pieces import SPACE

MOVES = (
    {"preset": "orbit right", "amount_deg": 20.0},
    {"preset": "orbit right", "amount_deg": 20.0},
    {"preset": "orbit left", "amount_deg": 40.0},
    {"preset": "orbit left", "amount_deg": 20.0},
    {"preset": "orbit left", "amount_deg": 20.0},
    {"preset": "orbit right", "amount_deg": 40.0},
)
TEXT = f"""\
# Six clips around a room

Six camera moves, each beginning where the one before ends; the last one ends where the first began. \
**Generate Clips** makes them one after the other: render, references, sampling, depth, memory. Every \
finished clip is saved in the **world folder** at once.

1. Put the model files in place (note below).
2. Choose **Your picture**, and a **name** for the world in *Open World Folder*: a new world, a new name.
3. Set the six **camera moves**. Look at one before you pay: select it and press the play button above it.
4. Run. Cancel when you like; **run again and it goes on at the first missing clip**, also after a restart.
5. A clip is bad? Its number into *Accept or Reject Clips*, *reject*, and run again: it is made anew with \
another seed, and so is what was built on it.

{notes.CLIP_LENGTH.split(" The group")[0]} Six clips, shared frames left out: 122 key frames, 7.6 seconds.
"""


def path(graph: Graph, left: int, top: int, memory: Output) -> tuple[Output, Box]:
    """Six moves in two rows, wired one after the other, and their list."""
    moves: list[Node] = []
    for number, move in enumerate(MOVES, 1):
        before = {"continue_from": moves[-1]["trajectory"]} if moves else {}
        moves.append(
            graph.add(
                "WorldStereo_BuildTrajectory",
                title=f"Move {number}",
                width=340,
                height=660,
                memory=memory,
                **before,
                **move,
            )
        )
    wires = {f"trajectories.trajectory{slot}": move["trajectory"] for slot, move in enumerate(moves)}
    listed = graph.add("WorldStereo_ListTrajectories", width=340, **wires)
    columns = [[moves[0], moves[3]], [moves[1], moves[4]], [moves[2], moves[5]], [listed]]
    return listed["trajectories"], graph.group("4 · Six camera moves", left, top, columns, pieces.GOLD)


def describe(graph: Graph) -> None:
    shared, source, edge = pieces.beginning(graph, kits.MEMORY_DMD, TEXT)
    trajectories, moves = path(graph, edge + SPACE, 0, source.memory)
    world = graph.add(
        "WorldStereo_OpenWorld", width=420, height=420, memory=source.memory, name="worldstereo/six_clips"
    )
    decide = graph.add("WorldStereo_DecideClip", width=420, world=world["world"], decision="reject")
    make = graph.add(
        "WorldStereo_GenerateClips",
        width=420,
        height=620,
        world=decide["world"],
        trajectories=trajectories,
        model=shared.model,
        control=shared.control,
        vae=shared.vae,
        positive=shared.positive,
        negative=shared.negative,
        sampler=shared.sampling.sampler,
        sigmas=shared.sampling.sigmas,
        cfg=shared.sampling.cfg,
        clip_vision=shared.clip_vision,
        moge_model=shared.moge,
    )
    made = graph.group(
        "5 · World folder and clips", moves.right + SPACE, 0, [[world, decide], [make]], pieces.RED
    )
    video = graph.add("CreateVideo", width=420, images=make["images"], fps=16.0)
    save = graph.add(
        "SaveVideo", width=420, height=380, video=video["VIDEO"], filename_prefix="worldstereo/six_clips"
    )
    report = graph.add("PreviewAny", title="What was made", width=420, height=260, source=make["report"])
    end = graph.group(
        "6 · All clips: 122 key frames, 7.6 s",
        made.right + SPACE,
        0,
        [[video, report], [save]],
        pieces.TEAL,
    )
    row = graph.align([moves, made, end]) + SPACE
    kept = pieces.save_world(graph, moves.left, row, make["memory"], number="7")
    graph.align([kept])


def thumbnail(scene: Scene) -> Image:
    return scene.film_strip(scene.move("orbit left", 40.0))
