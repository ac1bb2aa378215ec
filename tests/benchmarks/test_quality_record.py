"""Runs of world_quality in their file: replaced by name, and their seconds alone."""

from __future__ import annotations

import json
import math
from pathlib import Path

from benchmarks.quality_record import RunFacts, save_run
from scripts.quality_report import report

FACTS = RunFacts("4 DMD steps", "memory-dmd", worlds=2, frames=9, size="64x96")
KEYS = ("psnr", "psnr_revisited", "psnr_novel", "ssim_revisited", "deviation")


def rows(psnr: float, seconds: list[float]) -> dict[str, dict[str, list[float]]]:
    return {
        "both": {**{key: [psnr, psnr + 1] for key in KEYS}, "seconds": seconds},
        "both + geometry": {**{key: [psnr + 1, math.nan] for key in KEYS}, "seconds": seconds},
    }


def test_a_run_is_replaced_by_name_and_its_seconds_alone_if_asked(tmp_path: Path):
    file = tmp_path / "runs.json"
    save_run(file, "a", FACTS, 0.9, rows(20.0, [5.0, 5.0]), {"both": [[20.0, math.nan]]})
    save_run(file, "b", FACTS, 0.9, rows(10.0, [5.0, 5.0]), {})
    save_run(file, "a", FACTS, 0.8, rows(30.0, [1.0, 2.0]), {}, seconds_only=True)
    runs = json.loads(file.read_text())
    assert list(runs) == ["a", "b"]
    kept = runs["a"]["rows"]["both"]
    assert kept["psnr"] == [20.0, 21.0] and kept["seconds"] == [1.0, 2.0]
    assert runs["a"]["revisited_share"] == 0.9 and runs["a"]["drift"] == {"both": [[20.0, None]]}
    assert runs["b"]["rows"]["both"]["seconds"] == [5.0, 5.0]
    save_run(file, "b", FACTS, 0.9, rows(11.0, [5.0, 5.0]), {})
    assert json.loads(file.read_text())["b"]["rows"]["both"]["psnr"] == [11.0, 12.0]


def test_parts_have_a_table_of_their_own_and_what_was_not_measured_is_left_out(tmp_path: Path):
    file = tmp_path / "runs.json"
    one = rows(20.0, [1.0, 1.0])
    one["both + geometry"] |= {"psnr": [20.5, 21.7], "psnr_novel": [math.nan, math.nan]}
    save_run(file, "a", FACTS, 0.9, one, {})
    lines = report(json.loads(file.read_text())).splitlines()
    assert sum("camera + both memories" in line for line in lines) == 1
    (row,) = (line for line in lines if line.startswith("| geometry |"))
    assert row.startswith("| geometry | +0.6 ± 0.1 (2) |") and row.endswith("| helps |")
