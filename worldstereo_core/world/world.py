"""A world folder: made from a memory, grown clip by clip, read back as the memory of the clips that count."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from torch import Tensor

from ..atomic import folder_when_done
from ..checks import WorldStereoError
from ..geometry.trajectory import Trajectory
from ..memory.memory import GeometricMemory
from ..memory.storage import load_memory, save_memory
from .clip_files import (
    ClipContents,
    Progress,
    growth_of,
    join,
    read_depth,
    read_frame,
    read_frames,
    read_growth,
    read_latents,
    read_trajectory,
    trajectory_facts,
    write_clip,
)
from .lock import check_still_locked, locked
from .manifest import MANIFEST, ClipRecord, Manifest, Status, read_manifest, write_manifest
from .staging import saying_what_failed, sweep

BASE = "base.safetensors"
CLIPS = "clips"
# Memories that somebody still holds, by folder, world and clips: a loop would else load all of it per clip.
_LIVE: WeakValueDictionary[tuple[str, str, tuple[str, ...]], GeometricMemory] = WeakValueDictionary()


@dataclass(frozen=True)
class World:
    """A world folder as it was when it was read. Nothing is kept open; changes return a new World.

    Attributes:
        folder: where it is.
        manifest: its clips and what was decided about them.
        remarks: what the run that works on it has to say at its end; not saved.
    """

    folder: Path
    manifest: Manifest
    remarks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.manifest.name

    def reload(self) -> World:
        """The folder as it is now."""
        return replace(self, manifest=read_manifest(self.folder))

    def base_memory(self) -> GeometricMemory:
        """The memory that the world began with."""
        return self._live(0) or self._keep(0, load_memory(self.folder / BASE))

    def memory(self, progress: Progress | None = None) -> GeometricMemory:
        """The memory of everything that is in the world: the beginning, and each present clip's growth.

        As long as somebody holds the memory of fewer clips, the views of those are shared with it.
        """
        present = self.manifest.present
        known = next((count for count in range(len(present), 0, -1) if self._live(count)), 0)
        memory = self._live(known) or self.base_memory()
        for done, record in enumerate(present[known:], known + 1):
            memory = self._keep(done, join(memory, read_growth(self.folder / record.folder)))
            if progress is not None:
                progress(done, len(present))
        return memory

    def _live(self, count: int) -> GeometricMemory | None:
        return _LIVE.get(self._key(count))

    def _keep(self, count: int, memory: GeometricMemory) -> GeometricMemory:
        _LIVE[self._key(count)] = memory
        return memory

    def _key(self, count: int) -> tuple[str, str, tuple[str, ...]]:
        clips = tuple(record.folder for record in self.manifest.present[:count])
        return str(self.folder.resolve()), self.manifest.id, clips

    def frames(self, clip: int, progress: Progress | None = None) -> Tensor:
        """[T, 3, H, W] float 0..1, the frames of a clip, rejected or not."""
        record = self.manifest.record(clip)
        return read_frames(self.folder / record.folder, record.num_frames, progress)

    def frame(self, clip: int, frame: int) -> Tensor:
        """[3, H, W] one frame of a clip."""
        return read_frame(self.folder / self.manifest.record(clip).folder, frame)

    def latents(self, clip: int) -> Tensor | None:
        """[16, T, h, w] the VAE's own latents of a clip's frames, or None if it was saved without."""
        return read_latents(self.folder / self.manifest.record(clip).folder)

    def depth(self, clip: int) -> Tensor | None:
        """[T, H, W] estimated camera z of a clip's frames, 0 = no data, or None."""
        return read_depth(self.folder / self.manifest.record(clip).folder)

    def trajectory(self, clip: int) -> Trajectory:
        """The cameras of a clip."""
        record = self.manifest.record(clip)
        return read_trajectory(self.folder / record.folder, record.trajectory)

    @property
    def text(self) -> str:
        """The clips in lines to read."""
        present = {record.clip for record in self.manifest.present}
        lines = [
            f"World {self.name}: {len(self.manifest.clips)} clips, {len(present)} of them in the memory."
        ]
        for record in self.manifest.clips:
            state = record.status
            if record.status != "rejected" and record.clip not in present:
                state += ", not in the memory: what it was built on has left, or another take counts"
            slot = "" if record.slot is None else f"path {record.slot}, "
            lines.append(
                f"clip {record.clip} ({state}): {slot}{record.trajectory['name']}, {record.num_frames} "
                f"frames, seed {record.seed}, starts with {record.start}; {record.num_points:,} points, "
                f"{record.num_views} views"
            )
        return "\n".join(lines)


def is_world(folder: Path) -> bool:
    """Whether a folder holds a world."""
    return (folder / MANIFEST).is_file()


def create_world(folder: Path, memory: GeometricMemory, name: str | None = None) -> World:
    """Make a world folder that begins with a memory.

    Args:
        folder: must not exist, or be empty.
        name: what the artist calls it; the folder's name by default.

    Raises: WorldStereoError if there is something in the folder, or it cannot be written.
    """
    _check_free(folder)
    numbers = [int(memory.points.clip.max())] if memory.points.num_points else []
    manifest = Manifest(
        name=folder.name if name is None else name,
        id=uuid.uuid4().hex,
        created=_now(),
        last_number=max([0, *numbers, *(view.clip for view in memory.views)]),
    )
    with saying_what_failed(folder, "the new world"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.is_dir():
            folder.rmdir()  # empty; not every system renames over it
        with folder_when_done(folder, is_durable=True) as temporary:
            save_memory(temporary / BASE, memory)
            (temporary / CLIPS).mkdir()
            write_manifest(temporary, manifest)
    return World(folder, manifest)


def open_world(folder: Path) -> World:
    """Read a world folder. Nothing is written, so a read-only folder will do.

    Raises: WorldStereoError if it is none, is damaged, or of a newer version.
    """
    return World(folder, read_manifest(folder))


def add_clip(
    world: World,
    contents: ClipContents,
    *,
    seed: int = 0,
    slot: int | None = None,
    settings: Mapping[str, Any] | None = None,
    start: str = "",
    report: str = "",
    progress: Progress | None = None,
) -> tuple[World, ClipRecord]:
    """Save a finished clip. It counts from the moment the manifest names it, and not a file of it before.

    Args:
        contents: its frames, cameras, latents and the memory that holds it as well.
        seed, slot, settings, start, report: see ``ClipRecord``.
        progress: called with (frames written, frames in all); it may raise to interrupt.

    Raises: WorldStereoError if another process is in the folder, the memory is not the world's own grown by
        this clip, or the disk is full or read-only; nothing has changed then.
    """
    folder = world.folder
    with locked(folder), saying_what_failed(folder, "the clip"):
        world = world.reload()
        (folder / CLIPS).mkdir(exist_ok=True)
        sweep(folder)
        sweep(folder / CLIPS)
        manifest, before = world.manifest, world.memory()
        clip = manifest.last_number + 1
        growth = growth_of(before, contents.grown, clip, contents.latents)
        place = _free_folder(folder / CLIPS, clip)
        with folder_when_done(place, is_durable=True) as temporary:
            write_clip(temporary, contents, growth, progress)
        count, _, height, width = contents.frames.shape
        record = ClipRecord(
            clip=clip,
            slot=slot,
            folder=place.relative_to(folder).as_posix(),
            status="pending",
            built_on=tuple(other.clip for other in manifest.present),
            seed=seed,
            settings=dict(settings or {}),
            trajectory=trajectory_facts(contents.trajectory),
            start=start or "unknown",
            num_frames=count,
            height=height,
            width=width,
            num_points=growth.points.num_points,
            num_views=len(growth.views),
            report=report,
            made=_now(),
        )
        try:
            return _commit(world, manifest.with_clip(record)), record
        except BaseException:
            # A disk that was too full for the manifest gets the clip's space back.
            if not _is_named(folder, clip):
                shutil.rmtree(place, ignore_errors=True)
            raise


def decide(world: World, clips: Collection[int], status: Status) -> World:
    """Accept or reject clips, or take the decision back. Nothing is deleted.

    Returns: the world; ``manifest.present`` says which clips are in its memory now.
    Raises: WorldStereoError if there is no such clip, or the folder cannot be written.
    """
    if world.reload().manifest.with_status(clips, status) == world.reload().manifest:
        return world.reload()
    with locked(world.folder), saying_what_failed(world.folder, "the decision"):
        world = world.reload()
        return _commit(world, world.manifest.with_status(clips, status))


def _commit(world: World, manifest: Manifest) -> World:
    check_still_locked(world.folder)
    write_manifest(world.folder, manifest)
    return replace(world, manifest=manifest)


def _is_named(folder: Path, clip: int) -> bool:
    """Whether the manifest on the disk names a clip; yes if that cannot be told."""
    try:
        return any(record.clip == clip for record in read_manifest(folder).clips)
    except WorldStereoError:
        return True


def _check_free(folder: Path) -> None:
    if is_world(folder):
        raise WorldStereoError(
            f"world folder {folder}: there is a world already. Open it, or give another name."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WorldStereoError(
            f"world folder {folder}: there is something else under this name. Give another name."
        )


def _free_folder(clips: Path, clip: int) -> Path:
    """A folder name for a clip; another than that of a clip that was cut off just before it counted."""
    place, number = clips / f"{clip:03d}", 1
    while place.exists():
        number += 1
        place = clips / f"{clip:03d}-{number}"
    return place


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
