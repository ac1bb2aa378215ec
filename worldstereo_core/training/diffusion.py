"""What the diffusion stages share: networks, data, the flow-matching loss, samples and held-out figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..model.condition import ControlCondition
from ..model.conditioning import VAE
from ..model.control_parts import PartStrength
from ..model.sampling import sample
from ..schedule import Schedule, UniPCSchedule
from .clip_batch import (
    EncodedClips,
    ReferenceSettings,
    Signal,
    SignalWeights,
    make_condition,
    plain_references,
)
from .encoded_clips import ClipSettings, collate, encoded_dataset, held_out_clips
from .flow import NoiseLevels, draw_noise, noisy_clip, velocity_loss
from .networks import Networks, NetworkSettings, load_networks
from .stage import Group

SAMPLE_STEPS = 8
SAMPLE_CLIPS = 3
SHOWN_FRAMES = 5
VALIDATION_LEVELS = (0.3, 0.6, 0.9)  # before the shift


@dataclass(frozen=True)
class DiffusionSettings:
    """What every diffusion stage is told.

    Attributes:
        networks: where they come from.
        clips: where the clips come from and which VAE encodes them.
        noise: the levels that are trained.
        signals: how often which controls are shown; a stage may fix them.
        references: how reference views are shown.
        optimiser: Muon learns far more per clip when a small model starts from nothing; AdamW is the usual
            choice for all else.
        learning_rate: of AdamW, or of Muon's matrices (then of the order of 0.01).
        vector_learning_rate: Muon only: of biases, scales and tables.
        weight_decay: decoupled.
        compile: let torch.compile fuse the small operations of the blocks: half the time per step on two
            cores; needs a C++ compiler and minutes at the start.
    """

    clips: ClipSettings
    networks: NetworkSettings = field(default_factory=NetworkSettings)
    noise: NoiseLevels = field(default_factory=NoiseLevels)
    signals: SignalWeights = field(default_factory=lambda: SignalWeights(both=1.0))
    references: ReferenceSettings = field(default_factory=ReferenceSettings)
    optimiser: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 3e-4
    vector_learning_rate: float = 1e-3
    weight_decay: float = 0.01
    compile: bool = False


class DiffusionStage:
    """A stage whose weights learn to predict velocities; subclasses say which weights, and what is written.

    Args:
        settings: the section ``settings`` of a configuration.
        seed: of the first weights.
    """

    name = ""
    Settings = DiffusionSettings
    # What samples and validation show, as far as the networks take it.
    shown_signals: tuple[Signal, ...] = ("both",)

    def __init__(self, settings: DiffusionSettings, seed: int):
        self.settings, self.seed = settings, seed
        self.networks: Networks = load_networks(settings.networks, seed)
        control = self.networks.control
        control.config = replace(control.config, num_keyframes=settings.clips.worlds.frames)
        self.groups: list[Group] = [
            Group(
                self.name,
                full_precision(self.trained_parameters()),
                settings.learning_rate,
                optimiser=settings.optimiser,
                vector_learning_rate=settings.vector_learning_rate,
                weight_decay=settings.weight_decay,
            )
        ]
        if settings.compile:
            self.networks.compile()
        self._held_out: EncodedClips | None = None

    @property
    def modules(self) -> dict[str, nn.Module]:
        return self.networks.modules()

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """Exactly the weights that learn, by their names."""
        raise NotImplementedError

    def dataset(self) -> Dataset[dict[str, Tensor]]:
        return encoded_dataset(self.settings.clips, self.networks.control.config)

    def collate(self, clips: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return collate(clips)

    def loss(
        self, group: str, batch: EncodedClips, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        signal = self.settings.signals.draw(generator)
        condition = self.condition(batch, signal, generator, self.settings.references)
        clean = batch["clean"]
        timesteps = self.settings.noise.draw(len(clean), generator)
        noise = draw_noise(clean, generator)
        velocity = self.networks.velocity(
            noisy_clip(clean, noise, timesteps), batch["image_condition"], condition, timesteps
        )
        loss = velocity_loss(velocity, clean, noise).mean()
        return loss, {f"loss_{signal}": loss.detach()}

    def condition(
        self, batch: EncodedClips, signal: Signal, generator: torch.Generator, references: ReferenceSettings
    ) -> ControlCondition | None:
        return make_condition(batch, self.networks.control.config, signal, references, generator)

    def set_gradient_checkpointing(self, is_on: bool) -> None:
        self.networks = self.networks.recomputing(is_on)

    @torch.no_grad()
    def validate(self, generator: torch.Generator) -> dict[str, float]:
        """Velocity error on held-out clips at fixed noise levels, per signal."""
        figures = {}
        for signal in self.shown_signals:
            seeded = torch.Generator().manual_seed(self.seed)
            losses = [self._velocity_error(clip, signal, seeded) for clip in self.held_out_clips()]
            figures[f"held_out_{signal}"] = float(torch.stack(losses).mean())
        return figures

    def _velocity_error(
        self,
        clip: EncodedClips,
        signal: Signal,
        generator: torch.Generator,
        parts: PartStrength = PartStrength(),  # noqa: B008 (frozen)
    ) -> Tensor:
        condition = self.condition(clip, signal, generator, self.shown_references())
        clean, losses = clip["clean"], []
        for level in VALIDATION_LEVELS:
            fixed = NoiseLevels(self.settings.noise.shift, lowest=level, highest=level + 1e-6)
            timesteps, noise = fixed.draw(len(clean), generator), draw_noise(clean, generator)
            noisy = noisy_clip(clean, noise, timesteps)
            velocity = self.networks.velocity(noisy, clip["image_condition"], condition, timesteps, parts)
            losses.append(velocity_loss(velocity, clean, noise))
        return torch.cat(losses).mean()

    @torch.no_grad()
    def samples(self, generator: torch.Generator) -> Tensor:
        """Per held-out clip: the truth, the render, and what each choice of signals generates."""
        vae, rows = self.settings.clips.codec(), []
        for clip in self.held_out_clips()[:SAMPLE_CLIPS]:
            noise = draw_noise(clip["clean"], generator)
            shown = [clip["clean"], clip["render_latents"]]
            for signal in self.shown_signals:
                seeded = torch.Generator().manual_seed(self.seed)
                condition = self.condition(clip, signal, seeded, self.shown_references())
                shown.append(generate(self.networks, clip, condition, noise, self.sample_schedule()))
            rows += [shown_frames(latents, vae) for latents in shown]
        return torch.stack(rows)

    def shown_references(self) -> ReferenceSettings:
        most = self.settings.references.most
        return plain_references(most, most)

    def sample_schedule(self) -> Schedule:
        return UniPCSchedule(SAMPLE_STEPS, self.settings.noise.shift, truncates_timesteps=False)

    def held_out_clips(self) -> list[EncodedClips]:
        """Clips of worlds that training never sees, one by one, on the networks' device."""
        if self._held_out is None:
            self._held_out = held_out_clips(self.settings.clips, self.networks.control.config)
        device, count = self.networks.backbone.device, len(self._held_out["clean"])
        return [
            {key: value[n : n + 1].to(device) for key, value in self._held_out.items()} for n in range(count)
        ]

    def export(self, folder: Path) -> list[Path]:
        raise NotImplementedError


def generate(
    networks: Networks,
    clips: EncodedClips,
    condition: ControlCondition | None,
    noise: Tensor,
    schedule: Schedule,
) -> Tensor:
    """[B, 16, F, h, w] clips from noise, by the sampler that inference uses."""

    def predict(current: Tensor, timesteps: Tensor) -> Tensor:
        return networks.velocity(current, clips["image_condition"], condition, timesteps)

    return sample(predict, noise, schedule)


def shown_frames(latents: Tensor, vae: VAE, count: int = SHOWN_FRAMES) -> Tensor:
    """[count, 3, H, W] evenly spaced frames of one clip [1, 16, F, h, w]."""
    frames = torch.linspace(0, latents.shape[2] - 1, count).round().long()
    return vae.decode_keyframes(latents[:, :, frames.to(latents.device)].cpu())


def full_precision(parameters: dict[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """The same parameters, in float32 from now on: small steps vanish in half precision."""
    for parameter in parameters.values():
        parameter.data = parameter.data.float()
    return parameters


def named(prefix: str, module: nn.Module, names: Sequence[str] | None = None) -> dict[str, nn.Parameter]:
    """Parameters of a module under ``prefix.name``; all, or those of ``names``."""
    found: dict[str, Any] = dict(module.named_parameters())
    return {f"{prefix}.{name}": found[name] for name in (found if names is None else names)}
