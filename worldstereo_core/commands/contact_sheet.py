"""One picture that shows what a run saw and made: labelled rows of frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

MARGIN, GAP, LABEL_WIDTH, CAPTION_HEIGHT = 16, 8, 150, 20
PAPER, INK, QUIET = (24, 26, 30), (236, 236, 232), (150, 152, 158)


@dataclass(frozen=True)
class Row:
    """One line of the sheet.

    Attributes:
        title: what the frames are, a few words.
        note: a quieter second line.
        frames: [N, 3, H, W] in 0..1.
        captions: one short text under each frame, or empty.
    """

    title: str
    note: str
    frames: Tensor
    captions: tuple[str, ...] = ()


def contact_sheet(title: str, rows: list[Row], footer: str = "", thumbnail_width: int = 192) -> Tensor:
    """Draw rows of frames with labels on the left, [3, H, W] in 0..1."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    large, body, small = (ImageFont.load_default(size) for size in (20, 14, 12))
    columns = max(len(row.frames) for row in rows)
    width = 2 * MARGIN + LABEL_WIDTH + columns * (thumbnail_width + GAP)
    heights = [round(thumbnail_width * row.frames.shape[-2] / row.frames.shape[-1]) for row in rows]
    tops, y = [], MARGIN + 36
    for row, height in zip(rows, heights, strict=True):
        tops.append(y)
        y += height + (CAPTION_HEIGHT if row.captions else 0) + GAP
    sheet = Image.new("RGB", (width, y + (28 if footer else 0) + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), title, INK, large)
    for row, top, height in zip(rows, tops, heights, strict=True):
        draw.text((MARGIN, top + 2), row.title, INK, body)
        for line, text in enumerate(_wrapped(row.note, small, LABEL_WIDTH - 12)):
            draw.text((MARGIN, top + 22 + 15 * line), text, QUIET, small)
        for column, frame in enumerate(row.frames):
            x = MARGIN + LABEL_WIDTH + column * (thumbnail_width + GAP)
            pixels = (frame.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
            sheet.paste(
                Image.fromarray(pixels).resize((thumbnail_width, height), Image.Resampling.LANCZOS), (x, top)
            )
            if row.captions:
                draw.text((x, top + height + 3), row.captions[column], QUIET, small)
    draw.text((MARGIN, y + 6), footer, QUIET, small)
    return torch.from_numpy(np.array(sheet)).permute(2, 0, 1).float() / 255


def _wrapped(text: str, font: FreeTypeFont | ImageFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
