"""The three templates as descriptions: which nodes, wired how, grouped in rows that read left to right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import workflow_notes as notes
from .workflow_graph import BYPASSED, Box, Graph, Node, Output

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
PROMPT = (
    "A still scene, the camera glides through it. Sharp, photorealistic, even light, nothing moves by itself."
)
NEGATIVE = "blurry, distorted, flickering, people walking, moving objects, text, watermark"


@dataclass(frozen=True)
class Shared:
    """Nodes that every clip of a workflow uses."""

    loader: Node
    vae: Output
    clip_vision: Output
    positive: Output
    negative: Output
    sampler: Output
    sigmas: Output
    moge: Output
    cfg: float
    has_references: bool


@dataclass(frozen=True)
class Clip:
    """What later nodes take from a clip, and its groups from left to right."""

    images: Output
    trajectory: Output
    boxes: tuple[Box, ...]


def models(graph: Graph, left: int, top: int, variant: str) -> tuple[dict[str, Node], Box]:
    """Loaders with the real file names and where to download them, and what the loader says."""
    is_camera = variant == "camera"
    load = graph.add(
        "WorldStereo_LoadModel",
        width=440,
        backbone=notes.BACKBONE["name"] if is_camera else "none",
        worldstereo=notes.WORLDSTEREO[variant]["name"],
        variant=variant,
        models=(notes.BACKBONE, notes.WORLDSTEREO[variant]) if is_camera else (notes.WORLDSTEREO[variant],),
    )
    report = graph.add(
        "PreviewAny", title="What the loader found", width=440, height=220, source=load["report"]
    )
    text = graph.add(
        "CLIPLoader",
        title="Load text encoder",
        width=440,
        clip_name=notes.TEXT_ENCODER["name"],
        type="wan",
        models=(notes.TEXT_ENCODER,),
    )
    vision = graph.add(
        "CLIPVisionLoader", width=440, clip_name=notes.CLIP_VISION["name"], models=(notes.CLIP_VISION,)
    )
    vae = graph.add("VAELoader", width=440, vae_name=notes.VAE["name"], models=(notes.VAE,))
    moge = graph.add("LoadMoGeModel", width=440, model_name=notes.MOGE["name"], models=(notes.MOGE,))
    box = graph.group("1 · Models", left, top, [[load, report], [text, vision, vae, moge]], BLUE)
    return {"load": load, "text": text, "vision": vision, "vae": vae, "moge": moge}, box


def picture(graph: Graph, left: int, top: int, moge: Output) -> tuple[Node, Node, Box]:
    """From a picture to the memory of its world; gives the fitted picture, the memory and the rectangle."""
    load = graph.add("LoadImage", title="Your picture", width=360, height=340, image="example.png")
    fit = graph.add("WorldStereo_FitImage", width=360, image=load["IMAGE"])
    depth = graph.add(
        "MoGeInference", title="Depth of the picture", width=360, moge_model=moge, image=fit["image"]
    )
    memory = graph.add(
        "WorldStereo_CreateMemory", width=360, image=fit["image"], geometry=depth["moge_geometry"]
    )
    box = graph.group("2 · Picture to point cloud", left, top, [[load, fit], [depth, memory]], GREEN)
    return fit, memory, box


def prompt(
    graph: Graph, left: int, top: int, clip: Output, sampling: list[Node], negative: str
) -> tuple[Node, Node, Box]:
    """Prompts, and under them the nodes that say how all clips are sampled."""
    positive = graph.add(
        "CLIPTextEncode", title="What the clip shows", width=400, height=170, clip=clip, text=PROMPT
    )
    title = "What it should not show" if negative else "What it should not show (not used at CFG 1)"
    unwanted = graph.add("CLIPTextEncode", title=title, width=400, height=110, clip=clip, text=negative)
    box = graph.group("3 · Prompt and steps", left, top, [[positive, unwanted], sampling], PURPLE)
    return positive, unwanted, box


def clip(
    graph: Graph,
    left: int,
    top: int,
    shared: Shared,
    start: Output,
    memory: Output,
    move: Mapping[str, Any],
    *,
    number: str,
    name: str,
) -> Clip:
    """One clip, from the camera move to the video file: four groups from left to right.

    Args:
        start: the picture the clip starts with.
        move: settings of the trajectory node.
        number: what the group titles begin with.
        name: the video's file name.
    """
    trajectory = graph.add("WorldStereo_BuildTrajectory", width=340, height=600, memory=memory, **move)
    track = trajectory["trajectory"]
    render = graph.add(
        "WorldStereo_RenderMemory",
        title="What the camera sees (grey is made up by the model)",
        width=420,
        height=420,
        memory=memory,
        trajectory=track,
        first_frame=start,
    )
    seen, references = [render], {}
    if shared.has_references:
        views = graph.add(
            "WorldStereo_RetrieveReferences", width=420, height=340, memory=memory, trajectory=track
        )
        seen.append(views)
        references = {"references": views["references"]}
    box = graph.group(f"{number} · Camera move", left, top, [[trajectory], seen], GOLD)

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
        control=shared.loader["control"],
        vae=shared.vae,
        trajectory=track,
        render=render["render"],
        holes=render["holes"],
        **references,
    )
    apply = graph.add(
        "WorldStereo_ApplyControl",
        width=320,
        model=shared.loader["model"],
        control=shared.loader["control"],
        condition=control["condition"],
    )
    sample = graph.add(
        "SamplerCustom",
        width=320,
        model=apply["model"],
        positive=image["positive"],
        negative=image["negative"],
        sampler=shared.sampler,
        sigmas=shared.sigmas,
        latent_image=image["latent"],
        cfg=shared.cfg,
        noise_seed=1024,
    )
    middle = graph.group(
        f"{number} · Encode and sample",
        box.right + SPACE,
        top,
        [[vision, image, control], [apply, sample]],
        RED,
    )
    split = graph.add("WorldStereo_SplitKeyframes", width=420, latent=sample["output"])
    decode = graph.add("VAEDecode", width=420, samples=split["latent"], vae=shared.vae)
    video = graph.add("CreateVideo", width=420, images=decode["IMAGE"], fps=16.0)
    save = graph.add(
        "SaveVideo", width=420, height=380, video=video["VIDEO"], filename_prefix=f"worldstereo/{name}"
    )
    end = graph.group(
        f"{number} · Clip: 21 key frames, 1.3 s",
        middle.right + SPACE,
        top,
        [[split, decode, video], [save]],
        TEAL,
    )
    return Clip(decode["IMAGE"], track, (box, middle, end))


def interpolation(graph: Graph, left: int, top: int, images: Output, first: tuple[Node, ...] = ()) -> Box:
    """The bypassed branch that makes a longer, smoother video of the key frames with core nodes."""
    load = graph.add(
        "FrameInterpolationModelLoader",
        width=420,
        mode=BYPASSED,
        model_name=notes.INTERPOLATION["name"],
        models=(notes.INTERPOLATION,),
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


def few_steps(graph: Graph) -> tuple[list[Node], Output, Output, float]:
    """Sampling nodes of memory-dmd, its sampler, sigmas and CFG."""
    sigmas = graph.add(
        "WorldStereo_MakeSigmas", width=400, schedule="few-step (DMD)", steps=4, shift=5.0, start=250
    )
    sampler = graph.add("KSamplerSelect", width=400, sampler_name="euler")
    return [sigmas, sampler], sampler["SAMPLER"], sigmas["sigmas"], 1.0


def many_steps(graph: Graph) -> tuple[list[Node], Output, Output, float]:
    """Sampling nodes of the camera file, its sampler, sigmas and CFG."""
    sigmas = graph.add("WorldStereo_MakeSigmas", width=400, schedule="flow (UniPC)", steps=40, shift=3.0)
    sampler = graph.add("WorldStereo_MakeUniPCSampler", width=400)
    return [sigmas, sampler], sampler["sampler"], sigmas["sigmas"], 5.0


def beginning(graph: Graph, variant: str, text: str) -> tuple[Shared, Node, Node, int]:
    """The left block: notes, models, picture, prompt. Gives fitted picture, memory and right edge."""
    start_note = graph.note(text, title="Start here", width=440, height=520)
    files_note = graph.note(notes.files_text(variant), title="Where the files go", width=440, height=520)
    readme = graph.group("Read me", 0, 0, [[start_note, files_note]], GREY)
    left = readme.right + SPACE
    loaded, files = models(graph, left, 0, variant)
    fit, memory, cloud = picture(graph, left, files.bottom + SPACE, loaded["moge"]["MOGE_MODEL"])
    is_camera = variant == "camera"
    sampling, sampler, sigmas, cfg = many_steps(graph) if is_camera else few_steps(graph)
    unwanted = NEGATIVE if is_camera else ""
    positive, negative, words = prompt(
        graph, left, cloud.bottom + SPACE, loaded["text"]["CLIP"], sampling, unwanted
    )
    graph.align([readme, words])
    shared = Shared(
        loaded["load"],
        loaded["vae"]["VAE"],
        loaded["vision"]["CLIP_VISION"],
        positive["CONDITIONING"],
        negative["CONDITIONING"],
        sampler,
        sigmas,
        loaded["moge"]["MOGE_MODEL"],
        cfg,
        not is_camera,
    )
    return shared, fit, memory, graph.align([files, cloud, words], right=True)


def one_clip(graph: Graph, variant: str = "memory-dmd", text: str = notes.ONE_CLIP) -> None:
    shared, fit, memory, edge = beginning(graph, variant, text)
    move = {"preset": "orbit right", "amount_deg": 20.0}
    left = edge + SPACE
    made = clip(graph, left, 0, shared, fit["image"], memory["memory"], move, number="4", name="clip")
    interpolation(graph, made.boxes[1].left, graph.align(made.boxes) + SPACE, made.images)


def camera_variant(graph: Graph) -> None:
    one_clip(graph, "camera", notes.CAMERA_VARIANT)


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
    )
    report = graph.add("PreviewAny", title="What was added", width=400, height=160, source=update["report"])
    return [depth, update, report], update["memory"]


def two_clips(graph: Graph) -> None:
    shared, fit, memory, edge = beginning(graph, "memory-dmd", notes.TWO_CLIPS)
    left = edge + SPACE
    move: dict[str, Any] = {"preset": "orbit right", "amount_deg": 20.0}
    one = clip(graph, left, 0, shared, fit["image"], memory["memory"], move, number="4", name="clip_01")
    row = graph.align(one.boxes) + SPACE
    nodes, grown = grow(graph, shared, memory["memory"], one)
    last = graph.add(
        "ImageFromBatch", title="Last frame of clip 1", width=400, image=one.images, batch_index=20
    )
    taken = graph.group("5 · Memory takes clip 1 in", left, row, [[*nodes, last]], GREEN)
    move = {"preset": "orbit left", "amount_deg": 40.0, "continue_from": one.trajectory}
    two = clip(
        graph, taken.right + SPACE, row, shared, last["IMAGE"], grown, move, number="6", name="clip_02"
    )
    row = graph.align([taken, *two.boxes]) + SPACE
    nodes, world = grow(graph, shared, grown, two)
    taken = graph.group("7 · Memory takes clip 2 in", left, row, [nodes], GREEN)
    saved = save_world(graph, taken.right + SPACE, row, world)
    rest = graph.add(
        "ImageFromBatch",
        title="Clip 2 without its first frame",
        width=420,
        mode=BYPASSED,
        image=two.images,
        batch_index=1,
        length=4096,
    )
    both = graph.add(
        "ImageBatch", title="Both clips", width=420, mode=BYPASSED, image1=one.images, image2=rest["IMAGE"]
    )
    smooth = interpolation(graph, saved.right + SPACE, row, both["IMAGE"], (rest, both))
    graph.align([taken, saved, smooth])


def save_world(graph: Graph, left: int, top: int, memory: Output) -> Box:
    """The point cloud as a PLY file and on screen, and the memory as a file to go on from."""
    cloud = graph.add(
        "WorldStereo_ExportPointCloud", width=400, memory=memory, filename_prefix="worldstereo/world"
    )
    keep = graph.add("WorldStereo_SaveMemory", width=400, memory=memory)
    view = graph.add(
        "PreviewPointCloud", title="The world so far", width=640, height=600, model_3d=cloud["ply"]
    )
    return graph.group("8 · World: point cloud and memory", left, top, [[cloud, keep], [view]], BLUE)


WORKFLOWS = {
    "one_clip_from_one_image": one_clip,
    "two_clips_and_point_cloud": two_clips,
    "camera_variant_40_steps": camera_variant,
}
