"""Bring estimated depth to the memory's scale: robust lines in disparity, compared over the clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..checks import WorldStereoError, check_shape
from ..geometry.depth import has_depth, lower_median, normals_from_depth

# Fewer shared pixels than this (count, share of the picture) say nothing about scale.
MIN_OVERLAP_PIXELS = 8
MIN_OVERLAP_SHARE = 0.001
# A fit that this share of the compared pixels does not follow is no fit.
MIN_INLIER_SHARE = 0.25
# Fits are compared at this many depths of the clip; they may always differ by DEVIATION_FLOOR (relative), and
# further by what is usual within their clip, since some estimators choose a scale per frame.
NUM_ANCHORS = 9
DEVIATION_FLOOR = 0.1
# Where disparities vary less than this (standard deviation over mean), a shift cannot be told from a scale.
MIN_DISPARITY_SPREAD = 0.02
# Where the slope is known no better than this (relative standard error), a shift is believed only if it is
# twice its own error; this many neighbouring pixels err alike, so they count once.
MAX_SLOPE_ERROR = 0.05
PIXELS_PER_SAMPLE = 25
# Beyond this many median depths of the compared surface an aligned pixel is at no known distance.
HORIZON = 1000.0

_NUM_HYPOTHESES = 256
_RANSAC_PIXELS = 2048
_IRLS_PIXELS = 32768
_TUKEY = 4.685

Status = Literal["fitted", "repaired", "rejected"]


@dataclass(frozen=True)
class DisparityFit:
    """The line that brings estimated depth to the memory: 1 / memory depth = scale / estimate + shift.

    Attributes:
        scale: estimator units per scene unit; depth is multiplied by 1 / scale when the shift is 0.
        shift: 1 / scene units.
        num_pixels: pixels that were compared.
        inlier_share: share of them whose depth agrees within the tolerance.
        residual: median over them of |aligned - memory disparity| / memory disparity.
        is_scale_only: the compared surface is too flat to tell a shift, so it was taken as 0.
        farthest: depth beyond which aligned pixels are given up, scene units.
    """

    scale: float
    shift: float
    num_pixels: int
    inlier_share: float
    residual: float
    is_scale_only: bool
    farthest: float

    def apply(self, depth: Tensor) -> Tensor:
        """Align depth of any shape; pixels that end at the horizon or behind it become 0 (no data)."""
        usable = has_depth(depth)
        disparity = self.scale / torch.where(usable, depth, 1.0).double() + self.shift
        usable = usable & (disparity > 1 / self.farthest)
        return torch.where(usable, 1 / torch.where(usable, disparity, 1.0), 0.0).to(depth.dtype)


@dataclass(frozen=True)
class FrameAlignment:
    """What became of one frame's depth.

    Attributes:
        frame: number in the clip.
        status: "fitted" by its own line, "repaired" by the line of ``source_frame``, or "rejected".
        fit: the line to use; None when rejected.
        source_frame: the frame whose line that is; None when rejected.
        deviation: how far the frame's own line is from the clip's median line, mean of |log ratio| at the
            anchor depths; None where the frame has no line of its own.
        residual: median relative disparity error of the line in use over the pixels both see; None without
            any.
        reason: why it is not "fitted"; empty if it is.
    """

    frame: int
    status: Status
    fit: DisparityFit | None
    source_frame: int | None
    deviation: float | None
    residual: float | None
    reason: str = ""


@dataclass(frozen=True)
class AlignmentReport:
    """The frames of a clip, in order."""

    frames: tuple[FrameAlignment, ...]

    def with_status(self, status: Status) -> tuple[int, ...]:
        """Numbers of the frames with a status."""
        return tuple(frame.frame for frame in self.frames if frame.status == status)

    @property
    def text(self) -> str:
        """The report in one sentence per fact."""
        own = [entry for entry in self.frames if entry.fit is not None]
        scales = [1 / entry.fit.scale for entry in own if entry.fit is not None]
        residuals = [entry.residual for entry in own if entry.residual is not None]
        parts = [
            f"depth aligned by lines in disparity, factor {min(scales):.4g} to {max(scales):.4g}"
            + (f", median error up to {max(residuals):.2%}" if residuals else "")
        ]
        for entry in self.frames:
            if entry.status == "repaired":
                parts.append(
                    f"frame {entry.frame} takes the line of frame {entry.source_frame}: {entry.reason}"
                )
            elif entry.status == "rejected":
                parts.append(f"frame {entry.frame} adds no points: {entry.reason}")
        return "; ".join(parts)


def comparable_pixels(
    depth: Tensor,
    rendered_depth: Tensor,
    K: Tensor,
    *,
    valid: Tensor | None = None,
    confidence: Tensor | None = None,
    min_confidence: float = 0.0,
    percentile: float = 2.0,
) -> Tensor:
    """Find the pixels over which an estimate and the memory can be compared.

    Args:
        depth: [H, W] estimated camera z in any unit; 0 or non-finite marks no data.
        rendered_depth: [H, W] camera z of the memory in the same view, scene units; 0 in holes.
        K: [3, 3], pixels of the H x W maps.
        valid: [H, W] bool, False = sky and whatever else must not count.
        confidence: [H, W] of the estimate; pixels below ``min_confidence`` do not count.
        percentile: this share of the memory's nearest and of its farthest pixels is left out, 0 to 49 %.

    Returns:
        [H, W] bool: both have data, and their surfaces face the same way (within 90 degrees, where both
        normals are known).
    """
    check_shape("rendered depth", rendered_depth, tuple(depth.shape))
    both = has_depth(depth) & has_depth(rendered_depth)
    if valid is not None:
        both = both & valid.bool()
    if confidence is not None:
        both = both & (confidence >= min_confidence)
    if min(depth.shape) >= 3:
        camera = torch.eye(4, device=depth.device)
        normals = [normals_from_depth(values, K, camera) for values in (depth, rendered_depth)]
        # NaN (unknown) compares False, so such pixels stay.
        both = both & ~((normals[0] * normals[1]).sum(-1) <= 0)
    if percentile > 0 and bool(both.any()):
        # Of the memory only: cutting the noisy map at its extremes would favour errors towards the middle and
        # flatten the line.
        ranked = rendered_depth[both].sort().values
        cut = int(len(ranked) * percentile / 100)
        both = both & (rendered_depth >= ranked[cut]) & (rendered_depth <= ranked[len(ranked) - 1 - cut])
    return both


def fit_disparity(
    depth: Tensor,
    rendered_depth: Tensor,
    usable: Tensor,
    *,
    confidence: Tensor | None = None,
    tolerance: float = 0.05,
) -> DisparityFit:
    """Fit memory disparity = scale * estimated disparity + shift, whatever a part of the pixels says.

    Lines through random pairs of pixels are tried first; the best is refined by least squares with weights
    that fall to nothing for outliers. The memory is the reference and the estimate carries the errors, so
    the line is fitted from memory to estimate (the other way round noise would flatten it) and then
    inverted. The same input gives the same line.

    Args:
        depth, rendered_depth: as in ``comparable_pixels``.
        usable: [H, W] bool, from ``comparable_pixels``.
        confidence: [H, W] weights of the pixels, 0..1.
        tolerance: relative error in disparity up to which a pixel is an inlier.

    Raises: WorldStereoError if too few pixels are usable, or no increasing line fits.
    """
    needed = max(MIN_OVERLAP_PIXELS, round(MIN_OVERLAP_SHARE * depth.numel()))
    count = int(usable.sum())
    if count < needed:
        raise WorldStereoError(
            f"depths: the estimate and the memory share {count} of {depth.numel()} pixels, expected at least "
            f"{needed} to compare their scales. Check that frames and trajectory belong together, give "
            "depths in the memory's own units with scale alignment off, or move the camera in smaller steps."
        )
    x, y = 1 / depth[usable].double(), 1 / rendered_depth[usable].double()
    weight = torch.ones_like(x) if confidence is None else confidence[usable].double().clamp(0, 1)
    x_unit, y_unit = lower_median(x), lower_median(y)
    x, y = x / x_unit, y / y_unit
    every = max(1, -(-count // _IRLS_PIXELS))
    slope, offset = _try_pairs(x[::every], y[::every], weight[::every], tolerance)
    slope, offset, is_scale_only = _refine(x[::every], y[::every], weight[::every], slope, offset, tolerance)
    # estimate = slope * memory + offset in units of the medians; inverted and back in their own units.
    scale = float(y_unit / x_unit / slope)
    shift = float(-offset / slope * y_unit)
    error = ((x - offset) / slope / y - 1).abs()
    return DisparityFit(
        scale=scale,
        shift=shift,
        num_pixels=count,
        inlier_share=float((error <= tolerance).double().mean()),
        residual=float(lower_median(error)),
        is_scale_only=is_scale_only,
        farthest=float(HORIZON / y_unit),
    )


def _try_pairs(x: Tensor, y: Tensor, weight: Tensor, tolerance: float) -> tuple[float, float]:
    """Slope and offset of the line x = slope * y + offset with the smallest truncated error."""
    every = max(1, -(-len(x) // _RANSAC_PIXELS))
    x, y, weight = x[::every], y[::every], weight[::every]
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randint(len(x), (2, _NUM_HYPOTHESES), generator=generator).to(x.device)
    run = y[first] - y[second]
    slope = (x[first] - x[second]) / torch.where(run.abs() > 1e-9, run, torch.nan)
    offset = x[first] - slope * y[first]
    # Pure scales through single pixels are hypotheses too: on a flat wall pairs say nothing.
    slope = torch.cat([slope, x[first] / y[first]])
    offset = torch.cat([offset, torch.zeros_like(offset)])
    rising = torch.isfinite(slope) & (slope > 0)
    slope, offset = slope[rising], offset[rising]
    error = ((slope[:, None] * y + offset[:, None] - x) / x).abs().clamp(max=tolerance)
    best = int((error * weight).sum(dim=1).argmin())
    return float(slope[best]), float(offset[best])


def _refine(
    x: Tensor, y: Tensor, weight: Tensor, slope: float, offset: float, tolerance: float
) -> tuple[float, float, bool]:
    """Least squares with Tukey's weights on relative errors, until the line stands."""
    for _ in range(30):
        predicted = (slope * y + offset).clamp_min(1e-3)
        error = (x - predicted) / predicted
        near = error.abs()[error.abs() <= 3 * tolerance]
        # The width of the agreeing pixels, never so narrow that rounding of float32 depth counts as an
        # outlier.
        width = float(lower_median(near)) * 1.4826 if len(near) else tolerance
        width = min(max(width, 1e-5), tolerance)
        kept = (1 - (error / (_TUKEY * width)) ** 2).clamp_min(0) ** 2 * weight / predicted**2
        total = kept.sum()
        if not float(total) > 0:
            break
        mean_x, mean_y = (kept * x).sum() / total, (kept * y).sum() / total
        spread = (kept * (y - mean_y) ** 2).sum() / total
        is_flat = float(spread.sqrt() / mean_y) < MIN_DISPARITY_SPREAD
        new_slope = (
            float((kept * (x - mean_x) * (y - mean_y)).sum() / total / spread) if not is_flat else -1.0
        )
        samples = max(1.0, int((kept > 0).sum()) / PIXELS_PER_SAMPLE)
        uncertainty = width * float(mean_x / spread.sqrt().clamp_min(1e-12)) / samples**0.5
        new_offset = float(mean_x - new_slope * mean_y)
        is_vague = uncertainty > MAX_SLOPE_ERROR * new_slope
        if new_slope <= 0 or (is_vague and abs(new_offset) < 2 * uncertainty * float(mean_y)):
            new_slope, new_offset, is_flat = float(mean_x / mean_y), 0.0, True
        done = abs(new_slope - slope) + abs(new_offset - offset) < 1e-9
        slope, offset = new_slope, new_offset
        if done:
            return slope, offset, is_flat
    return slope, offset, offset == 0.0


def align_clip(
    depths: Sequence[Tensor],
    rendered_depths: Sequence[Tensor],
    usable: Sequence[Tensor],
    *,
    frame_numbers: Sequence[int] | None = None,
    confidence: Sequence[Tensor] | None = None,
    tolerance: float = 0.05,
) -> AlignmentReport:
    """Fit every frame of a clip, find the frames whose line is not the clip's, and repair or reject them.

    A frame is an outlier if it shares too few pixels with the memory, if too few of them follow its line,
    or, with three lines or more, if its line is far from the clip's median line at the anchor depths. An
    outlier takes the line of the nearest frame that is none, provided that the line also holds for what the
    outlier shares with the memory (or, where it shares nothing, that the clip's lines agree); else it is
    rejected.

    Args:
        depths: T maps [H, W], estimated camera z in any unit.
        rendered_depths: T maps [H, W], the memory in the same views.
        usable: T maps [H, W] bool, from ``comparable_pixels``.
        frame_numbers: how the frames are called in the report; 0, 1, ... by default.

    Raises: WorldStereoError if no frame of the clip can be aligned.
    """
    numbers = list(range(len(depths))) if frame_numbers is None else list(frame_numbers)
    fits: list[DisparityFit | None] = []
    reasons: list[str] = []
    for index in range(len(depths)):
        weights = None if confidence is None else confidence[index]
        fit, reason = _fit_or_reason(depths[index], rendered_depths[index], usable[index], weights, tolerance)
        fits.append(fit)
        reasons.append(reason)
    deviations, limit = _deviations(depths, usable, fits)
    for index, deviation in enumerate(deviations):
        if deviation is not None and deviation > limit and not reasons[index]:
            reasons[index] = f"its line is {deviation:.0%} from the clip's median, more than {limit:.0%}."
    inliers = [index for index, reason in enumerate(reasons) if not reason]
    if not inliers:
        raise WorldStereoError(
            f"depths: none of the {len(depths)} frames could be aligned to the memory; frame {numbers[0]}: "
            f"{reasons[0]} Check that frames and trajectory belong together and the depth is depth, not "
            "disparity, or move the camera in smaller steps."
        )
    entries = []
    for index, number in enumerate(numbers):
        nearest = min(inliers, key=lambda other: abs(numbers[other] - number))
        fit, source, status = fits[index], number, "fitted"
        if reasons[index]:
            fit, source, status = fits[nearest], numbers[nearest], "repaired"
        error = _disparity_errors(fit, depths[index], rendered_depths[index], usable[index])
        residual = float(lower_median(error)) if len(error) >= MIN_OVERLAP_PIXELS else None
        if status == "repaired" and not _holds(error, tolerance, limit):
            fit, source, status = None, None, "rejected"
        entries.append(
            FrameAlignment(number, status, fit, source, deviations[index], residual, reasons[index])
        )
    return AlignmentReport(tuple(entries))


def _fit_or_reason(
    depth: Tensor, rendered_depth: Tensor, usable: Tensor, confidence: Tensor | None, tolerance: float
) -> tuple[DisparityFit | None, str]:
    """A frame's own line, and why it must not be used (empty if it may)."""
    try:
        fit = fit_disparity(depth, rendered_depth, usable, confidence=confidence, tolerance=tolerance)
    except WorldStereoError as error:
        return None, str(error).removeprefix("depths: ")
    if fit.inlier_share < MIN_INLIER_SHARE:
        return fit, (
            f"only {fit.inlier_share:.0%} of the {fit.num_pixels} shared pixels follow its line, expected at "
            f"least {MIN_INLIER_SHARE:.0%}."
        )
    return fit, ""


def _deviations(
    depths: Sequence[Tensor], usable: Sequence[Tensor], fits: Sequence[DisparityFit | None]
) -> tuple[list[float | None], float]:
    """Per frame its line's distance from the median line at the anchor depths, and the largest usual one."""
    known = [(index, fit) for index, fit in enumerate(fits) if fit is not None]
    deviations: list[float | None] = [None] * len(fits)
    if len(known) < 3:
        return deviations, DEVIATION_FLOOR
    ranked = torch.cat([1 / depths[index][usable[index]].double() for index, _ in known]).sort().values
    places = torch.linspace(0.1, 0.9, NUM_ANCHORS) * (len(ranked) - 1)
    anchors = ranked[places.round().long()]
    lines = torch.stack([fit.scale * anchors + fit.shift for _, fit in known])  # [T, anchors]
    # A line may leave the positive at an anchor; the floor keeps its logarithm finite and its distance large.
    middle = lines.median(dim=0).values
    middle = middle.clamp_min(1e-6 * float(middle.abs().max()))
    distance = (torch.maximum(lines, 1e-6 * middle) / middle).log().abs().mean(dim=1)
    for (index, _), value in zip(known, distance.tolist(), strict=True):
        deviations[index] = value
    return deviations, max(DEVIATION_FLOOR, 3 * 1.4826 * float(lower_median(distance)))


def _disparity_errors(
    fit: DisparityFit | None, depth: Tensor, rendered_depth: Tensor, usable: Tensor
) -> Tensor:
    """Relative disparity errors of a line over the pixels both see; nothing without a line."""
    if fit is None:
        return depth.new_zeros(0)
    x, y = 1 / depth[usable].double(), 1 / rendered_depth[usable].double()
    return ((fit.scale * x + fit.shift) / y - 1).abs()


def _holds(error: Tensor, tolerance: float, limit: float) -> bool:
    """Whether another frame's line may serve: shared pixels follow it, or there are none and fits agree."""
    if len(error) < MIN_OVERLAP_PIXELS:
        return limit <= 2 * DEVIATION_FLOOR
    return float((error <= 2 * tolerance).double().mean()) >= MIN_INLIER_SHARE
