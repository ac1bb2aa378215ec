"""Names and shapes of Wan 2.1's VAE: the original (ComfyUI's) naming and diffusers', by rule."""

from __future__ import annotations

import re

NUM_RESNETS = 2  # per level of the encoder; the decoder has one more
LEVEL_FACTORS = (1, 2, 4, 4)

_WHOLE = {
    "conv1": "quant_conv",
    "conv2": "post_quant_conv",
    "encoder.conv1": "encoder.conv_in",
    "decoder.conv1": "decoder.conv_in",
    "encoder.head.0": "encoder.norm_out",
    "decoder.head.0": "decoder.norm_out",
    "encoder.head.2": "encoder.conv_out",
    "decoder.head.2": "decoder.conv_out",
}
_IN_RESNET = {
    "residual.0": "norm1",
    "residual.2": "conv1",
    "residual.3": "norm2",
    "residual.6": "conv2",
    "shortcut": "conv_shortcut",
}
_MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}
_PART = re.compile(r"(encoder|decoder)\.(downsamples|upsamples|middle)\.(\d+)\.(.+)")


def wan_to_diffusers_vae_key(key: str) -> str | None:
    """Diffusers name of an original Wan VAE name, or None if there is no such tensor."""
    name, _, parameter = key.rpartition(".")
    if name in _WHOLE:
        return f"{_WHOLE[name]}.{parameter}"
    match = _PART.fullmatch(name)
    if match is None:
        return None
    half, part, number, inner = match.groups()
    inner = _IN_RESNET.get(inner, inner)
    if part == "middle":
        return f"{half}.mid_block.{_MIDDLE[number]}.{inner}.{parameter}" if number in _MIDDLE else None
    if part == "downsamples":
        return f"{half}.down_blocks.{number}.{inner}.{parameter}"
    # Wan counts the decoder's resnets and upsamplers through; diffusers groups them by level.
    level, place = divmod(int(number), NUM_RESNETS + 2)
    where = f"resnets.{place}" if place <= NUM_RESNETS else "upsamplers.0"
    return f"{half}.up_blocks.{level}.{where}.{inner}.{parameter}"


def wan_vae_shapes(width: int, latent_channels: int = 16) -> dict[str, tuple[int, ...]]:
    """Original names and shapes of every tensor of a Wan 2.1 VAE.

    Args:
        width: channels of the finest level; 96 in the released VAE.
        latent_channels: 16 in the released VAE.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    levels = [width * factor for factor in LEVEL_FACTORS]
    top = levels[-1]
    _conv(shapes, "conv1", 2 * latent_channels, 2 * latent_channels, (1, 1, 1))
    _conv(shapes, "conv2", latent_channels, latent_channels, (1, 1, 1))

    _conv(shapes, "encoder.conv1", levels[0], 3)
    number, channels = 0, levels[0]
    for level, out in enumerate(levels):
        for _ in range(NUM_RESNETS):
            _resnet(shapes, f"encoder.downsamples.{number}", channels, out)
            number, channels = number + 1, out
        if level + 1 < len(levels):
            _conv(shapes, f"encoder.downsamples.{number}.resample.1", out, out, (3, 3))
            if level > 0:
                _conv(shapes, f"encoder.downsamples.{number}.time_conv", out, out, (3, 1, 1))
            number += 1
    _middle(shapes, "encoder", top)
    _norm(shapes, "encoder.head.0", top)
    _conv(shapes, "encoder.head.2", 2 * latent_channels, top)

    _conv(shapes, "decoder.conv1", top, latent_channels)
    _middle(shapes, "decoder", top)
    number, channels = 0, top
    for level, out in enumerate(reversed(levels)):
        for _ in range(NUM_RESNETS + 1):
            _resnet(shapes, f"decoder.upsamples.{number}", channels, out)
            number, channels = number + 1, out
        if level + 1 < len(levels):
            _conv(shapes, f"decoder.upsamples.{number}.resample.1", out // 2, out, (3, 3))
            if level + 2 < len(levels):
                _conv(shapes, f"decoder.upsamples.{number}.time_conv", 2 * out, out, (3, 1, 1))
            number, channels = number + 1, out // 2
    _norm(shapes, "decoder.head.0", levels[0])
    _conv(shapes, "decoder.head.2", 3, levels[0])
    return shapes


def _conv(
    shapes: dict[str, tuple[int, ...]],
    name: str,
    out: int,
    channels: int,
    kernel: tuple[int, ...] = (3, 3, 3),
) -> None:
    shapes[f"{name}.weight"] = (out, channels, *kernel)
    shapes[f"{name}.bias"] = (out,)


def _norm(shapes: dict[str, tuple[int, ...]], name: str, channels: int, num_axes: int = 3) -> None:
    shapes[f"{name}.gamma"] = (channels, *[1] * num_axes)


def _resnet(shapes: dict[str, tuple[int, ...]], name: str, channels: int, out: int) -> None:
    _norm(shapes, f"{name}.residual.0", channels)
    _conv(shapes, f"{name}.residual.2", out, channels)
    _norm(shapes, f"{name}.residual.3", out)
    _conv(shapes, f"{name}.residual.6", out, out)
    if channels != out:
        _conv(shapes, f"{name}.shortcut", out, channels, (1, 1, 1))


def _middle(shapes: dict[str, tuple[int, ...]], half: str, channels: int) -> None:
    _resnet(shapes, f"{half}.middle.0", channels, channels)
    _norm(shapes, f"{half}.middle.1.norm", channels, 2)
    _conv(shapes, f"{half}.middle.1.to_qkv", 3 * channels, channels, (1, 1))
    _conv(shapes, f"{half}.middle.1.proj", channels, channels, (1, 1))
    _resnet(shapes, f"{half}.middle.2", channels, channels)
