"""How the workers of pytest-xdist share the tests: files stay whole, and a started server is used again."""

from __future__ import annotations

import re

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

# Families of tests that need the same long-lived processes: a server and Chromium, or a server and a worker
# process of one ComfyUI version. The longest comes first.
FAMILIES = ("browser", "comfy current", "comfy floor")
PLAIN = "plain"
# Parameters that split a file: each value means a page or processes of its own.
SPLITTING = re.compile(r"[\[-](current|floor|classic|vue)(?=[-\]])")


def unit_of(nodeid: str) -> str:
    """The unit that a test belongs to, "family|file|parameter"; one worker runs all of it in order."""
    file, _, name = nodeid.partition("::")
    found = SPLITTING.search(name)
    parameter = found[1] if found else ""
    if file.startswith("tests/browser/"):
        return f"browser|{file}|{parameter}"
    if file.startswith("tests/comfy/") and parameter:
        return f"comfy {parameter}|{file}|{parameter}"
    return f"{PLAIN}|{file}|"


def family_of(unit: str) -> str:
    return unit.partition("|")[0]


def next_unit(waiting: list[str], last: str, begun: set[str]) -> str:
    """Which of the waiting units a worker takes.

    Args:
        last: the family of the worker's unit before; PLAIN at first.
        begun: families that some worker has taken units of.
    """
    own = [last] if last != PLAIN else []
    fresh = [family for family in FAMILIES if family not in begun]
    # Plain tests need no process: they come late, and even out the ends. Helping with another worker's family
    # costs the start of its processes, so it comes last.
    others = [family for family in FAMILIES if family in begun]
    order = [*own, *fresh, PLAIN, *others]
    # By parameter within a family, so that a page is opened once.
    return min(waiting, key=lambda unit: (order.index(family_of(unit)), unit.rpartition("|")[2]))


class FamilyScheduling(LoadScopeScheduling):
    """Gives a worker units of the family whose processes it has started, as long as there are any."""

    def __init__(self, config: pytest.Config, log=None) -> None:
        super().__init__(config, log)
        self._last: dict[WorkerController, str] = {}
        self._begun: set[str] = set()

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        unit = next_unit(list(self.workqueue), self._last.get(node, PLAIN), self._begun)
        if family_of(unit) != PLAIN:
            self._last[node] = family_of(unit)
            self._begun.add(family_of(unit))
        # The base class takes the first.
        self.workqueue.move_to_end(unit, last=False)
        super()._assign_work_unit(node)
