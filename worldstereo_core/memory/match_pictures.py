"""Pictures of what two views share: joined places, and places in the colours of where they lie."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..checks import WorldStereoError
from ..geometry.cameras import pixel_grid
from .correspondence import Correspondences, correspond
from .matching import bank_view
from .memory import GeometricMemory
from .warping import carry_over, view_depth

MatchStyle = Literal["lines", "colour map"]
GAP = 8
# What the other view does not see is shown this dark.
SHADE = 0.25


@dataclass(frozen=True, eq=False)
class MatchPicture:
    """Two views side by side with their matches.

    Attributes:
        image: [H, W, 3] 0..1.
        matches: of the first view's pixels in the second.
        text: the matches in words.
    """

    image: Tensor
    matches: Correspondences
    text: str


def draw_matches(
    memory: GeometricMemory,
    first: int,
    second: int,
    style: MatchStyle = "lines",
    *,
    num_lines: int = 60,
    tolerance: float = 0.03,
    height: int = 480,
) -> MatchPicture:
    """Draw which places of one view another view sees, by depth and cameras.

    Args:
        first, second: numbers of the views in the bank; negative ones count from the end.
        style: ``"lines"`` joins about ``num_lines`` places spread over the first view. ``"colour map"``
            paints the second view in colours by place and gives each place of the first view the colour of
            where the second shows it; what the second does not see stays dark.
        tolerance: see ``correspond``.
        height: of the drawing, pixels.

    Raises: WorldStereoError for views that are not there.
    """
    one, two = (bank_view(memory, number, name) for number, name in ((first, "first"), (second, "second")))
    match = correspond(
        view_depth(memory, one),
        one.camera,
        view_depth(memory, two),
        two.camera,
        tolerance=tolerance,
    )
    left, right = (_at_height(view.image.float() / 255, height) for view in (one, two))
    if style == "colour map":
        code = _place_colours(two.height, two.width).to(match.xy)
        painted = torch.where(match.is_visible, carry_over(code, match), SHADE * one.image.to(code) / 255)
        image = _side_by_side(_at_height(painted, height), (right + _at_height(code, height)) / 2)
    elif style == "lines":
        image = _with_lines(_side_by_side(left, right), match, left.shape[2], height, num_lines)
    else:
        raise WorldStereoError(f'style: got "{style}", expected lines or colour map.')
    share = float(match.is_visible.float().mean())
    sureness = float(match.confidence[match.is_visible].mean()) if share > 0 else 0.0
    text = f"{two.name} sees {share:.0%} of what {one.name} shows, with a mean confidence of {sureness:.2f}"
    return MatchPicture(image.movedim(0, -1).cpu(), match, text)


def _at_height(picture: Tensor, height: int) -> Tensor:
    width = round(height * picture.shape[2] / picture.shape[1])
    small = interpolate(picture[None].float(), (height, width), mode="bilinear", antialias=True)
    return small[0].clamp(0, 1)


def _side_by_side(left: Tensor, right: Tensor) -> Tensor:
    return torch.cat([left, left.new_zeros(3, left.shape[1], GAP), right.to(left)], dim=2)


def _place_colours(height: int, width: int) -> Tensor:
    """[3, H, W]: red grows to the right, green downwards, blue the other way."""
    across, down = (pixel_grid(height, width) / torch.tensor([width, height])).unbind(-1)
    return torch.stack([across, down, 1 - (across + down) / 2])


def _with_lines(canvas: Tensor, match: Correspondences, offset: int, height: int, num_lines: int) -> Tensor:
    from PIL import ImageDraw

    from .pictures import from_pil, to_pil

    rows, columns = match.is_visible.shape
    # A grid of places with about the number wanted among those that are seen.
    share = float(match.is_visible.float().mean())
    step = max(1, round((rows * columns * share / max(num_lines, 1)) ** 0.5))
    picture = to_pil(canvas.movedim(0, -1).cpu())
    draw = ImageDraw.Draw(picture)
    here, there = height / rows, height / match.source_height
    for row in range(step // 2, rows, step):
        for column in range(step // 2, columns, step):
            if not bool(match.is_visible[row, column]):
                continue
            x, y = match.xy[row, column].tolist()
            start = ((column + 0.5) * here, (row + 0.5) * here)
            end = (offset + GAP + x * there, y * there)
            hue = colorsys.hsv_to_rgb(0.8 * column / columns, 0.5 + 0.5 * row / rows, 1.0)
            colour = tuple(round(255 * part) for part in hue)
            draw.line([start, end], fill=colour, width=1)
            for point in (start, end):
                draw.ellipse([point[0] - 2, point[1] - 2, point[0] + 2, point[1] + 2], fill=colour)
    return from_pil(picture).movedim(-1, 0)
