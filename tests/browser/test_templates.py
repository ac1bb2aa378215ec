"""Each shipped template opens in the frontend as it was drawn, in the classic renderer and in Nodes 2.0."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from worldstereo_core.commands.comfy_prompt import workflow_to_prompt

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))


@pytest.fixture(scope="module", params=NAMES)
def template(request: pytest.FixtureRequest, frontend) -> dict[str, Any]:
    """One template as the server offers it, opened (and only read by the tests)."""
    workflow = frontend.server.get(f"/api/workflow_templates/ComfyUI-WorldStereo/{request.param}.json")
    frontend.errors.clear()
    frontend.open(workflow)
    return workflow


def test_a_template_opens_without_missing_node_or_page_error(frontend, template):
    missing = frontend.page.evaluate(
        "() => app.graph.nodes.filter(n => !(n.type in LiteGraph.registered_node_types)).map(n => n.type)"
    )
    links = frontend.page.evaluate("() => [...app.graph.links.values()].length")
    assert (missing, frontend.errors) == ([], [])
    assert links == len(template["links"])


def test_the_prompt_that_the_frontend_makes_is_the_one_that_the_server_tests_run(frontend, template):
    prompt = frontend.page.evaluate("async () => (await app.graphToPrompt()).output")
    expected = workflow_to_prompt(template, frontend.server.object_info())
    assert without_viewers(prompt) == without_viewers(expected)


def without_viewers(prompt: dict[str, Any]) -> dict[str, Any]:
    """Without what a 3D viewer adds about its own view."""
    return {
        id: {key: value for key, value in node["inputs"].items() if key != "viewport_state"}
        for id, node in prompt.items()
    }


def test_nodes_of_a_template_do_not_cover_each_other_and_stay_in_their_groups(frontend, template):
    # Title bars count: they stand above a node's position.
    boxes = frontend.page.evaluate(
        """() => app.graph.nodes.map(n => [n.title, n.pos[0], n.pos[1] - 30,
                                           n.pos[0] + n.size[0], n.pos[1] + n.size[1]])"""
    )
    groups = frontend.page.evaluate(
        """() => app.graph.groups.map(g => [g.title, g.pos[0], g.pos[1],
                                            g.pos[0] + g.size[0], g.pos[1] + g.size[1]])"""
    )
    covered = [(a[0], b[0]) for a, b in itertools.combinations(boxes, 2) if overlap(a, b)]
    crossing = [(a[0], b[0]) for a, b in itertools.combinations(groups, 2) if overlap(a, b)]
    outside = [box[0] for box in boxes if not any(inside(box, group) for group in groups)]
    assert (covered, crossing, outside) == ([], [], [])


def overlap(a: list[Any], b: list[Any]) -> bool:
    return a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]


def inside(box: list[Any], group: list[Any]) -> bool:
    return group[1] <= box[1] and group[2] <= box[2] and box[3] <= group[3] and box[4] <= group[4]
