"""Stage 0: the backbone, an image-to-video model that knows no camera and no memory."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ...model.condition import ControlCondition
from ..clip_batch import EncodedClips, ReferenceSettings, Signal
from ..diffusion import DiffusionStage, named
from ..family import is_used_with_null_context, write_backbone, write_null_context


class BackboneStage(DiffusionStage):
    """Flow matching (arXiv 2210.02747) of clips that begin with a given picture.

    The conditioning is Wan 2.1's (arXiv 2503.20314): first-frame latent and mask beside the noisy latents,
    the same ``image_condition`` that inference shows. With the null context the embedders of text and picture
    learn their biases alone, see ``family``.
    """

    name = "backbone"
    shown_signals: tuple[Signal, ...] = ("none",)

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        transformer = self.networks.backbone.transformer
        names = [name for name, _ in transformer.named_parameters()]
        if self.networks.has_null_context:
            names = [name for name in names if is_used_with_null_context(name)]
        return named("backbone", transformer, names)

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {"backbone": self.networks.backbone.transformer}

    def condition(
        self, batch: EncodedClips, signal: Signal, generator: torch.Generator, references: ReferenceSettings
    ) -> ControlCondition | None:
        return None

    def export(self, folder: Path) -> list[Path]:
        files = [write_backbone(folder / "backbone.safetensors", self.networks.backbone)]
        if self.networks.has_null_context:
            files.append(write_null_context(folder))
        return files
