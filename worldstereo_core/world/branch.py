"""Two worlds from one, and what to do about files that no world needs."""

from __future__ import annotations

import os
import shutil
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

from ..atomic import folder_when_done
from ..checks import WorldStereoError
from .lock import check_still_locked, locked
from .manifest import BranchPoint, write_manifest
from .staging import saying_what_failed, sweep
from .world import BASE, CLIPS, World, is_world, open_world


def branch_world(world: World, folder: Path, name: str | None = None, last_clip: int | None = None) -> World:
    """Make a second world that shares the first one's past; from there on each goes its own way.

    Clips are never rewritten, so both folders share their files on the disk (hard links; copies where the
    disk has none), and either folder can be deleted without harm to the other.

    Args:
        folder: of the branch. If this very branch is there already it is opened.
        last_clip: clips up to this number come along, with what was decided about them; None = all.

    Raises: WorldStereoError if something else is in the folder, there is no such clip, or it cannot be
        written.
    """
    world = world.reload()
    numbers = [record.clip for record in world.manifest.clips]
    last = max(numbers, default=0) if last_clip is None else last_clip
    if last_clip is not None:
        world.manifest.record(last_clip)
    if is_world(folder):
        existing = open_world(folder)
        origin = existing.manifest.branch_of
        if (
            origin is not None
            and origin.id == world.manifest.id
            and (last_clip is None or origin.clip == last)
        ):
            return existing
        raise WorldStereoError(
            f"world folder {folder}: there is another world already. Give the branch another name."
        )
    if folder.exists() and any(folder.iterdir()):
        raise WorldStereoError(
            f"world folder {folder}: there is something else. Give the branch another name."
        )
    records = tuple(record for record in world.manifest.clips if record.clip <= last)
    manifest = replace(
        world.manifest,
        name=folder.name if name is None else name,
        id=uuid.uuid4().hex,
        revision=0,
        branch_of=BranchPoint(world.name, world.manifest.id, last),
        clips=records,
    )
    with saying_what_failed(folder, "the branch"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.is_dir():
            folder.rmdir()
        with folder_when_done(folder, is_durable=True) as temporary:
            (temporary / CLIPS).mkdir()
            _share(world.folder / BASE, temporary / BASE)
            for record in records:
                shutil.copytree(world.folder / record.folder, temporary / record.folder, copy_function=_share)
            write_manifest(temporary, manifest)
    return World(folder, manifest)


@dataclass(frozen=True)
class CleanUp:
    """What a clean-up removes, or would.

    Attributes:
        clips: numbers of the clips that are not in the memory.
        leftovers: names of folders that no clip owns.
        num_bytes: what they take on the disk; files that a branch shares are freed with its last user.
    """

    clips: tuple[int, ...]
    leftovers: tuple[str, ...]
    num_bytes: int

    @property
    def text(self) -> str:
        if not self.clips and not self.leftovers:
            return "Nothing to remove: every clip is in the memory."
        clips = ", ".join(str(clip) for clip in self.clips) or "none"
        return (
            f"Clips that are not in the memory: {clips}; leftovers of cut-off runs: {len(self.leftovers)}; "
            f"{self.num_bytes / 1e6:.1f} MB."
        )


def clean_world(world: World, is_dry_run: bool = True) -> tuple[World, CleanUp]:
    """Delete the files of every clip that is not in the memory. There is no way back.

    Args:
        is_dry_run: only say what would go.

    Raises: WorldStereoError if another process is in the folder, or it cannot be written.
    """
    world = world.reload()
    if is_dry_run:
        return world, _find(world)
    with locked(world.folder), saying_what_failed(world.folder, "the clean-up"):
        world = world.reload()
        found = _find(world)
        kept = tuple(record for record in world.manifest.clips if record.clip not in found.clips)
        gone = [record.folder for record in world.manifest.clips if record.clip in found.clips]
        manifest = replace(world.manifest, clips=kept, revision=world.manifest.revision + 1)
        check_still_locked(world.folder)
        # First the manifest: a clip that it names must be whole.
        write_manifest(world.folder, manifest)
        for name in [*gone, *found.leftovers]:
            shutil.rmtree(world.folder / name)
        sweep(world.folder / CLIPS)
        return World(world.folder, manifest), found


def _find(world: World) -> CleanUp:
    present = {record.clip for record in world.manifest.present}
    gone = [record for record in world.manifest.clips if record.clip not in present]
    owned = {record.folder for record in world.manifest.clips}
    leftovers = tuple(
        f"{CLIPS}/{path.name}"
        for path in sorted((world.folder / CLIPS).iterdir())
        if path.is_dir() and not path.name.startswith(".") and f"{CLIPS}/{path.name}" not in owned
    )
    size = sum(
        file.stat().st_size
        for name in [*(record.folder for record in gone), *leftovers]
        for file in (world.folder / name).rglob("*")
        if file.is_file()
    )
    return CleanUp(tuple(record.clip for record in gone), leftovers, size)


def _share(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> str | os.PathLike[str]:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
