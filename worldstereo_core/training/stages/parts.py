"""Optional parts of the control, added to a trained one whose weights and backbone stay as they are."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ...atomic import replace_when_done
from ...checks import WorldStereoError
from ...model.checkpoint import WorldStereoCheckpoint, load_checkpoint
from ...model.checkpoint_settings import config_to_settings
from ...model.control_parts import PREFIX, WITHOUT_PARTS, PartSizes, PartStrength, add_parts
from ...model.tiny import write_weights
from ..clip_batch import EncodedClips, Signal, SignalWeights
from ..diffusion import DiffusionSettings, DiffusionStage, named
from ..encoded_clips import EncodedDataset, collate, encoded_dataset
from ..family import control_tensors
from ..part_clips import PartDataset

NEED_REFERENCES = ("warped_references", "attention")


@dataclass(frozen=True)
class PartsStageSettings(DiffusionSettings):
    """Settings of the parts stage.

    Attributes:
        parts: which parts learn, by the names of ``control_parts.PART_NAMES``. Those that the file has and
            that are not named act and stay as they are.
        inputs: folder that keeps what the parts are shown, the same for all of them; none: in memory.
        edges, semantic: share of batches in which the pictures part is shown edges, and semantic pictures;
            it is always shown the memory's depth.
        signals: both memories, always: parts are measured beside them.
    """

    parts: tuple[str, ...] = ()
    inputs: str | None = None
    edges: float = 0.5
    semantic: float = 0.5
    signals: SignalWeights = SignalWeights(both=1.0)  # noqa: RUF009 (frozen)
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        PartSizes.of(self.parts)
        for name in ("edges", "semantic"):
            if not 0 <= getattr(self, name) <= 1:
                raise WorldStereoError(f"{name}: got {getattr(self, name)}, expected a share, 0 to 1.")
        signals = self.signals
        if signals.none or signals.camera or signals.global_memory or signals.stereo_memory:
            raise WorldStereoError(
                "signals: got others than both, but parts are added to a control that is shown both "
                "memories. Leave signals out."
            )
        if self.networks.worldstereo is None:
            raise WorldStereoError(
                "networks.worldstereo: none given, but parts are added to a trained control. Name the "
                "WorldStereo file, and networks.backbone beside it."
            )


class PartsStage(DiffusionStage):
    """Trains exactly the chosen parts, so that any gain is theirs alone.

    The inputs are made from training clips by the code that inference uses (``model.part_inputs``): the
    memory's depth with its errors, the references that inference would carry over, the token pairs of the
    references that the batch is shown.
    """

    name = "parts"
    Settings = PartsStageSettings
    shown_signals: tuple[Signal, ...] = ("both",)

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        settings, control = self._settings, self.networks.control
        self._start: WorldStereoCheckpoint = load_checkpoint(settings.networks.worldstereo or "")
        if not control.config.takes_references:
            unusable = [name for name in settings.parts if name in NEED_REFERENCES]
            if unusable:
                raise WorldStereoError(
                    f"parts: {', '.join(unusable)} take reference views, and {self._start.source} is a "
                    "camera control, which has none. Start from a memory control, or leave them out."
                )
        self.networks = replace(
            self.networks, control=add_parts(control, PartSizes.of(settings.parts), self.seed)
        )
        wanted = tuple(f"{PREFIX}{name}." for name in settings.parts)
        names = [name for name, _ in self.networks.control.named_parameters() if name.startswith(wanted)]
        return named("control", self.networks.control, names)

    @property
    def _settings(self) -> PartsStageSettings:
        assert isinstance(self.settings, PartsStageSettings)
        return self.settings

    def dataset(self) -> Dataset[dict[str, Tensor]]:
        return self._with_inputs(encoded_dataset(self.settings.clips, self.networks.control.config))

    def _with_inputs(self, clips: EncodedDataset) -> PartDataset:
        return PartDataset(clips, self.networks.control.config.parts.names, self._settings.inputs)

    def held_out_clips(self) -> list[EncodedClips]:
        if self._held_out is None:
            _, _, worlds, numbers = self.settings.clips.sources()
            config = self.networks.control.config
            clips = self._with_inputs(EncodedDataset(self.settings.clips, config, worlds, numbers))
            self._held_out = collate([clips[index] for index in range(len(clips))])
        return super().held_out_clips()

    def loss(
        self, group: str, batch: EncodedClips, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        return super().loss(group, self._with_some_pictures(batch, generator), generator)

    def _with_some_pictures(self, batch: EncodedClips, generator: torch.Generator) -> EncodedClips:
        """The batch with edges or semantic pictures left out now and then, as users leave them out."""
        if "pictures" not in batch:
            return batch
        shares = torch.tensor([1.0, self._settings.edges, *[self._settings.semantic] * 3])
        draws = torch.rand(3, generator=generator)[[0, 1, 2, 2, 2]]
        shown = (draws < shares).to(batch["pictures"])
        return {**batch, "pictures": batch["pictures"] * shown.view(1, -1, 1, 1, 1)}

    @torch.no_grad()
    def validate(self, generator: torch.Generator) -> dict[str, float]:
        """Velocity error on held-out clips with and without the parts; the gain and its standard error."""
        errors = []
        for parts in (PartStrength(), WITHOUT_PARTS):
            seeded = torch.Generator().manual_seed(self.seed)
            clips = self.held_out_clips()
            errors.append([float(self._velocity_error(clip, "both", seeded, parts)) for clip in clips])
        with_parts, without = errors
        gains = [before - after for after, before in zip(with_parts, without, strict=True)]
        spread = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else float("nan")
        return {
            "held_out_both": statistics.fmean(with_parts),
            "held_out_without_parts": statistics.fmean(without),
            "held_out_gain": statistics.fmean(gains),
            "held_out_gain_error": spread,
        }

    def export(self, folder: Path) -> list[Path]:
        """The file that training started from, number by number, with the parts beside it."""
        start = self._start
        trained = {
            key: value
            for key, value in control_tensors(self.networks.control).items()
            if key.startswith(PREFIX)
        }
        target = folder / f"worldstereo-{start.config.variant}-parts"
        weights, config = target / "model.safetensors", target / "config.json"
        write_weights(weights, _owned({**start.backbone_state, **start.control_state}) | trained)
        settings: dict[str, Any] = config_to_settings(start.config)
        with replace_when_done(config) as temporary:
            temporary.write_text(json.dumps(settings, indent=1) + "\n")
        return [weights, config]


def _owned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that may lie in a file, ready to be written to another."""
    return {key: value.contiguous() for key, value in tensors.items()}
