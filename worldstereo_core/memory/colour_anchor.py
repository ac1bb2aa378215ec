"""Hold a clip's colours to those that the memory already shows in the same views."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from ..checks import ShapeError, WorldStereoError, check_shape

# Colours are compared over cells of this share of the shorter side: generated detail never meets a render
# pixel by pixel, and a line fitted to noisy values comes out too flat.
CELL_SHARE = 1 / 30
MIN_CELL = 4  # pixels
MIN_CELLS = 24
# Known surface must fill this much of a cell.
MIN_COVER = 0.75
# Values this near to black or white may have been cut off and say nothing about a gain.
CLIPPED = 0.02
GAIN_RANGE = (0.6, 1.6)
# Weight of "no change" against the cells, as a share of their number. The change over time is held harder:
# far into a clip little known surface may be left.
_PRIOR = (2e-4, 2e-4, 1e-3, 1e-3)
_ROUNDS = 8
_TUKEY = 4.685  # the bisquare's usual width in robust deviations


@dataclass(frozen=True, eq=False)
class ColourAnchor:
    """colour_new = gain * colour + offset per channel, both changing evenly from the first frame to the last.

    Attributes:
        gain: [2, 3] of the first and the last frame.
        offset: [2, 3].
        num_cells: how many cells of known surface it was found from; 0 = too few, nothing changes.
        error_before, error_after: mean difference of known surface from the memory, 0..1.
    """

    gain: Tensor
    offset: Tensor
    num_cells: int
    error_before: float
    error_after: float

    def apply(self, frames: Tensor, strength: float = 1.0) -> Tensor:
        """[T, 3, H, W] in 0..1 -> the same with anchored colours; strength 0 changes nothing."""
        time = torch.linspace(0, 1, len(frames), device=frames.device)[:, None]
        gain = torch.lerp(self.gain[:1].to(frames), self.gain[1:].to(frames), time)[..., None, None]
        offset = torch.lerp(self.offset[:1].to(frames), self.offset[1:].to(frames), time)[..., None, None]
        return torch.lerp(frames, gain * frames + offset, strength).clamp(0, 1)

    @property
    def text(self) -> str:
        if not self.num_cells:
            return "Colours left as they are: too little of the memory is seen to compare them with."

        def row(values: Tensor) -> str:
            return ", ".join(f"{value:.3f}" for value in values.tolist())

        return (
            f"Colours anchored over {self.num_cells} cells of known surface: gain (red, green, blue) "
            f"{row(self.gain[0])} at the start, {row(self.gain[1])} at the end; mean difference from the "
            f"memory {255 * self.error_before:.1f} before, {255 * self.error_after:.1f} after (of 255)."
        )


def fit_colour_anchor(frames: Tensor, render: Tensor, hole_mask: Tensor) -> ColourAnchor:
    """Find the change of gain and offset that brings a clip's colours to the memory's.

    A robust line per channel (iteratively reweighted, Tukey's bisquare) through the mean colours of cells
    that the memory fills, so that new or moved things do not count. Frame 0 is left out: it is the start
    picture itself, in the clip as in the render. One line that only drifts with time cannot flicker.

    Args:
        frames: [T, 3, H, W] in 0..1.
        render: [T, 3, H, W] the memory along the same cameras.
        hole_mask: [T, H, W], 1 = the memory shows nothing there.

    Raises: ShapeError if they differ in size or number.
    """
    size = check_shape("images", frames, ("T", 3, "H", "W"), "Give the frames of one clip.")
    for name, values, shape in (
        ("render", render, (size["T"], 3, size["H"], size["W"])),
        ("holes", hole_mask, (size["T"], size["H"], size["W"])),
    ):
        check_shape(name, values, shape, "Render the memory along the clip's own trajectory and size.")
    if size["T"] < 2:
        raise ShapeError("images: got 1 frame, expected a clip of at least 2. Frame 0 is the start picture.")
    time = torch.linspace(0, 1, size["T"], dtype=torch.float64)[1:]
    colours, known, times = _cells(frames[1:], render[1:].to(frames), hole_mask[1:].to(frames), time)
    identity = frames.new_ones(2, 3), frames.new_zeros(2, 3)
    if len(colours) < MIN_CELLS:
        return ColourAnchor(*identity, 0, 0.0, 0.0)
    lines = torch.stack([_fit(colours[:, c], known[:, c], times) for c in range(3)], dim=1)  # [4, 3]
    start, end = lines[:2], lines[:2] + lines[2:]
    gain = torch.stack([start[0], end[0]]).clamp(*GAIN_RANGE)
    offset = torch.stack([start[1], end[1]])
    here = torch.lerp(gain[:1], gain[1:], times[:, None]), torch.lerp(offset[:1], offset[1:], times[:, None])
    return ColourAnchor(
        gain.to(frames),
        offset.to(frames),
        len(colours),
        float((colours - known).abs().mean()),
        float((here[0] * colours + here[1] - known).abs().mean()),
    )


def anchor_colours(
    frames: Tensor, render: Tensor, hole_mask: Tensor, strength: float = 1.0
) -> tuple[Tensor, ColourAnchor]:
    """Bring a clip's colours to the memory's; arguments as in ``fit_colour_anchor``.

    Args:
        strength: 0 changes nothing, 1 anchors fully.

    Raises: WorldStereoError or ShapeError.
    """
    if not 0 <= strength <= 1:
        raise WorldStereoError(f"strength: got {strength}, expected 0 (no change) to 1.")
    anchor = fit_colour_anchor(frames, render, hole_mask)
    return (anchor.apply(frames, strength) if anchor.num_cells else frames), anchor


def _cells(frames: Tensor, render: Tensor, hole_mask: Tensor, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean colours [N, 3] of clip and memory in the cells both can be compared in, and their times [N]."""
    edge = max(MIN_CELL, round(CELL_SHARE * min(frames.shape[-2:])))
    # Points bleed over depth edges, so the rim of a hole is not trusted.
    seen = 1 - max_pool2d((hole_mask >= 0.5).float()[:, None], 3, 1, 1)
    in_range = ((frames > CLIPPED) & (frames < 1 - CLIPPED)).all(dim=1, keepdim=True)
    seen = seen * in_range
    cover = avg_pool2d(seen, edge)
    means = [avg_pool2d(pictures * seen, edge) / cover.clamp_min(1e-6) for pictures in (frames, render)]
    usable = cover[:, 0] >= MIN_COVER
    times = time.to(frames.device)[:, None, None].expand_as(usable)[usable]
    colours, known = (mean.movedim(1, -1)[usable].double() for mean in means)
    return colours, known, times


def _fit(colour: Tensor, known: Tensor, time: Tensor) -> Tensor:
    """[4] gain, offset, and how much both change until the end; all [N]."""
    columns = torch.stack([colour, torch.ones_like(colour), time * colour, time], dim=-1)
    # About no change: the prior then pulls the unknowns to zero.
    wanted = known - colour
    prior = torch.diag(columns.new_tensor(_PRIOR)) * len(colour)
    # From the median on: a line through everything would start out bent towards what is new.
    solution = columns.new_tensor([0.0, float(wanted.median()), 0.0, 0.0])
    for _ in range(_ROUNDS):
        residual = (wanted - columns @ solution).abs()
        scale = (1.4826 * residual.median()).clamp_min(1e-3)
        weight = (1 - (residual / (_TUKEY * scale)).clamp(max=1) ** 2) ** 2
        weighted = columns * weight[:, None]
        solution = torch.linalg.solve(weighted.mT @ columns + prior, weighted.mT @ wanted)
    return solution + columns.new_tensor([1.0, 0.0, 0.0, 0.0])
