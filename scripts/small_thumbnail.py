"""The small model's own pictures: the thumbnail of the template that tries it."""

from __future__ import annotations

import torch
from PIL import Image as Pillow
from PIL import ImageDraw

from worldstereo_core.commands.clips import make_clip
from worldstereo_core.commands.small_model import EDGE_THRESHOLD, FRAMES, small_engine
from worldstereo_core.geometry.trajectory import build_trajectory
from worldstereo_core.memory.memory import initialise_memory
from worldstereo_core.training.worlds.example import draw_example

from .thumbnail_scene import HEIGHT, WIDTH, Image, to_image


def small_clip(seed: int, amount_deg: float) -> Image:
    """A drawn world's first picture; below it what the small model draws along an orbit to the right."""
    engine = small_engine()
    height, width = engine.model.checkpoint.config.buckets[0]
    drawn = draw_example(seed, height, width)
    memory = initialise_memory(drawn.image[0], drawn.depth[0], drawn.K[0], edge_threshold=EDGE_THRESHOLD)
    move = build_trajectory(
        "orbit right",
        start=(torch.eye(4), drawn.K[0]),
        height=height,
        width=width,
        amount_deg=amount_deg,
        num_frames=FRAMES,
        pivot_depth=memory.median_depth,
    )
    clip = make_clip(engine, memory, move, torch.Generator().manual_seed(1024), "thumbnail")
    sheet = Pillow.new("RGB", (WIDTH, HEIGHT), (24, 26, 30))
    large = 264
    across = large * width // height
    sheet.paste(_enlarged(to_image(drawn.image[0]), across, large), ((WIDTH - across) // 2, 8))
    side = (WIDTH - 5 * 8) // 4
    for place, frame in enumerate((2, 4, 6, 8)):
        small = _enlarged(to_image(clip.frames[frame]), side, side * height // width)
        sheet.paste(small, (8 + place * (side + 8), large + 18))
    ImageDraw.Draw(sheet).line((8, large + 13, WIDTH - 8, large + 13), (90, 92, 98), 1)
    return sheet


def _enlarged(image: Image, width: int, height: int) -> Image:
    return image.resize((width, height), Pillow.Resampling.LANCZOS)
