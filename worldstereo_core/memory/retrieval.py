"""Which views of the bank a trajectory should see again: by view volumes or visible points, with slots."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..checks import ShapeError, WorldStereoError
from ..geometry.cameras import Cameras, check_cameras
from ..geometry.trajectory import Trajectory
from .selection import FeatureExtractor, QualityMeasure, select_views
from .view import View
from .view_cover import cover
from .visible_points import bank_sight, detail_of, seen_points

if TYPE_CHECKING:
    from .memory import GeometricMemory

logger = logging.getLogger(__name__)

# The view volume that the released models were trained with, scene units (metres for metric depth).
NEAR, FAR = 0.1, 10.0
# Bank views scored at once: bounds the memory of one trajectory against a bank of any size.
CHUNK = 4096
SHORTCUT_BONUS = 1.0

RetrievalMethod = Literal["frustum overlap", "visible points"]


@dataclass(frozen=True, eq=False)
class Frusta:
    """View volumes of N cameras, reduced to what the overlap score needs.

    Attributes:
        lower, upper: [N, 3] corners of the axis-aligned world box around each volume, scene units.
        forward: [N, 3] unit viewing direction in world coordinates.
    """

    lower: Tensor
    upper: Tensor
    forward: Tensor

    def __len__(self) -> int:
        return self.lower.shape[0]

    def __getitem__(self, rows: slice | Tensor) -> Frusta:
        return Frusta(self.lower[rows], self.upper[rows], self.forward[rows])


@dataclass(frozen=True, eq=False)
class Matches:
    """The best bank view of each target frame.

    Attributes:
        bank_indices: [T] long.
        scores: [T] float32; overlap times angle penalty, plus 1 where the view was the frame's shortcut.
        angles_deg: [T] float32 between the two viewing directions.
    """

    bank_indices: Tensor
    scores: Tensor
    angles_deg: Tensor


@dataclass(frozen=True, eq=False)
class References:
    """Views that a trajectory is shown while its clip is generated.

    Attributes:
        views: V distinct views of the bank, ordered by slot; they may differ in size.
        slots: [V] long, ascending, in 0..T-2. Slot j belongs to target frame j + 1, the first frame that
            chose the view; the model places the reference at time step slot + 1.
        w2c: [V, 4, 4].
        K: [V, 3, 3], pixels of each view's own size.
        scores: [V] score of each view at its slot's frame.
        bank_indices: [V] long, position of each view in the memory's bank.
        matches: the best view of every target frame 1..T-1.
        selected_slots: slots whose views the selector kept, in the order chosen, when too many were found;
            else None.
    """

    views: tuple[View, ...]
    slots: Tensor
    w2c: Tensor
    K: Tensor
    scores: Tensor
    bank_indices: Tensor
    matches: Matches
    selected_slots: tuple[int, ...] | None = None

    @property
    def num_references(self) -> int:
        return len(self.views)

    def images(self, height: int, width: int) -> Tensor:
        """The views at one size, ready to be encoded.

        Views of another size are stretched bicubically. The result is not clipped: the released models saw
        the overshoot of the bicubic filter in their references.

        Returns: [V, 3, height, width] float32, 0..1 up to that overshoot.
        """
        return torch.cat([_resized(view.image, height, width) for view in self.views])


def _resized(image: Tensor, height: int, width: int) -> Tensor:
    batch = image[None].float() / 255
    if image.shape[1:] == (height, width):
        return batch
    return interpolate(batch, size=(height, width), mode="bicubic", align_corners=False)


def frustum_corners(
    w2c: Tensor,  # [N, 4, 4]
    K: Tensor,  # [N, 3, 3]
    sizes: Tensor,  # [N, 2] height, width in pixels
    near: float = NEAR,
    far: float = FAR,
) -> Tensor:
    """World positions of the rays through the image corners at two distances.

    Args:
        near, far: distances along the unit rays, scene units; the volume ends in spherical caps, not planes.

    Returns:
        [N, 8, 3]: at ``near`` top left, top right, bottom right, bottom left; then the same at ``far``.
    """
    height, width = sizes.to(K).unbind(-1)
    zero, one = torch.zeros_like(width), torch.ones_like(width)
    pixels = torch.stack(
        [
            torch.stack([zero, zero, one], dim=-1),
            torch.stack([width, zero, one], dim=-1),
            torch.stack([width, height, one], dim=-1),
            torch.stack([zero, height, one], dim=-1),
        ],
        dim=1,
    )  # [N, 4, 3]
    c2w = torch.linalg.inv(w2c)
    rays = torch.einsum("nij,npj->npi", torch.linalg.inv(K), pixels)
    rays = rays / rays.norm(dim=-1, keepdim=True)
    in_camera = torch.cat([rays * near, rays * far], dim=1)
    return torch.einsum("nij,npj->npi", c2w[:, :3, :3], in_camera) + c2w[:, None, :3, 3]


def cameras_to_frusta(w2c: Tensor, K: Tensor, sizes: Tensor, near: float = NEAR, far: float = FAR) -> Frusta:
    """View volumes of N cameras; arguments as in ``frustum_corners``."""
    corners = frustum_corners(w2c, K, sizes, near, far)
    return Frusta(corners.amin(dim=1), corners.amax(dim=1), torch.linalg.inv(w2c)[:, :3, 2])


def views_to_frusta(views: Sequence[View], near: float = NEAR, far: float = FAR) -> Frusta:
    """View volumes of bank views, each with the image size of its own."""
    sizes = torch.tensor([view.image.shape[1:] for view in views])
    return cameras_to_frusta(
        torch.stack([view.w2c for view in views]), torch.stack([view.K for view in views]), sizes, near, far
    )


def frustum_overlap(targets: Frusta, bank: Frusta) -> tuple[Tensor, Tensor]:
    """Overlap of every target with every bank view.

    Returns:
        overlap [T, V] in 0..1, intersection over union of the world boxes; 0 unless they overlap on all axes.
        angle [T, V], degrees between the viewing directions.
    """
    shared = torch.minimum(targets.upper[:, None], bank.upper) - torch.maximum(
        targets.lower[:, None], bank.lower
    )
    intersection = shared.prod(dim=-1) * (shared > 0).all(dim=-1)
    volumes = (targets.upper - targets.lower).prod(dim=-1)[:, None] + (bank.upper - bank.lower).prod(dim=-1)
    overlap = intersection / (volumes - intersection + 1e-8)
    cosine = (targets.forward[:, None] * bank.forward).sum(dim=-1).clamp(-1, 1)
    return overlap, torch.rad2deg(torch.acos(cosine))


def angle_penalty(angle_deg: Tensor) -> Tensor:
    """Factor on the overlap: 1 up to 90 degrees between viewing directions, then falling exponentially."""
    return torch.exp(5 * (90 - angle_deg) / 180).clamp(0, 1)


def pose_distance(target_w2c: Tensor, bank_w2c: Tensor) -> Tensor:
    """Distance of camera matrices, [T, V]: translation difference plus a tenth of the rotation difference.

    Both differences are norms over w2c entries, so the result depends on the choice of world origin.
    """
    difference = target_w2c[:, None, :3] - bank_w2c[:, :3]  # [T, V, 3, 4]
    return difference[..., 3].norm(dim=-1) + 0.1 * difference[..., :3].flatten(-2).norm(dim=-1)


def best_views(
    targets: Frusta,
    bank: Frusta,
    shortcuts: Sequence[int | None] | None = None,
    use_angle_penalty: bool = True,
    top_k: int = 1,
) -> Matches:
    """The best bank views of each target; of equal scores the earlier view wins.

    Args:
        shortcuts: per target, the bank index whose score is raised by 1, or None.
        top_k: views per target. 1 gives [T] results, more gives [T, top_k], best first.
    """
    scores = torch.empty(len(targets), len(bank), dtype=bank.lower.dtype, device=bank.lower.device)
    angles = torch.empty_like(scores)
    for start in range(0, len(bank), CHUNK):
        part = slice(start, start + CHUNK)
        scores[:, part], angles[:, part] = frustum_overlap(targets, bank[part])
    if use_angle_penalty:
        scores *= angle_penalty(angles)
    for target, index in enumerate(shortcuts or ()):
        if index is not None:
            scores[target, index] += SHORTCUT_BONUS
    if top_k == 1:
        chosen = scores.argmax(dim=1, keepdim=True)
    else:
        chosen = scores.sort(dim=1, descending=True, stable=True).indices[:, :top_k]
    found = [chosen, scores.gather(1, chosen), angles.gather(1, chosen)]
    return Matches(*(value.squeeze(1) if top_k == 1 else value for value in found))


def first_slots(bank_indices: Tensor) -> list[int]:
    """Slots at which a bank index appears for the first time, ascending."""
    seen: set[int] = set()
    return [
        slot for slot, index in enumerate(bank_indices.tolist()) if not (index in seen or seen.add(index))
    ]


def retrieve_references(
    memory: GeometricMemory,
    cameras: Cameras | Trajectory,
    max_references: int = 8,
    *,
    feature_extractor: FeatureExtractor | None = None,
    quality: QualityMeasure | None = None,
    shortcuts: Sequence[int | None] | None = None,
    near: float = NEAR,
    far: float = FAR,
    method: RetrievalMethod = "frustum overlap",
    progress: Callable[[int, int], None] | None = None,
) -> References:
    """Choose views of the bank that show what a trajectory will see.

    "frustum overlap", as released: every target frame but the first (it shows the start image) takes the bank
    view whose view volume overlaps its own most. If they take more than ``max_references`` different views,
    those that differ most in camera and picture are kept and the frames choose again among them; fewer may
    then remain.

    "visible points": views are chosen one by one, each the one that adds most to the points of the memory
    that the target frames see and the chosen views have seen, large enough. Scores are shares of a frame's
    points, less for other directions and for views from further away. If the frames see no point of the
    memory, view volumes decide, and that is logged.

    Args:
        memory: its bank; each view counts with its own image size.
        cameras: the target frames, one per latent frame: [T], T >= 2.
        max_references: most views to return.
        feature_extractor: pictures to features, used only when too many views are found; None uses
            ``grid_colour_features``, which needs no download.
        quality: pictures to quality, used likewise; None uses ``image_quality``.
        shortcuts: per target frame 1..T-1, a bank index whose score is raised by 1, or None (see ``order``).
        near, far: ends of the view volumes along the corner rays, scene units.
        method: see above; ``feature_extractor``, ``quality``, ``shortcuts``, ``near`` and ``far`` belong to
            "frustum overlap".
        progress: called while the views of a new memory are looked through for "visible points"; it may raise
            to interrupt.

    Raises: WorldStereoError for an unknown method, an empty bank, no reference wanted, cameras that are none,
        or fewer than two target frames.
    """
    cameras = cameras.cameras if isinstance(cameras, Trajectory) else cameras
    _check_request(memory, cameras, max_references, shortcuts)
    if method == "visible points":
        matches = _match_by_points(memory, cameras[1:], max_references, progress)
        if matches is not None:
            return _gather_references(memory, matches, None)
        logger.warning(
            "references: the trajectory sees no point that a view of the memory has seen, so views are "
            "chosen by the overlap of view volumes. Check that trajectory and memory use the same units."
        )
    elif method != "frustum overlap":
        raise WorldStereoError(f'method: got "{method}", expected frustum overlap or visible points.')
    bank = views_to_frusta(memory.views, near, far)
    cameras = cameras.to(bank.lower.device)[1:]
    sizes = torch.tensor([[cameras.height, cameras.width]]).expand(cameras.num_frames, 2)
    targets = cameras_to_frusta(cameras.w2c, cameras.K, sizes, near, far)
    matches = best_views(targets, bank, shortcuts)
    selected = None
    if len(first_slots(matches.bank_indices)) > max_references:
        found = [memory.views[index] for index in matches.bank_indices.tolist()]
        selected = select_views(found, max_references, feature_extractor, quality)
        kept = matches.bank_indices[torch.tensor(selected, device=matches.bank_indices.device)]
        matches = best_views(targets, bank[kept])
        matches = Matches(kept[matches.bank_indices], matches.scores, matches.angles_deg)
    if (matches.scores <= 0).any():
        logger.warning(
            "references: %d of %d target frames overlap with no view of the memory; their references show "
            "something else. Check that trajectory and memory use the same units.",
            int((matches.scores <= 0).sum()),
            len(matches.scores),
        )
    return _gather_references(memory, matches, selected)


def _match_by_points(
    memory: GeometricMemory, targets: Cameras, most: int, progress: Callable[[int, int], None] | None
) -> Matches | None:
    """Matches among the views that cover the targets' points; None if they have no points in common."""
    sight = bank_sight(memory, progress)
    forward = targets.w2c[:, 2, :3].float().cpu()
    angles = torch.rad2deg(torch.acos((forward @ sight.forward.T).clamp(-1, 1)))
    seen = seen_points(sight.sample, targets)
    wanted = detail_of(
        sight.sample, seen, targets.w2c.float().cpu(), targets.K[:, 0, 0].cpu() / targets.width
    )
    # A far view of everything does not stand for a near one: half as large counts half.
    detail = (sight.detail / wanted.clamp_min(1e-30)[:, None]).clamp(max=1)
    found = cover(sight, seen, angle_penalty(angles) * detail, min(most, targets.num_frames))
    if not found.chosen:
        return None
    chosen = torch.tensor(found.chosen)
    own = _own_frames(found.scores[:, chosen])
    indices = chosen[own]
    rows = torch.arange(len(own))
    return Matches(indices, found.scores[rows, indices], angles[rows, indices])


def _own_frames(scores: Tensor) -> Tensor:
    """[T] which of C <= T views each frame takes: its best, but no view goes without a frame."""
    taken = scores.argmax(dim=1)
    settled = torch.zeros(len(scores), dtype=torch.bool)
    for view in range(scores.shape[1]):
        frames = (taken == view) & ~settled
        if not bool(frames.any()):
            # A frame whose view another frame shows too gives way, if there is one.
            counts = torch.bincount(taken, minlength=scores.shape[1])
            frames = (counts[taken] > 1) & ~settled
        frame = int(torch.where(frames, scores[:, view], -torch.inf).argmax())
        taken[frame], settled[frame] = view, True
    return taken


def _gather_references(memory: GeometricMemory, matches: Matches, selected: list[int] | None) -> References:
    slots = torch.tensor(first_slots(matches.bank_indices))
    indices = matches.bank_indices.cpu()[slots]
    views = tuple(memory.views[index] for index in indices.tolist())
    return References(
        views=views,
        slots=slots,
        w2c=torch.stack([view.w2c for view in views]),
        K=torch.stack([view.K for view in views]),
        scores=matches.scores.cpu()[slots],
        bank_indices=indices,
        matches=matches,
        selected_slots=None if selected is None else tuple(selected),
    )


def _check_request(
    memory: GeometricMemory, cameras: Cameras, max_references: int, shortcuts: Sequence[int | None] | None
) -> None:
    if max_references < 1:
        raise WorldStereoError(
            f"max_references: got {max_references}, expected at least 1. A memory model always needs a "
            "reference; use the camera variant to generate without any."
        )
    if not memory.views:
        raise WorldStereoError(
            "memory: its bank holds no views, expected at least the input image. "
            "Create the memory from an image, or load one that was saved with its views."
        )
    check_cameras("trajectory", cameras)
    if cameras.num_frames < 2:
        raise ShapeError(
            f"trajectory: got {cameras.num_frames} frame(s), expected at least 2, since the first frame "
            "shows the start image and takes no reference. Build a longer trajectory."
        )
    if shortcuts is not None and len(shortcuts) != cameras.num_frames - 1:
        raise ShapeError(
            f"shortcuts: got {len(shortcuts)} entries, expected {cameras.num_frames - 1}: one for every "
            "target frame but the first."
        )
