"""Views of the demo's room with exact depth, for the scripts that draw pictures of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from worldstereo_core.commands.demo_scene import cast_depth, draw_view, start_camera
from worldstereo_core.geometry.cameras import Cameras, look_at
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory

HEIGHT, WIDTH, SAMPLES = 288, 448, 4
# Where the second and the third view stand and what they look at, metres in the room.
SIDES = (((1.2, -0.35, -0.6), (-0.9, 0.3, 3.2)), ((-1.2, -0.4, -0.5), (1.3, 0.3, 3.6)))


@dataclass(frozen=True)
class RoomViews:
    """The first picture and two from the sides: [3, 4, 4], [3, 3], [3, 3, H, W], [3, H, W]."""

    w2c: Tensor
    K: Tensor
    pictures: Tensor
    depths: Tensor

    def camera(self, view: int) -> Cameras:
        return Cameras(self.w2c[view : view + 1], self.K[None], HEIGHT, WIDTH)

    def memory(self, num_views: int = 3) -> GeometricMemory:
        """The room as the first views show it, in the world of the first camera."""
        to_first = torch.linalg.inv(self.w2c[0])
        w2c = self.w2c @ to_first
        memory = initialise_memory(self.pictures[0], self.depths[0], self.K, edge_threshold=0.15)
        for view in range(1, num_views):
            cameras = Cameras(w2c[[0, view]], self.K.expand(2, 3, 3), HEIGHT, WIDTH)
            memory, _ = memory.update(
                self.pictures[[0, view]],
                cameras,
                self.depths[[0, view]],
                keep_frames=1,
                clip_name=f"view_{view}",
                edge_threshold=0.15,
            )
        return memory


def room_views(kept: Path | None = None) -> RoomViews:
    """Draw the views, which takes minutes; with ``kept`` they stay in a file and are used again."""
    if kept is not None and kept.is_file():
        return RoomViews(**torch.load(kept))
    first, K = start_camera(HEIGHT, WIDTH)
    w2c = [first, *(look_at(torch.tensor(eye), torch.tensor(target)) for eye, target in SIDES)]
    views = RoomViews(
        torch.stack(w2c),
        K,
        torch.stack([draw_view(view, K, HEIGHT, WIDTH, SAMPLES) for view in w2c]),
        torch.stack([cast_depth(view, K, HEIGHT, WIDTH) for view in w2c]),
    )
    if kept is not None:
        torch.save(vars(views), kept)
    return views
