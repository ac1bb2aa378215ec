"""Shipped templates run from the Run button, and their nodes still fit their groups."""

from __future__ import annotations

import itertools
import json

import pytest

from tests.browser.layout import layout_faults
from tests.template_files import SMALL, WORKFLOWS
from worldstereo_core.commands.comfy_stand_ins import shrink_workflow

NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
# A run here takes ten seconds, and tests/comfy runs every template as the page sends it. So these few run
# always; the rest, by turns in the one renderer or the other, with --thorough.
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


assert set(ALWAYS_RUN) <= set(NAMES), "a template that always runs has another name now"


@pytest.mark.parametrize(("frontend", "name"), RUNS, indirect=["frontend"])
def test_a_template_runs_from_the_run_button_and_still_fits_its_groups(frontend, name):
    template = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    frontend.leave_run()
    frontend.errors.clear()
    frontend.open(shrink_workflow(template, frontend.server.object_info(), SMALL))
    run = frontend.press_run()
    videos = [node["id"] for node in template["nodes"] if node["type"] == "SaveVideo" and not node["mode"]]
    assert all(run.files(str(id)) for id in videos) and run.outputs
    frontend.page.wait_for_timeout(500)
    assert frontend.errors == []
    assert layout_faults(frontend) == ([], [], [])
