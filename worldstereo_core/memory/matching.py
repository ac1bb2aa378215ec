"""Points that two memories share: from pixels a person matched, or from a picture both hold."""

from __future__ import annotations

import math
import re
from typing import Literal, get_args

import torch
from torch import Tensor

from ..checks import WorldStereoError, check_shape
from ..geometry.cameras import unproject
from ..geometry.depth import has_depth
from ..geometry.similarity import Similarity
from .memory import GeometricMemory
from .merging import MergeReport, merge_memories
from .view import View
from .warping import view_depth

Alignment = Literal["same world", "shared picture", "matched pixels", "matched points", "matrix"]

# More matches than this make a fit slower and no better.
_MAX_MATCHES = 20_000
# Views are the same picture if 8-bit values differ by less than this on average.
_SAME_PICTURE = 2.0


def align_memories(
    first: GeometricMemory,
    second: GeometricMemory,
    align: Alignment = "same world",
    numbers: str = "",
    *,
    first_view: int = 0,
    second_view: int = 0,
    voxel_size: float = 0.0,
    keep_views: bool = True,
) -> tuple[GeometricMemory, MergeReport]:
    """Bring a second memory into the world of a first, by one of several kinds of knowledge.

    Args:
        align: "same world" moves nothing; "shared picture" is ``match_shared_picture``; "matched pixels"
            takes rows of 4 ``numbers`` (see ``match_pixels``); "matched points" rows of 6, world points of
            the first and of the second, scene units; "matrix" 4 rows of 4, first world from second.
        numbers: as a person types them, see ``parse_rows``.
        voxel_size, keep_views: as in ``merging.merge_memories``.

    Raises: WorldStereoError if the numbers do not fit, or determine no similarity.
    """
    if align == "same world":
        return merge_memories(first, second, voxel_size=voxel_size, keep_views=keep_views)
    if align == "matrix":
        matrix = parse_rows("numbers", numbers, 4)
        if len(matrix) != 4:
            raise WorldStereoError(f"numbers: got {len(matrix)} rows, expected the 4 rows of a 4 x 4 matrix.")
        return merge_memories(
            first,
            second,
            transform=Similarity.from_matrix(matrix),
            voxel_size=voxel_size,
            keep_views=keep_views,
        )
    if align == "shared picture":
        matches = match_shared_picture(first, second)
    elif align == "matched pixels":
        pixels = parse_rows("numbers", numbers, 4)
        matches = match_pixels(first, second, pixels, first_view=first_view, second_view=second_view)
    elif align == "matched points":
        rows = parse_rows("numbers", numbers, 6)
        matches = (rows[:, :3], rows[:, 3:])
    else:
        raise WorldStereoError(f'align: got "{align}", expected one of {", ".join(get_args(Alignment))}.')
    return merge_memories(first, second, matches=matches, voxel_size=voxel_size, keep_views=keep_views)


def match_pixels(
    first: GeometricMemory,
    second: GeometricMemory,
    pixels: Tensor,
    *,
    first_view: int = 0,
    second_view: int = 0,
    radius: float = 0.008,
) -> tuple[Tensor, Tensor]:
    """Lift matched pixels of two views to matched points.

    Args:
        pixels: [M, 4] x and y in the first memory's view, then x and y in the second's; the picture spans
            [0, width] x [0, height].
        first_view, second_view: numbers of the views in their banks.
        radius: of a point, for views without depth of their own.

    Returns:
        World points [M, 3] of the first memory and of the second.

    Raises: WorldStereoError if a view does not exist, or a pixel lies outside or has no depth.
    """
    check_shape("matches", pixels, ("M", 4))
    sides = []
    for word, memory, number, xy in (
        ("first", first, first_view, pixels[:, :2]),
        ("second", second, second_view, pixels[:, 2:]),
    ):
        view = bank_view(memory, number, f"{word}_view")
        sides.append(_lift(word, memory, view, xy, radius))
    return sides[0], sides[1]


def match_shared_picture(first: GeometricMemory, second: GeometricMemory) -> tuple[Tensor, Tensor]:
    """Match two memories over a picture that both banks hold, pixel by pixel.

    Returns:
        World points [M, 3] of the first memory and of the second.

    Raises: WorldStereoError if no picture with depth is in both.
    """
    for one in first.views:
        for two in second.views:
            if one.depth is None or two.depth is None or one.image.shape != two.image.shape:
                continue
            if (
                float((one.image.float() - two.image.to(one.image.device).float()).abs().mean())
                > _SAME_PICTURE
            ):
                continue
            depth = two.depth.to(one.depth.device)
            rows, columns = torch.nonzero(has_depth(one.depth) & has_depth(depth), as_tuple=True)
            step = max(1, len(rows) // _MAX_MATCHES)
            rows, columns = rows[::step], columns[::step]
            points = [
                unproject(view.depth[None], view.K[None], view.w2c[None])[0][rows, columns]
                for view in (one, two)
                if view.depth is not None
            ]
            return points[0], points[1]
    raise WorldStereoError(
        "align: the memories share no picture with depth at the same size. Match pixels or points, or move "
        "the second memory by hand."
    )


def bank_view(memory: GeometricMemory, number: int, name: str) -> View:
    """A view by its number in the bank, from 0; negative numbers count from the end.

    Raises: WorldStereoError if there is none.
    """
    count = len(memory.views)
    if count == 0:
        raise WorldStereoError(
            f"{name}: the memory holds no pictures, expected at least one. Create the memory from a "
            "picture, or load one that was saved with its pictures."
        )
    if not -count <= number < count:
        raise WorldStereoError(
            f"{name}: got {number}, but the memory has {count} views, numbers 0 to {count - 1}. Memory "
            "Statistics lists what it holds."
        )
    return memory.views[number]


def _lift(word: str, memory: GeometricMemory, view: View, xy: Tensor, radius: float) -> Tensor:
    """World points [M, 3] at pixels [M, 2] of a view."""
    size = xy.new_tensor([view.width, view.height])
    outside = ~((xy >= 0) & (xy < size)).all(-1)
    if bool(outside.any()):
        raise WorldStereoError(
            f"matches: {word} pixel {xy[outside][0].tolist()} lies outside view {view.name} of width "
            f"{view.width}, height {view.height}. Read positions off this very picture."
        )
    column, row = xy.long().unbind(-1)
    z = view_depth(memory, view, radius).to(xy.device)[row, column]
    if not bool(has_depth(z).all()):
        raise WorldStereoError(
            f"matches: {word} pixel {xy[~has_depth(z)][0].tolist()} of view {view.name} has no depth. "
            "Choose another place, away from sky and depth edges."
        )
    # The ray of the very position, not of the pixel's centre.
    homogeneous = torch.cat([xy, torch.ones_like(xy[:, :1])], dim=1)
    in_camera = z[:, None] * (homogeneous @ torch.linalg.inv(view.K.to(xy)).mT)
    c2w = torch.linalg.inv(view.w2c.to(xy))
    return in_camera @ c2w[:3, :3].mT + c2w[:3, 3]


def parse_rows(name: str, text: str, columns: int) -> Tensor:
    """Read rows of numbers as a person types them: one row a line, parted by spaces, commas or arrows.

    Args:
        name: the input as the user sees it.
        columns: numbers in a row. Empty lines and lines that begin with # are skipped.

    Returns:
        [M, columns] float64.

    Raises: WorldStereoError if a line holds something else, or there is none.
    """
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = re.split(r"[\s,;]+|->|\u2192", line.strip())
        words = [word for word in words if word]
        if not words or words[0].startswith("#"):
            continue
        try:
            row = [float(word) for word in words]
        except ValueError as error:
            raise WorldStereoError(f"{name}: line {number} is not numbers ({error}).") from error
        if len(row) != columns or not all(math.isfinite(value) for value in row):
            raise WorldStereoError(
                f"{name}: line {number} holds {len(row)} numbers ({line.strip()[:60]}), expected {columns} "
                "finite ones."
            )
        rows.append(row)
    if not rows:
        raise WorldStereoError(f"{name}: is empty, expected lines of {columns} numbers each.")
    return torch.tensor(rows, dtype=torch.float64)
