"""How a computed tensor is judged against a golden one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Check:
    """One judged result.

    Attributes:
        name: tensor or fact.
        error: what was measured, in the unit of the bound; inf when nothing comparable was computed.
        bound: the largest acceptable error.
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
    ``max_outlier_fraction`` the error is the fraction of elements outside; otherwise error and bound are
    those of the element that uses up most of its allowance (divided by scale). A NaN or infinity equals only
    the same at the same place.
    """
    if computed.shape != golden.shape:
        return failed(name, f"shape {list(computed.shape)}, expected {list(golden.shape)}")
    computed64, golden64 = computed.detach().cpu().double(), golden.cpu().double()
    same = (computed64 == golden64) | (computed64.isnan() & golden64.isnan())
    # inf - inf and NaN have no distance: equal ones are 0 apart, all others infinitely far.
    difference = (computed64 - golden64).abs().masked_fill(same, 0.0)
    difference = difference.masked_fill(difference.isnan(), math.inf)

    slack = {} if bound.get("exact") else bound
    atol, rtol = float(slack.get("atol", 0)), float(slack.get("rtol", 0))
    magnitude = golden64.abs().nan_to_num(nan=0.0, posinf=0.0)
    scale = 1.0
    if bound.get("relative_to_absmax") and golden.numel():
        scale = float(magnitude.max())
    allowed = atol * scale + rtol * magnitude
    outside = ~(difference <= allowed)  # so that a bound which is no number passes nothing

    if "max_outlier_fraction" in bound:
        fraction = float(outside.double().mean()) if outside.numel() else 0.0
        most = float(bound["max_outlier_fraction"])
        return Check(name, fraction, most, fraction <= most, "fraction of elements outside")
    if not difference.numel():
        return Check(name, 0.0, atol, True, "empty")
    share = torch.where(difference == 0, 0.0, difference / allowed)
    worst = int(share.argmax())
    unit = scale or 1.0  # a golden of zeros has no magnitude to be relative to
    error, most = float(difference.flatten()[worst]) / unit, float(allowed.flatten()[worst]) / unit
    note = "relative to the largest value" if bound.get("relative_to_absmax") else ""
    return Check(name, error, most, not bool(outside.any()), note)


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
