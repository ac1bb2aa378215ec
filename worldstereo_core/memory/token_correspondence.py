"""For each target token the reference tokens that see the same surface, sparse and as masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..checks import ShapeError, WorldStereoError
from ..geometry.cameras import Cameras
from ..geometry.render import render_points
from .correspondence import Correspondences, correspond
from .view import View

if TYPE_CHECKING:
    from .memory import GeometricMemory

# Depth samples down and across a token, for which tokens are compared.
SAMPLES = 4


@dataclass(frozen=True, eq=False)
class TokenCorrespondences:
    """Pairs of target and reference tokens that see the same surface.

    A token is a cell of a grid over the picture; tokens are numbered frame by frame (or reference by
    reference), then row by row, as in the model's sequence.

    Attributes:
        target: [P] int64 target tokens, ascending.
        reference: [P] int64 reference tokens, ascending within a target token; no pair twice.
        num_targets, num_references: tokens of all target frames and of all references.
    """

    target: Tensor
    reference: Tensor
    num_targets: int
    num_references: int

    def of(self, target: int) -> Tensor:
        """The reference tokens of one target token, ascending."""
        ends = torch.tensor([target, target + 1], device=self.target.device)
        start, end = torch.searchsorted(self.target, ends).tolist()
        return self.reference[start:end]

    @property
    def counts(self) -> Tensor:
        """[num_targets] how many reference tokens each target token has."""
        return torch.bincount(self.target, minlength=self.num_targets)

    def dense(self) -> Tensor:
        """[num_targets, num_references] bool, True = same surface. The slow, obvious form."""
        mask = torch.zeros(self.num_targets, self.num_references, dtype=torch.bool, device=self.target.device)
        mask[self.target, self.reference] = True
        return mask

    def blocks(self, size: int = 128) -> Tensor:
        """Which blocks of the dense mask hold any pair, [ceil(targets / size), ceil(references / size)] "
        "bool."""
        if size < 1:
            raise WorldStereoError(f"block size: got {size}, expected at least 1 token.")
        rows, columns = -(-self.num_targets // size), -(-self.num_references // size)
        mask = torch.zeros(rows, columns, dtype=torch.bool, device=self.target.device)
        mask[self.target // size, self.reference // size] = True
        return mask


def correspond_tokens(
    matches: Sequence[Sequence[Correspondences]],
    rows: int,
    columns: int,
    *,
    radius: int = 0,
    min_share: float = 0.0,
    min_confidence: float = 0.0,
) -> TokenCorrespondences:
    """Gather pixel correspondences into token pairs.

    Args:
        matches: per target frame, per reference: the correspondences of the two pictures.
        rows, columns: of the token grid, the same for targets and references.
        radius: reference tokens at most this many rows and columns away count too.
        min_share: a pair needs at least this share of the target token's pixels, 0..1; one pixel always.
        min_confidence: pixels below it do not count.

    Raises: ShapeError or WorldStereoError if frames differ in their number of references, or settings make no
        sense.
    """
    if rows < 1 or columns < 1 or radius < 0 or not 0 <= min_share <= 1:
        raise WorldStereoError(
            f"tokens: got {rows} rows, {columns} columns, radius {radius} and a least share of "
            f"{min_share}; expected positive counts, a radius of 0 or more and a share from 0 to 1."
        )
    if not matches or not matches[0] or any(len(frame) != len(matches[0]) for frame in matches):
        raise ShapeError(
            f"tokens: got correspondences to {[len(frame) for frame in matches]} references per target "
            "frame, expected at least one frame and as many references for each."
        )
    per_picture = rows * columns
    targets, references = [], []
    for frame, row_of_matches in enumerate(matches):
        for number, match in enumerate(row_of_matches):
            target, reference = _token_pairs(match, rows, columns, min_share, min_confidence)
            target, reference = _widen(target, reference, rows, columns, radius)
            targets.append(target + frame * per_picture)
            references.append(reference + number * per_picture)
    num_references = len(matches[0]) * per_picture
    keys = (torch.cat(targets) * num_references + torch.cat(references)).unique()
    return TokenCorrespondences(
        target=keys // num_references,
        reference=keys % num_references,
        num_targets=len(matches) * per_picture,
        num_references=num_references,
    )


def shared_tokens(
    memory: GeometricMemory,
    cameras: Cameras,
    views: Sequence[View | Cameras],
    rows: int,
    columns: int,
    *,
    tolerance: float = 0.05,
    progress: Callable[[int, int], None] | None = None,
) -> TokenCorrespondences:
    """Token pairs of a clip and its references, by the memory's geometry.

    The memory is drawn small, ``SAMPLES`` depth samples per token side, at every camera of the clip.

    Args:
        cameras: one per key frame; the whole picture is covered by rows x columns tokens.
        views: the references, whose pictures are stretched over as many tokens; one camera instead of a view
            stands for a picture of the memory from there. A view without depth takes the memory's.
        tolerance: see ``correspond``; more than there since depth is sampled sparsely.
        progress: called with (frames done, frames in all); it may raise to interrupt.

    Raises: WorldStereoError for no tokens, ShapeError for no views.
    """
    if not views:
        raise ShapeError("references: got no views, expected at least one. Retrieve references first.")
    device = memory.points.xyz.device
    size = (rows * SAMPLES, columns * SAMPLES)
    sources = []
    for view in views:
        camera = (view.camera if isinstance(view, View) else view).resized(*size).to(device)
        depth = view.depth if isinstance(view, View) else None
        sources.append(
            (camera, _drawn(memory, camera) if depth is None else _sampled(depth.to(device), size))
        )
    matches = []
    for frame in range(cameras.num_frames):
        camera = cameras[frame].resized(*size).to(device)
        depth = _drawn(memory, camera)
        matches.append([correspond(depth, camera, there, at, tolerance=tolerance) for at, there in sources])
        if progress is not None:
            progress(frame + 1, cameras.num_frames)
    return correspond_tokens(matches, rows, columns)


def _drawn(memory: GeometricMemory, camera: Cameras) -> Tensor:
    # Discs of one pixel's radius leave no gaps between points that were lifted from larger pictures.
    radius = 2 / min(camera.height, camera.width)
    return render_points(memory.points, camera, radius=radius, points_per_pixel=1).depth[0]


def _sampled(depth: Tensor, size: tuple[int, int]) -> Tensor:
    return interpolate(depth[None, None], size, mode="nearest-exact")[0, 0]


def _token_pairs(
    match: Correspondences, rows: int, columns: int, min_share: float, min_confidence: float
) -> tuple[Tensor, Tensor]:
    """Pairs of tokens inside one target and one reference picture."""
    height, width = match.is_visible.shape
    device = match.xy.device
    row = torch.arange(height, device=device) * rows // height
    column = torch.arange(width, device=device) * columns // width
    token = row[:, None] * columns + column  # [H, W]
    use = match.is_visible & (match.confidence >= min_confidence)
    size = match.xy.new_tensor([match.source_width, match.source_height])
    grid = match.xy.new_tensor([columns, rows])
    place = (match.xy[use] / size * grid).long()
    place = torch.minimum(place, grid.long() - 1)  # a place on the far border belongs to the last token
    pairs = token[use] * (rows * columns) + place[:, 1] * columns + place[:, 0]
    pairs, counts = pairs.unique(return_counts=True)
    target, reference = pairs // (rows * columns), pairs % (rows * columns)
    pixels = torch.bincount(token.flatten(), minlength=rows * columns)
    enough = counts >= min_share * pixels[target]
    return target[enough], reference[enough]


def _widen(target: Tensor, reference: Tensor, rows: int, columns: int, radius: int) -> tuple[Tensor, Tensor]:
    """The pairs with every reference token replaced by the square around it, cut at the grid's border."""
    if radius == 0:
        return target, reference
    steps = torch.arange(-radius, radius + 1, device=target.device)
    down, across = (part.flatten() for part in torch.meshgrid(steps, steps, indexing="ij"))
    row = (reference // columns)[:, None] + down
    column = (reference % columns)[:, None] + across
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    wide = target[:, None].expand_as(row)
    return wide[inside], (row * columns + column)[inside]
