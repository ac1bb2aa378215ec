"""One ray at a time in plain Python floats: what the tensor code is compared with. Nothing is shared with it.

Solids are met by walking along the ray until a point is inside, then halving; inside is decided from the
solid's own definition, so neither slabs nor quadratics are used.
"""

from __future__ import annotations

import math

STEPS, HALVINGS = 4000, 60


def inside(solid, point) -> bool:
    """Whether a world point is inside a ``Solid``."""
    x, y, z = (value - middle for value, middle in zip(point, solid.center, strict=True))
    cosine, sine = math.cos(solid.yaw), math.sin(solid.yaw)
    x, z = cosine * x - sine * z, sine * x + cosine * z
    x, y, z = x / solid.half[0], y / solid.half[1], z / solid.half[2]
    if solid.kind == 0:
        return max(abs(x), abs(y), abs(z)) <= 1
    if solid.kind == 1:
        return x * x + y * y + z * z <= 1
    if solid.kind == 2:
        return x * x + z * z <= 1 and abs(y) <= 1
    if solid.kind == 3:
        return abs(y) <= 1 and math.hypot(x, z) <= (y + 1) / 2
    return abs(x) <= 1 and y <= 1 and 2 * abs(z) <= y + 1


def at(origin, direction, time):
    return [start + time * step for start, step in zip(origin, direction, strict=True)]


def first_inside(test, origin, direction, far: float) -> float:
    """The smallest parameter in 0..far at which ``test`` holds of the ray's point; inf if it never does."""
    before = 0.0
    for step in range(1, STEPS + 1):
        time = far * step / STEPS
        if test(at(origin, direction, time)):
            low, high = before, time
            for _ in range(HALVINGS):
                middle = (low + high) / 2
                low, high = (low, middle) if test(at(origin, direction, middle)) else (middle, high)
            return high
        before = time
    return math.inf
