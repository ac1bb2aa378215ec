"""The file in which runs of benchmarks/world_quality.py are kept, clip by clip."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from worldstereo_core.atomic import replace_when_done

Results = Mapping[str, Mapping[str, list[float]]]


@dataclass(frozen=True)
class RunFacts:
    """What was measured.

    Attributes:
        steps: of the schedule, in words.
        variant: of the WorldStereo file.
        worlds: one clip each.
        frames: per clip.
        size: "height x width".
    """

    steps: str
    variant: str
    worlds: int
    frames: int
    size: str


def recorded_runs(path: Path | None) -> dict[str, Any]:
    """The runs of the file by name; none if there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path is not None and path.is_file() else {}


def save_run(
    path: Path,
    name: str,
    facts: RunFacts,
    revisited_share: float,
    results: Results,
    drifts: Mapping[str, list[list[float]]],
    seconds_only: bool = False,
) -> None:
    """Add a run to the file, or replace the one of its name.

    Args:
        results: row -> figure -> its value of every clip.
        drifts: row -> for every world, a value per clip.
        seconds_only: the run is there, and its seconds per clip alone are replaced.
    """
    runs = recorded_runs(path)
    if seconds_only:
        for row, kept in results.items():
            if row not in runs[name]["rows"]:
                print(f"{row}: not among the recorded rows of {name}; left out")
                continue
            runs[name]["rows"][row]["seconds"] = _rounded(kept["seconds"])
    else:
        machine = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
        runs[name] = {
            **asdict(facts),
            "revisited_share": round(revisited_share, 4),
            "machine": f"{machine}, torch {torch.__version__}",
            "rows": {
                row: {key: _rounded(values) for key, values in kept.items()} for row, kept in results.items()
            },
            "drift": {row: [_rounded(values) for values in kept] for row, kept in drifts.items()},
        }
    with replace_when_done(path) as temporary:
        temporary.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")


def _rounded(values: list[float]) -> list[float | None]:
    return [round(value, 4) if math.isfinite(value) else None for value in values]
