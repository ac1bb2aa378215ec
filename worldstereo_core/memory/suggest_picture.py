"""The best suggestions side by side: what each shows in its last frame, and what it is worth."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .pictures import from_pil, to_pil
from .suggest import Suggestion

COLUMNS, MOST = 3, 6


def draw_suggestions(suggestions: Sequence[Suggestion], chosen: int = 0, height: int = 200) -> Tensor:
    """Draw the first suggestions as tiles, the best first; the chosen one has a green frame.

    Args:
        chosen: index of the one that is taken; if it is none of the first, it takes the last tile.
        height: of a tile, pixels.

    Returns:
        [H, W, 3] float32 in 0..1.
    """
    from PIL import ImageDraw

    shown = list(range(min(MOST, len(suggestions))))
    if chosen not in shown:
        shown[-1] = chosen
    tiles = []
    for number in shown:
        suggestion = suggestions[number]
        _, rows, columns = suggestion.last_frame.shape
        width = round(height * columns / rows)
        large = interpolate(suggestion.last_frame[None].float(), (height, width), mode="nearest")
        picture = to_pil(large[0].movedim(0, -1))
        draw = ImageDraw.Draw(picture)
        draw.rectangle((0, 0, width, 30), fill=(0, 0, 0))
        colour = "white" if suggestion.is_usable else (255, 150, 120)
        name, _, worth = suggestion.text.partition(": ")
        draw.text((5, 2), f"{number + 1}. {name}", fill=colour)
        draw.text((5, 15), worth[: width // 6], fill=colour)
        if number == chosen:
            draw.rectangle((0, 0, width - 1, height - 1), outline=(74, 208, 120), width=4)
        tiles.append(from_pil(picture))
    empty = torch.zeros_like(tiles[0])
    tiles += [empty] * (-len(tiles) % min(COLUMNS, len(tiles)))
    columns = min(COLUMNS, len(tiles))
    rows = [torch.cat(tiles[first : first + columns], dim=1) for first in range(0, len(tiles), columns)]
    return torch.cat(rows)
