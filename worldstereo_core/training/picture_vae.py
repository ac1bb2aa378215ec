"""Wan 2.1's VAE for single pictures: causal 3D convolutions reduced to the 2D that a first frame meets."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Conv2d

from ..model.latents import LATENT_CHANNELS, LATENT_MEAN, LATENT_STD
from ..model.vae_key_names import LEVEL_FACTORS, NUM_RESNETS, wan_vae_shapes

START_LOG_VARIANCE = -6.0  # of the latents: noise as strong as the latents would drown them at first


class ChannelNorm(nn.Module):
    """Scale every pixel's channels to a root mean square of 1, then by ``gamma`` [C, 1, 1]."""

    def __init__(self, channels: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-12) * self.gamma


class Resnet(nn.Module):
    """Two convolutions around a shortcut."""

    is_open = False  # whether pictures pass by unchanged, as they do while the branch's end is zero

    def __init__(self, channels: int, out: int):
        super().__init__()
        # Numbered as in Wan's files; the dropout at 5 is off.
        self.residual = nn.ModuleDict(
            {
                "0": ChannelNorm(channels),
                "2": Conv2d(channels, out, 3, padding=1),
                "3": ChannelNorm(out),
                "6": Conv2d(out, out, 3, padding=1),
            }
        )
        self.shortcut = nn.Identity() if channels == out else Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.is_open:
            return x
        h = self.residual["2"](F.silu(self.residual["0"](x)))
        h = self.residual["6"](F.silu(self.residual["3"](h)))
        return self.shortcut(x) + h


class Attention(nn.Module):
    """One head over all pixels."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.to_qkv = Conv2d(channels, 3 * channels, 1)
        self.proj = Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        q, k, v = self.to_qkv(self.norm(x)).flatten(2).transpose(1, 2)[:, None].chunk(3, dim=-1)
        attended = F.scaled_dot_product_attention(q, k, v)  # [b, 1, pixels, C]
        return x + self.proj(attended[:, 0].transpose(1, 2).reshape(batch, channels, height, width))


class Halve(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.resample = nn.ModuleDict({"1": Conv2d(channels, channels, 3, stride=2)})

    def forward(self, x: Tensor) -> Tensor:
        return self.resample["1"](F.pad(x, (0, 1, 0, 1)))


class Double(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.resample = nn.ModuleDict({"1": Conv2d(channels, channels // 2, 3, padding=1)})

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        # Every pixel becomes 2 x 2. Not F.interpolate: compiled for a CPU in bfloat16, torch 2.13 gives it the
        # gradient 0.
        doubled = x[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2)
        return self.resample["1"](doubled.reshape(batch, channels, 2 * height, 2 * width))


class Encoder(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        levels = [width * factor for factor in LEVEL_FACTORS]
        self.conv1 = Conv2d(3, levels[0], 3, padding=1)
        self.downsamples = nn.Sequential()
        channels = levels[0]
        for level, out in enumerate(levels):
            for _ in range(NUM_RESNETS):
                self.downsamples.append(Resnet(channels, out))
                channels = out
            if level + 1 < len(levels):
                self.downsamples.append(Halve(out))
        self.middle = nn.Sequential(
            Resnet(channels, channels), Attention(channels), Resnet(channels, channels)
        )
        self.head = nn.ModuleDict(
            {"0": ChannelNorm(channels), "2": Conv2d(channels, 2 * LATENT_CHANNELS, 3, padding=1)}
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(self.downsamples(self.conv1(x)))
        return self.head["2"](F.silu(self.head["0"](x)))


class Decoder(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        levels = [width * factor for factor in reversed(LEVEL_FACTORS)]
        channels = levels[0]
        self.conv1 = Conv2d(LATENT_CHANNELS, channels, 3, padding=1)
        self.middle = nn.Sequential(
            Resnet(channels, channels), Attention(channels), Resnet(channels, channels)
        )
        self.upsamples = nn.Sequential()
        for level, out in enumerate(levels):
            for _ in range(NUM_RESNETS + 1):
                self.upsamples.append(Resnet(channels, out))
                channels = out
            if level + 1 < len(levels):
                self.upsamples.append(Double(out))
                channels = out // 2
        self.head = nn.ModuleDict({"0": ChannelNorm(channels), "2": Conv2d(channels, 3, 3, padding=1)})

    def forward(self, z: Tensor) -> Tensor:
        x = self.upsamples(self.middle(self.conv1(z)))
        return self.head["2"](F.silu(self.head["0"](x)))


def _initialise(module: nn.Module) -> None:
    """Let pictures through from the first step: torch's default biases drown them after a few layers."""
    if isinstance(module, Conv2d):
        nn.init.orthogonal_(module.weight)
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    # Applied from the inside out, so the convolutions that end a branch were drawn before.
    if isinstance(module, Resnet):
        nn.init.zeros_(module.residual["6"].weight)  # type: ignore[arg-type]
    if isinstance(module, Attention):
        nn.init.zeros_(module.proj.weight)


class PictureVAE(nn.Module):
    """The part of a Wan 2.1 VAE that codes one picture alone; parameter names are those of Wan's files.

    Args:
        width: channels of the finest level; 96 in the released VAE.
        is_light: leave out all residual blocks of the finest level but the decoder's last, which take most of
            the time. They hold their starting weights, with which pictures pass unchanged.
    """

    def __init__(self, width: int, is_light: bool = False):
        super().__init__()
        self.width = width
        self.encoder = Encoder(width)
        self.conv1 = Conv2d(2 * LATENT_CHANNELS, 2 * LATENT_CHANNELS, 1)
        self.conv2 = Conv2d(LATENT_CHANNELS, LATENT_CHANNELS, 1)
        self.decoder = Decoder(width)
        self.apply(_initialise)
        # The norms divide by the length of a pixel's channels. Without something constant beside it, brightness
        # would be lost there.
        for first in (self.encoder.conv1, self.decoder.conv1):
            nn.init.normal_(first.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.conv1.bias[LATENT_CHANNELS:] = START_LOG_VARIANCE  # type: ignore[index]
        if is_light:
            finest = [*self.encoder.downsamples[:NUM_RESNETS], *self.decoder.upsamples[-NUM_RESNETS - 1 : -1]]
            for block in finest:
                block.is_open = True

    def learning(self) -> dict[str, nn.Parameter]:
        """Weights by name, without those of blocks that are left out."""
        open_blocks = [name for name, block in self.named_modules() if getattr(block, "is_open", False)]
        return {
            name: weight
            for name, weight in self.named_parameters()
            if not any(name.startswith(f"{block}.") for block in open_blocks)
        }

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """[b, 3, H, W], -1..1 -> mean and log variance of the latents, each [b, 16, H / 8, W / 8]."""
        mean, log_variance = self.conv1(self.encoder(pixels)).chunk(2, dim=1)
        return mean, log_variance.clamp(-30, 20)

    def decode(self, latents: Tensor) -> Tensor:
        """[b, 16, h, w], the VAE's own latents -> [b, 3, 8 h, 8 w], -1..1 but not clamped."""
        return self.decoder(self.conv2(latents))


def picture_to_wan_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a ``PictureVAE`` -> a whole Wan VAE under ComfyUI's names.

    A picture alone meets only the last time slice of each kernel (before it lies padding of zeros), so the
    2D kernels become that slice. The others are zero and the convolutions that halve and double time pass
    their last frame through: a video of 4 k + 1 frames is coded as its every fourth frame, each alone, and
    decoded to held frames. Copies instead of zeros would blend frames that were never trained together.
    """
    width = len(state["decoder.head.0.gamma"])
    whole = {}
    for name, shape in wan_vae_shapes(width).items():
        tensor = state["conv1.weight"].new_zeros(shape)
        if "time_conv" in name:
            if name.endswith("weight"):
                channels = shape[1]
                tensor[:, :, -1, 0, 0] = torch.eye(channels).repeat(shape[0] // channels, 1)
        elif len(shape) == 5:
            tensor[:, :, -1] = state[name]
        else:
            tensor.copy_(state[name].view(shape))
        whole[name] = tensor
    return whole


def wan_to_picture_state(whole: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A Wan VAE under ComfyUI's names -> weights of the ``PictureVAE`` that codes single pictures alike."""
    state = {}
    for name, tensor in whole.items():
        if "time_conv" in name:
            continue
        if tensor.ndim == 5:
            tensor = tensor[:, :, -1]
        elif name.endswith("gamma"):
            tensor = tensor.view(-1, 1, 1)
        state[name] = tensor
    return state


def fold_statistics(state: Mapping[str, Tensor], mean: Tensor, std: Tensor) -> dict[str, Tensor]:
    """Rescale the latents so that each channel gets the mean and deviation of Wan's.

    Loaders normalise every Wan VAE's latents with Wan's constants. The encoder's last and the decoder's first
    convolution (both 1 x 1) take up the change, so pictures come out as before.

    Args:
        state: of a ``PictureVAE``.
        mean, std: [16], of this VAE's own latents over typical pictures.
    """
    state = {name: tensor.clone() for name, tensor in state.items()}
    scale = std.new_tensor(LATENT_STD) / std
    offset = std.new_tensor(LATENT_MEAN) - scale * mean
    half = LATENT_CHANNELS
    state["conv1.weight"][:half] *= scale.view(-1, 1, 1, 1)
    state["conv1.bias"][:half] = state["conv1.bias"][:half] * scale + offset
    state["conv1.bias"][half:] += 2 * scale.log()  # a log variance
    kernel = state["conv2.weight"] / scale.view(1, -1, 1, 1)
    state["conv2.bias"] -= kernel[:, :, 0, 0] @ offset
    state["conv2.weight"] = kernel
    return state
