"""What training will take of the device's memory, as far as it can be known before."""

from __future__ import annotations

from torch import nn

from .config import LoopConfig
from .optimisers import count_bytes, total
from .stage import Stage


def describe_memory(stage: Stage, loop: LoopConfig, num_processes: int) -> str:
    """One line: networks, learning weights, and their gradients, optimiser and running mean per device.

    Activations depend on the stage and the batch; they are not in it.
    """
    frozen, learning = 0, 0
    parts: dict[str, int] = {}
    for group in stage.groups:
        learning += total(group.parameters.values())
        for purpose, size in count_bytes(group, group.has_ema and loop.ema > 0).items():
            parts[purpose] = parts.get(purpose, 0) + size
    ids = {id(weight) for group in stage.groups for weight in group.parameters.values()}
    for weight in _weights(stage):
        if id(weight) not in ids:
            frozen += weight.numel() * weight.element_size()
    figures = ", ".join(f"{purpose} {_megabytes(size)}" for purpose, size in parts.items())
    devices = "" if num_processes == 1 else f" on each of {num_processes} devices"
    return (
        f"{stage.name}: {learning:,} weights learn; memory{devices}: {figures}, frozen networks "
        f"{_megabytes(frozen)}; in all {_megabytes(frozen + sum(parts.values()))} and activations"
    )


def _weights(stage: Stage) -> list[nn.Parameter]:
    unique = {id(w): w for module in stage.modules.values() for w in module.parameters()}
    return list(unique.values())


def _megabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
