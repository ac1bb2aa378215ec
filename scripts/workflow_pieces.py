"""Groups that several templates share; they read left to right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import workflow_files as files
from . import workflow_notes as notes
from .workflow_graph import BYPASSED, Box, Graph, Node, Output
from .workflow_kits import Kit, Sampling
from .workflow_loaders import models

BLUE, GREEN, GOLD, PURPLE, RED, TEAL, GREY = (
    "#3f789e",
    "#4f8a4f",
    "#a68a2e",
    "#6a5fa8",
    "#a8524b",
    "#2e8a8a",
    "#666666",
)
SPACE = 60  # between groups
ORBIT_RIGHT: dict[str, Any] = {"preset": "orbit right", "amount_deg": 20.0}


@dataclass(frozen=True)
class Shared:
    """What every clip of a workflow uses."""

    kit: Kit
    model: Output
    control: Output
    vae: Output
    clip_vision: Output
    moge: Output
    positive: Output
    negative: Output
    sampling: Sampling


@dataclass(frozen=True)
class Source:
    """Where the world of a workflow comes from.

    Attributes:
        start: the picture that the first clip starts with.
        memory: its world.
    """

    start: Output
    memory: Output
    box: Box
    nodes: dict[str, Node] = field(default_factory=dict)


@dataclass(frozen=True)
class Clip:
    """What later nodes take from a clip, and its groups from left to right."""

    images: Output
    trajectory: Output
    boxes: tuple[Box, ...]
    nodes: dict[str, Node]


def picture(graph: Graph, left: int, top: int, moge: Output) -> Source:
    """From one picture to the memory of its world."""
    load = graph.add("LoadImage", title="Your picture", width=360, height=340, image="example.png")
    fit = graph.add("WorldStereo_FitImage", width=360, image=load["IMAGE"])
    depth = graph.add(
        "MoGeInference", title="Depth of the picture", width=360, moge_model=moge, image=fit["image"]
    )
    memory = graph.add(
        "WorldStereo_CreateMemory", width=360, image=fit["image"], geometry=depth["moge_geometry"]
    )
    box = graph.group("2 · Picture to point cloud", left, top, [[load, fit], [depth, memory]], GREEN)
    return Source(fit["image"], memory["memory"], box, {"picture": load})


def prompt(graph: Graph, left: int, top: int, clip: Output, kit: Kit) -> tuple[Node, Node, Sampling, Box]:
    """Prompts, and beside them the nodes that say how all clips are sampled."""
    sampling = kit.sampling(graph)
    positive = graph.add(
        "CLIPTextEncode", title="What the clip shows", width=400, height=170, clip=clip, text=kit.prompt
    )
    title = "What it should not show" if kit.negative else "What it should not show (not used at CFG 1)"
    unwanted = graph.add("CLIPTextEncode", title=title, width=400, height=110, clip=clip, text=kit.negative)
    box = graph.group("3 · Prompt and steps", left, top, [[positive, unwanted], sampling.nodes], PURPLE)
    return positive, unwanted, sampling, box


def move_node(graph: Graph, memory: Output, kit: Kit, move: Mapping[str, Any]) -> Node:
    """A camera move from a preset."""
    settings = {"frames": kit.frames, **move}
    return graph.add("WorldStereo_BuildTrajectory", width=340, height=660, memory=memory, **settings)


def clip(
    graph: Graph,
    left: int,
    top: int,
    shared: Shared,
    start: Output,
    memory: Output,
    moves: list[Node],
    *,
    number: str,
    name: str,
    extra: str = "",
) -> Clip:
    """One clip, from the camera move to the video file: three groups from left to right.

    Args:
        start: the picture the clip starts with.
        moves: nodes of the camera move; the first one gives the trajectory.
        number: what the group titles begin with.
        name: the video's file name.
        extra: "early look" adds a node that shows the clip roughly, before the sampler; "draft" starts
            from the render instead of noise.
    """
    kit = shared.kit
    track = moves[0]["trajectory"]
    render = graph.add(
        "WorldStereo_RenderMemory",
        title="What the camera sees (grey is made up by the model)",
        width=420,
        height=480,
        memory=memory,
        trajectory=track,
        first_frame=start,
    )
    seen, references = [render], {}
    if kit.has_references:
        views = graph.add(
            "WorldStereo_RetrieveReferences", width=420, height=340, memory=memory, trajectory=track
        )
        seen.append(views)
        references = {"references": views["references"]}
    box = graph.group(f"{number} · Camera move", left, top, [moves, seen], GOLD)

    vision = graph.add("WorldStereo_EncodeClipVision", width=320, clip_vision=shared.clip_vision, image=start)
    image = graph.add(
        "WorldStereo_EncodeFirstFrame",
        width=320,
        positive=shared.positive,
        negative=shared.negative,
        vae=shared.vae,
        image=start,
        clip_vision_output=vision["clip_vision_output"],
    )
    control = graph.add(
        "WorldStereo_EncodeControl",
        width=320,
        control=shared.control,
        vae=shared.vae,
        trajectory=track,
        render=render["render"],
        holes=render["holes"],
        **references,
    )
    apply = graph.add(
        "WorldStereo_ApplyControl",
        width=320,
        model=shared.model,
        control=shared.control,
        condition=control["condition"],
    )
    second, latent = [apply], image["latent"]
    if extra == "early look":
        early = graph.add(
            "WorldStereo_LookEarly",
            title="Early look: one step, half the size",
            height=460,
            model=apply["model"],
            positive=image["positive"],
            negative=image["negative"],
            latent=image["latent"],
            vae=shared.vae,
            seed=1024,
            size="half",
        )
        second.append(early)
    elif extra == "draft":
        draft = graph.add(
            "WorldStereo_EncodeKeyframes",
            title="The render as a draft",
            images=render["render"],
            vae=shared.vae,
        )
        second, latent = [apply, draft], draft["latent"]
    sample = graph.add(
        "SamplerCustom",
        width=320,
        model=apply["model"],
        positive=image["positive"],
        negative=image["negative"],
        sampler=shared.sampling.sampler,
        sigmas=shared.sampling.sigmas,
        latent_image=latent,
        cfg=shared.sampling.cfg,
        noise_seed=1024,
    )
    middle = graph.group(
        f"{number} · Encode and sample",
        box.right + SPACE,
        top,
        [[vision, image, control], [*second, sample]],
        RED,
    )
    split = [] if kit.makes_video else [graph.add("WorldStereo_SplitKeyframes", width=420)]
    if split:
        split[0].inputs["latent"] = sample["output"]
    samples = split[0]["latent"] if split else sample["output"]
    decode = graph.add("VAEDecode", width=420, samples=samples, vae=shared.vae)
    video = graph.add("CreateVideo", width=420, images=decode["IMAGE"], fps=16.0)
    save = graph.add(
        "SaveVideo", width=420, height=380, video=video["VIDEO"], filename_prefix=f"worldstereo/{name}"
    )
    length = "81 frames, 5 s" if kit.makes_video else "21 key frames, 1.3 s"
    end = graph.group(
        f"{number} · Clip: {length}", middle.right + SPACE, top, [[*split, decode, video], [save]], TEAL
    )
    nodes = {"move": moves[0], "render": render, "sample": sample, "save": save}
    return Clip(decode["IMAGE"], track, (box, middle, end), nodes)


def interpolation(graph: Graph, left: int, top: int, images: Output, first: tuple[Node, ...] = ()) -> Box:
    """The bypassed branch that makes a longer, smoother video of the key frames with core nodes."""
    load = graph.add(
        "FrameInterpolationModelLoader",
        width=420,
        mode=BYPASSED,
        model_name=files.INTERPOLATION.name,
        models=(files.INTERPOLATION,),
    )
    between = graph.add(
        "FrameInterpolate",
        width=420,
        mode=BYPASSED,
        interp_model=load["INTERP_MODEL"],
        images=images,
        multiplier=4,
    )
    video = graph.add("CreateVideo", width=420, mode=BYPASSED, images=between["IMAGE"], fps=16.0)
    save = graph.add(
        "SaveVideo",
        width=420,
        height=380,
        mode=BYPASSED,
        video=video["VIDEO"],
        filename_prefix="worldstereo/smooth",
    )
    note = graph.note(notes.INTERPOLATION_TEXT, title="Longer and smoother", width=420, height=230)
    columns = [[note], [*first, load, between], [video, save]]
    return graph.group("Off: longer, smoother video", left, top, columns, GREY)


def beginning(
    graph: Graph,
    kit: Kit,
    text: str,
    world: Callable[[Graph, int, int, Output], Source] = picture,
) -> tuple[Shared, Source, int]:
    """The left block: notes, models, where the world comes from, prompt.

    Args:
        text: of the note "Start here".
        world: places the group between models and prompt, given left, top and the depth model.

    Returns:
        What clips share, the world, and the block's right edge.
    """
    start_note = graph.note(text, title="Start here", width=440, height=520)
    files_note = graph.note(files.files_text, title="Where the files go", width=440, height=520)
    readme = graph.group("Read me", 0, 0, [[start_note, files_note]], GREY)
    left = readme.right + SPACE
    loaded, model, loaders = models(graph, left, 0, kit)
    source = world(graph, left, loaders.bottom + SPACE, loaded["moge"])
    positive, negative, sampling, words = prompt(graph, left, source.box.bottom + SPACE, loaded["text"], kit)
    graph.align([readme, words])
    source.nodes["prompt"] = positive
    shared = Shared(
        kit,
        model,
        loaded["control"],
        loaded["vae"],
        loaded["vision"],
        loaded["moge"],
        positive["CONDITIONING"],
        negative["CONDITIONING"],
        sampling,
    )
    return shared, source, graph.align([loaders, source.box, words], right=True)


def first_clip(
    graph: Graph, kit: Kit, text: str, move: Mapping[str, Any] = ORBIT_RIGHT, extra: str = ""
) -> Clip:
    """A whole template of one clip from one picture; `extra` as for `clip`."""
    shared, source, edge = beginning(graph, kit, text)
    moves = [move_node(graph, source.memory, kit, move)]
    left, start = edge + SPACE, source.start
    made = clip(graph, left, 0, shared, start, source.memory, moves, number="4", name="clip", extra=extra)
    made.nodes.update(source.nodes)
    if not kit.makes_video:
        interpolation(graph, made.boxes[1].left, graph.align(made.boxes) + SPACE, made.images)
    return made


def grow(graph: Graph, shared: Shared, memory: Output, made: Clip) -> tuple[list[Node], Output]:
    """Depth of a finished clip and the memory that holds the clip as well."""
    depth = graph.add(
        "MoGeInference", title="Depth of the clip", width=400, moge_model=shared.moge, image=made.images
    )
    update = graph.add(
        "WorldStereo_UpdateMemory",
        width=400,
        memory=memory,
        images=made.images,
        trajectory=made.trajectory,
        geometry=depth["moge_geometry"],
        alignment="robust",
    )
    return [depth, update], update["memory"]


def save_world(graph: Graph, left: int, top: int, memory: Output, *, number: str) -> Box:
    """The point cloud as a PLY file and on screen, and the memory as a file to go on from."""
    cloud = graph.add(
        "WorldStereo_ExportPointCloud", width=400, memory=memory, filename_prefix="worldstereo/world"
    )
    keep = graph.add("WorldStereo_SaveMemory", width=400, memory=memory)
    view = graph.add(
        "PreviewPointCloud", title="The world so far", width=640, height=600, model_3d=cloud["ply"]
    )
    return graph.group(f"{number} · World: point cloud and memory", left, top, [[cloud, keep], [view]], BLUE)
