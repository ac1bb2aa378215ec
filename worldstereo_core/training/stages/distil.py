"""Stage 4: distillation of the memory model to a few steps without guidance, memories in the loop."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ...checks import WorldStereoError
from ...model.condition import ControlCondition
from ...schedule import DMDSchedule, Schedule
from ..clip_batch import EncodedClips, Signal, SignalWeights
from ..diffusion import DiffusionSettings, DiffusionStage, full_precision, generate, named
from ..distillation import matching_loss, simulate
from ..family import add_camera_embedding, is_used_with_null_context, write_null_context, write_worldstereo
from ..flow import NoiseLevels, draw_noise, noisy_clip, velocity_loss
from ..stage import Group


@dataclass(frozen=True)
class StepSettings:
    """The student's step table, written into config.json; see ``schedule.DMDSchedule``."""

    num_steps: int = 4
    start: float = 250.0
    shift: float = 5.0

    def schedule(self) -> DMDSchedule:
        return DMDSchedule(self.num_steps, self.start, shift=self.shift)

    def __post_init__(self) -> None:
        self.schedule()


@dataclass(frozen=True)
class DistilStageSettings(DiffusionSettings):
    """Settings of the distillation.

    Attributes:
        noise: levels at which the scores are compared; the ends, where they say nothing, are left out.
        steps: the student's step table.
        fake_steps: optimiser steps of the fake score per step of the generator.
        fake_learning_rate: of the fake score.
        truth: weight of the squared distance to the true clip beside the matching loss. 0 is plain
            distribution matching; a little keeps small students on the side of what the memories show.
        own_views: share of batches whose reference views are the student's own pictures of the clip, as in a
            world that is generated clip after clip.
    """

    noise: NoiseLevels = field(default_factory=lambda: NoiseLevels(shift=3.0, lowest=0.02, highest=0.98))
    signals: SignalWeights = field(
        default_factory=lambda: SignalWeights(camera=0.1, global_memory=0.2, stereo_memory=0.1, both=0.6)
    )
    learning_rate: float = 5e-5
    steps: StepSettings = field(default_factory=StepSettings)
    fake_steps: int = 5
    fake_learning_rate: float = 1e-4
    truth: float = 0.0
    own_views: float = 0.2

    def __post_init__(self) -> None:
        if self.fake_steps < 1:
            raise WorldStereoError(f"fake_steps: got {self.fake_steps}, expected at least 1.")
        if self.truth < 0:
            raise WorldStereoError(f"truth: got {self.truth}, expected 0 or more.")
        if not 0 <= self.own_views <= 1:
            raise WorldStereoError(f"own_views: got {self.own_views}, expected a share, 0 to 1.")


class DistilStage(DiffusionStage):
    """Three networks of the memory model: generator (the student), real score (frozen), fake score.

    The fake score learns by flow matching what the student draws; the student learns from where the two
    scores disagree, see ``distillation``. Controls are the memories themselves: renders, references, rays.
    """

    name = "distil"
    Settings = DistilStageSettings

    def __init__(self, settings: DistilStageSettings, seed: int):
        super().__init__(settings, seed)
        teacher = self.networks.copied()
        # The teacher stays as it is read; only students learn in full precision.
        self.real, self.fake = teacher, self.networks.copied()
        fake = full_precision(_learning(self.fake.modules("fake_"), self.networks.has_null_context))
        self.groups = [
            Group(
                "fake",
                fake,
                settings.fake_learning_rate,
                times=settings.fake_steps,
                weight_decay=settings.weight_decay,
                betas=(0.0, 0.99),
                has_ema=False,
            ),
            replace(self.groups[0], name="generator", betas=(0.0, 0.99)),
        ]

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        add_camera_embedding(self.networks.control, self.seed)
        return _learning(self.networks.modules(), self.networks.has_null_context)

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {
            **self.networks.modules(),
            **self.real.modules("real_"),
            **self.fake.modules("fake_"),
        }

    @property
    def schedule(self) -> DMDSchedule:
        assert isinstance(self.settings, DistilStageSettings)
        return self.settings.steps.schedule()

    def loss(
        self, group: str, batch: EncodedClips, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        condition = self._condition(batch, generator)
        step = int(torch.randint(self.schedule.num_steps, (), generator=generator))
        noise = draw_noise(batch["clean"], generator)
        if group == "fake":
            with torch.no_grad():
                clean = self._simulate(batch, condition, noise, step)
            return self._fake_loss(batch, condition, clean, generator)
        clean = self._simulate(batch, condition, noise, step)
        return self._generator_loss(batch, condition, clean, generator)

    def _condition(self, batch: EncodedClips, generator: torch.Generator) -> ControlCondition | None:
        settings = self.settings
        assert isinstance(settings, DistilStageSettings)
        signal: Signal = settings.signals.draw(generator)
        condition = self.condition(batch, signal, generator, settings.references)
        if (
            signal not in ("stereo", "both")
            or float(torch.rand((), generator=generator)) >= settings.own_views
        ):
            return condition
        noise = draw_noise(batch["clean"], generator)
        with torch.no_grad():
            drawn = self._simulate(batch, condition, noise, self.schedule.num_steps - 1)
        return self.condition(with_own_views(batch, drawn, generator), signal, generator, settings.references)

    def _simulate(
        self, batch: EncodedClips, condition: ControlCondition | None, noise: Tensor, step: int
    ) -> Tensor:
        def predict(noisy: Tensor, timesteps: Tensor) -> Tensor:
            return self.networks.velocity(noisy, batch["image_condition"], condition, timesteps)

        return simulate(predict, noise, self.schedule, step)

    def _fake_loss(
        self,
        batch: EncodedClips,
        condition: ControlCondition | None,
        clean: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        timesteps = self.settings.noise.draw(len(clean), generator)
        noise = draw_noise(clean, generator)
        noisy = noisy_clip(clean, noise, timesteps)
        velocity = self.fake.velocity(noisy, batch["image_condition"], condition, timesteps)
        loss = velocity_loss(velocity, clean, noise).mean()
        return loss, {"loss_fake": loss.detach()}

    def _generator_loss(
        self,
        batch: EncodedClips,
        condition: ControlCondition | None,
        clean: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        settings = self.settings
        assert isinstance(settings, DistilStageSettings)
        timesteps = settings.noise.draw(len(clean), generator)
        with torch.no_grad():
            noisy = noisy_clip(clean.detach(), draw_noise(clean, generator), timesteps)
            real = self.real.velocity(noisy, batch["image_condition"], condition, timesteps)
            fake = self.fake.velocity(noisy, batch["image_condition"], condition, timesteps)
        matching = matching_loss(clean, noisy, real, fake, timesteps)
        figures: dict[str, Tensor | float] = {"loss_matching": matching.detach()}
        truth = (clean - batch["clean"]).square().mean()
        figures["distance_to_truth"] = truth.detach()
        return matching + settings.truth * truth if settings.truth else matching, figures

    def set_gradient_checkpointing(self, is_on: bool) -> None:
        super().set_gradient_checkpointing(is_on)
        self.fake = self.fake.recomputing(is_on)

    @torch.no_grad()
    def validate(self, generator: torch.Generator) -> dict[str, float]:
        """Squared distance of held-out clips to the true ones, of the student's and of the teacher's.

        The teacher's steps are the student's: what distillation gained is the difference.
        """
        clips = self.held_out()
        noise = draw_noise(clips["clean"], generator)
        condition = self.condition(clips, "both", generator, self.shown_references())
        return {
            f"held_out_{name}": float(
                (generate(networks, clips, condition, noise, self.schedule) - clips["clean"]).square().mean()
            )
            for name, networks in (("student", self.networks), ("teacher", self.real))
        }

    def sample_schedule(self) -> Schedule:
        return self.schedule

    def export(self, folder: Path) -> list[Path]:
        files = write_worldstereo(
            folder / "worldstereo-memory-dmd",
            self.networks.control,
            "memory-dmd",
            dmd=self.schedule,
            backbone=self.networks.backbone,
        )
        if self.networks.has_null_context:
            files.append(write_null_context(folder))
        return files


def with_own_views(batch: EncodedClips, drawn: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """The batch with a bank of the student's own pictures of the clip, as the bank of a growing world has.

    Args:
        drawn: [B, 16, F, h, w] generated clips.

    Every frame after the first is matched with a random other one, the same for all clips.
    """
    frames = drawn.shape[2]
    others = torch.randint(1, frames, (frames - 1,), generator=generator)
    matches = (torch.arange(1, frames) + others) % frames
    return {
        **batch,
        "bank_latents": drawn.detach().transpose(1, 2),
        "bank_w2c": batch["w2c"],
        "bank_matches": matches.to(drawn.device).expand(len(drawn), -1),
    }


def _learning(modules: dict[str, nn.Module], has_null_context: bool) -> dict[str, nn.Parameter]:
    learning: dict[str, nn.Parameter] = {}
    for prefix, module in modules.items():
        names = [name for name, _ in module.named_parameters()]
        if prefix.endswith("backbone") and has_null_context:
            names = [name for name in names if is_used_with_null_context(name)]
        learning |= named(prefix, module, names)
    return learning
