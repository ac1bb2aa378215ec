"""Camera trajectories: one camera per frame, and the presets that make them from a start camera.

Directions are the camera's own at the start: "orbit right" moves the camera to its right around the pivot,
"pan right" turns it to its right. Angles are degrees only where a name ends in ``_deg``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..checks import PathError, check_shape
from .cameras import Cameras, check_cameras, look_at
from .poses import invert_se3, matrix_to_quaternion, quaternion_to_matrix, slerp

DEFAULT_FPS = 16.0
DEFAULT_ZOOM = 1.5


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One camera per frame, with a rate and an origin.

    Attributes:
        cameras: T cameras of one image size.
        fps: frames per second the trajectory is meant for.
        name: what the user calls it, e.g. ``"orbit right 30°"``.
        source: where it came from, e.g. ``"preset"`` or a file name.
        pivot: world point the move was built around, scene units, or None.
    """

    cameras: Cameras
    fps: float = DEFAULT_FPS
    name: str = "trajectory"
    source: str = ""
    pivot: tuple[float, float, float] | None = None

    @property
    def w2c(self) -> Tensor:
        return self.cameras.w2c

    @property
    def K(self) -> Tensor:
        return self.cameras.K

    @property
    def height(self) -> int:
        return self.cameras.height

    @property
    def width(self) -> int:
        return self.cameras.width

    @property
    def num_frames(self) -> int:
        return self.cameras.num_frames

    @property
    def way(self) -> float:
        """How far the camera travels, scene units."""
        return float(self.cameras.centers.double().diff(dim=0).norm(dim=-1).sum())

    def resampled(self, num_frames: int) -> Trajectory:
        """The same move in another number of frames; first and last camera stay.

        Fewer frames are picked from those there are, as the released model picks its key frames. More frames
        are interpolated: centres and K on straight lines, rotations along the shorter arc.
        """
        if num_frames < 1:
            raise PathError(f"frames: got {num_frames}, expected at least 1. Ask for one frame or more.")
        if num_frames == self.num_frames:
            return self
        if num_frames < self.num_frames:
            return replace(self, cameras=self.cameras[evenly_spaced_frames(self.num_frames, num_frames)])
        position = torch.linspace(
            0, self.num_frames - 1, num_frames, device=self.w2c.device, dtype=torch.float64
        )
        return replace(self, cameras=cameras_at(self.cameras, position))

    def fps_of(self, num_frames: int) -> float:
        """Rate at which so many frames of the same move, first and last included, take as long."""
        if min(num_frames, self.num_frames) < 2:
            return self.fps
        return self.fps * (num_frames - 1) / (self.num_frames - 1)

    def resized(self, height: int, width: int) -> Trajectory:
        """The same move for pictures stretched to another size."""
        return replace(self, cameras=self.cameras.resized(height, width))


def evenly_spaced_frames(num_frames: int, count: int) -> list[int]:
    """``count`` of ``num_frames`` indices from first to last, positions between frames rounded down."""
    if count == 1:
        return [0]
    return [index * (num_frames - 1) // (count - 1) for index in range(count)]


def cameras_at(cameras: Cameras, position: Tensor) -> Cameras:
    """Cameras between the given ones: centres and K on straight lines, rotations along the shorter arc.

    Args:
        cameras: T cameras.
        position: [M] float64, frame numbers 0..T-1 with fractions, on the cameras' device.
    """
    last, num_frames = cameras.num_frames - 1, len(position)
    before = position.floor().long().clamp(max=max(last - 1, 0))
    after = (before + 1).clamp(max=last)
    fraction = position - before
    c2w = invert_se3(cameras.w2c.double())
    quaternion = matrix_to_quaternion(c2w[:, :3, :3])
    between = torch.eye(4, dtype=torch.float64, device=c2w.device).repeat(num_frames, 1, 1)
    between[:, :3, :3] = quaternion_to_matrix(slerp(quaternion[before], quaternion[after], fraction))
    between[:, :3, 3] = torch.lerp(c2w[before, :3, 3], c2w[after, :3, 3], fraction[:, None])
    w2c = invert_se3(between).to(cameras.w2c)
    K = torch.lerp(cameras.K[before].double(), cameras.K[after].double(), fraction[:, None, None]).to(
        cameras.K
    )
    # Frames that fall on a given camera keep its very numbers.
    given = (fraction == 0) | (fraction == 1)
    nearest = torch.where(fraction == 1, after, before)
    w2c = torch.where(given[:, None, None], cameras.w2c[nearest], w2c)
    return replace(cameras, w2c=w2c, K=K)


# Easings map time 0..1 to progress 0..1.
EASINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda time: time,
    "smooth": lambda time: time * time * (3 - 2 * time),
    "ease in": lambda time: time * time,
    "ease out": lambda time: time * (2 - time),
}


@dataclass(frozen=True)
class _Move:
    """How far a preset goes: everything its formula may use."""

    progress: Tensor  # [T] float64, 0 at the start, 1 at the end
    angle: float  # radians at the end
    distance: float  # scene units at the end
    pivot_depth: float  # scene units


def _turn(axis: int, angle: Tensor) -> Tensor:
    """[T, 4, 4] right-handed rotations about one of the start camera's axes (0 = x, 1 = y, 2 = z)."""
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    turn = torch.eye(4, dtype=angle.dtype).repeat(len(angle), 1, 1)
    turn[:, i, i] = turn[:, j, j] = torch.cos(angle)
    turn[:, j, i] = torch.sin(angle)
    turn[:, i, j] = -turn[:, j, i]
    return turn


def _shift(*offsets: Tensor) -> Tensor:
    """[T, 4, 4] translations by x, y, z."""
    shift = torch.eye(4, dtype=offsets[0].dtype).repeat(len(offsets[0]), 1, 1)
    shift[:, :3, 3] = torch.stack(offsets, dim=-1)
    return shift


def _travel(axis: int, sign: int) -> Callable[[_Move], Tensor]:
    def move(given: _Move) -> Tensor:
        offsets = [torch.zeros_like(given.progress) for _ in range(3)]
        offsets[axis] = sign * given.distance * given.progress
        return _shift(*offsets)

    return move


def _rotate(axis: int, sign: int) -> Callable[[_Move], Tensor]:
    return lambda given: _turn(axis, sign * given.angle * given.progress)


def _orbit(axis: int, sign: int) -> Callable[[_Move], Tensor]:
    def move(given: _Move) -> Tensor:
        zero = torch.zeros_like(given.progress)
        depth = zero + given.pivot_depth
        turn = _turn(axis, sign * given.angle * given.progress)
        return _shift(zero, zero, depth) @ turn @ _shift(zero, zero, -depth)

    return move


def _spiral(given: _Move) -> Tensor:
    """One turn around the view axis, winding outwards, looking at the pivot all the time."""
    radius, turn = given.distance * given.progress, 2 * math.pi * given.progress
    eye = torch.stack([radius * torch.cos(turn), -radius * torch.sin(turn), torch.zeros_like(radius)], dim=-1)
    target = torch.tensor([0.0, 0.0, given.pivot_depth], dtype=eye.dtype).expand_as(eye)
    return invert_se3(look_at(eye, target))


# Each preset gives the moved camera in the axes of the start camera: [T, 4, 4], identity at progress 0.
# Right is +x, up is -y, forward is +z; a positive turn about y brings z towards x, one about x brings z
# towards -y, one about z brings x (the right side) towards y (down).
_MOVES: dict[str, Callable[[_Move], Tensor]] = {
    "static": lambda given: _shift(*[torch.zeros_like(given.progress)] * 3),
    "dolly in": _travel(2, +1),
    "dolly out": _travel(2, -1),
    "truck left": _travel(0, -1),
    "truck right": _travel(0, +1),
    "pedestal up": _travel(1, -1),
    "pedestal down": _travel(1, +1),
    "pan left": _rotate(1, -1),
    "pan right": _rotate(1, +1),
    "tilt up": _rotate(0, +1),
    "tilt down": _rotate(0, -1),
    "roll left": _rotate(2, -1),
    "roll right": _rotate(2, +1),
    "orbit left": _orbit(1, +1),
    "orbit right": _orbit(1, -1),
    "orbit up": _orbit(0, -1),
    "orbit down": _orbit(0, +1),
    "spiral": _spiral,
    "zoom in": lambda given: _shift(*[torch.zeros_like(given.progress)] * 3),
    "zoom out": lambda given: _shift(*[torch.zeros_like(given.progress)] * 3),
}
PRESETS = tuple(_MOVES)


def build_trajectory(
    preset: str,
    *,
    start: tuple[Tensor, Tensor],
    height: int,
    width: int,
    amount_deg: float = 30.0,
    distance: float = 0.5,
    easing: str = "smooth",
    num_frames: int = 21,
    focal_end: float = 1.0,
    pivot_depth: float = 1.0,
    fps: float = DEFAULT_FPS,
    name: str | None = None,
) -> Trajectory:
    """Build a camera move from a preset.

    Args:
        preset: one of ``PRESETS``.
        start: w2c [4, 4] and K [3, 3] (pixels of a ``height`` x ``width`` image) of the first frame.
        height, width: picture size of the whole trajectory, pixels.
        amount_deg: how far pan, tilt, roll and orbit turn, degrees.
        distance: how far dolly, truck and pedestal travel and how far out the spiral's one turn ends, in
            units of ``pivot_depth``.
        easing: one of ``EASINGS``.
        num_frames: T.
        focal_end: focal length of the last frame as a multiple of the first, changing by equal ratios. The
            zoom presets decide the direction themselves (2 and 0.5 mean the same) and take 1.5 instead
            of 1.
        pivot_depth: depth of the pivot straight ahead of the start camera, scene units; the memory's median
            depth.
        fps: frames per second.
        name: default is preset and amount.

    Returns:
        The trajectory; its first camera equals ``start`` exactly.

    Raises: PathError for an unknown preset or easing, numbers out of range, or an unusable start camera.
    """
    w2c, K = start
    check_shape("start camera: world-to-camera matrix", w2c, (4, 4))
    check_shape("start camera: K", K, (3, 3))
    check_cameras("start camera", Cameras(w2c[None], K[None], height, width))
    check_choice("preset", preset, PRESETS)
    check_choice("easing", easing, tuple(EASINGS))
    if num_frames < 1:
        raise PathError(f"frames: got {num_frames}, expected at least 1. A released clip has 21 key frames.")
    for label, value, low in (
        ("amount", amount_deg, None),
        ("distance", distance, None),
        ("focal length at end", focal_end, 0.0),
        ("pivot depth", pivot_depth, 0.0),
        ("fps", fps, 0.0),
    ):
        if not math.isfinite(value) or (low is not None and value <= low):
            wanted = "a finite number" if low is None else f"a finite number above {low:g}"
            raise PathError(f"{label}: got {value}, expected {wanted}. Correct the number.")

    time = torch.linspace(0, 1, num_frames, dtype=torch.float64)
    move = _Move(EASINGS[easing](time), math.radians(amount_deg), distance * pivot_depth, pivot_depth)
    moved = _MOVES[preset](move).to(w2c.device)  # camera of frame t in the axes of the start camera
    frames = invert_se3(moved) @ w2c.double()

    focal_ratio = _focal_ratio(preset, focal_end) ** move.progress
    K_frames = K.double().repeat(num_frames, 1, 1)
    K_frames[:, :2, :2] *= focal_ratio[:, None, None].to(K.device)
    pivot = invert_se3(w2c.double()) @ w2c.new_tensor([0, 0, pivot_depth, 1], dtype=torch.float64)
    return Trajectory(
        cameras=Cameras(frames.to(w2c.dtype), K_frames.to(K.dtype), height, width),
        fps=fps,
        name=_name(preset, amount_deg) if name is None else name,
        source="preset",
        pivot=(float(pivot[0]), float(pivot[1]), float(pivot[2])),
    )


def _focal_ratio(preset: str, focal_end: float) -> float:
    if not preset.startswith("zoom"):
        return focal_end
    closer = DEFAULT_ZOOM if focal_end == 1 else max(focal_end, 1 / focal_end)
    return closer if preset == "zoom in" else 1 / closer


def _name(preset: str, amount_deg: float) -> str:
    turns = preset.split()[0] in ("pan", "tilt", "roll", "orbit")
    return f"{preset} {amount_deg:g}°" if turns else preset


def check_choice(label: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise PathError if a word is none of the choices."""
    if value not in choices:
        raise PathError(f"{label}: got {value!r}, expected one of: {', '.join(choices)}. Choose one of them.")
