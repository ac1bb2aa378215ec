"""Which Wan model a file holds, told from its tensors, and whether a WorldStereo file can use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from ..checks import CheckpointError
from .config import count_blocks

if TYPE_CHECKING:
    from .checkpoint import WorldStereoCheckpoint

# Names that only one family's tensors begin with. Each has a forward pass of its own.
_FAMILIES = {
    "vace_patch_embedding.": "VACE",
    "control_adapter.": "Fun Camera",
    "casual_audio_encoder.": "speech to video (S2V)",
    "audio_proj.": "HuMo",
    "face_adapter.": "Animate",
    "patch_embedding_mask.": "SCAIL 2",
    "patch_embedding_pose.": "SCAIL",
    "patch_embedding_global.": "WanDancer",
    "ref_conv.": "Fun Control with a reference picture",
}
_SIZES = {1536: "1.3B", 3072: "5B", 5120: "14B"}


@dataclass(frozen=True)
class BackboneKind:
    """What can be told of a Wan transformer from names and shapes.

    Attributes:
        width: channels of a token.
        num_blocks: transformer blocks.
        in_channels: of the patch embedding; 36 = image to video, 16 = text to video.
        has_image_encoder: it takes CLIP vision, as Wan 2.1 image to video does and Wan 2.2 does not.
        family: the variant with a forward pass of its own, or None for plain Wan.
    """

    width: int
    num_blocks: int
    in_channels: int
    has_image_encoder: bool
    family: str | None = None

    @property
    def name(self) -> str:
        """As a user would call it, e.g. "Wan 2.1 image to video, 14B"."""
        size = _SIZES.get(self.width, f"width {self.width}")
        if self.family is not None:
            return f"Wan {self.family}, {size}"
        if self.in_channels == 36:
            version = "2.1" if self.has_image_encoder else "2.2"
            return f"Wan {version} image to video, {size}"
        other = {16: "text to video", 48: "5B or Fun Control"}.get(self.in_channels, "of another kind")
        return f"Wan {other}, {size}"


def backbone_kind(state: Mapping[str, Tensor]) -> BackboneKind | None:
    """Tell the kind of a transformer from its tensors under Wan names; None if it is no Wan model."""
    patch = state.get("patch_embedding.weight")
    if patch is None or patch.ndim != 5 or "head.modulation" not in state:
        return None
    families = (name for mark, name in _FAMILIES.items() if any(key.startswith(mark) for key in state))
    return BackboneKind(
        width=patch.shape[0],
        num_blocks=count_blocks(state, "blocks."),
        in_channels=patch.shape[1],
        has_image_encoder=any(key.endswith("cross_attn.k_img.weight") for key in state),
        family=next(families, None),
    )


def check_backbone(
    checkpoint: WorldStereoCheckpoint, backbone_width: int, num_blocks: int, in_channels: int, is_i2v: bool
) -> None:
    """Check that a backbone is the kind this file was trained on.

    Args:
        checkpoint: the WorldStereo file.
        backbone_width: channels of the backbone's tokens.
        num_blocks: its transformer blocks.
        in_channels: channels of its patch embedding.
        is_i2v: it has image cross-attention (CLIP vision).

    Raises: CheckpointError.
    """
    check_kind(checkpoint, BackboneKind(backbone_width, num_blocks, in_channels, is_i2v))


def check_kind(checkpoint: WorldStereoCheckpoint, kind: BackboneKind) -> None:
    """Check that a backbone is the kind this file was trained on.

    A file that brings the control branch alone (Uni3C, some camera files) also takes Wan 2.2 image to video:
    the input is laid out alike, and no weight of the backbone changes.

    Raises: CheckpointError that says why, and which model to choose.
    """
    sizes = checkpoint.config.control
    wanted = f"{checkpoint.source} needs a Wan 2.1 image-to-video backbone of width {sizes.output_width}"
    got = f"got width {kind.width}, {kind.num_blocks} blocks, {kind.in_channels} input channels"
    if kind.family is not None:
        raise CheckpointError(
            f"backbone: {got}: this is {kind.name}, whose forward pass has parts that the control was not "
            f"trained with. {wanted}; choose plain Wan 2.1 I2V."
        )
    if kind.in_channels == 48:
        raise CheckpointError(
            f"backbone: {got}: this is Wan 2.2 5B (or Fun Control), whose latents have another layout. "
            f"{wanted}; choose Wan 2.1 I2V 14B."
        )
    if kind.in_channels != sizes.in_channels:
        name = "a text-to-video model" if kind.in_channels == 16 else "another family"
        raise CheckpointError(
            f"backbone: {got}: this is {name}. {wanted} and {sizes.in_channels} input channels; choose "
            "Wan 2.1 I2V."
        )
    if not kind.has_image_encoder and checkpoint.backbone_state:
        raise CheckpointError(
            f"backbone: {got}, but no image cross-attention: this is {kind.name}. "
            f"{len(checkpoint.backbone_state)} weights of the file were fine-tuned inside Wan 2.1 and would "
            f"meet layers that they never saw. {wanted}; choose Wan 2.1 I2V. (A file with a control branch "
            "alone, such as Uni3C, can be used with Wan 2.2.)"
        )
    if kind.width != sizes.output_width:
        raise CheckpointError(
            f"backbone: {got}. {wanted}; choose the Wan 2.1 I2V model of that size, or another WorldStereo "
            "file."
        )
    needed = max(sizes.num_blocks, checkpoint.num_backbone_blocks)
    if kind.num_blocks < needed:
        raise CheckpointError(
            f"backbone: {got}. {checkpoint.source} reaches {needed} blocks; choose the Wan 2.1 I2V model it "
            "was trained on."
        )
    if sizes.time_width != kind.width:
        raise CheckpointError(
            f"backbone: {got}; the control branch takes a time embedding of {sizes.time_width} channels. "
            "Choose the backbone it was trained on."
        )
