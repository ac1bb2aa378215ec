"""UniPC for flow matching: a multistep predictor-corrector of the clean sample (variant B(h) = exp(h) - 1).

Zhao et al., "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion Models", 2023,
with the path alpha = 1 - sigma. Coefficients are Python floats; only sums of samples run on their device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from .checks import WorldStereoError


class UniPC:
    """One solver for one sampling run; call ``step`` once per model call, in order.

    Args:
        sigmas: [n + 1] descending noise levels below 1, the last may be 0.
        order: 1..3; the first and last steps use lower ones.

    Raises: WorldStereoError if the sigmas are not of that form.
    """

    def __init__(self, sigmas: Tensor | Sequence[float], order: int = 2):
        self.sigmas = [float(sigma) for sigma in sigmas]
        falling = all(a > b for a, b in zip(self.sigmas, self.sigmas[1:], strict=False))
        if len(self.sigmas) < 2 or not falling or self.sigmas[0] >= 1 or self.sigmas[-1] < 0:
            raise WorldStereoError(
                f"sigmas: UniPC got {len(self.sigmas)} values from {self.sigmas[:1]} to {self.sigmas[-1:]}, "
                "expected at least 2 that fall from below 1 to 0. Use the flow UniPC schedule."
            )
        self.order = order
        self.index = 0
        self.clean: list[Tensor] = []  # predictions of the clean sample, newest last
        self.last_sample: Tensor | None = None
        self.last_order = 0

    @property
    def num_steps(self) -> int:
        return len(self.sigmas) - 1

    def step(self, sample: Tensor, velocity: Tensor) -> Tensor:
        """Advance from sigma ``index`` to the next.

        Args:
            sample: what this object returned last, or the initial noise.
            velocity: the model's prediction at ``sample``.

        Returns:
            The sample at the next sigma.
        """
        clean = sample - self.sigmas[self.index] * velocity
        if self.last_sample is not None:
            sample = self._correct(clean)
        self.clean = [*self.clean, clean][-self.order :]
        self.last_order = min(self.order, self.num_steps - self.index, self.index + 1)
        self.last_sample = sample
        self.index += 1
        return self._predict(sample)

    def _predict(self, sample: Tensor) -> Tensor:
        """Sample at ``index`` from the one before it, by the clean predictions so far."""
        step = _Step(self.sigmas, self.index, self.last_order)
        newest = self.clean[-1]
        result = step.sample_factor * sample - step.clean_factor * newest
        # Order 2 takes the closed form 1/2 of the paper instead of the system's solution.
        weights = [0.5] if self.last_order == 2 else step.solve(step.ratios[:-1])
        return result - step.difference_factor * _weighted(self._differences(step), weights)

    def _correct(self, clean: Tensor) -> Tensor:
        """Sample at ``index`` again, now that the clean prediction there is known."""
        assert self.last_sample is not None
        step = _Step(self.sigmas, self.index, self.last_order)
        newest = self.clean[-1]
        weights = [0.5] if self.last_order == 1 else step.solve(step.ratios)
        result = step.sample_factor * self.last_sample - step.clean_factor * newest
        correction = _weighted([*self._differences(step), clean - newest], weights)
        return result - step.difference_factor * correction

    def _differences(self, step: _Step) -> list[Tensor]:
        """Divided differences of older clean predictions against the newest."""
        newest = self.clean[-1]
        older = self.clean[-2::-1]
        return [(old - newest) / ratio for old, ratio in zip(older, step.ratios[:-1], strict=False)]


class _Step:
    """Coefficients of the step that ends at sigma ``index``; lambda = log(alpha / sigma)."""

    def __init__(self, sigmas: Sequence[float], index: int, order: int):
        start, end = sigmas[index - 1], sigmas[index]
        self.h = _log_snr(end) - _log_snr(start)
        self.sample_factor = end / start
        self.clean_factor = (1 - end) * math.expm1(-self.h)
        self.difference_factor = self.clean_factor
        older = [sigmas[index - 1 - back] for back in range(1, order)]
        self.ratios = [(_log_snr(sigma) - _log_snr(start)) / self.h for sigma in older] + [1.0]

    def solve(self, ratios: Sequence[float]) -> list[float]:
        """Weights rho of the divided differences: sum_i rho_i ratio_i^(k-1) = b_k."""
        if not ratios:
            return []
        base = math.expm1(-self.h)
        phi = base / -self.h - 1
        factorial = 1
        right = []
        for k in range(1, len(ratios) + 1):
            right.append(phi * factorial / base)
            factorial *= k + 1
            phi = phi / -self.h - 1 / factorial
        system = np.vander(np.array(ratios), increasing=True).T
        return [float(rho) for rho in np.linalg.solve(system, np.array(right))]


def _weighted(differences: list[Tensor], weights: Sequence[float]) -> Tensor | float:
    return sum((weight * part for weight, part in zip(weights, differences, strict=True)), start=0.0)


def _log_snr(sigma: float) -> float:
    return math.inf if sigma == 0 else math.log(1 - sigma) - math.log(sigma)
