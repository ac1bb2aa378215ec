"""Each shipped template opens as it was drawn, in both renderers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.layout import layout_faults
from tests.template_files import WORKFLOWS
from worldstereo_core.commands.comfy_prompt import workflow_to_prompt

NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))


@pytest.fixture(scope="session")
def schemas(page_server):
    return page_server.object_info()


@pytest.fixture(scope="module", params=NAMES)
def template(request: pytest.FixtureRequest, frontend) -> dict[str, Any]:
    """One template as the server offers it, opened (and only read by the tests that follow)."""
    workflow = frontend.server.get(f"/api/workflow_templates/ComfyUI-WorldStereo/{request.param}.json")
    frontend.leave_run()
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
