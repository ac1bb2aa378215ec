"""Where nodes and groups of an open graph lie."""

from __future__ import annotations

import itertools
from typing import Any


def layout_faults(frontend) -> tuple[list[Any], list[Any], list[Any]]:
    """Pairs of nodes that overlap, pairs of groups that overlap, nodes outside every group."""
    # Title bars count: they stand above a node's position.
    boxes = frontend.page.evaluate(
        """() => app.graph.nodes.map(n => [n.title, n.pos[0], n.pos[1] - 30,
                                           n.pos[0] + n.size[0], n.pos[1] + n.size[1]])"""
    )
    groups = frontend.page.evaluate(
        """() => app.graph.groups.map(g => [g.title, g.pos[0], g.pos[1],
                                            g.pos[0] + g.size[0], g.pos[1] + g.size[1]])"""
    )
    covered = [(a[0], b[0]) for a, b in itertools.combinations(boxes, 2) if overlap(a, b)]
    crossing = [(a[0], b[0]) for a, b in itertools.combinations(groups, 2) if overlap(a, b)]
    outside = [box[0] for box in boxes if not any(inside(box, group) for group in groups)]
    return covered, crossing, outside


def overlap(a: list[Any], b: list[Any]) -> bool:
    return a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]


def inside(box: list[Any], group: list[Any]) -> bool:
    return group[1] <= box[1] and group[2] <= box[2] and box[3] <= group[3] and box[4] <= group[4]
