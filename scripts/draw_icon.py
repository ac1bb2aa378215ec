"""Draw assets/icon.png and assets/banner.jpg for the Comfy Registry from the demo's room.

    python scripts/draw_icon.py

On the left the room's picture, on the right its points from elsewhere, with the holes that the model fills.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image as Pillow
from PIL import ImageDraw

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.thumbnail_scene import GOLD, TEAL, Image, to_image  # noqa: E402
from worldstereo_core.commands.demo_scene import cast_depth, draw_view, start_camera  # noqa: E402
from worldstereo_core.geometry.trajectory import build_trajectory  # noqa: E402
from worldstereo_core.memory.memory import initialise_memory  # noqa: E402

# Height and width: the registry asks for a square of at most 400 pixels and for 21 : 9.
ICON, BANNER = (400, 400), (540, 1260)
DARK = (24, 26, 32)


def halves(height: int, width: int) -> Image:
    """The picture, and from the middle on its points seen after a move to the right."""
    w2c, K = start_camera(height, width)
    picture = draw_view(w2c, K, height, width, 9)
    memory = initialise_memory(picture, cast_depth(w2c, K, height, width), K)
    move = build_trajectory(
        "orbit right",
        start=(torch.eye(4), K),
        height=height,
        width=width,
        amount_deg=22.0,
        pivot_depth=memory.median_depth,
    )
    there = memory.render(move.cameras[[20]], background=0.1).image[0]
    image = to_image(picture)
    image.paste(to_image(there).crop((width // 2, 0, width, height)), (width // 2, 0))
    draw = ImageDraw.Draw(image)
    line = max(4, height // 90)
    draw.line((width // 2, 0, width // 2, height), (255, 255, 255), line)
    return image


def rounded(image: Image) -> Image:
    """With round corners and a frame in the two colours of the camera paths."""
    size = image.size
    mask = Pillow.new("L", size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), 64, 255)
    frame = ImageDraw.Draw(image)
    for inset, colour in ((0, DARK), (10, TEAL), (16, GOLD)):
        box = (inset, inset, size[0] - 1 - inset, size[1] - 1 - inset)
        frame.rounded_rectangle(box, 64 - inset, outline=colour, width=10 if colour == DARK else 6)
    image.putalpha(mask)
    return image


def main() -> None:
    icon = rounded(halves(*ICON)).quantize(192, method=Pillow.Quantize.FASTOCTREE)
    icon.save(ROOT / "assets" / "icon.png", optimize=True)
    halves(*BANNER).save(ROOT / "assets" / "banner.jpg", quality=86, optimize=True)


if __name__ == "__main__":
    main()
