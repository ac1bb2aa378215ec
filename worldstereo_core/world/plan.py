"""What a list of trajectories still lacks in a world: the next clip, its start, and what no longer agrees."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from ..checks import PathError, ShapeError, WorldStereoError
from ..geometry.cameras import Cameras
from ..geometry.pictures import fit_pictures
from ..geometry.trajectory import Trajectory
from ..memory.memory import GeometricMemory
from ..memory.view import View
from .manifest import ClipRecord
from .world import World, decide

OnChange = Literal["stop", "keep", "redo"]

# Cameras that agree this well show the same picture: centres as a share of the median depth, degrees, pixels.
CENTRE_TOLERANCE = 1e-3
ANGLE_TOLERANCE_DEG = 0.05
PIXEL_TOLERANCE = 0.5


@dataclass(frozen=True, eq=False)
class StartFrame:
    """The picture a clip begins with.

    Attributes:
        image: [3, H, W] float 0..1.
        latent: [16, h, w] the VAE's own latent of it, or None where it has none.
        text: where it comes from, e.g. "the input picture" or "clip 2, frame 20".
        clip, frame: its source; clip None = the input picture.
    """

    image: Tensor
    latent: Tensor | None
    text: str
    clip: int | None = None
    frame: int = 0


@dataclass(frozen=True)
class Change:
    """A clip that is there and was made in another way than the list asks for now."""

    record: ClipRecord
    differences: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"clip {self.record.clip} (path {self.record.slot}): {'; '.join(self.differences)}"


@dataclass(frozen=True)
class Plan:
    """How far a list of trajectories is.

    Attributes:
        made: by slot, the clip that is in the world.
        next_slot: the first slot without one, from 1; None when all are there.
        changes: of the clips that are there.
    """

    made: dict[int, ClipRecord]
    next_slot: int | None
    changes: tuple[Change, ...]


def check_trajectories(trajectories: Sequence[Trajectory], num_frames: int) -> None:
    """Check that clips of one size and length can be made along all of them.

    Raises: PathError or ShapeError.
    """
    if not trajectories:
        raise PathError("trajectories: got none, expected at least one. Wire a trajectory or a list of them.")
    first = trajectories[0]
    for slot, trajectory in enumerate(trajectories, 1):
        if (trajectory.height, trajectory.width) != (first.height, first.width):
            raise ShapeError(
                f"trajectories: path {slot} ({trajectory.name}) is for {trajectory.height} x "
                f"{trajectory.width} pixels (height x width), path 1 for {first.height} x {first.width}. "
                "Give all of them one size."
            )
        if trajectory.num_frames < num_frames:
            raise ShapeError(
                f"trajectories: path {slot} ({trajectory.name}) has {trajectory.num_frames} frames, expected "
                f"at least {num_frames}. Build it with more frames, or set frames here to what it has."
            )


def plan_clips(world: World, trajectories: Sequence[Trajectory], settings: Mapping[str, Any]) -> Plan:
    """Compare what a world holds with what a list of trajectories asks for.

    Args:
        trajectories: as the clips have them, one camera per frame.
        settings: JSON values that a clip made now would be saved with.
    """
    made = {record.slot: record for record in world.manifest.present if record.slot is not None}
    scale = world.base_memory().median_depth if made else 1.0
    changes, missing = [], []
    for slot, trajectory in enumerate(trajectories, 1):
        if slot not in made:
            missing.append(slot)
            continue
        record = made[slot]
        found = _differences(record.settings, settings)
        if not _is_same_path(world.trajectory(record.clip), trajectory, scale):
            found.insert(
                0, f"its path was {record.trajectory['name']}, now {trajectory.name} with other cameras"
            )
        if found:
            changes.append(Change(record, tuple(found)))
    return Plan(made, missing[0] if missing else None, tuple(changes))


def resolve_changes(world: World, plan: Plan, on_change: OnChange) -> tuple[World, str]:
    """Decide about clips that are there and would be made in another way now.

    Args:
        on_change: "stop" raises; "keep" leaves them as they are; "redo" rejects those that nobody accepted,
            so that they are made anew.

    Returns: the world, and what was done in words ("" if nothing).
    Raises: WorldStereoError if it should stop.
    """
    if not plan.changes:
        return world, ""
    listed = "\n".join(change.text for change in plan.changes)
    if on_change == "stop":
        raise WorldStereoError(
            f"world {world.name}: paths or settings are not those that its clips were made with:\n{listed}\n"
            "Set them back; or set if_changed to keep (the clips stay, new ones are made with the new "
            "settings) or to redo (clips that were not accepted are rejected and made anew); or give another "
            "world name."
        )
    if on_change == "keep":
        return world, f"Kept, although paths or settings have changed since:\n{listed}"
    open_clips = [change.record.clip for change in plan.changes if change.record.status != "accepted"]
    kept = [change.record.clip for change in plan.changes if change.record.status == "accepted"]
    text = f"Made anew because paths or settings have changed: {open_clips or 'none'}"
    if kept:
        text += f"; accepted, so kept as they are: {kept}"
    return decide(world, open_clips, "rejected"), f"{text}:\n{listed}"


def take_seed(world: World, seed: int, slot: int) -> int:
    """The seed of the next clip of a slot: another for every slot, and another for every take of it."""
    return (seed + slot - 1 + 1000 * world.manifest.takes.get(slot, 0)) % 2**64


def check_starts(world: World, trajectories: Sequence[Trajectory]) -> None:
    """Check before anything is made that every missing clip will have a picture to start with.

    Raises: PathError.
    """
    plan = plan_clips(world, trajectories, {})
    base = world.base_memory()
    sources = [_input_camera(base.views[0], trajectories[0])]
    sources += [world.trajectory(record.clip).cameras for record in world.manifest.present]
    for slot, trajectory in enumerate(trajectories, 1):
        if slot not in plan.made and not any(
            _matching_frames(cameras, trajectory.cameras[0], base.median_depth) for cameras in sources
        ):
            nearest = min(
                float((cameras.centers - trajectory.cameras.centers[0]).norm(dim=-1).min())
                for cameras in sources
            )
            raise PathError(
                f"trajectories: path {slot} ({trajectory.name}) starts where no picture was taken: the "
                f"nearest camera of the input picture and of the paths before it is {nearest:.4g} scene "
                "units away, or looks elsewhere or with another lens. Start it at the input picture, or at "
                "the end of an earlier path (continue_from on Build Camera Trajectory)."
            )
        sources.append(trajectory.cameras)


def find_start(world: World, trajectories: Sequence[Trajectory], slot: int) -> StartFrame:
    """The picture that the clip of a slot begins with.

    The input picture if the path starts at its camera, since nothing has drifted there; else a frame of the
    clip of the path before, so that both join; else of the newest clip that passed there.

    Raises: PathError if there is none.
    """
    trajectory, base = trajectories[slot - 1], world.base_memory()
    camera, view = trajectory.cameras[0], base.views[0]
    if _matching_frames(_input_camera(view, trajectory), camera, base.median_depth):
        picture = fit_pictures(view.image[None].float() / 255, trajectory.height, trajectory.width)[0]
        return StartFrame(picture, _fitting_latent(view, trajectory), "the input picture")
    present = world.manifest.present
    order = [record for record in present if record.slot == slot - 1]
    order += [record for record in reversed(present) if record.slot != slot - 1]
    for record in order:
        found = _matching_frames(world.trajectory(record.clip).cameras, camera, base.median_depth)
        if found:
            frame, latents = found[-1], world.latents(record.clip)
            return StartFrame(
                world.frame(record.clip, frame),
                None if latents is None else latents[:, frame],
                f"clip {record.clip}, frame {frame}",
                record.clip,
                frame,
            )
    raise PathError(
        f"trajectories: path {slot} ({trajectory.name}) starts where no picture is, because the clip that "
        "passed there is not in the world. Accept it, or start the path at the input picture."
    )


def joined_frames(clips: Sequence[tuple[ClipRecord, Tensor]]) -> Tensor:
    """[sum of T, 3, H, W] the frames of clips one after the other, without those that repeat the one before.

    A clip that starts with the last frame of the clip before it gives its frames from the second on.
    """
    frames: list[Tensor] = []
    previous: ClipRecord | None = None
    for record, images in clips:
        repeats = (
            previous is not None and record.start == f"clip {previous.clip}, frame {previous.num_frames - 1}"
        )
        frames.append(images[1:] if repeats else images)
        previous = record
    sizes = {tuple(images.shape[1:]) for images in frames}
    if len(sizes) > 1:
        raise ShapeError(
            f"world: its clips differ in size: {sorted(sizes)}, so they make no single sequence. Load them "
            "one by one (Load Clip), or use one size for all paths."
        )
    return torch.cat(frames)


def without_latents(memory: GeometricMemory) -> GeometricMemory:
    """The memory with views whose pictures go through the VAE again."""
    return replace(memory, views=tuple(replace(view, latent=None) for view in memory.views))


def _input_camera(view: View, trajectory: Trajectory) -> Cameras:
    camera = view.camera
    return camera.cropped(trajectory.height, trajectory.width)


def _fitting_latent(view: View, trajectory: Trajectory) -> Tensor | None:
    return view.latent if (view.height, view.width) == (trajectory.height, trajectory.width) else None


def _matching_frames(cameras: Cameras, wanted: Cameras, scale: float) -> list[int]:
    """Frames of ``cameras`` that are the one camera ``wanted``."""
    if (cameras.height, cameras.width) != (wanted.height, wanted.width):
        return []
    distance = (cameras.centers - wanted.centers).norm(dim=-1)
    # The chord between rotations, which unlike their trace keeps its digits at small angles.
    turned = (cameras.w2c[:, :3, :3] - wanted.w2c[:, :3, :3]).flatten(1).norm(dim=-1) / 2**0.5
    pixels = (cameras.K - wanted.K).abs().flatten(1).amax(dim=-1)
    same = (distance <= CENTRE_TOLERANCE * scale) & (pixels <= PIXEL_TOLERANCE)
    same &= turned <= torch.deg2rad(torch.tensor(ANGLE_TOLERANCE_DEG))
    return same.nonzero().flatten().tolist()


def _is_same_path(one: Trajectory, other: Trajectory, scale: float) -> bool:
    if one.num_frames != other.num_frames:
        return False
    frames = range(one.num_frames)
    return all(_matching_frames(one.cameras[frame], other.cameras[frame], scale) for frame in frames)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Settings that both know and that differ, in words."""
    plain = json.loads(json.dumps(new))
    return [line for key in sorted(old.keys() & plain.keys()) for line in _compare(key, old[key], plain[key])]


def _compare(key: str, old: Any, new: Any) -> list[str]:
    if old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        # What a socket was wired to: one entry per widget, so that the one that changed can be named.
        return [
            line
            for inner in sorted(old.keys() | new.keys())
            for line in _compare(f"{key}, {inner}", old.get(inner, "absent"), new.get(inner, "absent"))
        ]
    return [f"{key} was {_short(old)}, is {_short(new)}"]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_same_beginning(world: World, memory: GeometricMemory) -> None:
    """Check that a memory is about the picture that a world began with.

    Raises: WorldStereoError.
    """
    base = world.base_memory()
    one, other = base.views[0], memory.views[0]
    ratio = memory.median_depth / base.median_depth
    if one.image.shape != other.image.shape or not 0.98 < ratio < 1.02:
        same = False
    else:
        same = float((one.image.float() - other.image.float()).abs().mean()) < 1.0
    if not same:
        raise WorldStereoError(
            f"memory: world {world.name} began with another picture or depth (median depth "
            f"{base.median_depth:.4g}, here {memory.median_depth:.4g} scene units). Give another name for a "
            "new world, or disconnect memory to go on with the old one."
        )
