"""The optimisers and learning rates of a group of weights."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from .config import LoopConfig
from .muon import Muon
from .stage import Group


class GroupOptimiser:
    """Moves the weights of one group; the learning rate warms up linearly and falls along a cosine.

    Args:
        group: its weights are on their device already.
    """

    def __init__(self, group: Group, loop: LoopConfig):
        self.loop = loop
        matrices = [p for p in group.parameters.values() if p.ndim >= 2 and not _is_vector(p)]
        vectors = [p for p in group.parameters.values() if p.ndim < 2 or _is_vector(p)]
        adam: list[dict[str, Any]] = []
        self.optimisers: list[torch.optim.Optimizer] = []
        rate = group.learning_rate
        if group.optimiser == "muon":
            rate = group.vector_learning_rate
            if matrices:
                self.optimisers.append(Muon(matrices, group.learning_rate, weight_decay=group.weight_decay))
        elif matrices:
            adam.append({"params": matrices, "weight_decay": group.weight_decay})
        if vectors:
            adam.append({"params": vectors, "weight_decay": 0.0})
        if adam:
            self.optimisers.append(torch.optim.AdamW(adam, rate, betas=group.betas))
        for optimiser in self.optimisers:
            for entry in optimiser.param_groups:
                entry["full_lr"] = entry["lr"]

    def set_learning_rate(self, step: int) -> float:
        """Set the learning rate of a step, counted from 0, and return its share of the full one."""
        share = schedule(step, self.loop.steps, self.loop.warmup, self.loop.final_learning_rate)
        for optimiser in self.optimisers:
            for entry in optimiser.param_groups:
                entry["lr"] = entry["full_lr"] * share
        return share

    def states(self) -> list[dict[int, Any]]:
        """What each optimiser remembers, by the number of the weight."""
        return [optimiser.state_dict()["state"] for optimiser in self.optimisers]

    def load_states(self, saved: list[dict[int, Any]]) -> None:
        """Take back ``states``; learning rates are set anew each step."""
        for optimiser, state in zip(self.optimisers, saved, strict=True):
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def schedule(step: int, steps: int, warmup: int, final: float) -> float:
    """Share of the full learning rate: linear warmup, then a cosine from 1 to ``final``."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _is_vector(parameter: nn.Parameter) -> bool:
    # Scales such as gamma [C, 1, 1] and modulation tables [1, 6, C] are no matrices in the optimiser's sense.
    return sum(size > 1 for size in parameter.shape[1:]) == 0 or parameter.shape[0] == 1


def count_bytes(group: Group, has_mean: bool) -> dict[str, int]:
    """Memory of training a group by purpose, without activations."""
    matrices = sum(p.numel() for p in group.parameters.values() if p.ndim >= 2 and not _is_vector(p))
    count = total(group.parameters.values())
    moments = 2 * count - (matrices if group.optimiser == "muon" else 0)
    return {
        "weights": 4 * count,
        "gradients": 4 * count,
        "optimiser": 4 * moments,
        "mean": 4 * count if has_mean else 0,
    }


def total(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
