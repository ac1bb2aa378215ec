"""Sampling a camera path: splines for places, squad for rotations, time or constant speed.

Places: centripetal Catmull-Rom as a cubic Hermite curve (Barry and Goldman 1988; Yuksel, Schaefer and Keyser
2011), cubic Bézier, or straight lines. Rotations: squad (Shoemake 1987), or slerp between straight lines. The
browser's editor computes the same numbers; tests/data/spline_golden.json holds both to them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..checks import PathError
from .camera_path import CameraPath, fov_focal_log
from .cameras import Cameras, look_at
from .poses import invert_se3, quaternion_to_matrix
from .trajectory import EASINGS, Trajectory

# Chords per segment that measure the way along a path for constant speed: 1e-5 of the length.
CHORDS_PER_SEGMENT = 128
# Below this angle in radians a rotation's axis is lost in rounding, and first order is exact.
_TINY_ANGLE = 1e-9


@dataclass(frozen=True)
class PathSamples:
    """A path at M moments.

    Attributes:
        c2w: [M, 4, 4] float64, roll and look-at included.
        fov_deg: [M] float64, horizontal.
    """

    c2w: Tensor
    fov_deg: Tensor


def sample_path(
    path: CameraPath,
    num_frames: int,
    *,
    easing: str = "linear",
    height: int | None = None,
    width: int | None = None,
) -> Trajectory:
    """Turn a path into a trajectory.

    Args:
        path: the waypoints.
        num_frames: T; the first frame is the first waypoint, the last the last one.
        easing: of the whole clip, on top of the waypoints' own; one of ``trajectory.EASINGS``.
        height, width: picture size, pixels; the path's by default. Another aspect is cut as pictures are.

    Raises: PathError for a number of frames below 1, an unknown easing, or a camera that stands on the point
        it is to look at.
    """
    if num_frames < 1:
        raise PathError(f"frames: got {num_frames}, expected at least 1. Ask for one frame or more.")
    if easing not in EASINGS:
        raise PathError(f"easing: got {easing!r}, expected one of: {', '.join(EASINGS)}. Choose one of them.")
    progress = EASINGS[easing](torch.linspace(0, 1, num_frames, dtype=torch.float64))
    samples = evaluate_path(path, progress)
    focal = path.width / (2 * torch.tan(torch.deg2rad(samples.fov_deg) / 2))
    K = torch.eye(3, dtype=torch.float64).repeat(num_frames, 1, 1)
    K[:, 0, 0] = K[:, 1, 1] = focal
    K[:, 0, 2], K[:, 1, 2] = path.width / 2, path.height / 2
    cameras = Cameras(invert_se3(samples.c2w).float(), K.float(), path.height, path.width)
    size = (height or path.height, width or path.width)
    if size != (path.height, path.width):
        cameras = cameras.cropped(*size)
    return Trajectory(cameras, fps=path.fps, name=path.name, source="path", pivot=path.look_at)


def evaluate_path(path: CameraPath, progress: Tensor) -> PathSamples:
    """A path at given moments.

    Args:
        progress: [M] shares 0..1 of the clip's time, or with speed "constant" of the way.
    """
    progress = progress.double()
    if path.speed == "constant":
        position = _positions_at_way(path, progress)
    else:
        position = _positions_at_time(path, progress)
    return _evaluate(path, position)


def _evaluate(path: CameraPath, position: Tensor) -> PathSamples:
    """The path at [M] positions 0..N-1: waypoint number and share of the way to the next."""
    count = len(path.waypoints)
    if count == 1:
        segment = torch.zeros_like(position, dtype=torch.long)
        share = torch.zeros_like(position)
    else:
        segment = position.floor().long().clamp(0, count - 2)
        share = position - segment
    centers = _places(path, segment, share)
    c2w = torch.eye(4, dtype=torch.float64).repeat(len(position), 1, 1)
    c2w[:, :3, 3] = centers
    if path.look_at is None:
        c2w[:, :3, :3] = quaternion_to_matrix(_rotations(path, segment, share))
    else:
        target = torch.tensor(path.look_at, dtype=torch.float64).expand_as(centers)
        c2w[:, :3, :3] = look_at(centers, target)[:, :3, :3].mT
    roll = torch.deg2rad(_numbers(path, [w.roll_deg for w in path.waypoints], segment, share))
    c2w[:, :3, :3] = c2w[:, :3, :3] @ _roll_matrix(roll)
    focal = _numbers(path, [fov_focal_log(w.fov_deg) for w in path.waypoints], segment, share).exp()
    return PathSamples(c2w, torch.rad2deg(2 * torch.atan(1 / (2 * focal))))


def _positions_at_time(path: CameraPath, time: Tensor) -> Tensor:
    if len(path.waypoints) == 1:
        return torch.zeros_like(time)
    times = torch.tensor([waypoint.time for waypoint in path.waypoints], dtype=torch.float64)
    segment = (torch.searchsorted(times, time.contiguous(), right=True) - 1).clamp(0, len(times) - 2)
    share = (time - times[segment]) / (times[segment + 1] - times[segment])
    eased = _even_shares(path, times, segment, share)
    for easing in {waypoint.easing for waypoint in path.waypoints} - {"auto"}:
        has_it = torch.tensor([waypoint.easing == easing for waypoint in path.waypoints])
        eased = torch.where(has_it[segment], EASINGS[easing](share), eased)
    return segment + eased


def _even_shares(path: CameraPath, times: Tensor, segment: Tensor, share: Tensor) -> Tensor:
    """Share of each segment such that the speed does not jump at waypoints.

    The curve's own parameter (its knots) as a monotone cubic function of time, Fritsch and Carlson 1980 with
    the harmonic mean of Brodlie.
    """
    if path.interpolation == "linear":
        return share  # straight lines have corners; nothing there could be smooth
    widths = torch.ones_like(times[1:])
    if path.interpolation == "catmull_rom":
        widths = (path.positions[1:] - path.positions[:-1]).norm(dim=-1).sqrt()
    rates = widths / (times[1:] - times[:-1])
    first, last = (rates[-1:], rates[:1]) if path.is_closed else (rates[:1], rates[-1:])
    before, after = torch.cat([first, rates]), torch.cat([rates, last])
    slopes = 2 * before * after / (before + after).clamp(min=1e-300)
    width, u = widths[segment], share
    duration = times[segment + 1] - times[segment]
    knot = (
        (u**3 - 2 * u**2 + u) * slopes[segment] * duration
        + (3 * u**2 - 2 * u**3) * width
        + (u**3 - u**2) * slopes[segment + 1] * duration
    )
    return torch.where(width > 0, knot / width.clamp(min=1e-300), share)


def _positions_at_way(path: CameraPath, way: Tensor) -> Tensor:
    segments = len(path.waypoints) - 1
    if segments == 0:
        return torch.zeros_like(way)
    position = torch.linspace(0, segments, segments * CHORDS_PER_SEGMENT + 1, dtype=torch.float64)
    length = path_lengths(_evaluate(path, position).c2w, path.scale)
    if length[-1] <= 0:
        return way * segments
    # The last chord that starts at or before the wanted length; stretches without any way are skipped.
    wanted = way * length[-1]
    after = torch.searchsorted(length, wanted.contiguous(), right=True).clamp(1, len(length) - 1)
    before = after - 1
    chord = length[after] - length[before]
    share = torch.where(chord > 0, (wanted - length[before]) / chord.clamp(min=1e-300), 1.0)
    return torch.lerp(position[before], position[after], share.clamp(0, 1))


def path_lengths(c2w: Tensor, scale: float) -> Tensor:
    """How far the camera has gone at each of T poses, [T] scene units, 0 first.

    A step counts as the root of the squares of its travel and of ``scale`` times its turn in radians: about
    what a point at that depth moves in the picture.
    """
    travel = (c2w[1:, :3, 3] - c2w[:-1, :3, 3]).norm(dim=-1)
    turn = turn_angles(c2w)
    steps = (travel**2 + (scale * turn) ** 2).sqrt()
    return torch.cat([steps.new_zeros(1), steps.cumsum(0)])


def turn_angles(c2w: Tensor) -> Tensor:
    """Angle between each pose's rotation and the next one's, [T - 1] radians."""
    between = c2w[:-1, :3, :3].mT @ c2w[1:, :3, :3]
    axis = torch.stack(
        [
            between[:, 2, 1] - between[:, 1, 2],
            between[:, 0, 2] - between[:, 2, 0],
            between[:, 1, 0] - between[:, 0, 1],
        ],
        dim=-1,
    )
    trace = between.diagonal(dim1=1, dim2=2).sum(-1)
    return torch.atan2(axis.norm(dim=-1), trace - 1)


def _places(path: CameraPath, segment: Tensor, share: Tensor) -> Tensor:
    points = path.positions
    if len(points) == 1:
        return points[segment]
    if path.interpolation == "linear":
        return torch.lerp(points[segment], points[segment + 1], share[:, None])
    leaving, arriving = (
        _bezier_tangents(path, points)
        if path.interpolation == "bezier"
        else _centripetal_tangents(path, points)
    )
    return _hermite(points, leaving, arriving, segment, share[:, None])


def _hermite(points: Tensor, leaving: Tensor, arriving: Tensor, segment: Tensor, u: Tensor) -> Tensor:
    """Cubic curves from their ends and the derivatives there, [N - 1, ...] per segment."""
    start, end = points[segment], points[segment + 1]
    return (
        (2 * u**3 - 3 * u**2 + 1) * start
        + (u**3 - 2 * u**2 + u) * leaving[segment]
        + (3 * u**2 - 2 * u**3) * end
        + (u**3 - u**2) * arriving[segment]
    )


def _with_neighbours(values: Tensor, is_closed: bool) -> Tensor:
    """One more value before and after: around the seam of a closed path, else mirrored at the end."""
    if is_closed:
        return torch.cat([values[-2:-1], values, values[1:2]])
    return torch.cat([2 * values[:1] - values[1:2], values, 2 * values[-1:] - values[-2:-1]])


def _centripetal_tangents(path: CameraPath, points: Tensor) -> tuple[Tensor, Tensor]:
    points = _with_neighbours(points, path.is_closed)
    steps = points[1:] - points[:-1]
    knots = steps.norm(dim=-1, keepdim=True).sqrt()  # distance to the power of 0.5: centripetal
    slopes = torch.where(knots > 0, steps / knots.clamp(min=1e-300), 0.0)
    both = knots[:-1] + knots[1:]
    across = torch.where(both > 0, (points[2:] - points[:-2]) / both.clamp(min=1e-300), 0.0)
    # Derivative at each waypoint by its own knots; next to a waypoint at the same place it is 0.
    tangents = slopes[:-1] - across + slopes[1:]
    width = knots[1:-1]
    return width * tangents[:-1], width * tangents[1:]


def _bezier_tangents(path: CameraPath, points: Tensor) -> tuple[Tensor, Tensor]:
    around = _with_neighbours(points, path.is_closed)
    automatic = (around[2:] - around[:-2]) / 6
    handles_out, handles_in = automatic.clone(), -automatic
    for number, waypoint in enumerate(path.waypoints):
        if waypoint.handle_out is not None:
            handles_out[number] = torch.tensor(waypoint.handle_out, dtype=torch.float64)
        if waypoint.handle_in is not None:
            handles_in[number] = torch.tensor(waypoint.handle_in, dtype=torch.float64)
    # The derivative of a cubic Bézier curve at its ends is three times its handle.
    return 3 * handles_out[:-1], -3 * handles_in[1:]


def _numbers(path: CameraPath, values: list[float], segment: Tensor, share: Tensor) -> Tensor:
    """One number per waypoint, interpolated: uniform Catmull-Rom, or straight lines with "linear"."""
    given = torch.tensor(values, dtype=torch.float64)
    if len(given) == 1:
        return given[segment]
    if path.interpolation == "linear":
        return torch.lerp(given[segment], given[segment + 1], share)
    around = _with_neighbours(given, path.is_closed)
    tangents = (around[2:] - around[:-2]) / 2
    return _hermite(given, tangents[:-1], tangents[1:], segment, share)


def _rotations(path: CameraPath, segment: Tensor, share: Tensor) -> Tensor:
    quaternions = torch.tensor([waypoint.wxyz for waypoint in path.waypoints], dtype=torch.float64)
    quaternions = aligned_signs(normalize(quaternions, dim=-1))
    if len(quaternions) == 1:
        return quaternions[segment]
    start, end = quaternions[segment], quaternions[segment + 1]
    direct = _slerp(start, end, share)
    if path.interpolation == "linear":
        return direct
    inner = _squad_points(quaternions, path.is_closed)
    bent = _slerp(inner[segment], inner[segment + 1], share)
    return _slerp(direct, bent, 2 * share * (1 - share))


def _squad_points(quaternions: Tensor, is_closed: bool) -> Tensor:
    """Shoemake's inner points: q exp(-(log(q^-1 next) + log(q^-1 previous)) / 4); q itself at open ends."""
    before = torch.cat([quaternions[:1], quaternions[:-1]])
    after = torch.cat([quaternions[1:], quaternions[-1:]])
    if is_closed:
        before[0], after[-1] = quaternions[-2], quaternions[1]
    inverse = _conjugate(quaternions)
    bend = _log(_towards_one(_product(inverse, after))) + _log(_towards_one(_product(inverse, before)))
    if not is_closed:
        bend[0] = bend[-1] = 0
    return _product(quaternions, _exp(-bend / 4))


def aligned_signs(quaternions: Tensor) -> Tensor:
    """[N, 4] with signs such that each lies on the same side as the one before."""
    agrees = torch.where((quaternions[1:] * quaternions[:-1]).sum(-1) < 0, -1.0, 1.0).to(quaternions)
    return torch.cat([quaternions[:1], quaternions[1:] * agrees.cumprod(0)[:, None]])


def _slerp(start: Tensor, end: Tensor, fraction: Tensor) -> Tensor:
    """Along the arc between the two as given, not the shorter one: squad needs it."""
    angle = torch.atan2((end - start).norm(dim=-1), (end + start).norm(dim=-1)).mul(2)[:, None]
    fraction = fraction[:, None]
    is_line = angle < 1e-6
    sine = torch.where(is_line, torch.ones_like(angle), torch.sin(angle))
    weight_start = torch.where(is_line, 1 - fraction, torch.sin((1 - fraction) * angle) / sine)
    weight_end = torch.where(is_line, fraction.expand_as(angle), torch.sin(fraction * angle) / sine)
    return normalize(weight_start * start + weight_end * end, dim=-1)


def _conjugate(q: Tensor) -> Tensor:
    return q * q.new_tensor([1, -1, -1, -1])


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Hamilton product of wxyz quaternions."""
    scalar = a[..., :1] * b[..., :1] - (a[..., 1:] * b[..., 1:]).sum(-1, keepdim=True)
    vector = a[..., :1] * b[..., 1:] + b[..., :1] * a[..., 1:] + torch.linalg.cross(a[..., 1:], b[..., 1:])
    return torch.cat([scalar, vector], dim=-1)


def _towards_one(q: Tensor) -> Tensor:
    return torch.where(q[..., :1] < 0, -q, q)


def _log(q: Tensor) -> Tensor:
    """[..., 3]: axis times half the angle."""
    length = q[..., 1:].norm(dim=-1, keepdim=True)
    angle = torch.atan2(length, q[..., :1])
    return torch.where(length > _TINY_ANGLE, q[..., 1:] * angle / length.clamp(min=1e-300), q[..., 1:])


def _exp(vector: Tensor) -> Tensor:
    angle = vector.norm(dim=-1, keepdim=True)
    factor = torch.where(angle > _TINY_ANGLE, torch.sin(angle) / angle.clamp(min=1e-300), 1.0)
    return torch.cat([torch.cos(angle), vector * factor], dim=-1)


def _roll_matrix(angle: Tensor) -> Tensor:
    """[M, 3, 3] turns about the view axis; a positive one lowers the camera's right side."""
    turn = torch.eye(3, dtype=angle.dtype).repeat(len(angle), 1, 1)
    turn[:, 0, 0] = turn[:, 1, 1] = torch.cos(angle)
    turn[:, 1, 0] = torch.sin(angle)
    turn[:, 0, 1] = -turn[:, 1, 0]
    return turn
