"""``world.json``: which clips a world has, what they were made with, and what was decided about them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ..atomic import replace_when_done
from ..checks import WorldStereoError

MANIFEST = "world.json"
FORMAT = "worldstereo-world"
VERSION = 1
Status = Literal["pending", "accepted", "rejected"]


@dataclass(frozen=True)
class ClipRecord:
    """What the manifest keeps about a clip.

    Attributes:
        clip: its number in this world, never given twice; points and views carry it.
        slot: place of its trajectory in the loop's list, from 1; None for a clip that was saved by hand.
        folder: where its files are, relative to the world folder.
        status: pending until somebody decides.
        built_on: the clips that were in the memory when it was made.
        seed: of its noise.
        settings: what else it was made with, JSON values.
        trajectory: name, source, pivot and rate of its trajectory; the cameras are in its folder.
        start: what its first frame was, in words.
        num_frames, height, width: of its frames.
        num_points, num_views: what it brought into the memory.
        report: what the memory update said.
        made: date and time, UTC.
    """

    clip: int
    slot: int | None
    folder: str
    status: Status
    built_on: tuple[int, ...]
    seed: int
    settings: dict[str, Any]
    trajectory: dict[str, Any]
    start: str
    num_frames: int
    height: int
    width: int
    num_points: int
    num_views: int
    report: str
    made: str


@dataclass(frozen=True)
class BranchPoint:
    """Where a branch left its world."""

    world: str
    id: str
    clip: int


@dataclass(frozen=True)
class Manifest:
    """A world folder's table of contents.

    Attributes:
        id: tells worlds apart that have the same name.
        revision: counts every change.
        last_number: the highest clip number given so far, or held by the memory at the start.
        takes: how many clips were made for each slot so far, removed ones included.
        branch_of: the world that this one left, and after which clip.
        clips: in the order they were made, rejected ones included.
    """

    name: str
    id: str
    created: str
    last_number: int = 0
    revision: int = 0
    branch_of: BranchPoint | None = None
    takes: dict[int, int] = field(default_factory=dict)
    clips: tuple[ClipRecord, ...] = ()

    @property
    def present(self) -> tuple[ClipRecord, ...]:
        """The clips whose points and views are in the memory, in the order they were made.

        A rejected clip is not. A pending clip leaves with any clip that it was built on; an accepted one
        stays whatever happens to the others. Of several takes of one slot the accepted one counts, else the
        newest.
        """
        outdone: set[int] = set()
        while True:
            found = self._present_without(outdone)
            worse = _first_outdone(found)
            if worse is None:
                return found
            # One at a time: what was built on it leaves with it, and may have outdone others.
            outdone.add(worse)

    def _present_without(self, outdone: set[int]) -> tuple[ClipRecord, ...]:
        numbers: set[int] = set()
        for record in self.clips:
            if record.status == "rejected" or record.clip in outdone:
                continue
            if record.status == "accepted" or numbers >= set(record.built_on):
                numbers.add(record.clip)
        return tuple(record for record in self.clips if record.clip in numbers)

    def record(self, clip: int) -> ClipRecord:
        """Raises: WorldStereoError if there is no such clip."""
        for record in self.clips:
            if record.clip == clip:
                return record
        held = ", ".join(str(record.clip) for record in self.clips) or "none yet"
        raise WorldStereoError(
            f"clip: got {clip}, but world {self.name} has the clips {held}. Choose one of them."
        )

    def with_clip(self, record: ClipRecord) -> Manifest:
        takes = dict(self.takes)
        if record.slot is not None:
            takes[record.slot] = takes.get(record.slot, 0) + 1
        return replace(
            self,
            clips=(*self.clips, record),
            takes=takes,
            last_number=max(self.last_number, record.clip),
            revision=self.revision + 1,
        )

    def with_status(self, clips: Iterable[int], status: Status) -> Manifest:
        """Raises: WorldStereoError if there is no such clip."""
        chosen = {self.record(clip).clip for clip in clips}
        records = tuple(
            replace(record, status=status) if record.clip in chosen else record for record in self.clips
        )
        return self if records == self.clips else replace(self, clips=records, revision=self.revision + 1)


def _first_outdone(records: tuple[ClipRecord, ...]) -> int | None:
    """The clip that gives way to another take of its slot, for the slot that was made first."""
    slots = [record.slot for record in records if record.slot is not None]
    for slot in dict.fromkeys(slots):
        takes = [record for record in records if record.slot == slot]
        if len(takes) > 1:
            return min(takes, key=lambda record: (record.status == "accepted", record.clip)).clip
    return None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put a manifest in the place of the old one, whole or not at all."""
    content = {"format": FORMAT, "version": VERSION, **asdict(manifest)}
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    with replace_when_done(folder / MANIFEST, is_durable=True) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read a world folder's manifest.

    Raises: WorldStereoError, naming the file, if it is missing, damaged, of another kind or of a newer
        version.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WorldStereoError(
            f"world folder {folder}: it holds no {MANIFEST}, so it is no world folder. Choose another name."
        ) from error
    except OSError as error:
        raise WorldStereoError(
            f"{path}: it cannot be read ({error.strerror or error}). Make the file readable, or give another "
            "name."
        ) from error
    except ValueError as error:
        raise _damaged(path, f"it cannot be read ({error})") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise _damaged(path, f"its format is {found!r}, expected {FORMAT!r}")
    version = content.get("version")
    if not isinstance(version, int) or version < 1:
        raise _damaged(path, f"its format version is {version!r}, expected 1 to {VERSION}")
    if version > VERSION:
        raise WorldStereoError(
            f"{path}: got format version {version}, expected at most {VERSION}. The world was written by a "
            "newer WorldStereo and stays untouched: update this one, or give another name."
        )
    try:
        branch = content["branch_of"]
        return Manifest(
            name=str(content["name"]),
            id=str(content["id"]),
            created=str(content["created"]),
            last_number=int(content["last_number"]),
            revision=int(content["revision"]),
            branch_of=None if branch is None else BranchPoint(**branch),
            # JSON has text for keys.
            takes={int(slot): int(count) for slot, count in content["takes"].items()},
            clips=tuple(_record(entry) for entry in content["clips"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise _damaged(path, reason) from error


def _record(entry: dict[str, Any]) -> ClipRecord:
    record = ClipRecord(**{**entry, "built_on": tuple(int(clip) for clip in entry["built_on"])})
    if record.status not in get_args(Status):
        raise ValueError(f"clip {record.clip} has the status {record.status!r}")
    if Path(record.folder).is_absolute() or ".." in Path(record.folder).parts:
        raise ValueError(f"clip {record.clip} lies outside the world folder, in {record.folder!r}")
    return record


def _damaged(path: Path, reason: str) -> WorldStereoError:
    return WorldStereoError(
        f"{path}: {reason}. The file was edited or damaged, and is left as it is. Put a copy of it back, or "
        "give another name; the clips' pictures, cameras and latents lie in the folder all the same."
    )
