"""How tests are shared among processes: by hand, and a whole run with two workers in small."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("xdist", reason="pytest-xdist is not installed")

from tests.sharing import next_unit, unit_of


@pytest.mark.parametrize(
    ("nodeid", "unit"),
    [
        ("tests/geometry/test_render.py::test_a[vue-3]", "plain|tests/geometry/test_render.py|"),
        ("tests/comfy/test_start.py::test_a[current]", "comfy current|tests/comfy/test_start.py|current"),
        ("tests/comfy/test_x.py::test_a[fp8 cast-floor]", "comfy floor|tests/comfy/test_x.py|floor"),
        ("tests/comfy/test_x.py::test_a[floor-a/b::c]", "comfy floor|tests/comfy/test_x.py|floor"),
        ("tests/comfy/test_x.py::test_currents", "plain|tests/comfy/test_x.py|"),
        ("tests/comfy/test_x.py::test_a[undercurrent]", "plain|tests/comfy/test_x.py|"),
        ("tests/browser/test_t.py::test_a[vue-one]", "browser|tests/browser/test_t.py|vue"),
        ("tests/browser/test_l.py::test_a[zh]", "browser|tests/browser/test_l.py|"),
    ],
)
def test_a_test_belongs_to_its_file_and_to_what_it_needs_running(nodeid, unit):
    assert unit_of(nodeid) == unit


def test_each_worker_keeps_to_what_it_has_started_and_plain_tests_fill_the_end():
    waiting = [
        "plain|a|",
        "comfy current|b|current",
        "browser|c|vue",
        "browser|d|classic",
        "comfy floor|e|floor",
        "plain|f|",
        "comfy current|g|current",
    ]

    def take(last: str, begun: set[str]) -> str:
        unit = next_unit(waiting, last, begun)
        waiting.remove(unit)
        return unit

    assert take("plain", set()) == "browser|d|classic"
    assert take("plain", {"browser"}) == "comfy current|b|current"
    # Two servers are running: each is used to the end.
    both = {"browser", "comfy current"}
    assert take("browser", both) == "browser|c|vue"
    assert take("browser", both) == "comfy floor|e|floor"
    assert take("comfy floor", {*both, "comfy floor"}) == "plain|a|"
    assert take("comfy floor", {*both, "comfy floor"}) == "plain|f|"
    # Nothing else is left: helping the other worker costs a second server.
    assert take("comfy floor", {*both, "comfy floor"}) == "comfy current|g|current"
    assert waiting == []


def test_two_workers_run_everything_once_and_the_skips_are_counted(tmp_path):
    root = Path(__file__).resolve().parents[1]
    for folder in ("comfy", "browser", "geometry"):
        (tmp_path / "tests" / folder).mkdir(parents=True)
    for name in ("conftest.py", "sharing.py"):
        (tmp_path / "tests" / name).write_bytes((root / "tests" / name).read_bytes())
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\naddopts = -q --import-mode=importlib\n")
    notes = tmp_path / "notes"
    notes.mkdir()
    text = (
        "import os, pathlib, pytest\n"
        "@pytest.mark.parametrize('number', range(3))\n"
        "@pytest.mark.parametrize('kind', {kinds})\n"
        "def test_it(kind, number):\n"
        "    with open(pathlib.Path({notes!r}) / os.environ['PYTEST_XDIST_WORKER'], 'a') as file:\n"
        "        file.write(f'{name} {{kind}} ' + os.environ['OMP_NUM_THREADS'] + '\\n')\n"
        "    if number == 2:\n"
        "        pytest.skip('the number is 2')\n"
    )
    for name, kinds in {
        "comfy/test_a": ["current", "floor"],
        "comfy/test_b": ["current", "floor"],
        "browser/test_c": ["classic", "vue"],
        "geometry/test_d": ["one"],
    }.items():
        (tmp_path / "tests" / f"{name}.py").write_text(text.format(kinds=kinds, notes=str(notes), name=name))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "OMP"))}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "14 passed, 7 skipped" in result.stdout
    for count, lack in ((4, "ComfyUI"), (2, "a browser"), (1, "a library")):
        assert f"{count} skipped for lack of {lack}: the number is 2" in result.stdout
    ran = {path.name: path.read_text().splitlines() for path in notes.iterdir()}
    assert len(ran) == 2 and sum(map(len, ran.values())) == 21
    # A file's tests of one kind ran in one process, one after another.
    for lines in ran.values():
        kinds = [line.rsplit(" ", 1)[0] for line in lines]
        assert all(lines.count(line) == 3 for line in lines)
        assert kinds == [kind for kind in dict.fromkeys(kinds) for _ in range(3)]
