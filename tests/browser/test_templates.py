"""Each shipped template opens as it was drawn, in both renderers, and runs from the Run button."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.template_files import SMALL, WORKFLOWS
from worldstereo_core.commands.comfy_prompt import workflow_to_prompt
from worldstereo_core.commands.comfy_stand_ins import shrink_workflow

NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
# A run here takes ten seconds, and tests/comfy runs every template as the page sends it. So these few run
# always; the rest, by turns in the one renderer or the other, with -m thorough.
ALWAYS_RUN = {
    "one_clip.app",
    "check_views_and_export_colmap",
    "loop_of_six_trajectories",
    "try_it_in_one_minute",
}
RUNS = [
    pytest.param(renderer, name, marks=() if name in ALWAYS_RUN else pytest.mark.thorough)
    for name, renderer in zip(NAMES, itertools.cycle(("classic", "vue")), strict=False)
]


@pytest.fixture(scope="session")
def schemas(page_server):
    return page_server.object_info()


@pytest.fixture(scope="module", params=NAMES)
def template(request: pytest.FixtureRequest, frontend) -> dict[str, Any]:
    """One template as the server offers it, opened (and only read by the tests that follow)."""
    workflow = frontend.server.get(f"/api/workflow_templates/ComfyUI-WorldStereo/{request.param}.json")
    if frontend.has_run:
        # Core's 3D viewers reject, without a reason, what they were loading when their workflow is left.
        frontend.page.evaluate("() => app.graph.clear()")
        frontend.page.wait_for_timeout(1000)
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


def test_the_prompt_that_the_frontend_makes_is_the_one_that_the_server_tests_run(frontend, template, schemas):
    prompt = frontend.page.evaluate("async () => (await app.graphToPrompt()).output")
    assert without_viewers(prompt) == without_viewers(workflow_to_prompt(template, schemas))


def without_viewers(prompt: dict[str, Any]) -> dict[str, Any]:
    """Without what a 3D viewer adds about its own view."""
    return {
        id: {key: value for key, value in node["inputs"].items() if key != "viewport_state"}
        for id, node in prompt.items()
    }


def test_nodes_of_a_template_do_not_cover_each_other_and_stay_in_their_groups(frontend, template):
    assert layout_faults(frontend) == ([], [], [])


def layout_faults(frontend) -> tuple[list[Any], list[Any], list[Any]]:
    """Pairs of nodes that overlap, pairs of groups that overlap, nodes outside every group."""
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
    return covered, crossing, outside


def overlap(a: list[Any], b: list[Any]) -> bool:
    return a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]


def inside(box: list[Any], group: list[Any]) -> bool:
    return group[1] <= box[1] and group[2] <= box[2] and box[3] <= group[3] and box[4] <= group[4]


@pytest.mark.parametrize(("frontend", "template"), RUNS, indirect=True)
def test_a_template_runs_from_the_run_button_and_still_fits_its_groups(frontend, template, schemas):
    frontend.open(shrink_workflow(template, schemas, SMALL))
    run = frontend.press_run()
    videos = [node["id"] for node in template["nodes"] if node["type"] == "SaveVideo" and not node["mode"]]
    assert all(run.files(str(id)) for id in videos) and run.outputs
    frontend.page.wait_for_timeout(500)
    assert frontend.errors == []
    assert layout_faults(frontend) == ([], [], [])
