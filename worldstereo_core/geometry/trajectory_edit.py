"""Changes of whole trajectories: time, order, joining, mirror, smoothing, handheld shake.

Each returns a new trajectory. Where a change can keep the first camera, it keeps it exactly: the first frame
of a clip is the picture it starts with.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..checks import PathError
from .cameras import Cameras
from .path_spline import aligned_signs, path_lengths
from .poses import invert_se3, matrix_to_quaternion, quaternion_to_matrix, slerp
from .trajectory import EASINGS, Trajectory, cameras_at, check_choice

MIRRORS = ("left-right", "up-down")
# Handheld shake: frequencies as multiples of the main one, and how strong each is. Amplitudes that fall with
# the frequency are what hands do.
_SHAKE_BANDS = ((0.5, 1.0), (1.0, 0.8), (2.0, 0.4), (4.0, 0.2))
MAX_FRAMES = 100_000


def retimed(trajectory: Trajectory, speed: float = 1.0, easing: str = "linear") -> Trajectory:
    """The same way at another speed.

    Args:
        speed: 2 passes it in half the frames, 0.5 in twice as many; first and last camera stay.
        easing: progress along the old frames over time, one of ``trajectory.EASINGS``.
    """
    check_choice("easing", easing, tuple(EASINGS))
    _check_number("speed", speed, 0.0)
    last = trajectory.num_frames - 1
    num_frames = round(last / speed) + 1 if last else 1
    _check_frames(num_frames)
    num_frames = max(num_frames, min(2, trajectory.num_frames))
    return _at(trajectory, EASINGS[easing](torch.linspace(0, 1, num_frames, dtype=torch.float64)) * last)


def even_speed(trajectory: Trajectory, scale: float = 1.0) -> Trajectory:
    """The same way and number of frames at constant speed; see ``path_spline.path_lengths`` for ``scale``."""
    _check_number("scale", scale, 0.0)
    length = path_lengths(_c2w(trajectory), scale)
    if length[-1] <= 0:
        return trajectory
    wanted = torch.linspace(0, 1, trajectory.num_frames, dtype=torch.float64) * length[-1]
    after = torch.searchsorted(length, wanted, right=True).clamp(1, len(length) - 1)
    before = after - 1
    step = length[after] - length[before]
    share = torch.where(step > 0, (wanted - length[before]) / step.clamp(min=1e-300), 1.0).clamp(0, 1)
    return _at(trajectory, before + share)


def backwards(trajectory: Trajectory) -> Trajectory:
    """The frames in reverse order: the clip starts at the old end."""
    frames = list(range(trajectory.num_frames - 1, -1, -1))
    forwards = trajectory.name.removesuffix(", backwards")
    name = forwards if forwards != trajectory.name else f"{forwards}, backwards"[:200]
    return replace(trajectory, cameras=trajectory.cameras[frames], name=name)


def there_and_back(trajectory: Trajectory) -> Trajectory:
    """The frames, then the same way back to the first camera; the last frame is not doubled."""
    last = trajectory.num_frames - 1
    _check_frames(2 * last + 1)
    frames = [*range(last + 1), *range(last - 1, -1, -1)]
    return replace(
        trajectory, cameras=trajectory.cameras[frames], name=_renamed(trajectory.name, "there and back")
    )


def loop_closed(trajectory: Trajectory, return_frames: int = 20) -> Trajectory:
    """The frames, then a new way to the first camera without a jump in speed.

    Args:
        return_frames: frames added; the last of them is the first camera again.

    Returns:
        T + ``return_frames`` frames. Places follow a cubic curve with the speeds of both ends, rotations the
        shorter arc, K a straight line.
    """
    _check_count("return frames", return_frames, 1)
    _check_frames(trajectory.num_frames + return_frames)
    c2w = _c2w(trajectory)
    start, end = c2w[-1], c2w[0]
    leaving = start[:3, 3] - c2w[max(len(c2w) - 2, 0), :3, 3]
    arriving = c2w[min(1, len(c2w) - 1), :3, 3] - end[:3, 3]
    u = torch.linspace(0, 1, return_frames + 1, dtype=torch.float64)[1:, None]
    way = torch.eye(4, dtype=torch.float64).repeat(return_frames, 1, 1)
    way[:, :3, 3] = (
        (2 * u**3 - 3 * u**2 + 1) * start[:3, 3]
        + (u**3 - 2 * u**2 + u) * leaving * return_frames
        + (3 * u**2 - 2 * u**3) * end[:3, 3]
        + (u**3 - u**2) * arriving * return_frames
    )
    progress = EASINGS["smooth"](u[:, 0])
    turn_from, turn_to = matrix_to_quaternion(c2w[[-1, 0], :3, :3])[:, None].expand(2, return_frames, 4)
    way[:, :3, :3] = quaternion_to_matrix(slerp(turn_from, turn_to, progress))
    K = trajectory.K.detach().cpu().double()
    back = Cameras(
        invert_se3(way).to(trajectory.w2c),
        torch.lerp(K[-1], K[0], progress[:, None, None]).to(trajectory.K),
        trajectory.height,
        trajectory.width,
    )
    # The last frame is the first camera to the bit.
    back = _chained(back[: return_frames - 1], trajectory.cameras[:1])
    return replace(
        trajectory,
        cameras=_chained(trajectory.cameras, back),
        name=_renamed(trajectory.name, "closed"),
    )


def joined(first: Trajectory, second: Trajectory, moves_second: bool = True) -> Trajectory:
    """One trajectory after another.

    Args:
        moves_second: move the second rigidly so that it starts at the last camera of the first; that camera
            is then not doubled. Otherwise both stay where they are, and the picture may jump.

    Raises: PathError if they differ in picture size or frame rate.
    """
    if (first.height, first.width) != (second.height, second.width):
        raise PathError(
            f"other: is made for {second.width} x {second.height} pixels, expected {first.width} x "
            f"{first.height} as the trajectory is. Build it for that width and height."
        )
    if abs(first.fps - second.fps) > 1e-6 * first.fps:
        raise PathError(
            f"other: has {second.fps:g} frames per second, expected {first.fps:g} as the trajectory has. "
            "Give both the same frame rate."
        )
    _check_frames(first.num_frames + second.num_frames)
    cameras = second.cameras
    if moves_second:
        cameras = starting_at(second, first.w2c[-1]).cameras
        cameras = cameras[1:]
    pivot = first.pivot if first.pivot == second.pivot else None
    return replace(
        first,
        cameras=_chained(first.cameras, cameras),
        pivot=pivot,
        name=f"{first.name}, then {second.name}"[:200],
    )


def starting_at(trajectory: Trajectory, w2c: Tensor) -> Trajectory:
    """The trajectory moved rigidly so that its first camera is ``w2c`` [4, 4]."""
    old = invert_se3(trajectory.w2c[0].detach().cpu().double())
    new = invert_se3(w2c.detach().cpu().double())
    transform = new @ invert_se3(old)
    moved = invert_se3(transform @ _c2w(trajectory)).to(trajectory.w2c)
    moved[0] = w2c.to(moved)
    pivot = None
    if trajectory.pivot is not None:
        x, y, z = (transform[:3, :3] @ transform.new_tensor(trajectory.pivot) + transform[:3, 3]).tolist()
        pivot = (x, y, z)
    return replace(trajectory, cameras=replace(trajectory.cameras, w2c=moved), pivot=pivot)


def mirrored(trajectory: Trajectory, mirror: str = "left-right") -> Trajectory:
    """The mirror image of the move in the axes of its first camera: what went right goes left.

    Lenses stay as they are, and so does the first camera.
    """
    check_choice("mirror", mirror, MIRRORS)
    flip = torch.eye(4, dtype=torch.float64)
    axis = MIRRORS.index(mirror)
    flip[axis, axis] = -1
    c2w = _c2w(trajectory)
    first = c2w[0]
    image = first @ flip @ invert_se3(first) @ c2w @ flip
    w2c = invert_se3(image).to(trajectory.w2c)
    w2c[0] = trajectory.w2c[0]
    pivot = None
    if trajectory.pivot is not None:
        point = torch.tensor([*trajectory.pivot, 1.0], dtype=torch.float64)
        x, y, z, _ = (first @ flip @ invert_se3(first) @ point).tolist()
        pivot = (x, y, z)
    return replace(
        trajectory,
        cameras=replace(trajectory.cameras, w2c=w2c),
        pivot=pivot,
        name=_renamed(trajectory.name, "mirrored"),
    )


def smoothed(trajectory: Trajectory, frames: float = 2.0) -> Trajectory:
    """The move without its tremor: a Gaussian over neighbouring frames; first and last camera stay.

    Args:
        frames: standard deviation of the Gaussian, in frames.
    """
    _check_number("smooth frames", frames, 0.0)
    last = trajectory.num_frames - 1
    reach = min(math.ceil(3 * frames), last)
    if reach < 1:
        return trajectory
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (offsets / frames) ** 2)
    weights = weights / weights.sum()
    c2w = _c2w(trajectory)
    # Beyond its ends the move goes on point-mirrored at the end, so that the ends stay where they are.
    centers = _windows(_mirrored_on(c2w[:, :3, 3], reach), reach)
    quaternions = aligned_signs(matrix_to_quaternion(c2w[:, :3, :3]))
    turns = _windows(_turned_on(quaternions, reach), reach)
    sign = torch.where((turns * quaternions[:, None]).sum(-1, keepdim=True) < 0, -1.0, 1.0).to(turns)
    smooth = c2w.clone()
    smooth[:, :3, 3] = (weights[:, None] * centers).sum(1)
    smooth[:, :3, :3] = quaternion_to_matrix(normalize((weights[:, None] * sign * turns).sum(1), dim=-1))
    w2c = invert_se3(smooth).to(trajectory.w2c)
    w2c[0], w2c[-1] = trajectory.w2c[0], trajectory.w2c[-1]
    return replace(trajectory, cameras=replace(trajectory.cameras, w2c=w2c))


def shaken(
    trajectory: Trajectory,
    amount_deg: float = 0.5,
    travel: float = 0.0,
    frequency: float = 2.0,
    seed: int = 0,
) -> Trajectory:
    """The move as if the camera were held by hand: small seeded turns and shifts, none at the first frame.

    Args:
        amount_deg: standard deviation of the turn about each of the camera's axes, degrees.
        travel: standard deviation of the shift along each of the camera's axes, scene units.
        frequency: main frequency of the shake, Hz at the trajectory's frame rate.
        seed: the same seed gives the same shake on every machine.
    """
    for label, value in (("shake amount", amount_deg), ("shake travel", travel)):
        if not (math.isfinite(value) and value >= 0):
            raise PathError(f"{label}: got {value}, expected a finite number, 0 or more. Correct it.")
    _check_number("shake frequency", frequency, 0.0)
    generator = random.Random(seed)
    seconds = torch.arange(trajectory.num_frames, dtype=torch.float64) / trajectory.fps
    noise = torch.stack([_tremor(generator, seconds * frequency) for _ in range(6)], dim=-1)
    c2w = _c2w(trajectory)
    half = torch.deg2rad(noise[:, :3] * amount_deg) / 2
    angle = half.norm(dim=-1, keepdim=True)
    factor = torch.where(angle > 0, torch.sin(angle) / angle.clamp(min=1e-300), 1.0)
    turn = torch.eye(4, dtype=torch.float64).repeat(len(c2w), 1, 1)
    turn[:, :3, :3] = quaternion_to_matrix(torch.cat([torch.cos(angle), half * factor], dim=-1))
    turn[:, :3, 3] = travel * noise[:, 3:]
    w2c = invert_se3(c2w @ turn).to(trajectory.w2c)
    w2c[0] = trajectory.w2c[0]
    return replace(
        trajectory,
        cameras=replace(trajectory.cameras, w2c=w2c),
        name=_renamed(trajectory.name, "handheld"),
    )


def _tremor(generator: random.Random, cycles: Tensor) -> Tensor:
    """A sum of sines of standard deviation 1 over [T] cycles of the main frequency, 0 at the first."""
    power = sum(strength**2 for _, strength in _SHAKE_BANDS) / 2
    total = torch.zeros_like(cycles)
    for multiple, strength in _SHAKE_BANDS:
        rate, phase = multiple * generator.uniform(0.8, 1.2), generator.uniform(0, 2 * math.pi)
        total += strength / math.sqrt(power) * torch.sin(2 * math.pi * rate * cycles + phase)
    return total - total[0]


def _mirrored_on(values: Tensor, reach: int) -> Tensor:
    """[T, ...] continued by ``reach`` entries on both sides, point-mirrored at the ends."""
    before = 2 * values[:1] - values[1 : reach + 1].flip(0)
    after = 2 * values[-1:] - values[-reach - 1 : -1].flip(0)
    return torch.cat([before, values, after])


def _turned_on(quaternions: Tensor, reach: int) -> Tensor:
    """The same for rotations: q0 q^-1 q0 turns as far the other way."""
    rotations = quaternion_to_matrix(quaternions)
    before = rotations[:1] @ rotations[1 : reach + 1].flip(0).mT @ rotations[:1]
    after = rotations[-1:] @ rotations[-reach - 1 : -1].flip(0).mT @ rotations[-1:]
    return matrix_to_quaternion(torch.cat([before, rotations, after]))


def _windows(values: Tensor, reach: int) -> Tensor:
    """[T, 2 * reach + 1, C] neighbours of each entry."""
    return values.unfold(0, 2 * reach + 1, 1).mT


def _at(trajectory: Trajectory, position: Tensor) -> Trajectory:
    return replace(trajectory, cameras=cameras_at(trajectory.cameras, position.to(trajectory.w2c.device)))


def _c2w(trajectory: Trajectory) -> Tensor:
    return invert_se3(trajectory.w2c.detach().cpu().double())


def _chained(first: Cameras, second: Cameras) -> Cameras:
    return replace(
        first,
        w2c=torch.cat([first.w2c, second.w2c.to(first.w2c)]),
        K=torch.cat([first.K, second.K.to(first.K)]),
    )


def _renamed(name: str, what: str) -> str:
    return name if name.endswith(what) else f"{name}, {what}"[:200]


def _check_number(label: str, value: float, low: float) -> None:
    if not (math.isfinite(value) and value > low):
        raise PathError(f"{label}: got {value}, expected a finite number above {low:g}. Correct the number.")


def _check_count(label: str, value: int, low: int) -> None:
    if value < low:
        raise PathError(f"{label}: got {value}, expected at least {low}. Ask for more.")


def _check_frames(count: int) -> None:
    if count > MAX_FRAMES:
        raise PathError(
            f"trajectory: would have {count} frames, expected at most {MAX_FRAMES}. Sample it down first."
        )
