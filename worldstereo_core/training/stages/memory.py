"""Stage 3: the memories, that is reference views beside the point renders."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from ...checks import WorldStereoError
from ..clip_batch import Signal, SignalWeights
from ..diffusion import DiffusionSettings, DiffusionStage, named
from ..family import add_camera_embedding, write_worldstereo


@dataclass(frozen=True)
class MemoryStageSettings(DiffusionSettings):
    """Settings of the memory stage.

    Attributes:
        signals: how often which memory is shown.
        trains_control: whether the control branch goes on learning.
        attention_blocks: backbone blocks whose self-attention learns to read references; empty: all.
    """

    signals: SignalWeights = field(
        default_factory=lambda: SignalWeights(camera=0.1, global_memory=0.2, stereo_memory=0.2, both=0.5)
    )
    learning_rate: float = 2e-4
    trains_control: bool = True
    attention_blocks: tuple[int, ...] = ()


class MemoryStage(DiffusionStage):
    """Teaches the backbone's self-attention to read reference views with their cameras.

    The global and the stereo memory of WorldStereo: point renders through the control branch, and views that
    share self-attention with the clip, placed at the frames they belong to, with camera tokens. Views change
    places, lose parts and come in any number (``ReferenceSettings``), and the renders come from disturbed
    depth (``GeometryErrors``), so that neither memory is trusted blindly.
    """

    name = "memory"
    Settings = MemoryStageSettings
    shown_signals: tuple[Signal, ...] = ("global", "both")

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        settings = self.settings
        assert isinstance(settings, MemoryStageSettings)
        add_camera_embedding(self.networks.control, self.seed)
        transformer, control = self.networks.backbone.transformer, self.networks.control
        num_blocks = self.networks.backbone.num_blocks
        blocks = settings.attention_blocks or tuple(range(num_blocks))
        if not all(0 <= block < num_blocks for block in blocks):
            raise WorldStereoError(
                f"attention_blocks: got {list(blocks)}, the backbone has blocks 0..{num_blocks - 1}."
            )
        prefixes = tuple(f"blocks.{block}.attn1." for block in blocks)
        attention = [name for name, _ in transformer.named_parameters() if name.startswith(prefixes)]
        parts = ("camera_embedding.", "controlnet.") if settings.trains_control else ("camera_embedding.",)
        return {
            **named("backbone", transformer, attention),
            **named("control", control, [n for n, _ in control.named_parameters() if n.startswith(parts)]),
        }

    def export(self, folder: Path) -> list[Path]:
        names = {
            name.removeprefix("backbone.")
            for name in self.groups[0].parameters
            if name.startswith("backbone.")
        }
        return write_worldstereo(
            folder / "worldstereo-memory",
            self.networks.control,
            "memory",
            backbone=self.networks.backbone,
            backbone_names=names,
        )
