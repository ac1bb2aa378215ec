"""Similarities (scale, rotation, translation) between two worlds, and how matched points determine one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..checks import WorldStereoError, check_shape
from .cameras import RIGID_TOLERANCE
from .trajectory import Trajectory

MIN_MATCHES = 3
# Matches further off than this many median errors are taken for wrong ones.
_TRIM = 3.0


@dataclass(frozen=True, eq=False)
class Similarity:
    """x_new = scale * rotation @ x + translation.

    Attributes:
        scale: greater than 0.
        rotation: [3, 3], determinant +1.
        translation: [3], in units of the new world.

    Raises: WorldStereoError if it is none.
    """

    scale: float
    rotation: Tensor
    translation: Tensor

    def __post_init__(self) -> None:
        check_shape("rotation", self.rotation, (3, 3))
        check_shape("translation", self.translation, (3,))
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise WorldStereoError(f"scale: got {self.scale}, expected a number above 0. 1 keeps the size.")
        if not bool(torch.isfinite(self.translation).all()):
            raise WorldStereoError(
                f"translation: got {self.translation.tolist()}, expected finite numbers. 0, 0, 0 moves "
                "nothing."
            )
        rotation = self.rotation.double()
        off = (rotation @ rotation.mT - torch.eye(3, dtype=torch.float64, device=rotation.device)).abs().max()
        # Written so that NaN fails too.
        if not (float(off) <= RIGID_TOLERANCE and float(torch.linalg.det(rotation)) > 0):
            raise WorldStereoError(
                f"rotation: got a matrix that differs from a rotation by {float(off):.3g} (largest entry of "
                f"R R^T - 1; determinant {float(torch.linalg.det(rotation)):.3g}), expected a rotation "
                "without scale, shear or mirror. Give the scale on its own."
            )

    @classmethod
    def of(
        cls,
        scale: float = 1.0,
        rotation: Tensor | None = None,
        translation: Tensor | tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> Similarity:
        """A similarity of the parts given; what is left out changes nothing."""
        turn = torch.eye(3, dtype=torch.float64) if rotation is None else rotation.double()
        return cls(float(scale), turn, torch.as_tensor(translation, dtype=torch.float64))

    @classmethod
    def about(
        cls,
        pivot: Tensor | tuple[float, float, float],
        *,
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
        scale: float = 1.0,
        move: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> Similarity:
        """Turn and scale about a point, then move.

        Args:
            pivot: [3] the point that only ``move`` moves.
            yaw, pitch, roll: radians, applied as roll, pitch, yaw. Positive yaw turns what is ahead to the
                right, positive pitch turns it up, positive roll lowers the right side.
            scale: greater than 0.
            move: right, down, forward, in units of the world before.

        Convention: OpenCV axes.
        """
        rotation = _turn(2, 0, yaw) @ _turn(1, 2, pitch) @ _turn(0, 1, roll)
        centre = torch.as_tensor(pivot, dtype=torch.float64)
        shift = torch.tensor(move, dtype=torch.float64)
        return cls(float(scale), rotation, centre + shift - scale * (rotation @ centre))

    @classmethod
    def from_matrix(cls, matrix: Tensor) -> Similarity:
        """The similarity that a [4, 4] matrix writes down.

        Raises: WorldStereoError if the matrix shears, mirrors, or its last row is not 0 0 0 1.
        """
        check_shape("matrix", matrix, (4, 4))
        matrix = matrix.double()
        volume = float(torch.linalg.det(matrix[:3, :3]))
        if matrix[3].tolist() != [0, 0, 0, 1] or not volume > 0:
            raise WorldStereoError(
                f"matrix: got last row {matrix[3].tolist()} and determinant {volume:.4g}, expected 0 0 0 1 "
                "and a number above 0. Give rotation times scale, the shift in the last column."
            )
        scale = volume ** (1 / 3)
        return cls(scale, matrix[:3, :3] / scale, matrix[:3, 3])

    @property
    def inverse(self) -> Similarity:
        """The similarity that undoes this one."""
        rotation = self.rotation.mT
        return Similarity(1 / self.scale, rotation, -(rotation @ self.translation) / self.scale)

    def after(self, first: Similarity) -> Similarity:
        """The similarity that applies ``first`` and then this one."""
        return Similarity(
            self.scale * first.scale,
            self.rotation @ first.rotation,
            self.scale * (self.rotation @ first.translation) + self.translation,
        )

    def to_points(self, xyz: Tensor) -> Tensor:
        """Move points [..., 3]; computed in float64, returned in their dtype."""
        rotation, translation = self.rotation.to(xyz.device), self.translation.to(xyz.device)
        return (self.scale * (xyz.double() @ rotation.double().mT) + translation.double()).to(xyz.dtype)

    def to_directions(self, directions: Tensor) -> Tensor:
        """Turn unit vectors [..., 3]."""
        return (directions.double() @ self.rotation.to(directions.device).double().mT).to(directions.dtype)

    def to_w2c(self, w2c: Tensor) -> Tensor:
        """Move cameras [..., 4, 4] along, so that they see the moved world as they saw the old one.

        Camera coordinates come out ``scale`` times as large; w2c stays rigid.
        """
        rotation, translation = (
            self.rotation.to(w2c.device).double(),
            self.translation.to(w2c.device).double(),
        )
        moved = w2c.double().clone()
        moved[..., :3, :3] = w2c[..., :3, :3].double() @ rotation.mT
        moved[..., :3, 3] = self.scale * w2c[..., :3, 3].double() - moved[..., :3, :3] @ translation
        return moved.to(w2c.dtype)


def move_trajectory(trajectory: Trajectory, similarity: Similarity) -> Trajectory:
    """Take cameras along with a world, so that they see the moved one as they saw the old one."""
    pivot = trajectory.pivot
    if pivot is not None:
        x, y, z = similarity.to_points(torch.tensor([pivot], dtype=torch.float64))[0].tolist()
        pivot = (x, y, z)
    return replace(
        trajectory,
        cameras=replace(trajectory.cameras, w2c=similarity.to_w2c(trajectory.w2c)),
        pivot=pivot,
    )


def _turn(axis: int, towards: int, angle: float) -> Tensor:
    """[3, 3] float64 the rotation that turns one axis towards another by an angle in radians."""
    rotation = torch.eye(3, dtype=torch.float64)
    rotation[axis, axis] = rotation[towards, towards] = math.cos(angle)
    rotation[towards, axis], rotation[axis, towards] = math.sin(angle), -math.sin(angle)
    return rotation


@dataclass(frozen=True, eq=False)
class SimilarityFit:
    """A similarity found from matches.

    Attributes:
        similarity: source to target.
        is_inlier: [N] bool, the matches it rests on.
        residual: median distance of those after the fit, target units.
    """

    similarity: Similarity
    is_inlier: Tensor
    residual: float


def fit_similarity(source: Tensor, target: Tensor, weight: Tensor | None = None) -> SimilarityFit:
    """Find the similarity that brings matched points together (Umeyama 1991), without wrong matches.

    Triples of matches are tried first, so that a minority of wrong ones has no say; least squares over the
    matches that follow the best one gives the result. The same input gives the same result.

    Args:
        source, target: [N, 3] matched points in the two worlds.
        weight: [N] >= 0; equal by default.

    Raises: WorldStereoError if there are fewer than 3 finite matches, or all lie on one line.
    """
    count = check_shape("source points", source, ("N", 3))["N"]
    check_shape("target points", target, (count, 3))
    finite = torch.isfinite(source).all(1) & torch.isfinite(target).all(1)
    if int(finite.sum()) < MIN_MATCHES:
        raise WorldStereoError(
            f"matched points: got {int(finite.sum())} matches with finite positions, expected at least "
            f"{MIN_MATCHES}. Match more points, or give the transform."
        )
    a, b = source.double(), target.double()
    share = torch.ones(count, dtype=torch.float64, device=a.device) if weight is None else weight.double()
    share = torch.where(finite, share, 0.0)
    a, b = torch.where(finite[:, None], a, 0.0), torch.where(finite[:, None], b, 0.0)
    best = umeyama(a, b, share)
    errors = _errors(best, a, b)
    for triple in _triples(finite):
        candidate = _umeyama_or_none(a[triple], b[triple])
        if candidate is not None:
            distance = _errors(candidate, a, b)
            if float(distance[finite].median()) < float(errors[finite].median()):
                best, errors = candidate, distance
    extent = float((b[finite] - b[finite].mean(0)).norm(dim=1).median())
    is_inlier = finite
    for _ in range(5):
        limit = max(_TRIM * float(errors[is_inlier].median()), 1e-6 * extent)
        is_inlier = finite & (errors <= limit)
        refined = _umeyama_or_none(a[is_inlier], b[is_inlier], share[is_inlier])
        if refined is None:
            break
        best, errors = refined, _errors(refined, a, b)
    return SimilarityFit(best, is_inlier, float(errors[is_inlier].median()))


def umeyama(source: Tensor, target: Tensor, weight: Tensor) -> Similarity:
    """The similarity of least weighted squared distance, in closed form (Umeyama, PAMI 1991).

    Args:
        source, target: [N, 3] float64, finite.
        weight: [N] >= 0.

    Raises: WorldStereoError if the source points lie on one line or in one place.
    """
    share = weight / weight.sum()
    mean_source, mean_target = share @ source, share @ target
    a, b = source - mean_source, target - mean_target
    covariance = (b * share[:, None]).mT @ a
    u, singular, vt = torch.linalg.svd(covariance)
    if not float(singular[1]) > 1e-9 * float(singular[0]):
        raise WorldStereoError(
            "matched points: all lie on one line or in one place, which leaves a turn around it open; "
            "expected points spread over a surface. Match points that are not in line."
        )
    signs = torch.ones(3, dtype=source.dtype, device=source.device)
    signs[2] = torch.sign(torch.linalg.det(u) * torch.linalg.det(vt))
    rotation = u @ torch.diag(signs) @ vt
    scale = float((singular * signs).sum() / (share @ a.square().sum(1)))
    return Similarity(scale, rotation, mean_target - scale * (rotation @ mean_source))


def _umeyama_or_none(source: Tensor, target: Tensor, weight: Tensor | None = None) -> Similarity | None:
    share = source.new_ones(len(source)) if weight is None else weight
    if len(source) < MIN_MATCHES or not float(share.sum()) > 0:
        return None
    try:
        return umeyama(source, target, share)
    except WorldStereoError:
        # A degenerate triple is no candidate; the full set is checked by the caller.
        return None


def _triples(finite: Tensor) -> list[Tensor]:
    """Up to 64 random triples of usable matches; none where the matches are too few to choose from."""
    usable = finite.nonzero()[:, 0]
    if len(usable) <= MIN_MATCHES:
        return []
    generator = torch.Generator().manual_seed(0)
    picks = torch.rand((64, min(len(usable), 4096)), generator=generator).topk(MIN_MATCHES, dim=1).indices
    every = max(1, len(usable) // 4096)
    return list(usable[::every][picks.to(usable.device)])


def _errors(similarity: Similarity, source: Tensor, target: Tensor) -> Tensor:
    return (similarity.to_points(source) - target).norm(dim=1)
