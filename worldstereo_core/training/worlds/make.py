"""Make a world from a seed."""

from __future__ import annotations

from collections.abc import Callable

from ...checks import WorldStereoError
from .chance import Chance
from .landscapes import make_landscape
from .rooms import make_room
from .streets import make_street
from .world import World

MAKERS: dict[str, Callable[[Chance, int], World]] = {
    "room": make_room,
    "street": make_street,
    "landscape": make_landscape,
}
KINDS = tuple(MAKERS)


def make_world(seed: int, kind: str | None = None) -> World:
    """Make a world on the CPU; the same seed, kind and torch give the same bytes.

    Args:
        seed: whole number, 0 or more.
        kind: "room", "street" or "landscape"; by default the seed decides, each a third of the time.

    Raises: WorldStereoError for another kind or a negative seed.
    """
    if seed < 0:
        raise WorldStereoError(
            f"seed: got {seed}, expected 0 or more. Give a whole number that is not negative."
        )
    if kind is None:
        kind = KINDS[seed % len(KINDS)]
    if kind not in MAKERS:
        raise WorldStereoError(
            f"kind: got {kind!r}, expected one of {', '.join(KINDS)}. Choose one of these."
        )
    return MAKERS[kind](Chance(0).fork(f"{kind}/{seed}"), seed)
