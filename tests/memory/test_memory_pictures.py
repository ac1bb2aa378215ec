"""Pictures of a memory for the eye."""

from __future__ import annotations

import pytest
import torch

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.geometry.trajectory import build_trajectory
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory
from worldstereo_core.memory.pictures import CLIP_COLOURS, draw_memory, draw_references, recoloured

HEIGHT, WIDTH = 24, 32
K = torch.tensor([[30.0, 0, WIDTH / 2], [0, 30, HEIGHT / 2], [0, 0, 1]])


def memory() -> GeometricMemory:
    """A red wall, 2 units ahead."""
    image = torch.zeros(3, HEIGHT, WIDTH)
    image[0] = 1
    return initialise_memory(image, torch.full((HEIGHT, WIDTH), 2.0), K)


def test_the_wall_is_drawn_in_front_of_the_camera():
    drawn = draw_memory(memory(), size=200)
    assert drawn.shape == (200, 200, 3)
    red = (drawn[..., 0] > 0.9) & (drawn[..., 1] < 0.1)
    rows = red.nonzero()[:, 0]
    wedge = ((drawn - torch.tensor(CLIP_COLOURS[0])).abs().amax(-1) < 0.05).nonzero()[:, 0]
    assert len(rows) > 0 and rows.max() < wedge.max(), "forward is up, so the wall lies above the camera"


def test_a_memory_without_points_can_be_drawn():
    full = memory()
    nothing = torch.zeros(full.points.num_points, dtype=torch.bool)
    empty = GeometricMemory(full.points.select(nothing), full.views, full.median_depth)
    assert draw_memory(empty, size=64).isfinite().all()


def test_references_stand_side_by_side():
    full = memory()
    trajectory = build_trajectory(
        "pan right", start=(torch.eye(4), K), height=HEIGHT, width=WIDTH, num_frames=3
    )
    references = full.retrieve(trajectory)
    drawn = draw_references(references, height=48)
    assert drawn.shape[0] == 48 and drawn.shape[1] == max(96, 64) * references.num_references
    assert drawn[-4, 4].tolist() == [1, 0, 0]


def test_points_take_the_colour_of_their_clip_or_confidence():
    points = memory().points
    assert recoloured(points, "pictures") is points
    assert recoloured(points, "clip").rgb[0].tolist() == pytest.approx(CLIP_COLOURS[0])
    assert recoloured(points, "confidence").rgb[0].tolist() == [1, 1, 1]
    with pytest.raises(WorldStereoError, match='colours: got "depth"'):
        recoloured(points, "depth")  # type: ignore[arg-type]
