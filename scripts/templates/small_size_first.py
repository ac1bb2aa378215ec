"""A clip above the trained size: made at the trained size first, and once more from there."""

from __future__ import annotations

from dataclasses import dataclass

from .. import workflow_kits as kits
from .. import workflow_notes as notes
from .. import workflow_pieces as pieces
from ..thumbnail_scene import Image, Scene, side_by_side, to_image
from ..workflow_graph import Graph, Node, Output
from ..workflow_pieces import Shared, Source

SCALE = 1.5
TEXT = f"""\
# A larger clip, small size first

Above the size a model was trained at, it repeats things and loses the layout. Here the clip is made at the \
trained size first; enlarged, with noise mixed in, it is where the larger size starts. The larger size makes \
only the rest of the steps: layout from the small clip, detail from the large one.

1. Put the model files in place (note below).
2. Choose **Your picture** and the **camera move**; run.
3. **scale** on *The larger picture*: how much larger. 1.5 costs about three times the memory of 1.
4. **start_level** on *Enlarge Clip to Sample On*: more lets the larger size change more (and takes more \
steps), less stays closer to the small clip. Few-step files begin at 0.94, 0.84 or 0.63.

Renders, references and the start picture are encoded anew for each size.

{notes.CLIP_LENGTH}
"""
KIT = kits.MEMORY_DMD


@dataclass(frozen=True)
class Pass:
    """What a size hands on."""

    sample: Node
    first: Node


def two_pictures(graph: Graph, left: int, top: int, moge: Output) -> Source:
    """Your picture at both sizes; the memory is made of the larger one."""
    load = graph.add("LoadImage", title="Your picture", width=360, height=340, image="example.png")
    small = graph.add(
        "WorldStereo_FitImage", title="The picture at the trained size", width=360, image=load["IMAGE"]
    )
    large = graph.add(
        "WorldStereo_FitImage", title="The larger picture", width=360, image=load["IMAGE"], scale=SCALE
    )
    depth = graph.add(
        "MoGeInference", title="Depth of the picture", width=360, moge_model=moge, image=large["image"]
    )
    memory = graph.add(
        "WorldStereo_CreateMemory", width=360, image=large["image"], geometry=depth["moge_geometry"]
    )
    box = graph.group(
        "2 · Picture to point cloud", left, top, [[load], [small, large, depth, memory]], pieces.GREEN
    )
    return Source(large["image"], memory["memory"], box, {"picture": load, "small": small})


def encode_and_sample(
    graph: Graph,
    shared: Shared,
    start: Output,
    trajectory: Output,
    render: Node,
    references: Output,
    vision: Output,
) -> tuple[list[Node], Pass]:
    """The nodes of one size, from its render to its sampler."""
    first = graph.add(
        "WorldStereo_EncodeFirstFrame",
        positive=shared.positive,
        negative=shared.negative,
        vae=shared.vae,
        image=start,
        clip_vision_output=vision,
    )
    control = graph.add(
        "WorldStereo_EncodeControl",
        control=shared.control,
        vae=shared.vae,
        trajectory=trajectory,
        render=render["render"],
        holes=render["holes"],
        references=references,
    )
    apply = graph.add(
        "WorldStereo_ApplyControl", model=shared.model, control=shared.control, condition=control["condition"]
    )
    sample = graph.add(
        "SamplerCustom",
        model=apply["model"],
        positive=first["positive"],
        negative=first["negative"],
        sampler=shared.sampling.sampler,
        sigmas=shared.sampling.sigmas,
        latent_image=first["latent"],
        cfg=shared.sampling.cfg,
        noise_seed=1024,
    )
    return [first, control, apply, sample], Pass(sample, first)


def describe(graph: Graph) -> None:
    shared, source, edge = pieces.beginning(graph, KIT, TEXT, two_pictures)
    left, small_picture = edge + pieces.SPACE, source.nodes["small"]["image"]
    move = pieces.move_node(graph, source.memory, KIT, pieces.ORBIT_RIGHT)
    track = move["trajectory"]
    views = graph.add(
        "WorldStereo_RetrieveReferences", width=420, height=340, memory=source.memory, trajectory=track
    )
    vision = graph.add(
        "WorldStereo_EncodeClipVision", width=340, clip_vision=shared.clip_vision, image=small_picture
    )
    box = graph.group("4 · Camera move", left, 0, [[move, vision], [views]], pieces.GOLD)

    renders = [
        graph.add(
            "WorldStereo_RenderMemory",
            title=title,
            width=420,
            height=480,
            memory=source.memory,
            trajectory=track,
            first_frame=picture,
            **size,
        )
        for title, picture, size in (
            ("What the camera sees, trained size", small_picture, {"size": "first frame"}),
            ("What the camera sees, larger", source.start, {}),
        )
    ]
    links = {"references": views["references"], "vision": vision["clip_vision_output"]}
    nodes, small = encode_and_sample(graph, shared, small_picture, track, renders[0], **links)
    below = graph.group(
        "5 · Trained size", box.right + pieces.SPACE, 0, [[renders[0]], nodes[:2], nodes[2:]], pieces.RED
    )
    nodes, large = encode_and_sample(graph, shared, source.start, track, renders[1], **links)
    enlarge = graph.add(
        "WorldStereo_EnlargeClip",
        latent=small.sample["output"],
        vae=shared.vae,
        larger=large.first["latent"],
        sigmas=shared.sampling.sigmas,
        first_frame=source.start,
    )
    large.sample.inputs |= {"latent_image": enlarge["latent"], "sigmas": enlarge["sigmas"]}
    above = graph.group(
        "6 · Larger size",
        below.right + pieces.SPACE,
        0,
        [[renders[1]], nodes[:2], [enlarge, *nodes[2:]]],
        pieces.RED,
    )
    split = graph.add("WorldStereo_SplitKeyframes", width=420, latent=large.sample["output"])
    decode = graph.add("VAEDecode", width=420, samples=split["latent"], vae=shared.vae)
    video = graph.add("CreateVideo", width=420, images=decode["IMAGE"], fps=16.0)
    save = graph.add(
        "SaveVideo", width=420, height=380, video=video["VIDEO"], filename_prefix="worldstereo/large"
    )
    end = graph.group(
        "7 · Clip: 21 key frames, 1.3 s",
        above.right + pieces.SPACE,
        0,
        [[split, decode, video], [save]],
        pieces.TEAL,
    )
    bottom = graph.align([box, below, above, end])
    pieces.interpolation(graph, above.left, bottom + pieces.SPACE, decode["IMAGE"])


def thumbnail(scene: Scene) -> Image:
    """The room coarse on the left, as the small size finds it, and fine on the right."""
    picture = to_image(scene.picture)
    small = picture.resize((picture.width // 8, picture.height // 8))
    return side_by_side(small.resize(picture.size), picture)
