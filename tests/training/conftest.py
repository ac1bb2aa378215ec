"""A stage small enough to train in milliseconds: two layers that take turns, one frozen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

pytest.importorskip("accelerate", reason="training needs the train extra")
pytest.importorskip("yaml", reason="training needs the train extra")
pytest.importorskip("tensorboard", reason="training needs the train extra")

import torch
from torch import Tensor, nn
from torch.nn import Linear
from torch.utils.data import Dataset

from worldstereo_core.training import loop, stages
from worldstereo_core.training.config import LoopConfig, TrainConfig
from worldstereo_core.training.stage import Group


@dataclass(frozen=True)
class ToySettings:
    width: int = 4
    count: int = 10
    critic_times: int = 2
    optimiser: str = "adamw"


class Points(Dataset):
    def __init__(self, count: int):
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Tensor:
        return torch.randn(3, generator=torch.Generator().manual_seed(index))


class ToyStage:
    name = "toy"
    Settings: ClassVar[type] = ToySettings

    def __init__(self, settings: ToySettings, seed: int):
        self.settings = settings
        self.student = nn.Sequential(Linear(3, settings.width), nn.Dropout(0.25), Linear(settings.width, 3))
        self.critic = Linear(3, 1)
        self.frozen = Linear(3, 3)
        self.modules = {"student": self.student, "critic": self.critic, "frozen": self.frozen}
        self.groups = [
            Group("critic", dict(self.critic.named_parameters()), 1e-2, times=settings.critic_times,
                  has_ema=False),
            Group("student", dict(self.student.named_parameters()), 1e-2, every=2,
                  optimiser=settings.optimiser),
        ]  # fmt: skip
        self.calls: list[tuple[str, list[float]]] = []

    def dataset(self) -> Dataset:
        return Points(self.settings.count)

    def loss(self, group: str, batch: Tensor, generator: torch.Generator):
        self.calls.append((group, batch[:, 0].tolist()))
        noisy = batch + 0.1 * torch.randn(batch.shape, generator=generator)
        guess = self.student(noisy)
        if group == "critic":
            loss = self.critic(guess).mean() - self.critic(self.frozen(batch)).mean()
            return loss + self.critic.weight.square().sum(), {}
        return (guess - self.frozen(batch)).square().mean() - 0.1 * self.critic(guess).mean(), {}

    def samples(self, generator: torch.Generator) -> Tensor:
        torch.rand(7)  # whoever draws here must not change what is learnt
        return torch.rand(1, 2, 3, 4, 5, generator=generator)

    def validate(self, generator: torch.Generator) -> dict[str, float]:
        return {"weight": float(self.student[0].weight.detach().sum())}

    def set_gradient_checkpointing(self, is_on: bool) -> None:
        self.is_checkpointing = is_on

    def export(self, folder: Path) -> list[Path]:
        path = folder / "weight.txt"
        path.write_text(repr(float(self.student[0].weight.detach().sum())))
        return [path]


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch):
    """A configuration of the toy stage; keywords change the loop's or the stage's settings."""
    monkeypatch.setattr(loop, "stage_class", lambda name: ToyStage)
    monkeypatch.setitem(stages.STAGES, "toy", ("toy", "ToyStage"))

    def make(seed: int = 3, **changes: object) -> TrainConfig:
        settings = {name: changes.pop(name) for name in list(changes) if hasattr(ToySettings, name)}
        base = LoopConfig(steps=10, batch=3, accumulate=2, warmup=3, ema=0.9, log_every=100,
                          sample_every=100, save_every=100, keep=2)  # fmt: skip
        return TrainConfig("toy", ToySettings(**settings), replace(base, **changes), seed)

    return make
