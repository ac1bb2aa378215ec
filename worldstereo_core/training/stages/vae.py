"""Stage 0a: a small VAE in Wan 2.1's format that codes single pictures (key frames)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from ...checks import CheckpointError, WorldStereoError
from ...model.latents import LATENT_CHANNELS
from ...model.tiny import write_weights
from ...model.weight_files import read_weights
from ..config import check_number
from ..picture_data import PictureData
from ..picture_losses import gradient_loss, psnr
from ..picture_vae import (
    PictureVAE,
    fold_statistics,
    picture_to_wan_state,
    unfold_statistics,
    wan_to_picture_state,
)
from ..stage import Group

MIN_LIKENESS = 0.95  # of gradients; bfloat16 alone stays above 0.999
CHUNK = 32  # pictures at a time outside of training


@dataclass(frozen=True)
class VAESettings:
    """Settings of the VAE stage.

    Attributes:
        data: the pictures to learn from.
        width: channels of the finest level; 96 in the released VAE, 16 makes a file of 7 MB.
        light: leave out most residual blocks of the finest level: about twice as fast, good to start with; go
            on with start_from and without it.
        start_from: a VAE file of the same width to go on from; none: random weights.
        decoder_only: leave the encoder of start_from as it is, so that models trained on its latents stay
            valid.
        optimiser: Muon learns more from few pictures; AdamW is the usual choice.
        learning_rate: of the kernels.
        vector_learning_rate: Muon only: of biases and norm scales.
        weight_decay: of the kernels.
        square, absolute, gradient: weights of the squared error, the absolute error and the absolute error of
            picture gradients, all of pixels in -1..1.
        noise: deviation of what is added to the latents in training, whose power is held near 1 per channel:
            teaches the decoder to forgive small errors.
        hold: weight of holding power and noise there. A Kullback-Leibler divergence in its place emptied the
            latents before the decoder had learnt to use them.
        num_columns: pictures in a sample grid.
        compile: let torch.compile fuse the small operations; needs a C++ compiler, minutes at the start.
        file_name: of the exported file.
    """

    data: PictureData = field(default_factory=PictureData)
    width: int = 16
    light: bool = False
    start_from: str | None = None
    decoder_only: bool = False
    optimiser: Literal["adamw", "muon"] = "muon"
    learning_rate: float = 0.006
    vector_learning_rate: float = 1e-3
    weight_decay: float = 0.0
    square: float = 2.0
    absolute: float = 0.5
    gradient: float = 0.25
    noise: float = 0.05
    hold: float = 0.02
    num_columns: int = 8
    compile: bool = False
    file_name: str = "small_wan_vae.safetensors"

    def __post_init__(self) -> None:
        check_number("width", self.width, at_least=1)
        check_number("num_columns", self.num_columns, at_least=1)
        check_number("learning_rate", self.learning_rate, at_least=0)
        check_number("noise", self.noise, at_least=1e-4, at_most=1)
        for name in ("square", "absolute", "gradient", "hold"):
            check_number(name, getattr(self, name), at_least=0)
        if self.decoder_only and self.start_from is None:
            raise WorldStereoError("decoder_only: got true without start_from. Name the VAE to go on from.")
        if self.square + self.absolute == 0:
            raise WorldStereoError("square: got 0 and absolute 0: nothing to learn from. Raise one.")


class VAEStage:
    """Learns to code pictures; exported latents have Wan's mean and deviation on the training pictures."""

    name = "vae"
    Settings: ClassVar[type] = VAESettings

    def __init__(self, settings: VAESettings, seed: int):
        self.settings = settings
        self.vae = PictureVAE(settings.width, settings.light)
        if settings.start_from is not None:
            load_vae(self.vae, settings.start_from)
        self.vae.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.modules: Mapping[str, nn.Module] = {"vae": self.vae}
        self.groups = [
            Group(
                "vae",
                self._learning(),
                settings.learning_rate,
                optimiser=settings.optimiser,
                vector_learning_rate=settings.vector_learning_rate,
                weight_decay=settings.weight_decay,
            )
        ]
        self._code: Any = torch.compile(self._code_eagerly) if settings.compile else self._code_eagerly
        self._is_checked = not settings.compile
        self._held_out: Tensor | None = None

    def dataset(self) -> Dataset:
        return self.settings.data.training()

    def loss(
        self, group: str, batch: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        pixels = to_pixels(batch)
        if bool(torch.rand((), generator=generator) < 0.5):
            pixels = pixels.flip(-1)  # drawn worlds look as likely in a mirror
        cells = (len(pixels), LATENT_CHANNELS, pixels.shape[-2] // 8, pixels.shape[-1] // 8)
        noise = torch.randn(cells, generator=generator).to(pixels)
        if not self._is_checked:
            self._check_compiled(pixels, noise)
        decoded, mean, log_variance = (x.float() for x in self._code(pixels, noise))
        square = (decoded - pixels).square().mean()
        absolute = (decoded - pixels).abs().mean()
        weights = self.settings
        power = mean.square().mean(dim=(0, 2, 3))
        drift = (power - 1).square().mean() + (log_variance - 2 * math.log(weights.noise)).square().mean()
        loss = weights.square * square + weights.absolute * absolute + weights.hold * drift
        if weights.gradient:
            loss = loss + weights.gradient * gradient_loss(decoded, pixels)
        figures = {"psnr": -10 * torch.log10(square.detach() / 4), "power": power.mean().detach()}
        return loss, figures

    def samples(self, generator: torch.Generator) -> Tensor:
        """The first row held-out pictures, the second what the VAE makes of them."""
        pictures = self._pictures()[: self.settings.num_columns]
        return torch.stack([pictures, self.code(pictures)])

    def validate(self, generator: torch.Generator) -> dict[str, float]:
        pictures = self._pictures()
        values = psnr(self.code(pictures), pictures)
        return {"psnr": float(values.mean()), "psnr_worst_tenth": float(values.quantile(0.1))}

    def set_gradient_checkpointing(self, is_on: bool) -> None:
        if is_on:
            raise WorldStereoError("loop.gradient_checkpointing: the VAE stage has none. Lower loop.batch.")

    def export(self, folder: Path) -> list[Path]:
        state = {name: tensor.detach().float() for name, tensor in self.vae.state_dict().items()}
        if self.settings.decoder_only:
            mean, std = torch.zeros(LATENT_CHANNELS), torch.ones(LATENT_CHANNELS)  # as loaded
        else:
            mean, std = self.latent_statistics(self.settings.data.statistics())
        whole = picture_to_wan_state(fold_statistics(state, mean.to(self._device), std.to(self._device)))
        path = folder / self.settings.file_name
        write_weights(path, {name: tensor.to("cpu", torch.float16) for name, tensor in whole.items()})
        return [path]

    @torch.no_grad()
    def code(self, pictures: Tensor) -> Tensor:
        """Encode and decode pictures [b, 3, H, W], 0..1, in full precision."""
        decoded = []
        for part in pictures.split(CHUNK):
            mean, _ = self.vae.encode(to_pixels(part.to(self._device)))
            decoded.append((self.vae.decode(mean) * 0.5 + 0.5).clamp(0, 1).cpu())
        return torch.cat(decoded)

    @torch.no_grad()
    def latent_statistics(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation per latent channel over pictures [b, 3, H, W], 0..1 -> [16], [16] float32."""
        parts = [self.vae.encode(to_pixels(part.to(self._device)))[0] for part in pictures.split(CHUNK)]
        values = torch.cat(parts).double().movedim(1, 0).flatten(1)
        return values.mean(dim=1).float(), values.std(dim=1, correction=0).float()

    def _learning(self) -> dict[str, nn.Parameter]:
        weights = self.vae.learning()
        if self.settings.decoder_only:
            weights = {name: w for name, w in weights.items() if name.startswith(("decoder.", "conv2."))}
        return weights

    def _code_eagerly(self, pixels: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.vae.encode(pixels)
        return self.vae.decode(mean + (0.5 * log_variance).exp() * noise), mean, log_variance

    def _check_compiled(self, pixels: Tensor, noise: Tensor) -> None:
        """Compare gradients that went through the whole network: compilers have bugs, and a run is long."""
        first = next(iter(self.groups[0].parameters.values()))
        gradients = []
        for code in (self._code_eagerly, self._code):
            error = (code(pixels, noise)[0].float() - pixels).square().mean()
            [gradient] = torch.autograd.grad(error, first)
            gradients.append(gradient.flatten().float())
        likeness = float(functional.cosine_similarity(*gradients, dim=0))
        if not likeness > MIN_LIKENESS:
            raise WorldStereoError(
                f"settings.compile: torch.compile gives other gradients than torch without it (cosine "
                f"{likeness:.3f}, expected over {MIN_LIKENESS}). Set compile to false."
            )
        self._is_checked = True

    def _pictures(self) -> Tensor:
        if self._held_out is None:
            self._held_out = self.settings.data.held_out()
        return self._held_out

    @property
    def _device(self) -> torch.device:
        return self.vae.conv1.weight.device


def to_pixels(pictures: Tensor) -> Tensor:
    """[b, 3, H, W], bytes or 0..1 -> -1..1 in the layout that convolutions like."""
    scale = 255.0 if pictures.dtype == torch.uint8 else 1.0
    return (pictures.float() * (2 / scale) - 1).contiguous(memory_format=torch.channels_last)


def load_vae(vae: PictureVAE, path: str) -> None:
    """Load a Wan VAE file's single-picture part; latents then have mean 0 and deviation 1.

    Raises: CheckpointError if its width differs or it is no Wan 2.1 VAE.
    """
    vae.load_state_dict(unfold_statistics(read_picture_state(vae, path)))


def read_picture_state(vae: PictureVAE, path: str) -> dict[str, Tensor]:
    """A Wan VAE file's single-picture part in float32, its latents as the file has them.

    Raises: CheckpointError if its width differs from the ``vae``'s or it is no Wan 2.1 VAE.
    """
    state = wan_to_picture_state(read_weights(path)[0])
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    expected = {name: tuple(tensor.shape) for name, tensor in vae.state_dict().items()}
    if shapes != expected:
        different = sorted(
            name for name in shapes.keys() | expected if shapes.get(name) != expected.get(name)
        )
        name = different[0]
        raise CheckpointError(
            f"settings.start_from: {path} does not fit a VAE of width {vae.width}: {name} is "
            f"{shapes.get(name, 'missing')}, expected {expected.get(name, 'absent')}. Change settings.width."
        )
    return {name: tensor.float() for name, tensor in state.items()}
