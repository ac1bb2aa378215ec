"""Camera paths: waypoints that are not sampled yet. Frozen; every change returns a new path.

A path holds everything that makes a trajectory but the number of frames: where the camera stands at each
waypoint, how it looks, how wide, when, and how it gets to the next one. ``path_spline.sample_path`` turns it
into a trajectory, ``formats.camera_path`` writes it as JSON.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..checks import PathError
from .cameras import Cameras, check_cameras, fov_to_focal
from .poses import invert_se3, matrix_to_quaternion, quaternion_to_matrix
from .trajectory import DEFAULT_FPS, EASINGS, Trajectory, evenly_spaced_frames

INTERPOLATIONS = ("catmull_rom", "bezier", "linear")
SPEEDS = ("by time", "constant")
# "auto" keeps the speed from jumping at waypoints; the others shape one part alone.
WAYPOINT_EASINGS = ("auto", *EASINGS)
MAX_WAYPOINTS = 10_000
# Quaternions typed or rounded to a few digits pass; what is further from unit length is a mistake.
UNIT_TOLERANCE = 1e-3

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Waypoint:
    """One control point of a path.

    Attributes:
        position: camera centre in world coordinates, scene units.
        wxyz: rotation of camera-to-world (OpenCV axes), unit quaternion.
        fov_deg: HORIZONTAL field of view, degrees.
        time: share of the clip, 0 at the first waypoint and 1 at the last.
        easing: how the speed changes until the next waypoint: "auto" (it carries on through waypoints without
            a jump) or one of ``trajectory.EASINGS`` for this part alone.
        roll_deg: turn about the view axis on top of the rotation, degrees; positive lowers the right side.
            Interpolated as a number, so 720 is two turns.
        handle_in, handle_out: Bézier control points before and after, relative to the position, scene units;
            None = on a line through the neighbours (Catmull-Rom). Only used by "bezier".
    """

    position: Vector
    wxyz: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    fov_deg: float = 60.0
    time: float = 0.0
    easing: str = "auto"
    roll_deg: float = 0.0
    handle_in: Vector | None = None
    handle_out: Vector | None = None

    @property
    def c2w(self) -> Tensor:
        """[4, 4] float64 camera-to-world, without the roll."""
        c2w = torch.eye(4, dtype=torch.float64)
        c2w[:3, :3] = quaternion_to_matrix(torch.tensor(self.wxyz, dtype=torch.float64))
        c2w[:3, 3] = torch.tensor(self.position, dtype=torch.float64)
        return c2w


@dataclass(frozen=True)
class CameraPath:
    """Waypoints and how they are joined.

    Attributes:
        waypoints: in order of time; one waypoint is a camera that stands still.
        interpolation: "catmull_rom" (centripetal, so that it neither loops nor overshoots between uneven
            waypoints), "bezier" (cubic, with handles) or "linear". Rotations follow squad, with "linear"
            slerp.
        speed: "by time" passes every waypoint at its time; "constant" moves evenly along the whole path and
            ignores times and easings. There one radian of turning counts as ``scale`` of travel.
        is_closed: the last waypoint stands where the first does, and the path goes on smoothly through it.
        look_at: world point that the camera looks at all the way, or None: rotations of the waypoints. The
            camera is then upright (world up is -y) up to its roll.
        width, height: picture size the fields of view refer to, pixels.
        scale: scene units that count as one, the median depth of the memory the path was made for.
        fps: frames per second.
        name: what the user calls it.

    Raises: PathError, naming the waypoint and the field, if something cannot be used.
    """

    waypoints: tuple[Waypoint, ...]
    interpolation: str = "catmull_rom"
    speed: str = "by time"
    is_closed: bool = False
    look_at: Vector | None = None
    width: int = 768
    height: int = 480
    scale: float = 1.0
    fps: float = DEFAULT_FPS
    name: str = "path"

    def __post_init__(self) -> None:
        _check_path(self)

    @property
    def positions(self) -> Tensor:
        """[N, 3] float64 world coordinates of the waypoints."""
        return torch.tensor([waypoint.position for waypoint in self.waypoints], dtype=torch.float64)

    def moved(self, transform: Tensor) -> CameraPath:
        """The whole path moved rigidly: ``transform`` [4, 4] maps old world coordinates to new ones."""
        transform = transform.detach().cpu().double()
        turn = transform[:3, :3]

        def place(point: Vector) -> Vector:
            return _vector(turn @ torch.tensor(point, dtype=torch.float64) + transform[:3, 3])

        def direction(vector: Vector | None) -> Vector | None:
            return None if vector is None else _vector(turn @ torch.tensor(vector, dtype=torch.float64))

        waypoints = tuple(
            replace(
                waypoint,
                position=place(waypoint.position),
                wxyz=_wxyz(transform @ waypoint.c2w),
                handle_in=direction(waypoint.handle_in),
                handle_out=direction(waypoint.handle_out),
            )
            for waypoint in self.waypoints
        )
        return replace(
            self, waypoints=waypoints, look_at=None if self.look_at is None else place(self.look_at)
        )

    def starting_at(self, w2c: Tensor) -> CameraPath:
        """The whole path moved rigidly so that its first waypoint is the camera ``w2c`` [4, 4]."""
        start = invert_se3(w2c.detach().cpu().double())
        return self.moved(start @ invert_se3(self.waypoints[0].c2w))

    def looking_at(self, x: float, y: float, z: float) -> CameraPath:
        """The path with a point in world coordinates, scene units, that the camera looks at all the way."""
        return replace(self, look_at=(x, y, z))

    def scaled_to(self, scale: float) -> CameraPath:
        """The path in a world where ``scale`` scene units count as one, grown about its first waypoint.

        A path drawn for one memory then goes equally far into another: half way stays half way.
        """
        factor = scale / self.scale
        first = self.waypoints[0].position

        def place(point: Vector) -> Vector:
            x, y, z = (a + factor * (b - a) for a, b in zip(first, point, strict=True))
            return x, y, z

        def handle(vector: Vector | None) -> Vector | None:
            return None if vector is None else (factor * vector[0], factor * vector[1], factor * vector[2])

        waypoints = tuple(
            replace(
                waypoint,
                position=place(waypoint.position),
                handle_in=handle(waypoint.handle_in),
                handle_out=handle(waypoint.handle_out),
            )
            for waypoint in self.waypoints
        )
        look_at = None if self.look_at is None else place(self.look_at)
        return replace(self, waypoints=waypoints, look_at=look_at, scale=scale)

    def with_waypoint(self, waypoint: Waypoint, duration: float = 1.0) -> CameraPath:
        """The path with a waypoint added at its end.

        Args:
            waypoint: its ``time`` is ignored.
            duration: how long the way to it takes, as a multiple of the mean duration so far.
        """
        if not (math.isfinite(duration) and duration > 0):
            raise PathError(
                f"duration: got {duration}, expected a finite number above 0. 1 is as long as the parts "
                "before it."
            )
        parts = len(self.waypoints) - 1
        shrink = parts / (parts + duration)
        earlier = tuple(replace(old, time=old.time * shrink) for old in self.waypoints)
        return replace(self, waypoints=(*earlier, replace(waypoint, time=1.0)), is_closed=False)

    def closed(self) -> CameraPath:
        """The path with a way back to its first waypoint, through which it goes on smoothly."""
        if self.is_closed:
            return self
        back = self.with_waypoint(self.waypoints[0])
        return replace(back, is_closed=True)


def waypoint_from_camera(cameras: Cameras, frame: int = 0, time: float = 0.0) -> Waypoint:
    """A waypoint that stands where one of the cameras does; the field of view is that of its fx."""
    c2w = invert_se3(cameras.w2c[frame].detach().cpu().double())
    fov = 2 * math.atan(cameras.width / (2 * float(cameras.K[frame, 0, 0])))
    return Waypoint(_vector(c2w[:3, 3]), _wxyz(c2w), math.degrees(fov), time)


def path_from_cameras(camera: Cameras, scale: float = 1.0) -> CameraPath:
    """A path of one waypoint: the first of the cameras, at its picture size."""
    waypoint = waypoint_from_camera(camera)
    return CameraPath((waypoint,), width=camera.width, height=camera.height, scale=scale)


def path_from_views(views: Sequence[Waypoint], camera: Cameras, scale: float = 1.0) -> CameraPath:
    """A path through views in order, at a camera's picture size; times follow the distances between them.

    Args:
        camera: stands in if there are no views.
        scale: scene units that count as one.
    """
    path = path_from_cameras(camera, scale)
    return replace(path, waypoints=spread_times(views)) if views else path


def path_from_trajectory(
    trajectory: Trajectory, num_waypoints: int, interpolation: str = "catmull_rom", scale: float = 1.0
) -> CameraPath:
    """A path through some cameras of a trajectory, first and last included.

    A path has square pixels and a centred principal point; of K it keeps the horizontal field of view.

    Raises: PathError for a number of waypoints that the trajectory does not have.
    """
    check_cameras("trajectory", trajectory.cameras)
    last = trajectory.num_frames - 1
    if not 1 <= num_waypoints <= trajectory.num_frames or (num_waypoints == 1) != (last == 0):
        raise PathError(
            f"waypoints: got {num_waypoints} for a trajectory of {trajectory.num_frames} frames, expected "
            f"{min(2, last + 1)} to {last + 1}. Choose a number between them."
        )
    frames = evenly_spaced_frames(trajectory.num_frames, num_waypoints)
    return CameraPath(
        tuple(waypoint_from_camera(trajectory.cameras, frame, frame / max(last, 1)) for frame in frames),
        interpolation=interpolation,
        width=trajectory.width,
        height=trajectory.height,
        scale=scale,
        fps=trajectory.fps,
        name=trajectory.name,
    )


def spread_times(waypoints: Sequence[Waypoint]) -> tuple[Waypoint, ...]:
    """The waypoints with times in proportion to the distance between them; evenly if they share a place."""
    places = torch.tensor([waypoint.position for waypoint in waypoints], dtype=torch.float64)
    steps = (places[1:] - places[:-1]).norm(dim=-1)
    # A waypoint that only turns the camera still takes a part of the time: the mean of the others.
    moves = steps > 0
    steps = torch.where(moves, steps, steps[moves].mean() if bool(moves.any()) else 1.0)
    times = torch.cat([steps.new_zeros(1), steps.cumsum(0) / steps.sum()]).tolist()
    if len(waypoints) > 1:
        times[-1] = 1.0
    return tuple(replace(waypoint, time=time) for waypoint, time in zip(waypoints, times, strict=True))


def fov_focal_log(fov_deg: float) -> float:
    """Log of the focal length in widths: what a change of the field of view is interpolated in."""
    return math.log(fov_to_focal(math.radians(fov_deg), 1.0))


def _vector(values: Tensor) -> Vector:
    x, y, z = values.tolist()
    return x, y, z


def _wxyz(c2w: Tensor) -> tuple[float, float, float, float]:
    w, x, y, z = matrix_to_quaternion(c2w[:3, :3]).tolist()
    return w, x, y, z


def _check_path(path: CameraPath) -> None:
    count = len(path.waypoints)
    if not 1 <= count <= MAX_WAYPOINTS:
        raise PathError(
            f"path: got {count} waypoints, expected 1 to {MAX_WAYPOINTS}. "
            + ("Add one." if count == 0 else "Take fewer waypoints of the trajectory.")
        )
    for label, value, choices in (
        ("interpolation", path.interpolation, INTERPOLATIONS),
        ("speed", path.speed, SPEEDS),
    ):
        if value not in choices:
            raise PathError(
                f"path: {label} is {value!r}, expected one of: {', '.join(choices)}. Choose one of them."
            )
    for label, value in (("scale", path.scale), ("fps", path.fps)):
        if not (math.isfinite(value) and value > 0):
            raise PathError(
                f"path: {label} is {value}, expected a finite number above 0. Correct the number."
            )
    if path.width < 1 or path.height < 1:
        raise PathError(
            f"path: the picture size is height {path.height}, width {path.width}; expected positive pixels. "
            "Give the size of the clip."
        )
    if path.look_at is not None and not _is_vector(path.look_at):
        raise PathError(
            f"path: look_at is {path.look_at}, expected three finite numbers in scene units. Correct them."
        )
    for number, waypoint in enumerate(path.waypoints):
        _check_waypoint(f"waypoint {number + 1}", waypoint)
    _check_times(path)
    if path.is_closed:
        _check_closed(path)


def _check_waypoint(name: str, waypoint: Waypoint) -> None:
    if not _is_vector(waypoint.position):
        raise PathError(
            f"{name}: position is {waypoint.position}, expected three finite numbers in scene units. Correct "
            "them."
        )
    for label, handle in (("handle_in", waypoint.handle_in), ("handle_out", waypoint.handle_out)):
        if handle is not None and not _is_vector(handle):
            raise PathError(
                f"{name}: {label} is {handle}, expected three finite numbers in scene units. Correct or "
                "remove it."
            )
    length = math.hypot(*waypoint.wxyz)
    if len(waypoint.wxyz) != 4 or not abs(length - 1) <= UNIT_TOLERANCE:
        raise PathError(
            f"{name}: the quaternion wxyz {waypoint.wxyz} has length {length:.4g}, expected 1. Divide it by "
            "its length; length 0 is no rotation."
        )
    if not 0 < waypoint.fov_deg < 180:
        raise PathError(
            f"{name}: fov_deg is {waypoint.fov_deg:g}, expected a horizontal field of view between 0 and 180 "
            "degrees. Correct it."
        )
    if not math.isfinite(waypoint.roll_deg):
        raise PathError(
            f"{name}: roll_deg is {waypoint.roll_deg}, expected finite degrees. Correct the number."
        )
    if waypoint.easing not in WAYPOINT_EASINGS:
        raise PathError(
            f"{name}: easing is {waypoint.easing!r}, expected one of: {', '.join(WAYPOINT_EASINGS)}. Choose "
            "one of them."
        )


def _check_times(path: CameraPath) -> None:
    times = [waypoint.time for waypoint in path.waypoints]
    for number, time in enumerate(times):
        if not math.isfinite(time):
            raise PathError(
                f"waypoint {number + 1}: time is {time}, expected a share of the clip, 0 to 1. Correct it."
            )
        if number and time <= times[number - 1]:
            raise PathError(
                f"waypoint {number + 1}: time is {time:g} after {times[number - 1]:g}; expected times that "
                "grow from waypoint to waypoint. Sort the waypoints by time and move those that coincide."
            )
    if times[0] != 0:
        raise PathError(
            f"path: the first waypoint has time {times[0]:g}; expected 0. Move it to the start or add one."
        )
    if len(times) > 1 and times[-1] != 1:
        raise PathError(
            f"path: {len(times)} waypoints end at time {times[-1]:g}; the last waypoint must have time 1. "
            "Move it to the end or add one."
        )


def _check_closed(path: CameraPath) -> None:
    first, last = path.waypoints[0], path.waypoints[-1]
    gap = math.dist(first.position, last.position)
    if len(path.waypoints) < 3 or gap > 1e-4 * path.scale:
        raise PathError(
            f"path: is_closed needs at least 3 waypoints and the last where the first is; got "
            f"{len(path.waypoints)} waypoints and a gap of {gap:.4g} scene units. Move the last waypoint "
            "onto the first, or open the path."
        )


def _is_vector(values: Sequence[float]) -> bool:
    return len(values) == 3 and all(math.isfinite(value) for value in values)
