"""The small model of this repository in a drawn world: two clips, no downloads."""

from __future__ import annotations

from dataclasses import dataclass

from worldstereo_core.commands.small_model import FRAMES, HEIGHT, NODE_EDGE_THRESHOLD, RADIUS, WIDTH

from .. import workflow_pieces as pieces
from ..small_thumbnail import small_clip
from ..thumbnail_scene import Image, Scene
from ..workflow_graph import Box, Graph, Node, Output
from ..workflow_kits import Sampling, few_steps

SPACE = pieces.SPACE
WORLD = 1_000_002
AMOUNT_DEG = 20.0
TEXT = """\
# Try it in one minute

Press **Run**. Nothing to download: the small model came with the pack.

A world is drawn that the model has never seen, and its first picture with exact depth becomes the memory. \
Clip 1 moves away; its frames go into the memory. Clip 2 moves back to where it began, and finds the same \
place. Beside the clips you see what the world really looks like.

The model has ten million weights and draws 96 x 64 pixels, so pictures are soft: it shows how the nodes \
work together. The released models (14 billion weights, 832 x 480) are in the other templates, wired \
alike.

* **world** on *Draw Example World*: another world (rooms, streets, landscapes).
* **preset** and **amount_deg** on *Build Camera Trajectory*: another move.
* **strength** on *Apply WorldStereo Control*: 0 shows what the model does without memory and camera.
"""


@dataclass(frozen=True)
class Given:
    """What both clips are made with."""

    load: Node
    vae: Node
    context: Node
    sampling: Sampling


def describe(graph: Graph) -> None:
    note = graph.note(TEXT, title="Start here", width=460, height=560)
    readme = graph.group("Read me", 0, 0, [[note]], pieces.GREY)
    load = graph.add(
        "WorldStereo_LoadModel",
        width=420,
        backbone="none",  # the file is complete
        worldstereo="small_worldstereo_memory_dmd.safetensors",
    )
    vae = graph.add("VAELoader", width=420, vae_name="small_wan_vae.safetensors")
    context = graph.add("WorldStereo_MakeNullContext", width=420)
    model = graph.group("1 · Small model", readme.right + SPACE, 0, [[load, vae, context]], pieces.BLUE)
    world = graph.add("WorldStereo_DrawWorld", width=380, world=WORLD)
    memory = graph.add(
        "WorldStereo_CreateMemory",
        width=380,
        image=world["image"],
        geometry=world["geometry"],
        edge_threshold=NODE_EDGE_THRESHOLD,
    )
    sampling = few_steps(graph)
    drawn = graph.group(
        "2 · A drawn world, and steps",
        model.right + SPACE,
        0,
        [[world, memory], sampling.nodes],
        pieces.GREEN,
    )
    given = Given(load, vae, context, sampling)
    left = drawn.right + SPACE
    move = {"preset": "orbit right", "amount_deg": AMOUNT_DEG}
    one, boxes = _clip(graph, left, 0, given, world["image"], memory["memory"], move, "3", "try_1")
    row = graph.align([readme, model, drawn, *boxes]) + SPACE
    truth = _truth(graph, one["track"])
    update = graph.add(
        "WorldStereo_UpdateMemory",
        width=400,
        memory=memory["memory"],
        images=one["images"],
        trajectory=one["track"],
        geometry=truth["geometry"],
        keep_frames=4,
        edge_threshold=NODE_EDGE_THRESHOLD,
        radius=RADIUS,
    )
    last = graph.add(
        "ImageFromBatch", title="Last frame of clip 1", width=400, image=one["images"], batch_index=FRAMES - 1
    )
    shown = _shown(graph, truth["image"], "The world along clip 1")
    taken = graph.group("4 · Memory takes clip 1 in", left, row, [[truth, update, last], shown], pieces.GREEN)
    move = {"preset": "orbit left", "amount_deg": AMOUNT_DEG, "continue_from": one["track"]}
    two, boxes = _clip(
        graph, taken.right + SPACE, row, given, last["IMAGE"], update["memory"], move, "5", "try_2"
    )
    row = graph.align([taken, *boxes]) + SPACE
    truth = _truth(graph, two["track"])
    graph.group(
        "The world along clip 2",
        taken.right + SPACE,
        row,
        [[truth], _shown(graph, truth["image"], "The world along clip 2")],
        pieces.GREY,
    )


def _truth(graph: Graph, track: Output) -> Node:
    return graph.add(
        "WorldStereo_DrawWorld",
        title="The same world along the clip",
        width=400,
        world=WORLD,
        trajectory=track,
    )


def _shown(graph: Graph, images: Output, title: str) -> list[Node]:
    large = _enlarged(graph, images)
    return [large, graph.add("PreviewImage", title=title, width=420, height=340, images=large["IMAGE"])]


def _enlarged(graph: Graph, images: Output) -> Node:
    large = graph.add(
        "ImageScale",
        title="Four times as large, to look at",
        width=420,
        image=images,
        upscale_method="lanczos",
        crop="disabled",
    )
    # Of the input, not of the node on the canvas.
    large.values |= {"width": 4 * WIDTH, "height": 4 * HEIGHT}
    return large


def _clip(
    graph: Graph,
    left: int,
    top: int,
    given: Given,
    start: Output,
    memory: Output,
    move: dict,
    number: str,
    name: str,
) -> tuple[dict[str, Output], list[Box]]:
    """One clip, from the camera move to the video file."""
    vae, context = given.vae["VAE"], given.context
    track = graph.add(
        "WorldStereo_BuildTrajectory", width=340, height=660, memory=memory, frames=FRAMES, **move
    )
    render = graph.add(
        "WorldStereo_RenderMemory",
        title="What the memory shows (grey is made up)",
        width=420,
        height=480,
        memory=memory,
        trajectory=track["trajectory"],
        radius=RADIUS,
        first_frame=start,
    )
    views = graph.add(
        "WorldStereo_RetrieveReferences",
        width=420,
        height=340,
        memory=memory,
        trajectory=track["trajectory"],
        frames=FRAMES,
    )
    first = graph.group(f"{number} · Camera move", left, top, [[track], [render, views]], pieces.GOLD)
    image = graph.add(
        "WorldStereo_EncodeFirstFrame",
        width=320,
        positive=context["positive"],
        negative=context["negative"],
        vae=vae,
        image=start,
        frames=FRAMES,
        clip_vision_output=context["clip_vision_output"],
    )
    image.values["mode"] = "first_frame_only"  # the input; `mode` of a node is another thing
    control = graph.add(
        "WorldStereo_EncodeControl",
        width=320,
        control=given.load["control"],
        vae=vae,
        trajectory=track["trajectory"],
        render=render["render"],
        holes=render["holes"],
        frames=FRAMES,
        references=views["references"],
    )
    apply = graph.add(
        "WorldStereo_ApplyControl",
        width=320,
        model=given.load["model"],
        control=given.load["control"],
        condition=control["condition"],
    )
    sample = graph.add(
        "SamplerCustom",
        width=320,
        model=apply["model"],
        positive=image["positive"],
        negative=image["negative"],
        sampler=given.sampling.sampler,
        sigmas=given.sampling.sigmas,
        latent_image=image["latent"],
        cfg=given.sampling.cfg,
        noise_seed=1024,
    )
    second = graph.group(
        f"{number} · Encode and sample",
        first.right + SPACE,
        top,
        [[image, control], [apply, sample]],
        pieces.RED,
    )
    split = graph.add("WorldStereo_SplitKeyframes", width=420, latent=sample["output"])
    decode = graph.add("VAEDecode", width=420, samples=split["latent"], vae=vae)
    large = _enlarged(graph, decode["IMAGE"])
    video = graph.add("CreateVideo", width=420, images=large["IMAGE"], fps=8.0)
    save = graph.add(
        "SaveVideo", width=420, height=380, video=video["VIDEO"], filename_prefix=f"worldstereo/{name}"
    )
    third = graph.group(
        f"{number} · Clip", second.right + SPACE, top, [[split, decode, large, video], [save]], pieces.TEAL
    )
    return {"images": decode["IMAGE"], "track": track["trajectory"]}, [first, second, third]


def thumbnail(scene: Scene) -> Image:
    return small_clip(WORLD, AMOUNT_DEG)
