"""Few views that together show most of what a trajectory sees: greedy coverage of visible points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .visible_points import BankSight

# Points that are compared; what a trajectory sees beyond them is taken evenly.
MAX_POINTS = 768
# A view must add this share of what a frame sees, on average over the frames.
LEAST_GAIN = 0.005
# A view counts as showing a frame's points if it is penalised to no less than this.
LEAST_PENALTY = 0.5


@dataclass(frozen=True, eq=False)
class Coverage:
    """Views chosen for T target frames.

    Attributes:
        chosen: bank indices in the order chosen; the first covers most, each next one adds most.
        scores: [T, V] share of the points each frame sees that each view sees too, times the penalty.
    """

    chosen: list[int]
    scores: Tensor


def cover(sight: BankSight, seen: Tensor, penalty: Tensor, most: int) -> Coverage:
    """Choose views greedily by the points they add.

    Args:
        sight: of the bank.
        seen: [T, S] bool, the points that each target frame sees.
        penalty: [T, V] 0..1 factor on what a view adds to a frame: by direction and detail.
        most: views to choose; fewer if the rest add nearly nothing, none if the frames see no points.
    """
    points = seen.any(dim=0).nonzero()[:, 0]
    if len(points) > MAX_POINTS:
        points = points[torch.arange(MAX_POINTS) * len(points) // MAX_POINTS]
    seen = seen[:, points].float()
    weights = seen / seen.sum(dim=1, keepdim=True).clamp_min(1)
    sight = sight.only(points)
    scores = sight.count(weights) * penalty
    rest, gains, chosen = weights, scores.sum(dim=0), []
    while True:
        gains[chosen] = -torch.inf
        best = int(gains.argmax())
        if not float(gains[best]) > LEAST_GAIN * len(seen):
            break
        chosen.append(best)
        if len(chosen) == most:
            break
        shown = sight.of_views(torch.tensor([best]))[:, 0]
        rest = torch.where((penalty[:, best] >= LEAST_PENALTY)[:, None], rest * (1 - shown), rest)
        # Points that no frame misses any more count for nothing, so each round has fewer to count.
        missed = (rest > 0).any(dim=0).nonzero()[:, 0]
        sight, rest = sight.only(missed), rest[:, missed]
        gains = (sight.count(rest) * penalty).sum(dim=0)
    return Coverage(chosen, scores)
