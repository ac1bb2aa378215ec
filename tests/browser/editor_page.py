"""Graphs with a camera path editor, and an editor of a page to work with."""

from __future__ import annotations

import json
from typing import Any

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
CLEAR = "() => { app.canvas.setGraph(app.rootGraph ?? app.graph); app.graph.clear(); }"
GONE = "() => worldstereo3d.alive.size === 0"
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

    def clear(self) -> None:
        """Empty the graph, whichever one is shown, and wait until the last view is thrown away."""
        self.page.evaluate(CLEAR)
        self.page.wait_for_function(GONE, timeout=60_000)

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
