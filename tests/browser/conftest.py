"""A ComfyUI server and a Chromium page per renderer; what is missing skips with the reason."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.template_files import write_inputs
from worldstereo_core.adapters.comfy.environment import find_comfyui, why_not_found
from worldstereo_core.commands.comfy_server import ComfyServer, Run
from worldstereo_core.commands.comfy_stand_ins import DEV_NODES
from worldstereo_core.commands.template_weights import write_template_weights

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
PACK = "ComfyUI-WorldStereo"
CHROMIUM = Path(os.environ.get("CHROMIUM_PATH") or "/usr/bin/chromium")
# Software WebGL, and none of the browser's own traffic.
FLAGS = (
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
READY = """() => !!(window.app && app.extensionManager && window.LiteGraph
    && LiteGraph.registered_node_types["WorldStereo_LoadModel"])"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


@dataclass
class Frontend:
    """An open page of the ComfyUI frontend.

    Attributes:
        renderer: "classic" (canvas) or "vue" (Nodes 2.0).
        errors: uncaught errors of the page so far.
        has_run: whether the open workflow was run.
    """

    server: ComfyServer
    page: Any
    renderer: str
    errors: list[str] = field(default_factory=list)
    has_run: bool = False

    def open(self, workflow: dict[str, Any]) -> None:
        """Open a workflow and wait until its nodes are drawn."""
        if self.has_run:
            self.hang_up()
        self.page.evaluate("async (workflow) => { await app.loadGraphData(workflow); }", workflow)
        self.page.wait_for_function(f"() => app.graph.nodes.length === {len(workflow['nodes'])}")
        self.show_graph()
        self.page.wait_for_timeout(300)

    def show_graph(self) -> None:
        """Leave the app view, and bring the whole graph into sight: Nodes 2.0 draws only what is near it."""
        if self.page.evaluate("() => !!app.graph.extra?.linearMode"):
            self.page.evaluate("async () => app.extensionManager.command.execute('Comfy.ToggleLinear')")
        if self.renderer == "vue":
            self.page.evaluate("() => { app.canvas.ds.scale = 0.2; app.canvas.ds.offset = [100, 300]; }")
            self.page.evaluate("() => app.canvas.setDirty(true, true)")
            count = "document.querySelectorAll('[data-node-id]').length >= app.graph.nodes.length"
            self.page.wait_for_function(f"() => {count}", timeout=60_000)

    def press_run(self, timeout: float = 120) -> Run:
        """Click the Run button and wait for the end of the run that it starts."""
        self.has_run = True
        # The bar above holds a login button whose popover opens under a resting mouse and lies over Run. (Not
        # Escape: it leaves an open subgraph.)
        self.page.mouse.move(10, 890)
        self.page.locator(".p-popover").wait_for(state="hidden")
        known = set(self.server.get("/history"))
        with self.page.expect_response(
            lambda answer: answer.url.endswith("/api/prompt") and answer.request.method == "POST"
        ) as sent:
            self.page.get_by_test_id("queue-button").click()
        answer = sent.value.json()
        assert not answer.get("node_errors"), answer
        assert answer["prompt_id"] not in known
        run = self.server.wait(answer["prompt_id"], timeout)
        assert run.error is None, run.error
        return run

    def leave_run(self) -> None:
        """Empty a graph that was run: core's 3D viewers reject, without a reason, what they were loading."""
        if self.has_run:
            self.page.evaluate("() => app.graph.clear()")
            self.page.wait_for_timeout(1000)

    def hang_up(self) -> None:
        """Connect anew, so that nothing of the last run reaches the workflow that is opened next.

        A page drawn in software hears of a run long after its end, and shows what a node said on the node
        of that id in the workflow that is open by then.
        """
        self.has_run = False
        self.page.evaluate("() => { window.hungUp = app.api.socket; app.api.socket.close(); }")
        self.page.wait_for_function(
            "() => app.api.socket && app.api.socket !== window.hungUp && app.api.socket.readyState === 1",
            timeout=120_000,
        )


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.is_file():
        pytest.skip(f"no Chromium at {CHROMIUM}; set CHROMIUM_PATH to one")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def page_server(browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A server with this pack, the small model under the names that the templates load, and their inputs."""
    found = find_comfyui()
    if found is None:
        pytest.skip(why_not_found())
    base = tmp_path_factory.mktemp("browser_server")
    write_template_weights(base / "models")
    server = ComfyServer(
        *found, base, {PACK: REPOSITORY, DEV_NODES: REPOSITORY / "tests" / "comfy" / "devnodes"}
    )
    write_inputs(base)
    try:
        server.wait_until_up()
        yield server
    finally:
        server.stop()


def set_up(server: ComfyServer, **settings: Any) -> None:
    """Store frontend settings on the server, as the settings dialog does."""
    body = json.dumps({key.replace("_", "."): value for key, value in settings.items()}).encode()
    call = urllib.request.Request(server.url + "/api/settings", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(call, timeout=30).close()


@pytest.fixture(scope="session")
def open_frontend(browser, page_server: ComfyServer):
    """A function that opens the frontend in a new page; (renderer, locale) -> Frontend."""

    def open_page(renderer: str, locale: str = "en") -> Frontend:
        vue = renderer == "vue"
        set_up(page_server, Comfy_TutorialCompleted=True, Comfy_VueNodes_Enabled=vue, Comfy_Locale=locale)
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        front = Frontend(page_server, page, renderer)
        page.on("pageerror", lambda error: front.errors.append(str(error)))
        page.goto(page_server.url)
        page.wait_for_function(READY, timeout=120_000)
        page.wait_for_timeout(1500)  # the first load opens a workflow of its own
        return front

    return open_page


# For the session: pytest then runs all tests of one renderer before those of the other, on one page each.
@pytest.fixture(scope="session", params=["classic", "vue"])
def frontend(request: pytest.FixtureRequest, open_frontend) -> Iterator[Frontend]:
    """The frontend with the classic renderer and with Nodes 2.0; every test opens a workflow of its own."""
    front = open_frontend(request.param)
    yield front
    front.page.close()
