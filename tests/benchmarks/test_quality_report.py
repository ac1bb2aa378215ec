"""README's table of world quality: made from the recorded runs, which show what the memories are for."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "quality_report.py"
RECORDED = ROOT / "benchmarks" / "results" / "world_quality.json"


def test_readme_holds_the_recorded_figures():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("run", ["shipped model", "its teacher"])
def test_every_signal_adds_to_the_one_before_on_revisited_views(run: str):
    rows = json.loads(RECORDED.read_text(encoding="utf-8"))[run]["rows"]
    revisited = {row: statistics.fmean(kept["psnr_revisited"]) for row, kept in rows.items()}
    assert revisited["none"] < revisited["camera"] < revisited["global"] < revisited["both"]
    assert revisited["camera"] < revisited["stereo"]
    assert revisited["both"] > revisited["camera"] + 3
