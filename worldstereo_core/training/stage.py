"""What the training loop asks of a stage: its networks, which of their weights learn, and from what loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

Batch = Any  # what the data loader's collation of the stage's samples gives; its tensors are on the device


@dataclass(frozen=True)
class Group:
    """Weights that learn together, from one loss, with one optimiser.

    Attributes:
        name: what ``Stage.loss`` is asked by.
        parameters: exactly the weights that receive gradients, by the names checkpoints give them. float32.
        learning_rate: after warmup.
        times: optimiser steps per training step, each on new samples.
        every: only every so many training steps (1, 1 + every, ... counted from 1).
        optimiser: AdamW, or Muon for the matrices and kernels among the weights and AdamW for the rest.
        vector_learning_rate: Muon only: AdamW's learning rate for the rest.
        weight_decay: decoupled, of matrices and kernels; vectors have none.
        betas: of AdamW.
        has_ema: whether a running mean of these weights is kept, sampled from and exported.
    """

    name: str
    parameters: Mapping[str, nn.Parameter] = field(repr=False)
    learning_rate: float
    times: int = 1
    every: int = 1
    optimiser: Literal["adamw", "muon"] = "adamw"
    vector_learning_rate: float = 1e-3
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.99)
    has_ema: bool = True


class Stage(Protocol):
    """One stage of training. The loop owns optimisers, devices, precision, checkpoints and random numbers.

    Attributes:
        name: as in ``stages.STAGES``.
        modules: every network of the stage, frozen ones too. The loop moves them to the device and lets
            exactly the weights of the group that is learning receive gradients.
        groups: in the order in which they learn within a step.
        Settings: the frozen dataclass that the section ``settings`` of a configuration becomes.
    """

    name: str
    modules: Mapping[str, nn.Module]
    groups: list[Group]
    Settings: ClassVar[type]

    def __init__(self, settings: Any, seed: int):
        """Build the networks on the CPU; the same seed gives the same weights."""
        ...

    def dataset(self) -> Dataset:
        """Samples by number: a function of the number and the settings alone, so that runs can resume."""
        ...

    def loss(
        self, group: str, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The loss of one group, and figures to log (detached).

        Args:
            batch: on the device.
            generator: on the CPU, seeded by run, step, group and process: the only source of randomness.
        """
        ...

    def samples(self, generator: torch.Generator) -> Tensor:
        """Pictures that show how far training is: [rows, columns, 3, H, W], 0..1. Weights are the mean's."""
        ...

    def validate(self, generator: torch.Generator) -> dict[str, float]:
        """Figures on held-out data, logged beside the samples. Empty if there are none."""
        ...

    def set_gradient_checkpointing(self, is_on: bool) -> None:
        """Recompute activations in the backward pass (``loop.gradient_checkpointing``)."""
        ...

    def export(self, folder: Path) -> list[Path]:
        """Write the networks in the released file formats and name the files. Weights are the mean's.

        Args:
            folder: exists and is empty; the loop adds ``card.json``.
        """
        ...
