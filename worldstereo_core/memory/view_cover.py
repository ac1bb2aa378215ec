"""Few views that together show most of what a trajectory sees: greedy coverage of visible points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .visible_points import BankSight

# Points that are compared; what a trajectory sees beyond them is taken evenly.
MAX_POINTS = 2048
# Views looked at again at once when the best next one is searched.
BATCH = 16
# A view must add this share of what a frame sees, on average over the frames.
LEAST_GAIN = 0.005
# A view counts as showing a frame's points if its direction is penalised to no less than this.
LEAST_PENALTY = 0.5


@dataclass(frozen=True, eq=False)
class ViewCover:
    """Views chosen for T target frames.

    Attributes:
        chosen: bank indices in the order chosen; the first covers most, each next one adds most.
        scores: [T, V] share of the points each frame sees that each view sees too, times the penalty.
    """

    chosen: list[int]
    scores: Tensor


def cover(sight: BankSight, seen: Tensor, penalty: Tensor, most: int) -> ViewCover:
    """Choose views greedily by the points they add.

    Gains only fall as views are chosen (coverage is submodular), so only views whose last known gain beats
    the best one found are counted again: lazy greedy (Minoux 1978), the same choice as counting all.

    Args:
        sight: of the bank.
        seen: [T, S] bool, the points that each target frame sees.
        penalty: [T, V] 0..1 factor on what a view adds to a frame, by viewing direction.
        most: views to choose; fewer if the rest add nearly nothing, none if the frames see no points.
    """
    points = seen.any(dim=0).nonzero()[:, 0]
    if len(points) > MAX_POINTS:
        points = points[torch.arange(MAX_POINTS) * len(points) // MAX_POINTS]
    seen = seen[:, points].float()
    weights = seen / seen.sum(dim=1, keepdim=True).clamp_min(1)
    scores = sight.count(weights, points) * penalty
    gains = scores.sum(dim=0)
    rest, chosen = weights, []
    while len(chosen) < most:
        best, gain = _next_view(sight, points, rest, penalty, gains)
        if not gain > LEAST_GAIN * len(seen):
            break
        chosen.append(best)
        gains[best] = -torch.inf
        shown = sight.of_views(points, torch.tensor([best]))[:, 0]
        rest = torch.where((penalty[:, best] >= LEAST_PENALTY)[:, None], rest * (1 - shown), rest)
    return ViewCover(chosen, scores)


def _next_view(
    sight: BankSight, points: Tensor, rest: Tensor, penalty: Tensor, gains: Tensor
) -> tuple[int, float]:
    """The view that adds most, and how much; ``gains`` (upper bounds) are brought up to date on the way."""
    order = gains.argsort(descending=True, stable=True)
    best, most = -1, -torch.inf
    for start in range(0, len(order), BATCH):
        views = order[start : start + BATCH]
        if float(gains[views[0]]) <= most:
            break
        now = ((rest @ sight.of_views(points, views)) * penalty[:, views]).sum(dim=0)
        now = torch.where(torch.isinf(gains[views]), gains[views], now)  # chosen already
        gains[views] = now
        for view, gain in zip(views.tolist(), now.tolist(), strict=True):
            if gain > most or (gain == most and view < best):
                best, most = view, gain
    return best, most
