"""Which weights learn: groups take turns in receiving gradients."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from .stage import Batch, Group, Stage


def named_weights(groups: list[Group]) -> dict[str, torch.nn.Parameter]:
    """The weights of several groups by ``group/name``."""
    return {f"{group.name}/{name}": weight for group in groups for name, weight in group.parameters.items()}


@contextlib.contextmanager
def learning(group: Group) -> Iterator[None]:
    """Let exactly the weights of one group receive gradients."""
    for weight in group.parameters.values():
        weight.requires_grad_(True)
    try:
        yield
    finally:
        for weight in group.parameters.values():
            weight.requires_grad_(False)


def check_groups(stage: Stage) -> None:
    """Every weight in at most one group, and in one of the stage's networks: facts about our own stages."""
    of_stage = {id(weight) for module in stage.modules.values() for weight in module.parameters()}
    seen: set[int] = set()
    for group in stage.groups:
        ids = {id(weight) for weight in group.parameters.values()}
        assert len(ids) == len(group.parameters) and not ids & seen, (
            f"{group.name}: a weight is in two groups"
        )
        assert ids <= of_stage, f"{group.name}: weights of no network of the stage"
        seen |= ids


def gradients_of(stage: Stage, group: str, batch: Batch, generator: torch.Generator) -> set[str]:
    """Run one group's loss backwards as the loop does and name the weights that received a gradient.

    Returns: ``module.name`` of every parameter of the stage's modules whose gradient is not None.
    """
    for module in stage.modules.values():
        module.requires_grad_(False)
        module.zero_grad(set_to_none=True)
    [chosen] = [each for each in stage.groups if each.name == group]
    with learning(chosen):
        stage.loss(group, batch, generator)[0].backward()
    return {
        f"{prefix}.{name}"
        for prefix, module in stage.modules.items()
        for name, weight in module.named_parameters()
        if weight.grad is not None
    }
