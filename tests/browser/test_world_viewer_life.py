"""The world viewer in a workflow: nested, resized, without points or WebGL, thrown away; both renderers."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from tests.browser.viewer_page import VIEWER, Viewing, workflow

NODE = "WorldStereo_ViewMemory"
BOX = {"kind": "box", "mode": "add", "centre": [0, 0, 1], "size": [0.5, 0.5, 1]}
VALUE = json.dumps({"version": 1, "selection": [BOX]})


# How many pixels the points take in a small picture from the world's origin.
PIXELS = """() => {
window.pixelsOf = (id) => {
    const box = { x: 0, y: 0, width: 60, height: 40 };
    const context = new OffscreenCanvas(60, 40).getContext("2d");
    const c2w = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    const camera = { c2w, fx: 30, fy: 30, cx: 30, cy: 20, width: 60, height: 40 };
    viewerOf(id).view.copyPicture(context, camera, box, { pointPixels: 8 });
    return context.getImageData(0, 0, 60, 40).data.filter((value, i) => i % 4 === 3 && value).length;
};
}"""


@pytest.fixture
def viewing(frontend):
    frontend.errors.clear()
    frontend.page.evaluate(PIXELS)
    yield Viewing(frontend)
    assert frontend.errors == []


def answer(status: int, body: bytes, route: Any) -> None:
    route.fulfill(status=status, body=body)


def test_the_viewer_works_inside_a_subgraph(viewing):
    viewing.open(workflow(VALUE))
    page = viewing.page
    inner = page.evaluate(
        f"""() => {{
            const {{ subgraph }} = app.graph.convertToSubgraph(new Set(app.graph.nodes));
            app.canvas.setGraph(subgraph);
            return subgraph.nodes.find(n => n.type === "{NODE}").id;
        }}"""
    )
    page.evaluate(
        f"() => {{ window.inner = worldstereo3d.hostsOf(app.canvas.graph.getNodeById({inner}))[0]; }}"
    )
    page.wait_for_function(
        """() => {
            const [x, y] = inner.node.pos;
            Object.assign(app.canvas.ds, { scale: 1, offset: [70 - x, 100 - y] });
            app.canvas.setDirty(true, true);
            return !!inner.view?.view.painted;
        }""",
        timeout=60_000,
    )
    run = viewing.frontend.press_run()
    page.wait_for_function("() => inner.view?.points.status === 'shown' && !inner.view.points.due")
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    (key,) = [key for key, node in prompt.items() if node["class_type"] == NODE]
    assert ":" in key and prompt[key]["inputs"]["view_state"] == VALUE
    world = run.outputs[key]["worldstereo_world"][0]
    assert world["selected"] == page.evaluate("() => inner.view.points.selected")
    # What is done in there reaches the prompt, and nothing is left when the graph is emptied from outside.
    page.evaluate("() => inner.view.actions.useView()")
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    assert json.loads(prompt[key]["inputs"]["view_state"])["camera"]["position"]
    viewing.clear()


def test_bad_points_and_a_lost_context_are_said_and_the_selection_stays(viewing):
    viewing.open(workflow(VALUE))
    page = viewing.page
    whole = bytes([*b"WSPC", 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]) + bytes([*bytes(10), 128, 63, 255, 0, 0])
    cases = {
        "gone": (404, b"", "HTTP 404"),
        "short": (200, whole[:-1], "damaged"),
        "later": (200, whole[:4] + b"\x02" + whole[5:], "version 2"),
        "other": (200, b"\x89PNG" + whole, "another kind"),
        "whole": (200, whole, ""),
    }
    for name, (status, body, said) in cases.items():
        page.route(f"**/view?filename=view_{name}*", partial(answer, status, body))
        entry = {"filename": f"view_{name}", "subfolder": "", "type": "temp"}
        page.evaluate(f"(entry) => viewerOf({VIEWER}).setOutput({{ worldstereo_cloud: [entry] }})", entry)
        page.wait_for_function(
            f"(said) => said ? noticeOf({VIEWER}).includes(said) : noticeOf({VIEWER}) === ''", arg=said
        )
    assert viewing.value()["selection"] == [BOX]

    # The context goes and comes back, and the one point with it; meanwhile views can be recorded.
    assert page.evaluate(f"() => pixelsOf({VIEWER})") > 10
    page.evaluate(
        f"() => {{ window.lost = viewerOf({VIEWER}).view.renderer.gl.getExtension('WEBGL_lose_context'); "
        "lost.loseContext(); }"
    )
    page.wait_for_function(f"() => noticeOf({VIEWER}).includes('graphics card')")
    assert page.evaluate(f"() => pixelsOf({VIEWER})") == 0
    viewing.press("Record this view")
    page.evaluate("() => lost.restoreContext()")
    page.wait_for_function(f"() => noticeOf({VIEWER}) === ''")
    assert page.evaluate(f"() => pixelsOf({VIEWER})") > 10
    assert viewing.value()["selection"] == [BOX] and len(viewing.value()["recorded"]) == 1

    # The picture follows the node's size.
    for width, height in ((1000, 800), (700, 560)):
        page.evaluate(f"() => app.graph.getNodeById({VIEWER}).setSize([{width}, {height}])")
        viewing.place()
        assert width - 60 < viewing.ask("v.root.clientWidth") < width
        assert viewing.ask("v.root.clientHeight") >= 438


def test_without_webgl_the_world_can_still_be_selected_in(viewing):
    # Another copy of the bundle, as a browser without WebGL 2 would load it.
    said, painted, written, left = viewing.page.evaluate(
        """async (value) => {
            const real = HTMLCanvasElement.prototype.getContext;
            HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
                return kind === "webgl2" ? null : real.call(this, kind, ...more);
            };
            const element = document.createElement("div");
            Object.assign(element.style, { position: "fixed", width: "600px", height: "400px" });
            document.body.append(element);
            try {
                const { createWorldViewer } = await import(worldstereo3d.bundle + "&viewer_without_webgl");
                let written = value;
                const viewer = createWorldViewer({ element, value: () => written, state: {}, locale: "en",
                    change: (text) => { written = text; }, viewUrl: () => "", nodeInput: () => undefined,
                    property: () => undefined, isWired: () => false, runNode: () => {} });
                viewer.actions.record();
                viewer.view.draw();
                const notice = element.querySelector(".ws-notice").innerText;
                const { painted } = viewer.view;
                viewer.dispose();
                return [notice, painted, written, element.children.length];
            } finally {
                HTMLCanvasElement.prototype.getContext = real;
                element.remove();
            }
        }""",
        VALUE,
    )
    assert "WebGL" in said and painted >= 1 and left == 0
    assert json.loads(written)["selection"] == [BOX] and len(json.loads(written)["recorded"]) == 1


def test_no_viewer_outlives_its_node(viewing):
    viewing.clear()
    page = viewing.page
    page.evaluate("() => Object.assign(app.canvas.ds, { scale: 1, offset: [-330, 60] })")
    page.evaluate(
        """async (node) => {
            window.viewers = [];
            const { alive } = worldstereo3d;
            for (let i = 0; i < 12; i++) {
                const made = LiteGraph.createNode(node);
                made.pos = [400, 40];
                app.graph.add(made);
                app.canvas.setDirty(true, true);
                const until = performance.now() + 20000;
                while (!alive.size && performance.now() < until) await new Promise(requestAnimationFrame);
                const [viewer] = alive;
                if (!viewer) throw new Error("no viewer was built");
                viewers.push(new WeakRef(viewer));
                viewer.view.setCloud({ count: 2000, xyz: new Float32Array(6000).map(Math.random),
                    rgb: new Uint8Array(6000), confidence: null, clip: null, marks: new Uint8Array(2000),
                    marksVersion: 0, dropped: 0,
                    bounds: { low: [0, 0, 0], high: [1, 1, 1], center: [0.5, 0.5, 0.5], radius: 1 } });
                viewer.view.draw();
                window.renderer = viewer.view.renderer;
                app.graph.remove(made);
                if (alive.size) throw new Error("a viewer outlived its node");
            }
        }""",
        NODE,
    )
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.detach()
    # Nodes 2.0 may hold the last one that was removed.
    assert page.evaluate("() => viewers.filter((viewer) => viewer.deref()).length") <= 1
    assert page.evaluate("() => [...renderer.uploaded.keys()].filter(c => c.count === 2000).length") == 0
