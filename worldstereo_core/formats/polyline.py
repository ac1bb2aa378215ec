"""Lines drawn on a picture, as text: pixel coordinates in the forms that people and other nodes write."""

from __future__ import annotations

import json
import re
from typing import Any

import torch
from torch import Tensor

from ..checks import PathError

MAX_POINTS = 100_000
_EXAMPLE = "such as 120,300 200,280 310,240"
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def polyline_from_text(text: str, size: tuple[int, int], name: str = "line") -> Tensor:
    """Pixel coordinates from text.

    Args:
        text: "x,y x,y ..." with any separators, in pixels or all in percent of the picture ("50%,80% ...");
            or JSON in pixels: [[x, y], ...], or [{"x": ..., "y": ...}, ...] as spline editors of other packs
            give.
        size: (height, width) of the picture, pixels.
        name: the input as the user sees it, for messages.

    Returns:
        [N, 2] float64 xy.

    Raises: PathError, naming the point, if it is no line.
    """
    if not text.strip():
        raise PathError(f"{name}: the text is empty, expected pixel coordinates {_EXAMPLE}. Write some.")
    if len(text) > 64 * MAX_POINTS:
        raise PathError(f"{name}: the text is too long, expected at most {MAX_POINTS} points. Draw fewer.")
    rows = _from_json(text, name) if text.lstrip()[0] in "[{" else _from_words(text, size, name)
    if len(rows) > MAX_POINTS:
        raise PathError(f"{name}: got {len(rows)} points, expected at most {MAX_POINTS}. Draw fewer.")
    xy = torch.tensor(rows, dtype=torch.float64).reshape(-1, 2)
    if not bool(torch.isfinite(xy).all()):
        bad = int((~torch.isfinite(xy).all(dim=1)).nonzero()[0])
        raise PathError(f"{name}: point {bad + 1} is not finite, expected pixels. Correct it.")
    return xy


def _from_words(text: str, size: tuple[int, int], name: str) -> list[list[float]]:
    rest = _NUMBER.sub("", text)
    if re.search(r"[^\s,;:/|()%-]", rest):
        raise PathError(
            f"{name}: got {text[:40]!r}, expected pixel coordinates {_EXAMPLE}. Correct the text."
        )
    numbers = [float(word) for word in _NUMBER.findall(text)]
    if len(numbers) % 2:
        raise PathError(
            f"{name}: got {len(numbers)} numbers, expected an even count of x and y, {_EXAMPLE}. Add the one "
            "that is missing."
        )
    percents = rest.count("%")
    if percents not in (0, len(numbers)):
        raise PathError(
            f"{name}: {percents} of {len(numbers)} numbers are in percent, expected all or none. Write % "
            "after each, or pixels."
        )
    scale_x, scale_y = (size[1] / 100, size[0] / 100) if percents else (1.0, 1.0)
    return [[x * scale_x, y * scale_y] for x, y in zip(numbers[::2], numbers[1::2], strict=True)]


def _from_json(text: str, name: str) -> list[list[float]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PathError(
            f"{name}: is not JSON ({str(error)[:80]}), expected [[x, y], ...]. Correct it."
        ) from error
    if not isinstance(content, list):
        raise PathError(f"{name}: holds one object, expected a list [[x, y], ...]. Put it in brackets.")
    return [_point(name, number, entry) for number, entry in enumerate(content)]


def _point(name: str, number: int, entry: Any) -> list[float]:
    if isinstance(entry, dict):
        entry = [entry.get("x"), entry.get("y")]
    if (
        not isinstance(entry, list)
        or len(entry) != 2
        or any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in entry)
    ):
        raise PathError(
            f'{name}: point {number + 1} is {str(entry)[:40]}, expected [x, y] or {{"x": ..., "y": ...}} in '
            "pixels. Correct it."
        )
    return [float(value) if abs(value) < 1e300 else float("inf") for value in entry]
