"""What a killed process leaves behind, and what goes wrong with disks in words."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..checks import WorldStereoError

_PART = ".part"
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def sweep(folder: Path) -> None:
    """Remove what a process left half-written when it was killed. Only under the lock."""
    for path in folder.glob(f".*{_PART}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def saying_what_failed(folder: Path, what: str) -> Iterator[None]:
    """Turn the disk's errors while something is saved into a sentence.

    Raises: WorldStereoError for a full or read-only disk and every other error of the system.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        reason, advice = explain_disk(error)
        raise WorldStereoError(
            f"world folder {folder}: {what} could not be saved, because {reason}. Everything saved before is "
            f"untouched. {advice}, then run again: it goes on from there."
        ) from error


def explain_disk(error: Exception) -> tuple[str, str]:
    """Why the disk refused, and what to do, in words."""
    if _is_kind(error, _FULL):
        return "the disk is full", "Free some space"
    if _is_kind(error, _READ_ONLY):
        return "the folder cannot be written to", "Make it writable, or give another name"
    return str(error), "Check the disk"


def _is_kind(error: Exception, numbers: tuple[int, ...]) -> bool:
    number = getattr(error, "errno", None)
    # safetensors and the copying of folders hand the system's errors on as text only.
    texts = [form.format(wanted) for wanted in numbers for form in ("os error {})", "[Errno {}]")]
    return number in numbers or any(text in str(error) for text in texts)
