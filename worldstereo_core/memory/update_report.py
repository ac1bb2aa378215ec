"""What growing a memory by a clip did, in numbers and in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from .alignment import AlignmentReport


@dataclass(frozen=True)
class FusionReport:
    """How a clip's points went into the voxel map.

    Attributes:
        cell: edge of a cell, scene units.
        num_new: cells that were empty before.
        num_updated: cells that were seen again, once per frame that saw them.
        num_carved: points removed because a frame saw through them.
    """

    cell: float
    num_new: int
    num_updated: int
    num_carved: int


@dataclass(frozen=True)
class UpdateReport:
    """What an update did.

    Attributes:
        clip: number of the new clip.
        clip_name: prefix of its views' names.
        kept_frames: frames of the clip that became views.
        points_per_frame: points added from each kept frame; empty without geometry.
        scale_ratios: factor that brought each kept frame's depth to the memory's scale; empty when the depth
            was taken as it came, or aligned by lines.
        alignment: the lines of the frames under ``alignment="robust"``, else None.
        residuals: per kept frame, median relative difference of its depth, as used, from the memory's over
            the pixels both see; None where there are too few, or the frame was rejected. Empty without
            geometry.
        fusion: set if the clip went into the voxel map.
    """

    clip: int
    clip_name: str
    kept_frames: tuple[int, ...]
    points_per_frame: tuple[int, ...] = ()
    scale_ratios: tuple[float, ...] = ()
    alignment: AlignmentReport | None = None
    residuals: tuple[float | None, ...] = ()
    fusion: FusionReport | None = None

    @property
    def num_views(self) -> int:
        return len(self.kept_frames)

    @property
    def num_points(self) -> int:
        return sum(self.points_per_frame)

    @property
    def scale_ratio(self) -> float | None:
        """Median of the frames' ratios; None when the depth was taken as it came."""
        return median(self.scale_ratios) if self.scale_ratios else None

    @property
    def text(self) -> str:
        """The report in short sentences."""
        kept = ", ".join(str(frame) for frame in self.kept_frames)
        parts = [f"{self.clip_name}: {self.num_views} views added (frames {kept})"]
        if not self.points_per_frame:
            parts.append(
                "no points added, because no geometry was given: later renders show only what the memory "
                "already had"
            )
        elif self.fusion is not None:
            parts.append(
                f"{self.fusion.num_new:,} points added, {self.fusion.num_updated:,} sightings merged into "
                f"known points, {self.fusion.num_carved:,} points removed that a frame saw through (cells of "
                f"{self.fusion.cell:.4g} scene units)"
            )
        else:
            parts.append(f"{self.num_points:,} points added where the memory had holes")
        if self.scale_ratios:
            parts.append(
                f"depth multiplied by {self.scale_ratio:.4g} to meet the memory's scale "
                f"({min(self.scale_ratios):.4g} to {max(self.scale_ratios):.4g} over the frames)"
            )
        if self.alignment is not None:
            parts.append(self.alignment.text.rstrip("."))
        elif known := [value for value in self.residuals if value is not None]:
            parts.append(f"median depth error against the memory up to {max(known):.2%}")
        return "; ".join(parts) + "."

    @property
    def table(self) -> str:
        """One line per kept frame: what became of its depth, and its residual."""
        lines = []
        for index, frame in enumerate(self.kept_frames):
            if not self.points_per_frame:
                break
            entry = None if self.alignment is None else self.alignment.frames[index]
            residual = self.residuals[index] if self.residuals else None
            parts = [f"frame {frame}"]
            if entry is not None:
                source = f" from frame {entry.source_frame}" if entry.status == "repaired" else ""
                parts.append(entry.status + source)
                if entry.fit is not None:
                    parts.append(f"factor {1 / entry.fit.scale:.4g}, shift {entry.fit.shift:.3g}")
            elif self.scale_ratios:
                parts.append(f"factor {self.scale_ratios[index]:.4g}")
            parts.append("no overlap" if residual is None else f"median error {residual:.2%}")
            parts.append(f"{self.points_per_frame[index]:,} points")
            lines.append(", ".join(parts))
        return "\n".join(lines)
