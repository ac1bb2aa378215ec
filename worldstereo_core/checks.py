"""Errors that speak to the user, and the shape check used at public entry points."""

from __future__ import annotations

from torch import Tensor


class WorldStereoError(ValueError):
    """Base of every error this package raises about its input.

    The text names the input as the user sees it, what was got, what was expected and what to do next.
    """


class ShapeError(WorldStereoError):
    """A tensor has the wrong shape, or two inputs disagree about a size."""


class CheckpointError(WorldStereoError):
    """A model file is damaged, of another family, or does not fit the model beside it."""


class PathError(WorldStereoError):
    """A camera path, trajectory or camera file cannot be used as it is."""


def check_shape(name: str, tensor: Tensor, shape: tuple[int | str, ...], hint: str = "") -> dict[str, int]:
    """Check a tensor's shape against a pattern and return the named sizes.

    Args:
        name: the input as the user sees it, e.g. ``"depth"``.
        tensor: what was given.
        shape: one entry per axis: an int for a fixed size, a name for a free size (a repeated name must
            match), ``"*"`` for any size.
        hint: one sentence that says what to do; appended to the message.

    Returns:
        The size found for each name.

    Raises: ShapeError if the number of axes or a size differs.
    """
    expected = "[" + ", ".join(str(part) for part in shape) + "]"
    got = list(tensor.shape)
    sizes: dict[str, int] = {}
    fits = len(got) == len(shape)
    if fits:
        for size, part in zip(got, shape, strict=True):
            if part == "*":
                continue
            wanted = part if isinstance(part, int) else sizes.setdefault(part, size)
            fits = fits and size == wanted
    if not fits:
        raise ShapeError(f"{name}: got a tensor of shape {got}, expected {expected}. {hint}".rstrip())
    return sizes
