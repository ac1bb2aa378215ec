"""Muon: momentum whose matrices are made orthogonal before the step; needs fewer samples than Adam.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024,
https://kellerjordan.github.io/posts/muon.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

# Fifth-order Newton-Schulz: pushes all singular values to about 1 (Jordan 2024).
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum for matrices and convolution kernels (flattened to [out, in * kernel]).

    Args:
        parameters: of two or more axes; give the others to Adam.
        lr: length of a step, as a share of a matrix whose singular values are all 1.
        momentum: of the running sum of gradients (Nesterov).
        weight_decay: decoupled.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(momentum, group["momentum"])
                update = orthogonalise(ahead.flatten(1)).view_as(parameter)
                # Steps of the same size per entry whatever the shape.
                rows, columns = parameter.flatten(1).shape
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)


def orthogonalise(matrix: Tensor) -> Tensor:
    """[rows, columns] -> nearly the nearest matrix whose singular values are all 1."""
    a, b, c = _COEFFICIENTS
    x = matrix.float()
    is_tall = x.shape[0] > x.shape[1]
    x = x.T if is_tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if is_tall else x).to(matrix)
