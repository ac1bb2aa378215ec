"""Sizes and settings of a WorldStereo file: sizes come from tensor shapes, settings from config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from ..checks import CheckpointError
from ..schedule import DMDSchedule, Schedule, UniPCSchedule
from .control_parts import PartSizes

Variant = Literal["camera", "memory", "memory-dmd"]
LatentConditionMode = Literal["full_vae", "first_frame_only"]
VARIANTS: tuple[Variant, ...] = ("camera", "memory", "memory-dmd")
LATENT_CONDITION_MODES: tuple[LatentConditionMode, ...] = ("full_vae", "first_frame_only")
CONTROL_HEAD_WIDTH = 64


@dataclass(frozen=True)
class ControlSizes:
    """Sizes of the control branch.

    Attributes:
        in_channels: 36 = noisy latent 16, first-frame mask 4, render latent 16.
        embed_width: channels of the patch and mask embeddings (released: conv_out_dim).
        width: channels inside the control blocks.
        num_heads: attention heads of a control block.
        ffn_width: hidden channels of a block's feed-forward.
        num_blocks: control blocks; block i's residual goes to the backbone after its block i.
        time_width: channels of the time embedding that modulates the blocks.
        output_width: channels of a residual = the backbone's token width.
        mask_channels: 1 = hole mask alone, 7 = hole mask and Plücker rays.
        mask_width: channels between the two convolutions of the mask embedding.
        mask_kernel: 1 = one mask per latent frame, 4 = one mask per video frame.
        interpolated: pad three mask frames at the end too.
        patch_size: latent frames, rows, columns per token.
    """

    in_channels: int
    embed_width: int
    width: int
    num_heads: int
    ffn_width: int
    num_blocks: int
    time_width: int
    output_width: int
    mask_channels: int
    mask_width: int
    mask_kernel: int
    interpolated: bool = False
    patch_size: tuple[int, int, int] = (1, 2, 2)

    @property
    def takes_rays(self) -> bool:
        return self.mask_channels > 1

    def num_mask_frames(self, latent_frames: int) -> int:
        """Mask and ray frames that belong to a number of latent frames."""
        return latent_frames if self.mask_kernel == 1 else self.mask_kernel * (latent_frames - 1) + 1


@dataclass(frozen=True)
class WorldStereoConfig:
    """Everything about a WorldStereo file that is not a weight.

    Attributes:
        control: sizes of the control branch.
        camera_token_width: inputs of the camera embedding (7 = quaternion and translation), None without one.
        variant: "camera" (no references), "memory" or "memory-dmd" (distilled, few steps, no CFG).
        updates_references: each block's reference tokens feed the next; else every block gets the first.
        latent_condition_mode: how the image-condition latent is made; see ``conditioning.image_condition``.
        num_keyframes: key frames per clip.
        buckets: (height, width) sizes the model was trained at; empty = the built-in list.
        dmd: step table, used by "memory-dmd".
        negative_prompt: text of the unconditional branch, unused by "memory-dmd".
        parts: optional parts beside the released ones; released files have none.
    """

    control: ControlSizes
    camera_token_width: int | None = None
    variant: Variant = "camera"
    updates_references: bool = True
    latent_condition_mode: LatentConditionMode = "full_vae"
    num_keyframes: int = 21
    buckets: tuple[tuple[int, int], ...] = ()
    dmd: DMDSchedule = field(default_factory=DMDSchedule)
    negative_prompt: str = ""
    parts: PartSizes = field(default_factory=PartSizes)

    @property
    def takes_references(self) -> bool:
        return self.variant != "camera"

    @property
    def schedule(self) -> Schedule:
        """The steps the file was made for: its own table when distilled, else the base model's."""
        return self.dmd if self.variant == "memory-dmd" else UniPCSchedule()


def control_sizes_from_shapes(
    state: Mapping[str, Tensor], num_heads: int | None = None, interpolated: bool = False
) -> ControlSizes:
    """Read the control branch's sizes from its tensors.

    Args:
        state: tensors under their ``controlnet.`` names.
        num_heads: attention heads; None = one per 64 channels, the released head width.
        interpolated: the config's ``interp`` flag, which leaves no trace in the shapes.

    Raises: CheckpointError if a tensor that carries a size is absent or has the wrong number of axes.
    """

    def shape(key: str, num_axes: int) -> tuple[int, ...]:
        tensor = state.get(f"controlnet.{key}")
        if tensor is None:
            raise CheckpointError(
                f"control branch: tensor controlnet.{key} is missing, so its sizes are unknown. "
                "The file is incomplete; download it again."
            )
        if tensor.ndim != num_axes:
            raise CheckpointError(
                f"control branch: controlnet.{key} has shape {list(tensor.shape)}, expected {num_axes} axes. "
                "This is not a WorldStereo or Uni3C control file."
            )
        return tuple(tensor.shape)

    mask_width, mask_channels, mask_kernel, _, _ = shape("controlnet_mask_embedding.mask_proj.0.weight", 5)
    embed_width = shape("controlnet_mask_embedding.mask_zero_proj.weight", 5)[0]
    num_blocks = count_blocks(state, "controlnet.controlnet_blocks.")
    if num_blocks == 0:
        raise CheckpointError(
            "control branch: no controlnet.controlnet_blocks.* tensor found, so its depth is unknown. "
            "The file is incomplete; download it again."
        )
    ffn_width, width = shape("controlnet_blocks.0.ffn.0.weight", 2)
    patch = state.get("controlnet.controlnet_patch_embedding.weight")
    heads = num_heads if num_heads is not None else max(width // CONTROL_HEAD_WIDTH, 1)
    if width % heads or (width // heads) % 2:
        raise CheckpointError(
            f"control branch: {heads} attention heads do not divide the width {width} into even head widths. "
            "Correct num_heads in config.json."
        )
    return ControlSizes(
        in_channels=36 if patch is None else patch.shape[1],
        embed_width=embed_width,
        width=width,
        num_heads=heads,
        ffn_width=ffn_width,
        num_blocks=num_blocks,
        time_width=shape("controlnet_blocks.0.norm1.linear.weight", 2)[1],
        output_width=shape("proj_out.0.weight", 2)[0],
        mask_channels=mask_channels,
        mask_width=mask_width,
        mask_kernel=mask_kernel,
        interpolated=interpolated,
        patch_size=(1, 2, 2) if patch is None else tuple(patch.shape[2:]),
    )


def count_blocks(state: Mapping[str, object], prefix: str) -> int:
    """One more than the highest block number among the keys that start with ``prefix``."""
    numbers = [key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)]
    return max((int(number) for number in numbers if number.isdigit()), default=-1) + 1
