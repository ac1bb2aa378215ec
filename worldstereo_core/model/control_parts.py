"""Optional parts of the control beside the released residuals; each adds exactly nothing until it is trained.

A file that holds none of them loads and computes as ever. A part's tensors stand under ``parts.<name>.`` in
the same file, and their shapes say which parts there are. The last layer of every part starts at zero (zero
convolutions, Zhang et al. 2023, arXiv 2302.05543).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..checks import CheckpointError, WorldStereoError
from .correspondence_attention import CorrespondenceAttention

if TYPE_CHECKING:
    from .config import ControlSizes
    from .world_control import WorldStereoControl

PREFIX = "parts."
GLOBAL_INPUTS = 16  # what ``part_inputs.global_features`` makes
PICTURE_CHANNELS = 5  # depth, edges, and three of a semantic picture
GEOMETRY_CHANNELS = 7  # what ``part_inputs.geometry_maps`` makes
WARPED_CHANNELS = 17  # latent and a mask, 1 = seen by a reference
ATTENTION_WIDTH = 64
POOLED_CELLS = (
    1,
    8,
)  # sides of the latent cells that geometry is averaged over; the whole picture comes third


@dataclass(frozen=True)
class PartSizes:
    """Which parts a control has.

    Attributes:
        modulation: scales the backbone's activations after each block, from the control tokens there.
        global_inputs: numbers about trajectory and scene, added to the control's time embedding.
        picture_channels: depth, edge and semantic pictures as further input channels.
        warped_channels: latents of reference views carried over by geometry, and where there are any.
        geometry_channels: maps of the rasterised cloud, seen at three scales.
        attention_width: channels of a head, per block, that looks at reference tokens of the same surface.
    """

    modulation: bool = False
    global_inputs: int = 0
    picture_channels: int = 0
    warped_channels: int = 0
    geometry_channels: int = 0
    attention_width: int = 0

    @classmethod
    def all(cls) -> PartSizes:
        return cls(True, GLOBAL_INPUTS, PICTURE_CHANNELS, WARPED_CHANNELS, GEOMETRY_CHANNELS, ATTENTION_WIDTH)

    @classmethod
    def of(cls, names: Iterable[str]) -> PartSizes:
        """The parts of these names (``PART_NAMES``), in the sizes that ``part_inputs`` makes inputs for."""
        names = set(names)
        unknown = names - set(PART_NAMES)
        if unknown or not names:
            raise WorldStereoError(
                f"parts: got {', '.join(sorted(unknown)) or 'none'}, expected some of "
                f"{', '.join(PART_NAMES)}. Name at least one of these."
            )
        every = zip(fields(cls), PART_NAMES, strict=True)
        sizes = cls.all()
        return cls(**{field.name: getattr(sizes, field.name) for field, name in every if name in names})

    @property
    def names(self) -> tuple[str, ...]:
        """The parts' names, as in files and on nodes."""
        present = (
            self.modulation,
            self.global_inputs,
            self.picture_channels,
            self.warped_channels,
            self.geometry_channels,
            self.attention_width,
        )
        return tuple(name for name, there in zip(PART_NAMES, present, strict=True) if there)


PART_NAMES = ("modulation", "global_vector", "pictures", "warped_references", "geometry", "attention")


@dataclass(frozen=True)
class PartStrength:
    """Factors on what the parts add during one model call; 1 = as trained, 0 = off."""

    modulation: float = 1.0
    global_vector: float = 1.0
    pictures: float = 1.0
    warped_references: float = 1.0
    geometry: float = 1.0
    attention: float = 1.0


WITHOUT_PARTS = PartStrength(**dict.fromkeys(PART_NAMES, 0.0))


def read_strengths(option: str, text: str, names: Sequence[str], source: str) -> PartStrength:
    """``"modulation=1,geometry=0.5"`` -> strengths; parts that are not named stay at 1.

    Args:
        option: its name, for messages.
        text: pairs of part and factor, joined by commas.
        names: the parts that the control has.
        source: the control's file, for messages.

    Raises: WorldStereoError for a part that the control does not have, and for what is no pair.
    """
    changes: dict[str, float] = {}
    for pair in text.split(","):
        name, _, factor = (piece.strip() for piece in pair.partition("="))
        if name not in names:
            has = f"it has {', '.join(names)}" if names else "it has none"
            raise WorldStereoError(
                f"{option}: {source} has no part {name!r}; {has}. Name parts of the file, or leave "
                f"{option} out."
            )
        if name in changes:
            raise WorldStereoError(f"{option}: {name} is given twice. Give each part one strength.")
        try:
            changes[name] = float(factor)
        except ValueError:
            changes[name] = math.nan
        if not math.isfinite(changes[name]):
            raise WorldStereoError(
                f"{option}: got {pair.strip()!r}, expected PART=STRENGTH, e.g. {name}=0.5 (1 = as trained, "
                "0 = off)."
            )
    return replace(PartStrength(), **changes)


@dataclass(frozen=True)
class PartStage:
    """A part's strength, and the part of the sampling in which it acts; it is off outside.

    Attributes:
        name: one of ``PART_NAMES``.
        strength: factor on what it adds; 1 = as trained.
        start_percent, end_percent: 0..1 of the sampling.
    """

    name: str
    strength: float = 1.0
    start_percent: float = 0.0
    end_percent: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in PART_NAMES:
            raise WorldStereoError(
                f"part: got {self.name!r}, expected one of {', '.join(PART_NAMES)}. Choose one of these."
            )
        if not 0 <= self.start_percent <= self.end_percent <= 1:
            raise WorldStereoError(
                f"{self.name}: got start_percent {self.start_percent:g} and end_percent "
                f"{self.end_percent:g}, expected 0 <= start_percent <= end_percent <= 1."
            )


def part_stages(strengths: Sequence[float], start: float, end: float) -> tuple[PartStage, ...]:
    """One stage for every part: strengths in the order of ``PART_NAMES``, one share of sampling for all.

    Raises: WorldStereoError if the share is none.
    """
    if not 0 <= start <= end <= 1:
        raise WorldStereoError(
            f"parts_start and parts_end: got {start:g} and {end:g}, expected 0 <= parts_start <= "
            "parts_end <= 1."
        )
    return tuple(
        PartStage(name, strength, start, end) for name, strength in zip(PART_NAMES, strengths, strict=True)
    )


def strength_of(stages: Iterable[PartStage], is_active: Iterable[bool]) -> PartStrength:
    """The strengths of one model call, given which stages act in it; parts without a stage stay at 1."""
    changes = {
        stage.name: stage.strength if active else 0.0 for stage, active in zip(stages, is_active, strict=True)
    }
    return replace(PartStrength(), **changes)


class PixelEmbedding(nn.Module):
    """Maps at picture resolution -> one embedding per latent cell."""

    def __init__(self, channels: int, sizes: ControlSizes, operations: Any, device: Any, dtype: Any):
        super().__init__()
        self.kernel, self.interpolated = sizes.mask_kernel, sizes.interpolated
        pixels = (sizes.mask_kernel, 8, 8)
        self.pixels = operations.Conv3d(
            channels, sizes.mask_width, kernel_size=pixels, stride=pixels, device=device, dtype=dtype
        )

    def forward(self, maps: Tensor) -> Tensor:
        """[b, C, M, 8h, 8w] -> [b, mask_width, F, h, w]."""
        if self.kernel > 1:  # as the hole mask: the first latent frame sees the first video frame alone
            padding = self.kernel - 1
            maps = functional.pad(maps, (0, 0, 0, 0, padding, padding if self.interpolated else 0))
        return functional.silu(self.pixels(maps))


class PicturePart(nn.Module):
    """Further pictures -> an addend for the control tokens."""

    def __init__(self, channels: int, sizes: ControlSizes, operations: Any, device: Any, dtype: Any):
        super().__init__()
        self.embedding = PixelEmbedding(channels, sizes, operations, device, dtype)
        self.out = _token_layer(sizes.mask_width, sizes, operations, device, dtype)

    def forward(self, pictures: Tensor) -> Tensor:
        """[b, C, M, 8h, 8w] -> [b, tokens, embed_width]."""
        return _tokens(self.out(self.embedding(pictures)))


class GeometryPart(nn.Module):
    """Maps of the rasterised cloud, seen cell by cell, averaged over objects, and over the whole picture."""

    def __init__(self, channels: int, sizes: ControlSizes, operations: Any, device: Any, dtype: Any):
        super().__init__()
        self.embedding = PixelEmbedding(channels, sizes, operations, device, dtype)
        width = sizes.mask_width * (len(POOLED_CELLS) + 1)
        self.out = _token_layer(width, sizes, operations, device, dtype)

    def forward(self, maps: Tensor) -> Tensor:
        """[b, C, M, 8h, 8w] -> [b, tokens, embed_width]."""
        local = self.embedding(maps)
        frames = local.transpose(1, 2).flatten(0, 1)  # [b F, C, h, w]
        scales = [_averaged(frames, cells) for cells in POOLED_CELLS]
        scales.append(frames.mean(dim=(2, 3), keepdim=True).expand_as(frames))
        joined = torch.cat(scales, dim=1).unflatten(0, (local.shape[0], local.shape[2])).transpose(1, 2)
        return _tokens(self.out(joined))


def _averaged(frames: Tensor, cells: int) -> Tensor:
    """Every cell's mean over a block of cells, at the size of the frames."""
    if cells == 1:
        return frames
    pooled = functional.avg_pool2d(frames, cells, ceil_mode=True, count_include_pad=False)
    grown = functional.interpolate(pooled, scale_factor=float(cells), mode="nearest")
    return grown[..., : frames.shape[-2], : frames.shape[-1]]


def _token_layer(channels: int, sizes: ControlSizes, operations: Any, device: Any, dtype: Any) -> nn.Module:
    """The zero convolution from latent cells to tokens."""
    patch = sizes.patch_size
    return _zero(
        operations.Conv3d(
            channels, sizes.embed_width, kernel_size=patch, stride=patch, device=device, dtype=dtype
        )
    )


def _tokens(cells: Tensor) -> Tensor:
    """[b, C, F, h, w] -> [b, tokens, C]."""
    return cells.flatten(2).transpose(1, 2)


def _zero(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class ControlParts(nn.Module):
    """The optional parts of one control; those it does not have are None."""

    def __init__(
        self,
        parts: PartSizes,
        sizes: ControlSizes,
        operations: Any = nn,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        linear, time = operations.Linear, sizes.time_width
        self.modulation = self.global_vector = self.pictures = None
        self.warped_references = self.geometry = self.attention = None
        if parts.modulation:
            self.modulation = nn.ModuleList(
                [_zero(linear(sizes.width, sizes.output_width, **factory)) for _ in range(sizes.num_blocks)]
            )
        if parts.global_inputs:
            self.global_vector = nn.Sequential(
                linear(parts.global_inputs, time, **factory),
                nn.SiLU(),
                _zero(linear(time, time, **factory)),
            )
        if parts.picture_channels:
            self.pictures = PicturePart(parts.picture_channels, sizes, operations, **factory)
        if parts.warped_channels:
            self.warped_references = _token_layer(parts.warped_channels, sizes, operations, **factory)
        if parts.geometry_channels:
            self.geometry = GeometryPart(parts.geometry_channels, sizes, operations, **factory)
        if parts.attention_width:
            heads = (sizes.output_width, parts.attention_width, operations)
            self.attention = nn.ModuleList(
                [CorrespondenceAttention(*heads, **factory) for _ in range(sizes.num_blocks)]
            )


def part_sizes_from_shapes(state: Mapping[str, Tensor]) -> PartSizes:
    """Which parts a file holds, from the names and shapes of its tensors.

    Raises: CheckpointError for a tensor that carries a size and has the wrong number of axes.
    """

    def inputs(key: str, num_axes: int, axis: int = 1) -> int:
        tensor = state.get(PREFIX + key)
        if tensor is None:
            return 0
        if tensor.ndim != num_axes:
            raise CheckpointError(
                f"control parts: {PREFIX}{key} has shape {list(tensor.shape)}, expected {num_axes} axes. "
                "The file is damaged; download it again."
            )
        return tensor.shape[axis]

    return PartSizes(
        modulation=any(key.startswith(PREFIX + "modulation.") for key in state),
        global_inputs=inputs("global_vector.0.weight", 2),
        picture_channels=inputs("pictures.embedding.pixels.weight", 5),
        warped_channels=inputs("warped_references.weight", 5),
        geometry_channels=inputs("geometry.embedding.pixels.weight", 5),
        attention_width=inputs("attention.0.to_q.weight", 2, axis=0),
    )


def add_parts(control: WorldStereoControl, parts: PartSizes, seed: int = 0) -> WorldStereoControl:
    """The same control with more parts, which add exactly nothing yet; for training.

    Args:
        control: its trained weights are shared, not copied.
        parts: the parts wanted; those it has already stay as they are.
        seed: of the new parts' inner layers.

    Raises: WorldStereoError if the control has a part of another size.
    """
    known = control.config.parts
    merged = {}
    for field in fields(PartSizes):
        had, wanted = getattr(known, field.name), getattr(parts, field.name)
        if had and wanted and had != wanted:
            raise WorldStereoError(
                f"{field.name}: the control has {had}, got {wanted}. Keep the size it was trained with."
            )
        merged[field.name] = had or wanted
    like = next(control.parameters())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = ControlParts(PartSizes(**merged), control.config.control, device="cpu", dtype=like.dtype)
    if control.parts is not None:
        fresh.load_state_dict(control.parts.state_dict(), strict=False)
    grown = type(control)(replace(control.config, parts=PartSizes(**merged)), device=torch.device("meta"))
    state = {
        **control.state_dict(),
        **{PREFIX + key: value for key, value in fresh.to(like.device).state_dict().items()},
    }
    grown.load_state_dict(state, strict=True, assign=True)
    return grown.train(control.training)
