"""What a node said about its last run stands on it, in both renderers, and is never saved."""

from __future__ import annotations

import pytest

PLOT, SAVE = 1, 2


def workflow() -> dict:
    """A trajectory that is plotted and saved: two nodes that say something, no model."""

    def node(id, kind, y, values, **sockets):
        size = [340, 660 if kind == "WorldStereo_BuildTrajectory" else 120]
        return {"id": id, "type": kind, "pos": [100, y], "size": size, "mode": 0, "order": id, "flags": {},
                "properties": {}, "widgets_values": values, **sockets}  # fmt: skip

    link = {"name": "trajectory", "type": "WORLDSTEREO_TRAJECTORY"}
    return {
        "nodes": [
            node(PLOT, "WorldStereo_BuildTrajectory", 100, ["orbit right", 30, 0.5, "smooth", 5, 1, 96, 64],
                 outputs=[{**link, "links": [1]}, {"name": "plot", "type": "IMAGE", "links": None}]),
            node(SAVE, "WorldStereo_SaveTrajectory", 900, ["worldstereo/camera", "camera_json"],
                 inputs=[{**link, "link": 1}], outputs=[{"name": "file", "type": "STRING", "links": None}]),
        ],
        "links": [[1, PLOT, 0, SAVE, 0, "WORLDSTEREO_TRAJECTORY"]],
        "last_node_id": 2, "last_link_id": 1, "groups": [], "config": {}, "extra": {}, "version": 0.4,
    }  # fmt: skip


@pytest.fixture(scope="module")
def ran(frontend):
    frontend.errors.clear()
    frontend.open(workflow())
    before = frontend.page.evaluate("() => app.graph.serialize().nodes")
    frontend.press_run()
    frontend.page.wait_for_function("() => document.querySelectorAll('.worldstereo-text').length >= 2")
    frontend.before = before
    return frontend


def shown(frontend) -> list[str]:
    """Texts that a person sees, from top to bottom."""
    found = frontend.page.evaluate(
        """() => [...document.querySelectorAll('.worldstereo-text')].map(e => {
            const box = e.getBoundingClientRect(); return [box.y, box.height, e.innerText]; })"""
    )
    return [text for _, height, text in sorted(found) if height > 3]


def test_the_texts_of_a_run_stand_on_their_nodes(ran):
    plot, saved = shown(ran)
    assert "5 frames, 96 x 64 pixels" in plot
    assert "worldstereo/camera_0000" in saved
    assert ran.errors == []


def test_a_node_grows_so_that_its_text_lies_inside(ran):
    ran.page.wait_for_function("() => app.graph.nodes.every(n => n.computeSize()[1] <= n.size[1] + 1)")


def test_texts_are_neither_saved_nor_sent(ran):
    saved = ran.page.evaluate("() => app.graph.serialize().nodes")
    assert [node["widgets_values"] for node in saved] == [node["widgets_values"] for node in ran.before]
    prompt = ran.page.evaluate("async () => (await app.graphToPrompt()).output")
    assert not any("worldstereo_text" in node["inputs"] for node in prompt.values())


def test_texts_come_back_with_the_outputs_of_a_reopened_workflow(ran):
    # As the change tracker does it for a tab that is opened again: nodes anew, then the kept outputs.
    outputs = ran.page.evaluate("() => JSON.parse(JSON.stringify(app.nodeOutputs))")
    ran.open(workflow())
    assert shown(ran) == []
    ran.page.evaluate("outputs => { app.nodeOutputs = outputs; }", outputs)
    ran.page.wait_for_timeout(500)
    assert len(shown(ran)) == 2


def test_a_text_inside_a_subgraph_is_found_by_its_locator(ran):
    ran.open(workflow())
    text = ran.page.evaluate(
        """async () => {
            const node = app.graph.getNodeById(1);
            const { subgraph } = app.graph.convertToSubgraph(new Set([node]));
            const inner = subgraph.nodes[0];
            app.nodeOutputs = { [`${subgraph.id}:${inner.id}`]: { text: ["said inside"] } };
            return inner.widgets.find(w => w.name === "worldstereo_text")?.element.textContent;
        }"""
    )
    assert text == "said inside"
