"""The camera path editor in its node: drawn with the mouse, undone, saved, copied, run, in both renderers."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "editor_golden.json"
MEMORY, EDITOR = 1, 2
FILE = "worldstereo/memory_00001_.safetensors [output]"
NODE = "WorldStereo_EditPath"
# The editor of a node, and things about it that a person sees.
HOOK = """() => {
window.editorOf = (id, graph = app.graph) => worldstereo3d.hostsOf(graph.getNodeById(id))[0]?.view;
window.waypointAt = (id, index) => {
    const { session, view } = editorOf(id);
    return view.clientOf(session.path.waypoints[index].position);
};
window.noticeOf = (id) => editorOf(id).root.querySelector(".ws-notice")?.innerText ?? "";
}"""
PLACE = """async ([id, scale]) => {
    app.canvas.ds.scale = scale;
    app.canvas.ds.offset = [-330, 60];
    const frame = () => new Promise(requestAnimationFrame);
    let [same, before] = [0, ""];
    for (let i = 0; i < 60 && same < 2; i++) {
        if (!same) app.canvas.setDirty(true, true);
        await frame();
        const host = worldstereo3d.hostsOf(app.graph.getNodeById(id))[0]?.element;
        const box = host?.isConnected ? host.getBoundingClientRect() : { width: 0 };
        const now = box.width ? [box.x, box.y, box.width, box.height].map(Math.round).join() : "";
        const isPlaced = now && Math.abs(box.width / host.clientWidth - scale) < 0.02;
        same = isPlaced && now === before ? same + 1 : 0;
        before = now;
    }
}"""
PATH = {
    "version": 1,
    "waypoints": [
        {"position": [0, 0, 0], "time": 0},
        {"position": [0.4, 0, 0.3], "time": 0.5},
        {"position": [0.8, -0.2, 0.4], "time": 1, "fov_deg": 50},
    ],
}


def editor_node(id: int, value: str = "", x: int = 400, y: int = 40, link: int | None = None) -> dict:
    return {
        "id": id, "type": NODE, "pos": [x, y], "size": [760, 700], "mode": 0, "order": id, "flags": {},
        "properties": {}, "widgets_values": [value, 5, "smooth", 0, 0],
        "inputs": [
            {"name": "memory", "type": "WORLDSTEREO_MEMORY", "link": link},
            {"name": "path", "type": "WORLDSTEREO_PATH", "link": None},
            {"name": "continue_from", "type": "WORLDSTEREO_TRAJECTORY", "link": None},
        ],
        "outputs": [
            {"name": name, "type": kind, "links": None}
            for name, kind in (("path", "WORLDSTEREO_PATH"), ("trajectory", "WORLDSTEREO_TRAJECTORY"),
                               ("json", "STRING"), ("report", "STRING"))
        ],
    }  # fmt: skip


def graph(*nodes: dict, links: list | None = None) -> dict:
    last = max(node["id"] for node in nodes)
    return {"nodes": list(nodes), "links": links or [], "last_node_id": last, "last_link_id": 9,
            "groups": [], "config": {}, "extra": {}, "version": 0.4}  # fmt: skip


def with_memory(value: str = "") -> dict:
    memory = {
        "id": MEMORY, "type": "WorldStereo_LoadMemory", "pos": [20, 40], "size": [320, 80], "mode": 0,
        "order": 0, "flags": {}, "properties": {}, "widgets_values": [FILE],
        "outputs": [{"name": "memory", "type": "WORLDSTEREO_MEMORY", "links": [1]}],
    }  # fmt: skip
    links = [[1, MEMORY, 0, EDITOR, 0, "WORLDSTEREO_MEMORY"]]
    return graph(memory, editor_node(EDITOR, value, link=1), links=links)


class Editing:
    """The editor of one node on a page."""

    def __init__(self, frontend: Any) -> None:
        self.frontend, self.page = frontend, frontend.page
        self.page.evaluate(HOOK)

    def open(self, workflow: dict, scale: float = 1.0) -> None:
        """Open a workflow with the editor in sight, and wait until it is built."""
        self.page.evaluate("async (workflow) => { await app.loadGraphData(workflow); }", workflow)
        self.place(scale)
        self.page.wait_for_function(f"() => !!editorOf({EDITOR})?.view.painted", timeout=60_000)
        self.page.wait_for_timeout(100)

    def place(self, scale: float = 1.0) -> None:
        """Bring the editor into sight, and wait until it stands still."""
        self.page.evaluate(PLACE, [EDITOR, scale])

    def ask(self, expression: str) -> Any:
        """An expression in which ``e`` is the editor."""
        return self.page.evaluate(f"() => {{ const e = editorOf({EDITOR}); return {expression}; }}")

    def value(self) -> str:
        """What the API prompt holds for the editor's input."""
        prompt = self.page.evaluate("async () => (await app.graphToPrompt()).output")
        (inputs,) = [node["inputs"] for node in prompt.values() if node["class_type"] == NODE]
        return inputs["camera_path"]

    def waypoints(self) -> list[dict]:
        return json.loads(self.value())["waypoints"]

    def waypoint_at(self, index: int) -> tuple[float, float]:
        at = self.page.evaluate(f"() => waypointAt({EDITOR}, {index})")
        return at["x"], at["y"]

    def drag(self, start: tuple[float, float], dx: float, dy: float) -> None:
        x, y = start
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + dx / 2, y + dy / 2, steps=3)
        self.page.mouse.move(x + dx, y + dy, steps=3)
        self.page.mouse.up()
        self.page.wait_for_timeout(60)

    def undo(self, key: str = "z") -> None:
        before = self.page.evaluate("() => JSON.stringify(app.graph.serialize().nodes)")
        self.page.keyboard.press(f"Control+{key}")
        self.page.wait_for_function(
            "(before) => JSON.stringify(app.graph.serialize().nodes) !== before", arg=before
        )
        self.page.wait_for_function(f"() => !!editorOf({EDITOR})?.view.painted", timeout=60_000)

    def run(self) -> None:
        """Run, and wait for the points."""
        self.frontend.press_run()
        self.page.wait_for_function(f"() => editorOf({EDITOR}).points.status === 'shown'", timeout=60_000)


@pytest.fixture
def editing(frontend):
    frontend.errors.clear()
    yield Editing(frontend)
    assert frontend.errors == []


def test_a_new_editor_shows_a_path_and_writes_nothing(editing):
    editing.open(with_memory())
    assert editing.value() == ""
    assert editing.ask("e.session.path.waypoints.length") == 5
    assert "Run this node" in editing.page.evaluate(f"() => noticeOf({EDITOR})")
    unnamed = editing.ask(
        "[...e.root.querySelectorAll('button, input, select, [tabindex]')]"
        ".filter(c => !(c.getAttribute('aria-label') || c.closest('label'))).map(c => c.outerHTML)"
    )
    assert unnamed == []


def test_waypoints_are_dragged_turned_recorded_and_undone(editing):
    editing.open(with_memory())
    place = editing.page.evaluate(f"() => [...app.graph.getNodeById({EDITOR}).pos]")
    before = editing.ask("e.session.path.waypoints")
    x, y = editing.waypoint_at(3)
    editing.drag((x, y), 70, -40)
    moved = editing.waypoints()
    assert editing.waypoint_at(3) == pytest.approx((x + 70, y - 40), abs=2)
    assert [moved[i]["position"] == pytest.approx(before[i]["position"], abs=1e-5) for i in range(5)] == [
        True, True, True, False, True,
    ]  # fmt: skip
    assert editing.page.evaluate(f"() => [...app.graph.getNodeById({EDITOR}).pos]") == place

    # One drag is one step; both ways.
    drawn = editing.value()
    editing.undo()
    assert editing.value() == ""
    editing.undo("y")
    assert editing.value() == drawn and editing.ask("e.session.selected") == 3

    # Keys: the node stays when a waypoint is deleted.
    editing.page.mouse.click(*editing.waypoint_at(3))
    editing.page.keyboard.press("Delete")
    assert len(editing.waypoints()) == 4
    assert editing.page.evaluate("() => app.graph.nodes.length") == 2
    editing.page.keyboard.press("k")
    assert len(editing.waypoints()) == 5

    # A ring turns, and leaves the place.
    editing.page.keyboard.press("r")
    at = editing.ask(
        """(() => {
            const { position } = e.session.path.waypoints[e.session.selected];
            const units = e.view.camera().fx;
            const depth = e.view.orbit.c2w;
            const z = [2, 6, 10].reduce((s, k, i) => s + depth[k] * (position[i] - depth[4 * i + 3]), 0);
            const r = 50 * z / units;
            return e.view.clientOf([position[0] + r * 0.7071, position[1], position[2] - r * 0.7071]);
        })()"""
    )
    turned_from = editing.waypoints()
    editing.drag((at["x"], at["y"]), 18, 6)
    turned = editing.waypoints()
    changed = [i for i in range(5) if turned[i]["wxyz"] != turned_from[i]["wxyz"]]
    assert len(changed) == 1
    assert [w["position"] for w in turned] == [w["position"] for w in turned_from]

    # Record: the waypoint stands where the view does.
    editing.page.keyboard.press("c")
    recorded = editing.waypoints()[-1]
    eye = editing.ask("[3, 7, 11].map(i => e.view.orbit.c2w[i])")
    assert recorded["position"] == pytest.approx(eye, abs=1e-5) and recorded["time"] == 1
    assert recorded["fov_deg"] == pytest.approx(editing.ask("e.view.orbit.fovDeg"), abs=1e-5)


def test_the_view_orbits_pans_and_zooms_and_the_graph_does_not(editing):
    editing.open(with_memory())
    graph_view = "() => [app.canvas.ds.scale, ...app.canvas.ds.offset]"
    before = editing.page.evaluate(graph_view)
    x, y = editing.ask(
        "(() => { const b = e.view.canvas.getBoundingClientRect(); return [b.x + 60, b.y + 60]; })()"
    )
    poses = [editing.ask("e.view.orbit.c2w")]
    editing.drag((x, y), 40, 30)
    poses.append(editing.ask("e.view.orbit.c2w"))
    editing.page.mouse.move(x, y)
    editing.page.mouse.wheel(0, 300)
    editing.page.wait_for_timeout(60)
    poses.append(editing.ask("e.view.orbit.c2w"))
    editing.page.keyboard.down("Shift")
    editing.drag((x, y), 40, 30)
    editing.page.keyboard.up("Shift")
    poses.append(editing.ask("e.view.orbit.c2w"))
    assert all(a != b for a, b in zip(poses, poses[1:], strict=False))
    assert editing.page.evaluate(graph_view) == before
    assert editing.value() == "", "looking around changes nothing"


def test_dragging_follows_the_pointer_in_a_zoomed_graph_and_after_a_resize(editing):
    editing.open(with_memory(json.dumps(PATH)))
    editing.page.evaluate(f"() => app.graph.getNodeById({EDITOR}).setSize([900, 560])")
    for scale in (0.5, 1.4):
        editing.place(scale)
        x, y = editing.waypoint_at(1)
        editing.drag((x, y), 30, 20)
        assert editing.waypoint_at(1) == pytest.approx((x + 30, y + 20), abs=2)
    size = editing.ask("[e.root.clientWidth, e.root.clientHeight]")
    assert size[0] > 850 and size[1] >= 438


def test_numbers_choices_and_presets_change_the_path(editing):
    editing.open(with_memory(json.dumps(PATH)))
    editing.ask("e.session.select(1)")
    field = editing.page.get_by_label("Horizontal field of view, degrees")
    field.fill("35")
    field.press("Enter")
    assert editing.waypoints()[1]["fov_deg"] == 35
    field.fill("nonsense")
    field.press("Enter")
    assert editing.waypoints()[1]["fov_deg"] == 35 and field.input_value() == "35"
    editing.page.get_by_label("Curve", exact=True).select_option("bezier")
    editing.page.get_by_label("Easing", exact=True).select_option("ease in")
    editing.page.get_by_label("Closed loop").check()
    path = json.loads(editing.value())
    assert (path["interpolation"], path["closed"], len(path["waypoints"])) == ("bezier", True, 4)
    assert path["waypoints"][1]["easing"] == "ease in"
    editing.page.get_by_role("button", name="Start from a preset").click()
    editing.page.get_by_role("menuitem", name="Dolly in").click()
    assert [w["easing"] for w in editing.waypoints()] == ["smooth", "smooth"]
    # A diamond on the time line.
    editing.ask("e.actions.insert()")
    box = editing.page.get_by_role("slider", name="Time").bounding_box()
    middle = editing.ask("e.session.frameOf(0.5) / (e.session.frames - 1)")
    editing.drag((box["x"] + 10 + middle * (box["width"] - 20), box["y"] + 27), 40, 0)
    assert 0.52 < editing.waypoints()[1]["time"] < 0.75
    editing.page.keyboard.press("?")
    assert editing.page.get_by_role("dialog", name="Mouse and keys").is_visible()
    editing.page.keyboard.press("Escape")


def test_a_run_brings_points_pictures_and_the_very_cameras(editing):
    editing.open(with_memory())
    editing.run()
    assert editing.ask("e.view.cloud.count") > 1000
    assert editing.ask("e.session.isChanged") is False
    # The editor's own cameras along the path are those that Python rendered with.
    off = editing.ask(
        """(() => {
            let worst = 0;
            e.session.run.frames.forEach((frame, i) => {
                const own = e.session.shape.frameCameras[i];
                for (const z of [2, 3, 4]) for (const x of [-1, 0, 1]) {
                    const project = (c) => {
                        const d = [x, 0.3, z].map((v, k) => v - c.c2w[4 * k + 3]);
                        const [a, b, f] = [0, 1, 2].map(j => d.reduce((s, v, k) => s + v * c.c2w[4 * k + j], 0));
                        return [c.cx + c.fx * a / f, c.cy + c.fy * b / f];
                    };
                    const [p, q] = [project(frame), project(own)];
                    worst = Math.max(worst, Math.hypot(p[0] - q[0], p[1] - q[1]));
                }
            });
            return [e.session.run.frames.length, worst];
        })()"""
    )
    assert off[0] == 5 and off[1] < 0.05
    editing.page.wait_for_function(
        f"() => [...editorOf({EDITOR}).inset.images.values()].some(i => i.complete)"
    )
    # Changed, the warnings are of another path; undone, the points come back with the outputs.
    editing.drag(editing.waypoint_at(2), 30, 0)
    assert editing.ask("e.session.isChanged") is True
    editing.undo()
    editing.page.wait_for_function(f"() => editorOf({EDITOR}).points.status === 'shown'")
    assert editing.value() == "" and editing.ask("e.session.path.waypoints.length") == 5

    # Looked through, the gate shows exactly what the frame shows.
    editing.ask("(e.session.seek(e.session.progressOfFrame(2)), e.actions.lookThrough())")
    gate = editing.ask(
        """(() => {
            const frame = e.session.run.frames[2], view = e.view.camera(), box = e.view.gateBox();
            const grow = box.width / frame.width;
            return [view.fx / (frame.fx * grow), view.cx - box.x - frame.cx * grow,
                    Math.max(...view.c2w.map((v, i) => Math.abs(v - frame.c2w[i])))];
        })()"""
    )
    assert gate[0] == pytest.approx(1, abs=1e-4) and gate[1] == pytest.approx(0, abs=0.01) and gate[2] < 1e-5


def test_only_the_editor_runs_from_its_own_button(editing):
    two = with_memory()
    two["nodes"].append(editor_node(3, x=1200))
    editing.open(two)
    with editing.page.expect_response(lambda answer: answer.url.endswith("/api/prompt")) as sent:
        editing.page.get_by_role("button", name="Run this node").first.click()
    run = editing.frontend.server.wait(sent.value.json()["prompt_id"], 120)
    assert run.error is None and set(run.outputs) == {str(EDITOR)}
    editing.page.wait_for_function(f"() => editorOf({EDITOR}).points.status === 'shown'")


def test_a_saved_workflow_brings_the_path_back_and_a_copy_is_independent(editing):
    editing.open(with_memory())
    editing.drag(editing.waypoint_at(2), 40, 10)
    drawn = editing.value()
    saved = editing.page.evaluate("() => app.graph.serialize()")
    editing.page.evaluate("() => app.graph.clear()")
    editing.page.wait_for_function("() => worldstereo3d.alive.size === 0")
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
    editing.page.wait_for_function(f"() => !!{find}?.view.painted", timeout=60_000)
    editing.page.evaluate(f"() => {find}.actions.usePreset('dolly_in')")
    assert len(editing.waypoints()) == 2
    editing.frontend.press_run()
    editing.page.wait_for_function(f"() => {find}.points.status === 'shown'")
    editing.page.evaluate("() => app.canvas.setGraph(app.rootGraph ?? app.graph)")


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
                const drawn = renderer.draw({{ cloud, camera: {{ ...frame, width, height }}, pixelWidth: width,
                    pixelHeight: height, near: 0.01, far: 100, pointPixels: 5, background: [0, 0, 0, 1] }});
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
            const url = performance.getEntriesByType("resource").map(r => r.name)
                .find(name => name.includes("worldstereo_3d.mjs"));
            const real = HTMLCanvasElement.prototype.getContext;
            HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
                return kind === "webgl2" ? null : real.call(this, kind, ...more);
            };
            const element = document.createElement("div");
            Object.assign(element.style, { position: "fixed", width: "600px", height: "400px" });
            document.body.append(element);
            try {
                const { createPathEditor } = await import(url + "&without_webgl");
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
    nodes = [editor_node(i + 1, json.dumps(PATH), x=(i % 5) * 800, y=(i // 5) * 760) for i in range(20)]
    editing.page.evaluate("async (workflow) => { await app.loadGraphData(workflow); }", graph(*nodes))
    editing.page.evaluate(
        "() => { app.canvas.ds.scale = 0.25; app.canvas.ds.offset = [300, 200]; app.canvas.setDirty(true, true); }"
    )
    editing.page.wait_for_function("() => worldstereo3d.alive.size === 20", timeout=60_000)
    editing.page.wait_for_function("() => [...worldstereo3d.alive].every(e => e.view.painted)")
    assert (
        editing.page.evaluate("() => new Set([...worldstereo3d.alive].map(e => e.view.renderer)).size") == 1
    )
    assert editing.page.evaluate("() => contexts") <= 1
    editing.page.wait_for_timeout(500)
    count = "() => [...worldstereo3d.alive].reduce((sum, e) => sum + e.view.painted, 0)"
    before = editing.page.evaluate(count)
    editing.page.wait_for_timeout(600)
    assert editing.page.evaluate(count) == before, "no render loop"
    editing.page.evaluate("() => app.graph.clear()")
    editing.page.wait_for_function("() => worldstereo3d.alive.size === 0")


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
                    const until = performance.now() + 5000;
                    while (!worldstereo3d.alive.size && performance.now() < until)
                        await new Promise(requestAnimationFrame);
                    if (!worldstereo3d.alive.size) throw new Error("no editor was built");
                    const [editor] = worldstereo3d.alive;
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

    editing.page.evaluate(
        "() => { app.graph.clear(); app.canvas.ds.scale = 1; app.canvas.ds.offset = [-330, 60]; }"
    )
    cycles(15)
    before = used()
    cycles(50)
    grown = used() - before
    # A leaked editor with its points would hold 0.1 MB or more: 5 MB.
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
