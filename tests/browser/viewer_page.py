"""Graphs with a world viewer, and a viewer of a page to work with."""

from __future__ import annotations

import json
from typing import Any

from tests.browser.editor_page import CLEAR, FILE, GONE, MEMORY, PLACE, graph

VIEWER, CROP = 2, 3
HOOK = """() => {
window.viewerOf = (id) => worldstereo3d.hostsOf(app.graph.getNodeById(id))[0]?.view;
window.noticeOf = (id) => viewerOf(id).root.querySelector(".ws-notice")?.innerText ?? "";
// Colours of the picture's points: those that differ from the drawn grid and the background.
window.coloursOf = (id) => {
    const { canvas, context } = viewerOf(id).view;
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const found = new Map();
    for (let i = 0; i < data.length; i += 64)
        if (data[i + 3] > 250) {
            const key = [data[i], data[i + 1], data[i + 2]].map((c) => c >> 5).join();
            found.set(key, (found.get(key) ?? 0) + 1);
        }
    return Object.fromEntries(found);
};
}"""


def viewer_node(value: str = "", properties: dict | None = None) -> dict:
    outputs = {"memory": "WORLDSTEREO_MEMORY", "selection": "WORLDSTEREO_SELECTION",
               "camera_info": "LOAD3D_CAMERA", "path": "WORLDSTEREO_PATH",
               "trajectory": "WORLDSTEREO_TRAJECTORY", "picture": "IMAGE", "report": "STRING"}  # fmt: skip
    return {
        "id": VIEWER, "type": "WorldStereo_ViewMemory", "pos": [400, 40], "size": [860, 740], "mode": 0,
        "order": 1, "flags": {}, "properties": properties or {}, "widgets_values": [value],
        "inputs": [{"name": "memory", "type": "WORLDSTEREO_MEMORY", "link": 1}],
        "outputs": [{"name": name, "type": kind, "links": [2] if name == "selection" else None}
                    for name, kind in outputs.items()],
    }  # fmt: skip


def workflow(value: str = "", properties: dict | None = None) -> dict:
    """A saved memory, the viewer, and a crop that takes its selection."""
    memory = {
        "id": MEMORY, "type": "WorldStereo_LoadMemory", "pos": [20, 40], "size": [320, 80], "mode": 0,
        "order": 0, "flags": {}, "properties": {}, "widgets_values": [FILE],
        "outputs": [{"name": "memory", "type": "WORLDSTEREO_MEMORY", "links": [1, 3]}],
    }  # fmt: skip
    crop = {
        "id": CROP, "type": "WorldStereo_CropMemory", "pos": [1320, 40], "size": [320, 560], "mode": 0,
        "order": 2, "flags": {}, "properties": {},
        "widgets_values": ["box", "outside", 0, 0, 1, 2, 2, 2, 1, 0, "median depth", "keep all"],
        "inputs": [{"name": "memory", "type": "WORLDSTEREO_MEMORY", "link": 3},
                   {"name": "trajectory", "type": "WORLDSTEREO_TRAJECTORY", "link": None},
                   {"name": "selection", "type": "WORLDSTEREO_SELECTION", "link": 2}],
        "outputs": [{"name": "memory", "type": "WORLDSTEREO_MEMORY", "links": None}],
    }  # fmt: skip
    links = [
        [1, MEMORY, 0, VIEWER, 0, "WORLDSTEREO_MEMORY"],
        [2, VIEWER, 1, CROP, 2, "WORLDSTEREO_SELECTION"],
        [3, MEMORY, 0, CROP, 0, "WORLDSTEREO_MEMORY"],
    ]
    return graph(memory, viewer_node(value, properties), crop, links=links)


class Viewing:
    """The viewer of one node on a page."""

    def __init__(self, frontend: Any) -> None:
        self.frontend, self.page = frontend, frontend.page
        self.page.evaluate(HOOK)

    def open(self, content: dict) -> None:
        self.page.evaluate("async (workflow) => { await app.loadGraphData(workflow); }", content)
        self.place()
        self.page.wait_for_function(f"() => !!viewerOf({VIEWER})?.view.painted", timeout=60_000)
        self.page.wait_for_timeout(100)

    def clear(self) -> None:
        """Empty the graph, whichever one is shown, and wait until the last view is thrown away."""
        self.page.evaluate(CLEAR)
        self.page.wait_for_function(GONE, timeout=60_000)

    def place(self) -> None:
        """Bring the viewer into sight, where Nodes 2.0 builds it, and wait until it stands still."""
        self.page.evaluate(PLACE, [VIEWER, 1.0])

    def ask(self, expression: str) -> Any:
        """An expression in which ``v`` is the viewer."""
        return self.page.evaluate(f"() => {{ const v = viewerOf({VIEWER}); return {expression}; }}")

    def value(self) -> dict:
        """What the API prompt holds for the viewer's input."""
        prompt = self.page.evaluate("async () => (await app.graphToPrompt()).output")
        text = prompt[str(VIEWER)]["inputs"]["view_state"]
        return json.loads(text) if text else {}

    def run(self) -> dict:
        """Run, wait for the points, and give the outputs."""
        run = self.frontend.press_run()
        self.page.wait_for_function(f"() => viewerOf({VIEWER}).points.status === 'shown'", timeout=60_000)
        self.page.wait_for_function(f"() => !viewerOf({VIEWER}).points.due", timeout=60_000)
        return run.outputs

    def settle(self) -> None:
        """Wait until what was asked for is drawn."""
        self.page.wait_for_function(
            f"() => {{ const v = viewerOf({VIEWER}); "
            "return !!v && !(v.points.due && v.view.cloud) && !v.view.frame; }"
        )

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Page pixels of a place in the picture, in shares of it."""
        box = self.ask(
            "(() => { const b = v.view.canvas.getBoundingClientRect(); "
            "return [b.x, b.y, b.width, b.height]; })()"
        )
        return box[0] + x * box[2], box[1] + y * box[3]

    def drag(self, *places: tuple[float, float]) -> None:
        """Through places of the picture."""
        self.page.mouse.move(*self.at(*places[0]))
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*self.at(*place), steps=3)
        self.page.mouse.up()
        self.settle()

    def press(self, label: str) -> None:
        self.page.get_by_role("button", name=label).click()
        self.settle()

    def stand_at_picture(self) -> None:
        self.press("Go to the input view")
