"""What parts add to both memories, clip by clip, and the pictures that a user may give them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from worldstereo_core.training.part_clips import edge_pictures, semantic_pictures
from worldstereo_core.training.world_clips import WorldScene

PAIRED = (
    ("PSNR, dB", "psnr"),
    ("PSNR revisited, dB", "psnr_revisited"),
    ("PSNR novel, dB", "psnr_novel"),
    ("SSIM revisited", "ssim_revisited"),
    ("gradient deviation", "deviation"),
)


@dataclass(frozen=True)
class Pictures:
    """What a user may give beside a memory: edges and semantic pictures [T, 3, H, W], 0..1, or None."""

    edges: Tensor | None = None
    semantic: Tensor | None = None

    @classmethod
    def of(cls, scene: WorldScene) -> Pictures:
        edges = edge_pictures(scene).float()
        return cls(edges[:, None].expand(-1, 3, -1, -1), semantic_pictures(scene))


def paired_table(results: Mapping[str, Mapping[str, list[float]]], rows: Sequence[str]) -> str:
    """What each row adds to both memories, clip by clip: mean and standard error of the difference."""
    head = "| added to both | " + " | ".join(name for name, _ in PAIRED) + " | verdict |"
    lines = [head, "|---" * (len(PAIRED) + 2) + "|"]
    for row in rows:
        found = [paired(results[row][key], results["both"][key]) for _, key in PAIRED]
        cells = [f"{mean:+.3g} ± {error:.2g} ({count})" for mean, error, count in found]
        mean, error, _ = found[0]
        verdict = "helps" if mean > 2 * error else "harms" if mean < -2 * error else "no difference shown"
        name = row.removeprefix("both + ")
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {verdict} |")
    return "\n".join(lines)


def paired(values: Sequence[float], others: Sequence[float]) -> tuple[float, float, int]:
    """Mean of the differences, its standard error, and how many clips have both figures."""
    gains = [a - b for a, b in zip(values, others, strict=True) if a == a and b == b]
    if len(gains) < 2:
        return math.nan, math.nan, len(gains)
    return statistics.fmean(gains), statistics.stdev(gains) / math.sqrt(len(gains)), len(gains)
