"""The clips of a world as one picture."""

from __future__ import annotations

import torch

from tests.world.scene import HEIGHT, WIDTH, along, start_memory
from tests.world.scene import add as add_scene_clip
from worldstereo_core.world.pictures import CAPTION, TILE_HEIGHT, draw_clips
from worldstereo_core.world.world import create_world, decide

ROW = TILE_HEIGHT + CAPTION
TILE_WIDTH = TILE_HEIGHT * WIDTH // HEIGHT


def test_every_clip_has_a_row_with_its_first_middle_and_last_frame(tmp_path):
    world = create_world(tmp_path / "room", start_memory())
    assert draw_clips(world).shape == (ROW, 480, 3), "a line says that there are none"
    for slot in (1, 2):
        world, _ = add_scene_clip(world, along(2.0 * slot - 2, 2.0 * slot), slot=slot)
    sheet = draw_clips(world)
    assert sheet.shape == (2 * ROW, max(480, 3 * TILE_WIDTH), 3)
    for frame in range(3):
        tile = sheet[ROW + CAPTION : 2 * ROW, frame * TILE_WIDTH : (frame + 1) * TILE_WIDTH]
        expected = world.frame(2, frame).mean(dim=(1, 2))
        assert torch.allclose(tile.mean(dim=(0, 1)), expected, atol=0.02)


def test_a_clip_that_is_not_in_the_memory_is_dimmed(tmp_path):
    world, _ = add_scene_clip(create_world(tmp_path / "room", start_memory()), along(0, 2), slot=1)
    bright = draw_clips(world)[CAPTION:, : 3 * TILE_WIDTH].mean()
    dim = draw_clips(decide(world, [1], "rejected"))[CAPTION:, : 3 * TILE_WIDTH].mean()
    assert abs(float(dim / bright) - 0.4) < 0.02
