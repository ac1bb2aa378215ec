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

from worldstereo_core.adapters.comfy.environment import find_comfyui, why_not_found
from worldstereo_core.commands.comfy_server import ComfyServer
from worldstereo_core.commands.comfy_stand_ins import write_tiny_weights

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
    """

    server: ComfyServer
    page: Any
    renderer: str
    errors: list[str] = field(default_factory=list)

    def open(self, workflow: dict[str, Any]) -> None:
        """Open a workflow and wait until its nodes are drawn."""
        self.page.evaluate("async (workflow) => { await app.loadGraphData(workflow); }", workflow)
        self.page.wait_for_function(f"() => app.graph.nodes.length === {len(workflow['nodes'])}")
        if self.renderer == "vue":
            # Only nodes near the view are in the page, so the whole graph is brought into it.
            self.page.evaluate("() => { app.canvas.ds.scale = 0.2; app.canvas.ds.offset = [100, 300]; }")
            self.page.evaluate("() => app.canvas.setDirty(true, true)")
            count = f"document.querySelectorAll('[data-node-id]').length >= {len(workflow['nodes'])}"
            self.page.wait_for_function(f"() => {count}", timeout=60_000)
        self.page.wait_for_timeout(1000)


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
    """A server with this pack alone and tiny weights under the file names that the templates load."""
    found = find_comfyui()
    if found is None:
        pytest.skip(why_not_found())
    base = tmp_path_factory.mktemp("browser_server")
    write_tiny_weights(base / "models")
    server = ComfyServer(*found, base, {PACK: REPOSITORY})
    try:
        server.wait_until_up()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module", params=["classic", "vue"])
def frontend(request: pytest.FixtureRequest, browser, page_server: ComfyServer) -> Iterator[Frontend]:
    """The frontend with the classic renderer and with Nodes 2.0."""
    settings = {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": request.param == "vue"}
    body = json.dumps(settings).encode()
    call = urllib.request.Request(
        page_server.url + "/api/settings", body, {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(call, timeout=30).close()
    page = browser.new_page(viewport={"width": 1600, "height": 900})
    front = Frontend(page_server, page, request.param)
    page.on("pageerror", lambda error: front.errors.append(str(error)))
    page.goto(page_server.url)
    page.wait_for_function(READY, timeout=120_000)
    page.wait_for_timeout(1500)  # the first load opens a workflow of its own
    yield front
    page.close()
