"""The camera path editor in a workflow: saved, copied, nested, in numbers, with bad input; both renderers."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.browser.editor_page import EDITOR, NODE, PATH, Editing, editor_node, graph, with_memory

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "editor_golden.json"


@pytest.fixture
def editing(frontend):
    frontend.errors.clear()
    yield Editing(frontend)
    assert frontend.errors == []


def test_a_saved_workflow_brings_the_path_back_and_a_copy_is_independent(editing):
    editing.open(with_memory())
    editing.drag(editing.waypoint_at(2), 40, 10)
    drawn = editing.value()
    saved = editing.page.evaluate("() => app.graph.serialize()")
    editing.clear()
    editing.open(saved)
    assert editing.value() == drawn
    assert editing.ask("e.session.path.waypoints.length") == 5

    ids = editing.page.evaluate(
        f"""() => {{
            const node = app.graph.getNodeById({EDITOR});
            app.canvas.selectItems([node]);
            app.canvas.copyToClipboard([node]);
            app.canvas.pasteFromClipboard();
            for (const other of app.graph.nodes)
                if (other.type === "{NODE}" && other !== node) other.pos = [400, 1600];
            return app.graph.nodes.filter(n => n.type === "{NODE}").map(n => n.id);
        }}"""
    )
    assert len(ids) == 2, ids
    copy = max(ids)
    editing.place()
    prompt = "async () => (await app.graphToPrompt()).output"
    assert editing.page.evaluate(prompt)[str(copy)]["inputs"]["camera_path"] == drawn
    editing.drag(editing.waypoint_at(1), 25, 25)
    values = editing.page.evaluate(prompt)
    assert values[str(EDITOR)]["inputs"]["camera_path"] != drawn
    assert values[str(copy)]["inputs"]["camera_path"] == drawn


def test_the_editor_works_inside_a_subgraph(editing):
    editing.open(with_memory())
    inner = editing.page.evaluate(
        f"""async () => {{
            const nodes = new Set(app.graph.nodes);
            const {{ subgraph }} = app.graph.convertToSubgraph(nodes);
            app.canvas.setGraph(subgraph);
            return subgraph.nodes.find(n => n.type === "{NODE}").id;
        }}"""
    )
    editing.page.evaluate(
        "(id) => { const n = app.canvas.graph.getNodeById(id); "
        "app.canvas.ds.scale = 1; app.canvas.ds.offset = [70 - n.pos[0], 100 - n.pos[1]]; "
        "app.canvas.setDirty(true, true); }",
        inner,
    )
    find = f"editorOf({inner}, app.canvas.graph)"
    try:
        editing.page.wait_for_function(f"() => !!{find}?.view.painted", timeout=60_000)
        editing.page.evaluate(f"() => {find}.actions.usePreset('dolly_in')")
        assert len(editing.waypoints()) == 2
        editing.frontend.press_run()
        editing.page.wait_for_function(f"() => {find}?.points.status === 'shown'")
    finally:
        editing.page.evaluate("() => app.canvas.setGraph(app.rootGraph ?? app.graph)")
    # Hidden now, and thrown away with its workflow.
    editing.open(with_memory())
    editing.page.wait_for_function("() => worldstereo3d.alive.size === 1")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (json.dumps({**PATH, "version": 9, "future": [1, 2]}), "version 9"),
        ('{"version": 1, "waypoints": [', "not valid JSON"),
        (json.dumps({**PATH, "waypoints": [{"position": [0, 0, None]}]}), "position is"),
    ],
    ids=["version", "corrupt", "null"],
)
def test_a_value_that_is_not_understood_is_kept(editing, value, said):
    editing.open(with_memory(value))
    assert said in editing.page.evaluate(f"() => noticeOf({EDITOR})")
    x, y = editing.ask(
        "(() => { const b = e.view.canvas.getBoundingClientRect(); return [b.x + 200, b.y + 300]; })()"
    )
    editing.drag((x, y), 30, 30)
    for key in ("n", "c", "Delete", "l", " "):
        editing.page.keyboard.press(key)
    assert editing.value() == value
    editing.page.get_by_role("button", name="Start a new path").click()
    assert len(editing.waypoints()) == 5, "only on the artist's word"
    editing.undo()
    assert editing.value() == value


def answer(status: int, body: bytes, route: Any) -> None:
    route.fulfill(status=status, body=body)


def test_missing_and_damaged_points_are_named_and_the_path_stays(editing):
    drawn = json.dumps(PATH)
    editing.open(with_memory(drawn))
    whole = bytes([*b"WSPC", 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]) + bytes(15)
    cases = {
        "gone": (404, b"", "HTTP 404"),
        "short": (200, whole[:-1], "damaged"),
        "later": (200, whole[:4] + b"\x02" + whole[5:], "version 2"),
        "other": (200, b"\x89PNG" + whole, "another kind"),
    }
    for name, (status, body, said) in cases.items():
        editing.page.route(f"**/view?filename={name}*", partial(answer, status, body))
        entry = {"filename": name, "subfolder": "", "type": "temp"}
        editing.page.evaluate(
            f"(entry) => editorOf({EDITOR}).setOutput({{ worldstereo_cloud: [entry] }})", entry
        )
        editing.page.wait_for_function(f"(said) => noticeOf({EDITOR}).includes(said)", arg=said)
    assert editing.value() == drawn

    # The context goes and comes back; meanwhile the path can be edited.
    editing.page.evaluate(
        f"() => {{ window.lost = editorOf({EDITOR}).view.renderer.gl.getExtension('WEBGL_lose_context'); "
        f"editorOf({EDITOR}).points.problem = null; lost.loseContext(); }}"
    )
    editing.page.wait_for_function(f"() => noticeOf({EDITOR}).includes('graphics card')")
    editing.drag(editing.waypoint_at(1), 20, 20)
    assert editing.waypoints()[1]["position"] != PATH["waypoints"][1]["position"]
    editing.page.evaluate("() => lost.restoreContext()")
    editing.page.wait_for_function(f"() => !noticeOf({EDITOR}).includes('graphics card')")


def test_points_are_drawn_where_python_renders_them(editing):
    """The WebGL picture of single points against the middles that the renderer's golden file holds."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    editing.open(with_memory())
    found = editing.page.evaluate(
        f"""(golden) => {{
            const {{ renderer }} = editorOf({EDITOR}).view;
            const {{ width, height, frames }} = golden.sampled[2];
            const canvas = new OffscreenCanvas(width, height);
            const ctx = canvas.getContext("2d", {{ willReadFrequently: true }});
            return frames.map((frame) => golden.marks.points.map((point) => {{
                const cloud = {{ count: 1, xyz: new Float32Array(point), rgb: new Uint8Array([255, 255, 255]),
                    confidence: null, clip: null, marks: null, marksVersion: 0,
                    bounds: {{ low: point, high: point }} }};
                const camera = {{ ...frame, width, height }};
                const drawn = renderer.draw({{ cloud, camera, pixelWidth: width, pixelHeight: height,
                    near: 0.01, far: 100, pointPixels: 5, background: [0, 0, 0, 1] }});
                ctx.drawImage(drawn.canvas, drawn.x, drawn.y, width, height, 0, 0, width, height);
                renderer.release(cloud);
                const {{ data }} = ctx.getImageData(0, 0, width, height);
                let [sum, x, y] = [0, 0, 0];
                for (let i = 0; i < width * height; i++) {{
                    sum += data[4 * i];
                    x += data[4 * i] * (i % width + 0.5);
                    y += data[4 * i] * (Math.floor(i / width) + 0.5);
                }}
                return [x / sum, y / sum];
            }}));
        }}""",
        golden,
    )
    for frame, (got, expected) in enumerate(zip(found, golden["marks"]["xy"], strict=True)):
        for a, b in zip(got, expected, strict=True):
            assert a == pytest.approx(b, abs=1), frame


def test_without_webgl_the_path_can_still_be_drawn(editing):
    # Another copy of the bundle, as a browser without WebGL 2 would load it.
    said = editing.page.evaluate(
        """async () => {
            const real = HTMLCanvasElement.prototype.getContext;
            HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
                return kind === "webgl2" ? null : real.call(this, kind, ...more);
            };
            const element = document.createElement("div");
            Object.assign(element.style, { position: "fixed", width: "600px", height: "400px" });
            document.body.append(element);
            try {
                const { createPathEditor } = await import(worldstereo3d.bundle + "&without_webgl");
                let written = "";
                const view = createPathEditor({ element, value: () => written, state: {}, locale: "en",
                    change: (text) => { written = text; }, viewUrl: () => "", nodeInput: () => undefined,
                    property: () => undefined, runNode: () => {} });
                view.actions.usePreset("dolly_in");
                await new Promise(requestAnimationFrame);
                await new Promise(requestAnimationFrame);
                const notice = element.querySelector(".ws-notice").innerText;
                const painted = view.view.painted;
                view.dispose();
                return [notice, JSON.parse(written).waypoints.length, painted, element.children.length];
            } finally {
                HTMLCanvasElement.prototype.getContext = real;
                element.remove();
            }
        }"""
    )
    assert "WebGL" in said[0] and said[1] == 2 and said[2] >= 1 and said[3] == 0


def test_twenty_editors_share_one_context_and_rest_when_nothing_moves(editing):
    editing.page.evaluate(
        """() => {
            window.contexts = 0;
            const real = HTMLCanvasElement.prototype.getContext;
            HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
                const made = real.call(this, kind, ...more);
                if (kind === "webgl2" && this !== window.known) { contexts += 1; window.known = this; }
                return made;
            };
        }"""
    )
    editing.clear()
    nodes = [editor_node(i + 1, json.dumps(PATH), x=(i % 5) * 800, y=(i // 5) * 760) for i in range(20)]
    editing.page.evaluate("async (workflow) => { await app.loadGraphData(workflow); }", graph(*nodes))
    # Set at every look: a workflow that was just opened may still be brought into view by the page itself.
    editing.page.wait_for_function(
        """() => {
            const { ds } = app.canvas;
            if (ds.scale !== 0.25 || ds.offset[0] !== 300 || ds.offset[1] !== 200) {
                ds.scale = 0.25;
                ds.offset = [300, 200];
                app.canvas.setDirty(true, true);
            }
            const { alive } = worldstereo3d;
            return alive.size === 20 && [...alive].every(e => e.view.painted);
        }""",
        timeout=60_000,
    )
    assert (
        editing.page.evaluate("() => new Set([...worldstereo3d.alive].map(e => e.view.renderer)).size") == 1
    )
    assert editing.page.evaluate("() => contexts") <= 1
    # No render loop: the pictures that are due come to an end, however long they take here.
    editing.page.wait_for_function(
        """() => {
            const painted = [...worldstereo3d.alive].reduce((sum, e) => sum + e.view.painted, 0);
            if (window.paintedBefore !== painted) window.restSince = performance.now();
            window.paintedBefore = painted;
            return performance.now() - window.restSince > 600;
        }"""
    )
    editing.clear()


def test_memory_does_not_grow_over_fifty_editors(editing):
    session = editing.page.context.new_cdp_session(editing.page)

    def used() -> float:
        session.send("HeapProfiler.collectGarbage")
        return session.send("Runtime.getHeapUsage")["usedSize"] / 2**20

    def cycles(count: int) -> None:
        editing.page.evaluate(
            """async ([count, node]) => {
                for (let i = 0; i < count; i++) {
                    const made = LiteGraph.createNode(node);
                    made.pos = [400, 40];
                    app.graph.add(made);
                    app.canvas.setDirty(true, true);
                    const until = performance.now() + 20000;
                    while (!worldstereo3d.alive.size && performance.now() < until)
                        await new Promise(requestAnimationFrame);
                    if (!worldstereo3d.alive.size) throw new Error("no editor was built");
                    const [editor] = worldstereo3d.alive;
                    (window.editors ??= []).push(new WeakRef(editor));
                    editor.view.setCloud({ count: 2000, xyz: new Float32Array(6000).map(Math.random),
                        rgb: new Uint8Array(6000), confidence: null, clip: null, marks: null, marksVersion: 0,
                        bounds: { low: [0, 0, 0], high: [1, 1, 1] } });
                    editor.view.draw();
                    app.graph.remove(made);
                    if (worldstereo3d.alive.size) throw new Error("an editor outlived its node");
                }
            }""",
            [count, NODE],
        )

    editing.clear()
    editing.page.evaluate("() => { app.canvas.ds.scale = 1; app.canvas.ds.offset = [-330, 60]; }")
    # Nodes 2.0 itself keeps half a megabyte of any node that was removed (measured with Sample Camera Path):
    # there only the editors are counted, of which a few show as much.
    is_classic = editing.frontend.renderer == "classic"
    count = 50 if is_classic else 10
    cycles(10)
    before = used()
    cycles(count)
    grown = used() - before
    left = editing.page.evaluate("() => [editors.length, editors.filter((editor) => editor.deref()).length]")
    assert left[0] == 10 + count and left[1] <= 1, left
    if is_classic:
        assert grown < 2.5, f"{grown:.2f} MB"


def test_the_other_renderer_takes_the_editor_over(editing):
    editing.open(with_memory(json.dumps(PATH)))
    other = "false" if editing.frontend.renderer == "vue" else "true"
    was = "true" if other == "false" else "false"
    switch = "async () => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', %s)"
    editing.page.evaluate(switch % other)
    try:
        editing.page.wait_for_timeout(700)
        editing.place()
        editing.page.wait_for_function(
            f"() => editorOf({EDITOR})?.view.canvas.getBoundingClientRect().width > 100"
        )
        editing.page.wait_for_timeout(300)
        x, y = editing.waypoint_at(1)
        editing.drag((x, y), 30, -20)
        assert editing.waypoint_at(1) == pytest.approx((x + 30, y - 20), abs=2)
        assert editing.waypoints()[1]["position"] != PATH["waypoints"][1]["position"]
    finally:
        editing.page.evaluate(switch % was)
        editing.page.wait_for_timeout(500)


def test_the_full_window_is_left_with_its_edits(editing):
    editing.open(with_memory(json.dumps(PATH)))
    editing.page.get_by_role("button", name="Full window").click()
    dialog = editing.page.get_by_role("dialog", name="Camera path editor")
    assert dialog.bounding_box()["width"] > 1500
    editing.page.wait_for_timeout(200)
    editing.drag(editing.waypoint_at(1), 50, 0)
    drawn = editing.value()
    assert json.loads(drawn)["waypoints"][1]["position"] != PATH["waypoints"][1]["position"]
    editing.undo()
    assert editing.page.get_by_role("dialog", name="Camera path editor").is_visible(), "undo stays there"
    editing.page.get_by_role("button", name="Back into the node").click()
    editing.page.wait_for_timeout(200)
    assert editing.ask("e.host.element.contains(e.root)")
