"""The networks of a diffusion stage: made small and new, or read from the files that the loaders take."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, autocast, nn

from ..adapters.diffusers.backbone import WanBackbone, pad_text, velocity_with_gradients
from ..adapters.diffusers.loader import check_backbone_tensors
from ..adapters.diffusers.null_context import take_single_tokens
from ..adapters.diffusers.transformer import load_wan_transformer
from ..checks import CheckpointError, WorldStereoError, check_shape
from ..model.checkpoint import load_checkpoint, merge_backbone
from ..model.condition import ControlCondition
from ..model.config import ControlSizes
from ..model.control_parts import PartStrength
from ..model.key_names import wan_name
from ..model.tiny import IMAGE_WIDTH, TEXT_WIDTH
from ..model.weight_files import read_weights
from ..model.world_control import WorldStereoControl
from .family import WIDTH, family_size, make_backbone, make_control, null_context

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class ControlSettings:
    """Sizes of a new control branch for a backbone from a file; the released one has these.

    Attributes:
        width, num_heads, ffn_width, num_blocks: of the control blocks.
        mask_width: channels between the two convolutions of the mask embedding.
    """

    width: int = 1024
    num_heads: int = 16
    ffn_width: int = 4096
    num_blocks: int = 20
    mask_width: int = 64

    def sizes(self, backbone_width: int) -> ControlSizes:
        return ControlSizes(
            in_channels=36,
            embed_width=backbone_width,
            width=self.width,
            num_heads=self.num_heads,
            ffn_width=self.ffn_width,
            num_blocks=self.num_blocks,
            time_width=backbone_width,
            output_width=backbone_width,
            mask_channels=7,
            mask_width=self.mask_width,
            mask_kernel=1,
        )


@dataclass(frozen=True)
class NetworkSettings:
    """Where the networks come from.

    Attributes:
        size: of the small family, for what no file is given.
        backbone: a Wan 2.1 I2V transformer file; none: a new one of ``size``.
        worldstereo: a WorldStereo file or folder to go on from; none: a new control branch.
        new_control: sizes of a new control branch for a backbone from a file of another width than the
            family's.
        context: safetensors with text_embeds [1, n, 4096] and image_embeds [1, 257, 1280], shown to the model
            with every clip; none: the null context that small models learn.
        frozen_precision: of networks that do not learn; learning weights are float32.
        buckets: picture sizes (height, width, height, width, ...) written into config.json.
    """

    size: str = "small"
    backbone: str | None = None
    worldstereo: str | None = None
    new_control: ControlSettings = field(default_factory=ControlSettings)
    context: str | None = None
    frozen_precision: Literal["fp32", "bf16"] = "fp32"
    buckets: tuple[int, ...] = (64, 96)

    def __post_init__(self) -> None:
        family_size(self.size)
        if len(self.buckets) % 2:
            raise WorldStereoError(
                f"buckets: got {len(self.buckets)} numbers, expected pairs of height and width."
            )


@dataclass(frozen=True, eq=False)
class Networks:
    """A backbone with its control and the context it is given.

    Attributes:
        backbone: Wan's transformer; its parameters have diffusers' names.
        control: control branch and camera embedding.
        text, image: [1, n, 4096] and [1, m, 1280] embeddings; n = m = 1 for the null context.
        has_null_context: the context is the small models' own, one token each.
        recomputes: gradient checkpointing.
    """

    backbone: WanBackbone
    control: WorldStereoControl
    text: Tensor
    image: Tensor
    has_null_context: bool
    recomputes: bool = False

    def velocity(
        self,
        noisy: Tensor,  # [B, 16, F, h, w]
        image_condition: Tensor,  # [B, 20, F, h, w]
        condition: ControlCondition | None,
        timesteps: Tensor,  # [B]
        parts: PartStrength = PartStrength(),  # noqa: B008 (frozen)
    ) -> Tensor:
        """The predicted velocity [B, 16, F, h, w]; without a condition, the bare backbone's."""
        batch, device = noisy.shape[0], noisy.device
        # Frozen weights of half precision and learning ones of full precision meet under autocast alone.
        is_mixed = self.backbone.dtype != torch.float32
        with autocast(device.type, self.backbone.dtype) if is_mixed else nullcontext():
            velocity = velocity_with_gradients(
                self.backbone,
                self.control if condition is not None else None,
                condition,
                torch.cat([noisy, image_condition.to(noisy)], dim=1),
                timesteps.to(device),
                self.text.to(device).expand(batch, -1, -1),
                self.image.to(device).expand(batch, -1, -1),
                parts=parts,
                recomputes=self.recomputes,
            )
        return velocity.float()

    def modules(self, prefix: str = "") -> dict[str, nn.Module]:
        """The networks by the names that parameters and checkpoints are told apart by."""
        return {f"{prefix}backbone": self.backbone.transformer, f"{prefix}control": self.control}

    def copied(self) -> Networks:
        """The same networks with weights of their own."""
        transformer = copy.deepcopy(self.backbone.transformer)
        return replace(self, backbone=WanBackbone(transformer), control=copy.deepcopy(self.control))

    def compile(self) -> None:
        """Let torch.compile fuse the operations within each block, in training alone.

        Samples and figures come in other batch sizes, each of which would be compiled anew. What joins the
        blocks stays as it is.
        """
        for block in (*self.backbone.transformer.blocks, *self.control.controlnet.controlnet_blocks):
            block.forward = _CompiledInTraining(block.forward)

    def recomputing(self, is_on: bool) -> Networks:
        return replace(self, recomputes=is_on)


class _CompiledInTraining:
    """A forward that is compiled where gradients are wanted."""

    def __init__(self, forward: Callable[..., Any]):
        self.plain, self.compiled = forward, torch.compile(forward, dynamic=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return (self.compiled if torch.is_grad_enabled() else self.plain)(*args, **kwargs)


def load_networks(settings: NetworkSettings, seed: int) -> Networks:
    """Make or read the networks.

    Raises: CheckpointError or WorldStereoError if a file is missing, damaged or of another kind.
    """
    checkpoint = None if settings.worldstereo is None else load_checkpoint(_file(settings, "worldstereo"))
    if settings.backbone is None and (checkpoint is None or not checkpoint.is_complete):
        if checkpoint is not None:
            raise CheckpointError(
                f"networks.backbone: none given, but {checkpoint.source} is an overlay. Name the backbone it "
                "was trained on."
            )
        backbone = make_backbone(family_size(settings.size), seed)
    else:
        base: dict[str, Tensor] = {}
        if settings.backbone is not None:
            path = _file(settings, "backbone")
            base = {wan_name(key): tensor for key, tensor in read_weights(path)[0].items()}
            if checkpoint is not None:
                check_backbone_tensors(checkpoint, base, str(path))
        tensors = base if checkpoint is None else merge_backbone(base, checkpoint)
        # Files are mapped read-only; weights that learn need memory of their own.
        dtype = DTYPES[settings.frozen_precision]
        owned = {key: tensor.to(dtype, copy=True) for key, tensor in tensors.items()}
        backbone = WanBackbone(load_wan_transformer(owned, dtype=dtype))
    if checkpoint is None:
        control = _new_control(settings, backbone, seed + 1)
    else:
        control = WorldStereoControl(checkpoint.config)
        control.load_state_dict({k: v.float() for k, v in checkpoint.control_state.items()}, strict=True)
    control.config = replace(control.config, buckets=_pairs(settings.buckets))
    context = _context(settings)
    if settings.context is None:
        take_single_tokens(backbone.transformer)
    return Networks(
        backbone, control, context["text_embeds"], context["image_embeds"], settings.context is None
    )


def _new_control(settings: NetworkSettings, backbone: WanBackbone, seed: int) -> WorldStereoControl:
    if backbone.width == WIDTH:
        key, sizes = f"size: {settings.size}", family_size(settings.size).control_sizes()
    else:
        key, sizes = "new_control.num_blocks", settings.new_control.sizes(backbone.width)
    if sizes.num_blocks > backbone.num_blocks:
        raise WorldStereoError(
            f"networks.{key}: got {sizes.num_blocks} control blocks, expected at most the backbone's "
            f"{backbone.num_blocks}. Choose a smaller size."
        )
    return make_control(sizes, backbone, seed)


def _context(settings: NetworkSettings) -> dict[str, Tensor]:
    if settings.context is None:
        return null_context()
    path = _file(settings, "context")
    tensors = read_weights(path)[0]
    for key, shape in (("text_embeds", (1, "n", TEXT_WIDTH)), ("image_embeds", (1, "n", IMAGE_WIDTH))):
        if key not in tensors:
            raise WorldStereoError(
                f"networks.context: {path} has no tensor {key} (it has {', '.join(tensors)})."
            )
        check_shape(f"networks.context: {key}", tensors[key], shape, "Use UMT5-XXL's and CLIP-H's states.")
    return {
        "text_embeds": pad_text(tensors["text_embeds"].float()),
        "image_embeds": tensors["image_embeds"].float(),
    }


def _file(settings: NetworkSettings, name: str) -> Path:
    path = Path(getattr(settings, name))
    if not path.exists():
        raise WorldStereoError(f"networks.{name}: {path} does not exist. Check the path.")
    return path


def _pairs(numbers: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))
