"""Stage 1: the control branch, on a frozen backbone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import nn

from ..clip_batch import Signal, SignalWeights
from ..diffusion import DiffusionSettings, DiffusionStage, named
from ..family import write_worldstereo


@dataclass(frozen=True)
class ControlStageSettings(DiffusionSettings):
    """Settings of the control stage.

    Attributes:
        signals: how often renders are shown and how often rays alone, so that holes are no surprise.
    """

    signals: SignalWeights = field(default_factory=lambda: SignalWeights(camera=0.2, global_memory=0.8))


class ControlStage(DiffusionStage):
    """Teaches point renders, hole masks and camera rays to a branch beside the backbone.

    A copy of the task beside a frozen model, joined through layers that start at zero: ControlNet (Zhang et
    al. 2023, arXiv 2302.05543); renders of a point cloud and rays as its input: Uni3C (Cao et al. 2025, arXiv
    2504.14899). No weight of the backbone learns.
    """

    name = "control"
    Settings = ControlStageSettings
    shown_signals: tuple[Signal, ...] = ("camera", "global")

    def __init__(self, settings: ControlStageSettings, seed: int):
        super().__init__(settings, seed)
        control = self.networks.control
        control.config = replace(control.config, variant="camera")

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        control = self.networks.control
        names = [name for name, _ in control.named_parameters() if name.startswith("controlnet.")]
        return named("control", control, names)

    def export(self, folder: Path) -> list[Path]:
        return write_worldstereo(folder / "worldstereo-camera", self.networks.control, "camera")
