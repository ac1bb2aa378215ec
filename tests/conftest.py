"""Where the tests find goldens and photos, and a closing line that says what was skipped and why."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

# Before torch is loaded: waiting threads sleep instead of spinning, so that tests share a machine well.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
ROOT = Path(__file__).resolve().parents[1]
SKIP_MARKERS = {"comfy": "ComfyUI", "shared": "shared data", "browser": "browser", "gpu": "GPU"}


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
    """Count what needs more than the repository by what it needs, with the reason of the first."""
    counts: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for report in terminalreporter.stats.get("skipped", []):
        kind = next(
            (word for marker, word in SKIP_MARKERS.items() if marker in getattr(report, "keywords", ())),
            "other",
        )
        counts[kind] += 1
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons.setdefault(kind, text.removeprefix("Skipped: "))
    for kind, count in counts.items():
        terminalreporter.write_line(f"skipped for {kind}: {count} ({reasons[kind]})")
