"""Stage 2: light adapters, low-rank changes of the backbone's attention."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...checks import WorldStereoError
from ...model.key_names import diffusers_to_wan_key
from ...model.tiny import write_weights
from ..clip_batch import Signal, SignalWeights
from ..diffusion import DiffusionSettings, DiffusionStage, named

ADAPTED_LAYERS = ("to_q", "to_k", "to_v", "to_out.0")


@dataclass(frozen=True)
class AdapterStageSettings(DiffusionSettings):
    """Settings of the adapter stage.

    Attributes:
        rank: of the low-rank matrices.
        alpha: the change is multiplied by alpha / rank.
        layers: of self-attention that are adapted.
    """

    signals: SignalWeights = field(default_factory=lambda: SignalWeights(camera=0.1, global_memory=0.9))
    learning_rate: float = 1e-4
    rank: int = 16
    alpha: float = 16.0
    layers: tuple[str, ...] = ADAPTED_LAYERS

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise WorldStereoError(f"rank: got {self.rank}, expected at least 1.")
        unknown = [layer for layer in self.layers if layer not in ADAPTED_LAYERS]
        if unknown or not self.layers:
            raise WorldStereoError(
                f"layers: got {', '.join(unknown) or 'none'}, expected some of {', '.join(ADAPTED_LAYERS)}."
            )


class AdapterStage(DiffusionStage):
    """LoRA (Hu et al. 2021, arXiv 2106.09685) of the backbone's self-attention, under a frozen control.

    What the backbone must give up to follow renders well, in a file that ComfyUI's LoRA loader takes.
    """

    name = "adapters"
    Settings = AdapterStageSettings
    shown_signals: tuple[Signal, ...] = ("global",)

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        from peft import LoraConfig, inject_adapter_in_model

        settings = self.settings
        assert isinstance(settings, AdapterStageSettings)
        transformer = self.networks.backbone.transformer
        targets = "|".join(layer.replace(".", r"\.") for layer in settings.layers)
        config = LoraConfig(
            r=settings.rank, lora_alpha=settings.alpha, target_modules=rf"blocks\.\d+\.attn1\.({targets})"
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            inject_adapter_in_model(config, transformer)
        return named("backbone", transformer, [n for n, _ in transformer.named_parameters() if ".lora_" in n])

    def export(self, folder: Path) -> list[Path]:
        settings = self.settings
        assert isinstance(settings, AdapterStageSettings)
        path = folder / "lora.safetensors"
        write_weights(path, lora_tensors(self.networks.backbone.transformer, settings.alpha))
        return [path]


def lora_tensors(transformer: Any, alpha: float) -> dict[str, Tensor]:
    """The adapters of a transformer under ComfyUI's names, float16."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in transformer.named_parameters():
        layer, found, matrix = name.partition(".lora_")
        if not found:
            continue
        key = diffusers_to_wan_key(f"{layer}.weight")
        assert key is not None, name
        target = f"diffusion_model.{key.removesuffix('.weight')}"
        letter = matrix.partition(".")[0]  # A or B, before peft's adapter name
        tensors[f"{target}.lora_{letter}.weight"] = parameter.detach().to("cpu", torch.float16).contiguous()
        tensors[f"{target}.alpha"] = torch.tensor(alpha)
    return tensors
