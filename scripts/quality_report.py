"""README's table of what each control signal is worth, from benchmarks/results/world_quality.json.

    python scripts/quality_report.py            # print it
    python scripts/quality_report.py --write    # put it into README.md and its results file
    python scripts/quality_report.py --check    # fail if they hold another one

The runs are measured by benchmarks/world_quality.py --record; this script only lays their figures out.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.part_comparison import paired_table  # noqa: E402

RECORDED = ROOT / "benchmarks" / "results" / "world_quality.json"
BEGIN, END = "<!-- table of world quality -->\n", "<!-- end of world quality -->\n"
ROWS = {
    "limit of the VAE": "limit of the VAE",
    "none": "no control",
    "camera": "camera rays",
    "stereo": "camera + stereo memory",
    "global": "camera + global memory",
    "both": "camera + both memories",
}
COLUMNS = (
    ("revisited, dB", "psnr_revisited", "{:.1f}"),
    ("novel, dB", "psnr_novel", "{:.1f}"),
    ("SSIM revisited", "ssim_revisited", "{:.2f}"),
    ("SSIM novel", "ssim_novel", "{:.2f}"),
    ("GMSD", "deviation", "{:.3f}"),
    ("camera, degrees", "camera_deg", "{:.1f}"),
    ("camera, % of depth", "camera_distance", "{:.1f}"),
    ("seconds per clip", "seconds", "{:.1f}"),
)


def mean(values: list[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return statistics.fmean(found) if found else None


def table(runs: dict[str, Any]) -> str:
    """Every run's rows; the VAE's limit, which no run changes, once."""
    lines = [
        "| model | shown | " + " | ".join(name for name, _, _ in COLUMNS) + " |",
        "|---" * (len(COLUMNS) + 2) + "|",
    ]
    has_limit = False
    for name, run in runs.items():
        for row, kept in sorted(run["rows"].items(), key=lambda item: place(item[0])):
            if row.startswith("both + "):
                continue  # see parts_table
            is_limit = row == "limit of the VAE"
            if is_limit and has_limit:
                continue
            has_limit = has_limit or is_limit
            cells = []
            for _, key, form in COLUMNS:
                value = mean(kept.get(key, []))
                cells.append("" if value is None else form.format(value))
            model = "" if is_limit else f"{name}, {run['steps']}"
            lines.append(f"| {model} | {ROWS.get(row, row)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def place(row: str) -> int:
    return list(ROWS).index(row) if row in ROWS else len(ROWS)


def parts_table(runs: dict[str, Any]) -> str:
    """What optional parts add to both memories, clip by clip, of the runs that measured some."""
    return "\n".join(
        f"{name}, {run['steps']}:\n\n{paired_table(numbers(run['rows']), found)}\n"
        for name, run in runs.items()
        if (found := [row for row in run["rows"] if row.startswith("both + ")])
    )


def numbers(rows: dict[str, dict[str, list[float | None]]]) -> dict[str, dict[str, list[float]]]:
    """The figures with NaN where nothing was measured."""
    return {
        row: {key: [math.nan if value is None else value for value in values] for key, values in kept.items()}
        for row, kept in rows.items()
    }


def drift_table(runs: dict[str, Any]) -> str:
    """Mean PSNR of clip 1, 2, ... of worlds that are generated clip after clip."""
    lines: list[str] = []
    for name, run in runs.items():
        for row, worlds in run["drift"].items():
            means = [mean(list(values)) for values in zip(*worlds, strict=True)]
            if not lines:
                heads = [f"clip {n + 1}" for n in range(len(means))]
                lines = ["| model | shown | " + " | ".join(heads) + " |", "|---" * (len(means) + 2) + "|"]
            cells = ["" if value is None else f"{value:.1f}" for value in means]
            lines.append(f"| {name}, {run['steps']} | {ROWS.get(row, row)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n" if lines else ""


def report(runs: dict[str, Any]) -> str:
    first = next(iter(runs.values()))
    worlds = {run["worlds"] for run in runs.values()}
    drifts = drift_table(runs)
    count = max((len(kept) for run in runs.values() for kept in run["drift"].values()), default=0)
    parts = [
        table(runs),
        "\n",
        f"{'/'.join(str(count) for count in sorted(worlds))} worlds never learnt from, one clip of "
        f"{first['frames']} frames of {first['size']} pixels each; {first['revisited_share']:.0%} of its "
        "pixels show surfaces that the memory has seen (*revisited*). GMSD: gradient deviation, lower is "
        "better. Camera: of the camera that explains a frame best, by dense Gauss-Newton on exact depth. "
        "Measured on "
        f"{first['machine']}; seconds on two clips while nothing else ran.\n",
    ]
    if parts_of_control := parts_table(runs):
        title = (
            "What optional control parts add to both memories, mean difference over the same clips from the "
            "same noise ± its standard error (clips). Each part was trained alone beside the frozen "
            "networks. The verdict asks for twice that error in PSNR over all pixels."
        )
        parts += ["\n", title, "\n\n", parts_of_control]
    if drifts:
        title = (
            "Drift: PSNR in dB of clips generated one after the other, each in the memory of the ones before "
            f"({count} worlds):"
        )
        parts += ["\n", title, "\n\n", drifts]
    return "".join(parts)


def main() -> None:
    runs = json.loads(RECORDED.read_text(encoding="utf-8"))
    text = report(runs)
    if not {"--write", "--check"} & set(sys.argv[1:]):
        sys.stdout.write(text)
        return
    for path in (ROOT / "README.md", ROOT / "benchmarks" / "results" / "world_quality.md"):
        old = (
            path.read_text(encoding="utf-8")
            if path.is_file()
            else f"# Quality on held-out worlds\n\n{BEGIN}{END}"
        )
        before, rest = old.split(BEGIN)
        new = before + BEGIN + text + END + rest.split(END)[1]
        if "--write" in sys.argv[1:]:
            path.write_text(new, encoding="utf-8")
        elif new != old:
            raise SystemExit(f"{path.relative_to(ROOT)} differs: run scripts/quality_report.py --write")


if __name__ == "__main__":
    main()
