"""The subgraph blueprint is found among ComfyUI's, wired in place of a template's clip, and run."""

from __future__ import annotations

import json

import pytest

from tests.template_files import FRAMES, SMALL, STEPS, WORKFLOWS
from worldstereo_core.commands.comfy_stand_ins import shrink_workflow

# In the place of the template's own clip: wire by name, remove what it replaces, set the small sizes inside.
WIRE = """([frames, steps]) => {
    const named = (type, nth = 0) => app.graph.nodes.filter(n => n.type === type)[nth];
    const clip = app.graph.nodes.find(n => n.isSubgraphNode?.());
    const wire = (from, output, input, to = clip) => from.connect(
        from.outputs.findIndex(o => o.name === output), to, to.inputs.findIndex(i => i.name === input));
    const video = named("CreateVideo");
    wire(named("WorldStereo_LoadModel"), "model", "model");
    wire(named("WorldStereo_LoadModel"), "control", "control");
    wire(named("CLIPTextEncode"), "CONDITIONING", "positive");
    wire(named("CLIPTextEncode", 1), "CONDITIONING", "negative");
    wire(named("VAELoader"), "VAE", "vae");
    wire(named("CLIPVisionLoader"), "CLIP_VISION", "clip_vision");
    wire(named("ImageScale"), "IMAGE", "start");
    wire(named("WorldStereo_CreateMemory"), "memory", "memory");
    wire(named("WorldStereo_BuildTrajectory"), "trajectory", "trajectory");
    wire(clip, "images", "images", video);
    for (const type of ["RenderMemory", "RetrieveReferences", "EncodeClipVision", "EncodeFirstFrame",
                        "EncodeControl", "ApplyControl", "LookEarly", "MakeSigmas", "SplitKeyframes"])
        app.graph.remove(named("WorldStereo_" + type));
    for (const type of ["KSamplerSelect", "SamplerCustom", "VAEDecode"]) app.graph.remove(named(type));
    for (const node of clip.subgraph.nodes)
        for (const widget of node.widgets ?? []) if (widget.name === "frames") widget.value = frames;
    clip.widgets.find(w => w.name === "steps").value = steps;
}"""


@pytest.fixture(scope="module")
def front(open_frontend):
    page = open_frontend("classic")
    yield page
    page.page.close()


def test_the_blueprint_takes_a_clips_place_and_runs(front, page_server):
    template = json.loads((WORKFLOWS / "one_clip_from_one_image.json").read_text(encoding="utf-8"))
    front.open(shrink_workflow(template, page_server.object_info(), SMALL))
    front.page.keyboard.press("n")
    front.page.locator("input[placeholder]").first.fill("WorldStereo Clip")
    front.page.get_by_text("WorldStereo Clip", exact=True).last.click()
    front.page.mouse.click(900, 500)
    front.page.wait_for_function("() => app.graph.nodes.some(n => n.isSubgraphNode?.())")
    front.page.evaluate(WIRE, [FRAMES, STEPS])

    prompt = front.page.evaluate("async () => (await app.graphToPrompt()).output")
    inside = {node["class_type"]: node["inputs"] for id, node in prompt.items() if ":" in id}
    assert len(inside) == 11
    assert inside["WorldStereo_MakeSigmas"]["steps"] == STEPS
    assert inside["SamplerCustom"]["noise_seed"] == 1024 and inside["SamplerCustom"]["cfg"] == 1.0

    run = front.press_run()
    (video,) = [
        id for id, node in prompt.items() if node["class_type"] == "SaveVideo" and "video" in node["inputs"]
    ]
    assert run.files(video)
    assert front.errors == []
