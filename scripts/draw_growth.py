"""Draw assets/memory_growth.png: a memory before and after three clips of the demo's room.

    python scripts/draw_growth.py [--drawn views.pt]

Pictures are drawn by casting rays and depth is exact, but each clip's depth comes at a scale and shift of its
own, with 10 % of wild pixels, and one frame of the last clip is noise. Drawing takes minutes; with --drawn the
drawn views are kept in a file and used again.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from worldstereo_core.commands.demo_scene import START, cast_depth, draw_view, start_camera  # noqa: E402
from worldstereo_core.geometry.cameras import look_at  # noqa: E402

HEIGHT, WIDTH = 288, 448
SAMPLES, CLIP_SAMPLES, KEPT = 4, 2, 3
# Where each clip ends and what it looks at, metres in the room; all start with the first picture's camera.
CLIPS = (
    ((1.7, -0.3, -0.5), (-0.9, 0.3, 3.2)),
    ((-1.7, -0.4, -0.3), (1.3, 0.3, 3.6)),
    ((0.5, -0.9, 1.6), (0.6, 0.5, 4.4)),
)
# 1 / depth = scale / estimate + shift of each clip's estimator.
LINES = ((3.1, 0.02), (0.35, -0.03), (12.0, 0.05))
BROKEN = 2  # which kept frame of the last clip is noise
PAPER, INK, FAINT = (250, 249, 246), (30, 32, 36), (120, 122, 126)


@dataclass(frozen=True)
class Drawn:
    """The first picture and the clips' kept frames, in the room's world."""

    picture: Tensor
    depth: Tensor
    w2c: Tensor  # [clips, frames, 4, 4]
    frames: Tensor  # [clips, frames, 3, H, W]
    depths: Tensor  # [clips, frames, H, W]


def draw_all() -> Drawn:
    start, K = start_camera(HEIGHT, WIDTH)
    picture = draw_view(start, K, HEIGHT, WIDTH, SAMPLES)
    w2c, frames, depths = [], [], []
    for end, target in CLIPS:
        for step in range(1, KEPT + 1):
            share = step / KEPT
            eye = torch.lerp(torch.tensor(START), torch.tensor(end), share)
            ahead = torch.tensor([0.0, -0.1, 3.0])
            w2c.append(look_at(eye, torch.lerp(ahead, torch.tensor(target), share)))
            frames.append(draw_view(w2c[-1], K, HEIGHT, WIDTH, CLIP_SAMPLES))
            depths.append(cast_depth(w2c[-1], K, HEIGHT, WIDTH))
            print(f"drew {len(frames)} of {len(CLIPS) * KEPT}", flush=True)

    def by_clip(parts: list[Tensor]) -> Tensor:
        return torch.stack(parts).unflatten(0, (len(CLIPS), KEPT))

    depth = cast_depth(start, K, HEIGHT, WIDTH)
    return Drawn(picture, depth, by_clip(w2c), by_clip(frames), by_clip(depths))
