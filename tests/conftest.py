"""Where the tests find goldens and photos, how several processes share them, and what was skipped and why."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

# Before torch is loaded: waiting threads sleep instead of spinning, so that tests share a machine well.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # the workers, and the servers that they start, share the cores
    threads = max(1, CORES // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
ROOT = Path(__file__).resolve().parents[1]
MOST_WORKERS = 4  # each may run a ComfyUI server and a worker process of about 1 GB
SKIP_MARKERS = {"browser": "a browser", "comfy": "ComfyUI", "shared": "shared data", "gpu": "a GPU"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many processes `-n auto`, the default of scripts/run.py, means: 0 runs everything in this one."""
    return min(CORES, MOST_WORKERS) if CORES > 1 else 0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Share the tests as tests/sharing.py says, unless --dist asks for another way."""
    if config.getvalue("dist") != "load":
        return None
    from tests.sharing import FamilyScheduling

    return FamilyScheduling(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="also tests marked thorough: minutes more")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the thorough tests out unless they are asked for."""
    if config.getoption("--thorough"):
        return
    left_out = [item for item in items if item.get_closest_marker("thorough")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def shared_folder() -> Path:
    """The folder with the whole golden set and the kitchen: WORLDSTEREO_SHARED, else ../shared."""
    return Path(os.environ.get("WORLDSTEREO_SHARED") or ROOT.parent / "shared")


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """The small golden set that is part of the repository."""
    return ROOT / "tests" / "data" / "golden"


def _shared(part: str) -> Path:
    folder = shared_folder() / part
    if not folder.is_dir():
        pytest.skip(f"no {folder} (WORLDSTEREO_SHARED names the folder that holds {part})")
    return folder


@pytest.fixture(scope="session")
def shared_golden() -> Path:
    """The whole golden set."""
    return _shared("golden")


@pytest.fixture(scope="session")
def kitchen_dir() -> Path:
    """One real photo with depth and the official renders."""
    return _shared("data/kitchen")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped for lack of what, and why."""
    counts: Counter[tuple[str, str]] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        marks = getattr(report, "keywords", ())
        kind = next((word for marker, word in SKIP_MARKERS.items() if marker in marks), "a library")
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if "WORLDSTEREO_SHARED" in text:  # also where a test needs ComfyUI, which then was there
            kind = SKIP_MARKERS["shared"]
        counts[kind, text.removeprefix("Skipped: ")] += 1
    for (kind, reason), count in sorted(counts.items()):
        terminalreporter.write_line(f"{count} skipped for lack of {kind}: {reason}")
