"""The subgraph blueprint: one clip as a single node, to be found among ComfyUI's own subgraphs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from .workflow_graph import Graph, Node, Output

NAME = "WorldStereo Clip"
DESCRIPTION = (
    "One WorldStereo clip from a picture, a memory and a camera move: renders, references, control, sampling "
    "and decoding in one node. Four steps, for memory-dmd."
)
SEARCH_ALIASES = ["worldstereo", "camera control", "world model", "one clip"]
CATEGORY = "Video generation and editing/Image to video"
INPUT_NODE, OUTPUT_NODE = -10, -20
# Inputs of the subgraph by name, with their socket types.
INPUTS = {
    "model": "MODEL",
    "control": "MODEL_PATCH",
    "positive": "CONDITIONING",
    "negative": "CONDITIONING",
    "vae": "VAE",
    "clip_vision": "CLIP_VISION",
    "start": "IMAGE",
    "memory": "WORLDSTEREO_MEMORY",
    "trajectory": "WORLDSTEREO_TRAJECTORY",
}
LABELS = {"start": "start picture"}


def describe(graph: Graph, given: Mapping[str, Output]) -> tuple[dict[str, Output], list[tuple[Node, str]]]:
    """Wire the inside; gives the outputs by name and the widgets shown on the outside."""
    render = graph.add(
        "WorldStereo_RenderMemory",
        width=420,
        height=480,
        memory=given["memory"],
        trajectory=given["trajectory"],
        first_frame=given["start"],
    )
    views = graph.add(
        "WorldStereo_RetrieveReferences",
        width=420,
        height=340,
        memory=given["memory"],
        trajectory=given["trajectory"],
    )
    vision = graph.add(
        "WorldStereo_EncodeClipVision", width=320, clip_vision=given["clip_vision"], image=given["start"]
    )
    image = graph.add(
        "WorldStereo_EncodeFirstFrame",
        width=320,
        positive=given["positive"],
        negative=given["negative"],
        vae=given["vae"],
        image=given["start"],
        clip_vision_output=vision["clip_vision_output"],
    )
    control = graph.add(
        "WorldStereo_EncodeControl",
        width=320,
        control=given["control"],
        vae=given["vae"],
        trajectory=given["trajectory"],
        render=render["render"],
        holes=render["holes"],
        references=views["references"],
    )
    apply = graph.add(
        "WorldStereo_ApplyControl",
        width=320,
        model=given["model"],
        control=given["control"],
        condition=control["condition"],
    )
    sigmas = graph.add("WorldStereo_MakeSigmas", width=320)
    sampler = graph.add("KSamplerSelect", width=320, sampler_name="euler")
    sample = graph.add(
        "SamplerCustom",
        width=320,
        model=apply["model"],
        positive=image["positive"],
        negative=image["negative"],
        sampler=sampler["SAMPLER"],
        sigmas=sigmas["sigmas"],
        latent_image=image["latent"],
        cfg=1.0,
        noise_seed=1024,
    )
    split = graph.add("WorldStereo_SplitKeyframes", width=320, latent=sample["output"])
    decode = graph.add("VAEDecode", width=320, samples=split["latent"], vae=given["vae"])
    graph.group("What the camera sees", 0, 0, [[render, views]], "#a68a2e")
    graph.group("Encode", 520, 0, [[vision, image, control]], "#a8524b")
    graph.group("Sample and decode", 940, 0, [[apply, sigmas, sampler], [sample, split, decode]], "#2e8a8a")
    outputs = {"images": decode["IMAGE"], "render": render["render"], "references": views["preview"]}
    return outputs, [(sample, "noise_seed"), (sigmas, "steps"), (apply, "strength")]


def blueprint(schemas: Mapping[str, Any]) -> dict[str, Any]:
    """The blueprint as ComfyUI serves it: a workflow whose only node is the subgraph."""
    graph = Graph(schemas, NAME)
    names = list(INPUTS)
    outside = Node(INPUT_NODE, "", {"output_name": names, "output": list(INPUTS.values())}, {}, {})
    outputs, widgets = describe(graph, {name: outside[name] for name in names})
    inside = graph.to_json()
    links = [
        dict(zip(("id", "origin_id", "origin_slot", "target_id", "target_slot", "type"), link, strict=True))
        for link in inside["links"]
    ]
    by_id = {node["id"]: node for node in inside["nodes"]}
    entries = []
    for slot, (name, output) in enumerate(outputs.items()):
        link = len(links) + 1
        ends = {"origin_id": output.node.id, "origin_slot": output.slot}
        links.append({"id": link, **ends, "target_id": OUTPUT_NODE, "target_slot": slot, "type": output.type})
        socket = by_id[output.node.id]["outputs"][output.slot]
        socket["links"] = [*(socket["links"] or []), link]
        entries.append({"id": _id(f"output/{name}"), "name": name, "type": output.type, "linkIds": [link]})
    given = [
        {
            "id": _id(f"input/{name}"),
            "name": name,
            "type": kind,
            "linkIds": outside.links_out.get(slot, []),
            **({"label": LABELS[name]} if name in LABELS else {}),
        }
        for slot, (name, kind) in enumerate(INPUTS.items())
    ]
    subgraph = {
        "id": _id("subgraph"),
        "version": 1,
        "state": {
            "lastGroupId": len(inside["groups"]),
            "lastNodeId": len(inside["nodes"]),
            "lastLinkId": len(links),
            "lastRerouteId": 0,
        },
        "revision": 0,
        "config": {},
        "name": NAME,
        "inputNode": {"id": INPUT_NODE, "bounding": [-260, 0, 140, 40 + 20 * len(given)]},
        "outputNode": {"id": OUTPUT_NODE, "bounding": [1780, 0, 140, 40 + 20 * len(entries)]},
        "inputs": given,
        "outputs": entries,
        "widgets": [],
        "nodes": inside["nodes"],
        "groups": inside["groups"],
        "links": links,
        "extra": {"workflowRendererVersion": "LG"},
        "category": CATEGORY,
        "description": DESCRIPTION,
    }
    return {
        "id": inside["id"],
        "revision": 0,
        "last_node_id": 1,
        "last_link_id": 0,
        "nodes": [_outer_node(subgraph, widgets)],
        "links": [],
        "groups": [],
        "config": {},
        "extra": {"BlueprintDescription": DESCRIPTION, "BlueprintSearchAliases": SEARCH_ALIASES},
        "version": 0.4,
        "definitions": {"subgraphs": [subgraph]},
    }


def _outer_node(subgraph: Mapping[str, Any], widgets: list[tuple[Node, str]]) -> dict[str, Any]:
    """The one node outside, with sockets of the subgraph and the widgets of inner nodes that it shows."""
    keys = ("name", "type", "label")
    inputs = [
        {key: entry[key] for key in keys if key in entry} | {"link": None} for entry in subgraph["inputs"]
    ]
    outputs = [{"name": entry["name"], "type": entry["type"], "links": []} for entry in subgraph["outputs"]]
    return {
        "id": 1,
        "type": subgraph["id"],
        "title": NAME,
        "pos": [0, 0],
        "size": [320, 20 * len(inputs) + 24 * len(widgets) + 20],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": inputs,
        "outputs": outputs,
        "properties": {"proxyWidgets": [[str(node.id), name] for node, name in widgets]},
        "widgets_values": [],
    }


def _id(part: str) -> str:
    """The same part always has the same id, so that a rebuild changes nothing."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"comfyui-worldstereo/{NAME}/{part}"))
