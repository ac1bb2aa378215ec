"""Backbone, control and memories at once: the short cut for small models on two cores."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from ..clip_batch import Signal, SignalWeights
from ..diffusion import DiffusionSettings, DiffusionStage, named
from ..family import (
    add_camera_embedding,
    is_used_with_null_context,
    write_backbone,
    write_null_context,
    write_worldstereo,
)


@dataclass(frozen=True)
class JointStageSettings(DiffusionSettings):
    """Settings of joint training.

    Attributes:
        signals: every batch is shown one choice, so that the model learns to do without each of them.
    """

    signals: SignalWeights = field(
        default_factory=lambda: SignalWeights(
            none=0.1, camera=0.15, global_memory=0.2, stereo_memory=0.15, both=0.4
        )
    )
    learning_rate: float = 6e-4


class JointStage(DiffusionStage):
    """Everything that stages 0, 1 and 3 train, in one run from nothing.

    Training the stages one after the other costs each its own warm-up, and a backbone without control spends
    its time on what it cannot know: where the camera goes. Together they learn from the first step on what is
    given and what is not. The files are the same; a control branch trained so fits its own backbone alone.
    """

    name = "joint"
    Settings = JointStageSettings
    shown_signals: tuple[Signal, ...] = ("none", "camera", "global", "both")

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        add_camera_embedding(self.networks.control, self.seed)
        transformer = self.networks.backbone.transformer
        names = [name for name, _ in transformer.named_parameters()]
        if self.networks.has_null_context:
            names = [name for name in names if is_used_with_null_context(name)]
        return {**named("backbone", transformer, names), **named("control", self.networks.control)}

    def export(self, folder: Path) -> list[Path]:
        networks = self.networks
        files = [write_backbone(folder / "diffusion_models" / "backbone.safetensors", networks.backbone)]
        for variant in ("camera", "memory"):
            name = f"worldstereo-{variant}"
            files += write_worldstereo(folder / "worldstereo" / name, networks.control, variant)
        if networks.has_null_context:
            files.append(write_null_context(folder))
        return files
