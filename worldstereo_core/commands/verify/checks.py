"""How a computed tensor is judged against a golden one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor

# Below this largest value a relative bound would ask for more than float32 rounding allows.
SMALLEST_SCALE = 1e-3


@dataclass(frozen=True)
class Check:
    """One judged result.

    Attributes:
        name: tensor or fact.
        error: what was measured, in the unit of the bound; inf when nothing comparable was computed.
        bound: the largest acceptable error (the constant part when the bound also grows with the value).
        passed: the verdict.
        note: what a reader needs to know beyond the numbers.
    """

    name: str
    error: float
    bound: float
    passed: bool
    note: str = ""

    @property
    def severity(self) -> float:
        """Orders checks: failures first, then by the share of the bound used up."""
        share = self.error / self.bound if self.bound > 0 else (0.0 if self.error == 0 else math.inf)
        return share if self.passed else math.inf


def find_bound(name: str, checks: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """The bound of the first glob that matches a tensor's name."""
    for glob, bound in checks.items():
        if fnmatchcase(name, glob):
            return bound
    return None


def failed(name: str, note: str) -> Check:
    return Check(name, math.inf, 0.0, False, note)


def compare(name: str, computed: Tensor, golden: Tensor, bound: dict[str, Any]) -> Check:
    """Judge one tensor.

    An element passes if ``|computed - golden| <= atol * scale + rtol * |golden|``; scale is the golden's
    largest finite magnitude for ``relative_to_absmax`` and 1 otherwise. ``exact`` asks for equality. With
    ``max_outlier_fraction`` the error is the fraction of elements outside, otherwise the largest difference
    (divided by scale). A NaN or infinity equals only the same at the same place.
    """
    if computed.shape != golden.shape:
        return failed(name, f"shape {list(computed.shape)}, expected {list(golden.shape)}")
    computed64, golden64 = computed.detach().cpu().double(), golden.cpu().double()
    same = (computed64 == golden64) | (computed64.isnan() & golden64.isnan())
    # inf - inf and NaN have no distance: equal ones are 0 apart, all others infinitely far.
    difference = (computed64 - golden64).abs().masked_fill(same, 0.0)
    difference = difference.masked_fill(difference.isnan(), math.inf)

    atol, rtol = (
        (0.0, 0.0) if bound.get("exact") else (float(bound.get("atol", 0)), float(bound.get("rtol", 0)))
    )
    magnitude = golden64.abs().nan_to_num(nan=0.0, posinf=0.0)
    scale = 1.0
    if bound.get("relative_to_absmax") and golden.numel():
        scale = max(float(magnitude.max()), SMALLEST_SCALE)
    outside = difference > atol * scale + rtol * magnitude

    if "max_outlier_fraction" in bound:
        fraction = float(outside.double().mean()) if outside.numel() else 0.0
        allowed = float(bound["max_outlier_fraction"])
        return Check(name, fraction, allowed, fraction <= allowed, "fraction of elements outside")
    error = float(difference.max()) / scale if difference.numel() else 0.0
    notes = [f"+ {rtol:g} x value"] if rtol else []
    if bound.get("relative_to_absmax"):
        notes.append("relative to the largest value")
    return Check(name, error, atol, not bool(outside.any()), ", ".join(notes))


def compare_all(
    computed: dict[str, Tensor], golden: dict[str, Tensor], checks: dict[str, dict[str, Any]]
) -> list[Check]:
    """Judge every output tensor that a bound speaks of.

    Args:
        computed: by golden tensor name.
        golden: the outputs only, without the golden's inputs.
        checks: globs to bounds, the first match counts.
    """
    results = []
    for name, expected in golden.items():
        bound = find_bound(name, checks)
        if bound is None:
            continue
        if name in computed:
            results.append(compare(name, computed[name], expected, bound))
        elif not bound.get("optional"):
            results.append(failed(name, "not computed"))
    return results


def exact(name: str, got: object, expected: object) -> Check:
    """A fact (indices, names, counts) that must be equal."""
    if got == expected:
        return Check(name, 0.0, 0.0, True)
    return failed(name, f"got {got}, expected {expected}"[:200])
