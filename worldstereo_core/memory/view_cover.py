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
# Views whose gains are found anew together.
AT_ONCE = 64


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
        best = int(gains.argmax())
        if not float(gains[best]) > LEAST_GAIN * len(seen):
            break
        chosen.append(best)
        gains[best] = -torch.inf
        if len(chosen) == most:
            break
        shown = sight.of_views(torch.tensor([best]))[:, 0]
        rest = torch.where((penalty[:, best] >= LEAST_PENALTY)[:, None], rest * (1 - shown), rest)
        # Points that no frame misses any more count for nothing, so each round has fewer to count.
        missed = (rest > 0).any(dim=0).nonzero()[:, 0]
        sight, rest = sight.only(missed), rest[:, missed]
        _lower(gains, sight, rest, penalty)
    return Coverage(chosen, scores)


def _lower(gains: Tensor, sight: BankSight, rest: Tensor, penalty: Tensor) -> None:
    """Bring gains [V], in place, down to what ``rest`` [T, S] leaves, as far as finding the best needs it.

    Gains only ever fall from round to round, so a view whose last known one is below the best known now is
    not looked at (lazy greedy, Minoux 1978).
    """
    order = gains.argsort(descending=True, stable=True)
    best = -torch.inf
    for start in range(0, len(order), AT_ONCE):
        views = order[start : start + AT_ONCE]
        if float(gains[views[0]]) < best:
            break
        fresh = ((rest @ sight.of_views(views)) * penalty[:, views]).sum(dim=0)
        # A chosen view stays out.
        gains[views] = torch.where(torch.isinf(gains[views]), -torch.inf, fresh)
        best = max(best, float(gains[views].max()))
