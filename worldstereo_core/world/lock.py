"""One writer per world folder: a lock file that says who holds it, and that a dead process cannot keep.

The file is created exclusively, which every system and file server offers. Whoever holds it touches it every
few seconds. It counts as left behind when its process is known to have ended or, where that cannot be known
(another machine), when nobody touched it for a minute.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..checks import WorldStereoError
from .process import ProcessIdentity

logger = logging.getLogger(__name__)

LOCK = "world.lock"
HEARTBEAT = 2.0  # seconds between touches
STALE_AFTER = 60.0  # seconds without a touch
_ATTEMPTS = 5


class _Held:
    """A lock file of this process, with the thread that touches it."""

    def __init__(self, path: Path, token: str):
        self.path, self.token = path, token
        self.users = 0
        self.wanted: list[Callable[[], bool]] = []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._beat, daemon=True, name=f"lock of {path.parent.name}")

    def _beat(self) -> None:
        while not self.stopped.wait(HEARTBEAT):
            with _GUARD:
                if self.stopped.is_set():
                    return
                self.wanted = [is_needed for is_needed in self.wanted if is_needed()]
                if not self.users and not self.wanted:
                    _let_go(self)
                    return
                try:
                    os.utime(self.path)
                except OSError as error:
                    logger.warning(
                        "%s: cannot be touched (%s); another process may take it.", self.path, error
                    )


# Locks of this process by resolved folder. One process may enter its own lock again and again.
_HELD: dict[Path, _Held] = {}
_GUARD = threading.RLock()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a world folder during the block.

    Raises: WorldStereoError if another process is in it, or no lock can be written.
    """
    held = _enter(folder)
    with _GUARD:
        held.users += 1
    try:
        yield
    finally:
        with _GUARD:
            held.users -= 1
            if not held.users and not held.wanted and not held.stopped.is_set():
                _let_go(held)


def keep_locked(folder: Path, is_needed: Callable[[], bool]) -> None:
    """Keep other processes out of a world folder for as long as ``is_needed`` says so.

    Args:
        is_needed: asked every few seconds from a thread of its own; once it says no the folder is free.

    Raises: as ``locked``.
    """
    held = _enter(folder)
    with _GUARD:
        held.wanted.append(is_needed)


def check_still_locked(folder: Path) -> None:
    """Check that nobody has taken this process's lock, as after a long sleep of the machine.

    Raises: WorldStereoError.
    """
    held = _HELD.get(folder.resolve())
    content = None if held is None else _read(held.path)
    if held is None or content is None or content.get("token") != held.token:
        raise WorldStereoError(
            f"world folder {folder.name}: another process has taken it over while this one stood still, so "
            "nothing more is written. Run again; finished clips are kept."
        )


def _enter(folder: Path) -> _Held:
    folder = folder.resolve()
    with _GUARD:
        held = _HELD.get(folder)
        if held is None:
            held = _Held(folder / LOCK, _create(folder))
            _HELD[folder] = held
            held.thread.start()
        return held


def _let_go(held: _Held) -> None:
    held.stopped.set()
    _HELD.pop(held.path.parent, None)
    content = _read(held.path)
    if content is not None and content.get("token") == held.token:
        held.path.unlink(missing_ok=True)


def _create(folder: Path) -> str:
    """Write the lock file; returns its token."""
    path, token = folder / LOCK, uuid.uuid4().hex
    text = json.dumps({**ProcessIdentity.current().to_json(), "token": token, "since": _now()}, indent=1)
    for _ in range(_ATTEMPTS):
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            _remove_stale(path)
            continue
        except OSError as error:
            raise WorldStereoError(
                f"world folder {folder}: it cannot be written to ({error.strerror or error}). Make the "
                "folder writable or free some space; a folder that is only read needs neither."
            ) from error
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        return token
    raise WorldStereoError(f"world folder {folder.name}: several processes want it at once. Run again.")


def _remove_stale(path: Path) -> None:
    """Take away a lock that was left behind.

    Raises: WorldStereoError if it is in use.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    if not _is_stale(path, content):
        raise WorldStereoError(_in_use(path, content))
    # Of two processes that find it stale only one can move it; it looks again at what it moved.
    aside = path.with_name(f".{LOCK}.{uuid.uuid4().hex}")
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return
    moved = aside.read_text(encoding="utf-8")
    if moved != content:
        if not path.exists():
            os.rename(aside, path)
        raise WorldStereoError(_in_use(path, moved))
    aside.unlink()
    logger.info("%s: the process that held it has ended; the lock is taken over.", path)


def _is_stale(path: Path, content: str) -> bool:
    try:
        is_running = ProcessIdentity.from_json(json.loads(content)).is_running()
    except (ValueError, WorldStereoError):
        is_running = None  # cut off while it was written, or not ours: only its age can tell
    if is_running is not None:
        return not is_running
    return _age(path) > STALE_AFTER


def _age(path: Path) -> float:
    """Seconds since a file was touched, by the clock of the disk it is on, which need not agree with ours."""
    probe = path.with_name(f".{LOCK}.{uuid.uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
    finally:
        probe.unlink(missing_ok=True)


def _in_use(path: Path, content: str) -> str:
    holder = _parse(content) or {}
    who = f"process {holder.get('pid', 'unknown')} on {holder.get('host', 'an unknown machine')}"
    return (
        f"world folder {path.parent.name}: {who} has been working in it since "
        f"{holder.get('since', 'lately')}, and only one may. Wait until its run has finished or cancel it "
        "there, or give another name here. If no such process runs any more, the lock frees itself within a "
        f"minute; it is the file {path}."
    )


def _read(path: Path) -> dict[str, object] | None:
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except OSError:
        return None


def _parse(text: str) -> dict[str, object] | None:
    try:
        content = json.loads(text)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
