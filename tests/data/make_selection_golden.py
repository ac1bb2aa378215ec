"""Write selection_golden.json: which points selections mean. Read by pytest and by web/test.

python -m tests.data.make_selection_golden
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from worldstereo_core.formats.view_state import view_state_from_json
from worldstereo_core.geometry.point_cloud import PointCloud
from worldstereo_core.memory.selected_points import selected_region

FILE = Path(__file__).with_name("selection_golden.json")
FRONT = {"position": [0, 0, 0], "wxyz": [1, 0, 0, 0], "fov_deg": 80, "aspect": 1.5}
# Looks back at the scene from the right, slightly down and rolled.
SIDE = {"position": [4, -1, 1], "wxyz": [0.8365, 0.0549, -0.5417, 0.0622], "fov_deg": 50, "aspect": 0.8}
STROKE = [[0.3, 0.4], [0.5, 0.55], [0.62, 0.3]]
LASSO = [[0.2, 0.2], [0.8, 0.25], [0.5, 0.5], [0.7, 0.9], [0.25, 0.75]]
BOX = {"kind": "box", "centre": [0.3, 0.1, 4], "size": [2, 1.5, 3]}
TURNED = {**BOX, "wxyz": [0.9239, 0, 0.3827, 0]}
CASES: dict[str, list[dict[str, Any]]] = {
    "box": [BOX],
    "turned box": [TURNED],
    "box of a clip": [{**BOX, "clips": [1]}],
    "brush, everything": [
        {"kind": "brush", "view": FRONT, "points": STROKE, "radius": 0.08, "reach": "everything behind"}
    ],
    "brush, visible": [{"kind": "brush", "view": FRONT, "points": STROKE, "radius": 0.12}],
    "lasso from the side": [{"kind": "outline", "view": SIDE, "points": LASSO}],
    "lasso of a clip": [{"kind": "outline", "view": FRONT, "points": LASSO, "clips": [0]}],
    "one after another": [
        {"kind": "outline", "view": FRONT, "points": LASSO, "reach": "everything behind"},
        {"kind": "brush", "mode": "subtract", "view": FRONT, "points": STROKE, "radius": 0.1},
        {"kind": "brush", "mode": "subtract", "view": FRONT, "points": [[0.3, 0.7]], "radius": 0.1},
        TURNED,
        {**BOX, "mode": "intersect", "size": [9, 1, 9]},
    ],
}


def cloud() -> PointCloud:
    """Two clips of 150 points: a wall at about z = 5, and a ball before it."""
    generator = torch.Generator().manual_seed(5)
    wall = torch.rand(150, 3, generator=generator) * torch.tensor([6.0, 4.0, 0.4]) + torch.tensor(
        [-3.0, -2.0, 4.8]
    )
    ball = torch.nn.functional.normalize(torch.randn(150, 3, generator=generator), dim=1)
    ball = 0.8 * ball + torch.tensor([0.3, 0.1, 3.0])
    xyz = (torch.cat([wall, ball]) * 1000).round() / 1000
    clip = torch.cat([torch.zeros(150), torch.ones(150)]).int()
    return PointCloud(xyz, torch.zeros(300, 3), torch.ones(300), clip)


def select(parts: list[dict[str, Any]]) -> list[int]:
    points = cloud()
    state = view_state_from_json(json.dumps({"version": 1, "selection": parts}))
    return selected_region(points, state.selection)(points.xyz, points.clip).nonzero()[:, 0].tolist()


def main() -> None:
    points = cloud()
    content = {
        "xyz": [[round(value, 3) for value in row] for row in points.xyz.tolist()],
        "clip": points.clip.tolist(),
        "cases": [{"name": name, "parts": parts, "selected": select(parts)} for name, parts in CASES.items()],
    }
    FILE.write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
