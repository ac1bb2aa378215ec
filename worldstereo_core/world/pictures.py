"""The clips of a world as one picture."""

from __future__ import annotations

import torch
from torch import Tensor

from ..memory.pictures import CLIP_COLOURS
from .manifest import ClipRecord
from .world import World

TILE_HEIGHT = 96
CAPTION = 16
TILES = 3
MIN_WIDTH = 480  # of the sheet, so that captions fit
_STATUS_COLOURS = {"pending": (200, 200, 200), "accepted": (110, 200, 120), "rejected": (220, 90, 80)}


def draw_clips(world: World) -> Tensor:
    """Draw first, middle and last frame of every clip, one clip per row, with number, state and path.

    Clips that are not in the memory are dimmed. Returns: [H, W, 3] in 0..1.
    """
    import numpy as np
    from PIL import Image, ImageDraw

    records = world.manifest.clips
    present = {record.clip for record in world.manifest.present}
    widths = [round(TILE_HEIGHT * record.width / record.height) for record in records]
    row = TILE_HEIGHT + CAPTION
    size = (max([MIN_WIDTH, *(TILES * width for width in widths)]), max(1, len(records)) * row)
    sheet = Image.new("RGB", size, (24, 26, 30))
    draw = ImageDraw.Draw(sheet)
    if not records:
        draw.text((6, 6), f"{world.name}: no clips yet", fill="white")
    for number, (record, width) in enumerate(zip(records, widths, strict=True)):
        top = number * row
        for column, frame in enumerate(_shown_frames(record)):
            pixels = (world.frame(record.clip, frame).movedim(0, -1) * 255).round().to(torch.uint8)
            tile = Image.fromarray(pixels.numpy()).resize((width, TILE_HEIGHT))
            if record.clip not in present:
                tile = tile.point(lambda value: value * 2 // 5)
            sheet.paste(tile, (column * width, top + CAPTION))
        colour = tuple(round(255 * part) for part in CLIP_COLOURS[record.clip % len(CLIP_COLOURS)])
        draw.rectangle((0, top + 2, 8, top + CAPTION - 3), fill=colour)
        path = "" if record.slot is None else f" - path {record.slot}"
        state = record.status if record.clip in present else f"{record.status}, not in the memory"
        text = f"clip {record.clip} - {state}{path}: {record.trajectory['name']}"
        # The built-in font has Latin letters only.
        latin = text.encode("latin-1", "replace").decode("latin-1")
        draw.text((14, top + 1), latin, fill=_STATUS_COLOURS[record.status])
    return torch.from_numpy(np.asarray(sheet).copy()).float() / 255


def _shown_frames(record: ClipRecord) -> list[int]:
    last = record.num_frames - 1
    return sorted({0, last // 2, last})
