"""Write a folder's files all together or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .outcome import CannotRun


@contextmanager
def staged_folder(target: Path, replaces: tuple[str, ...] = ()) -> Iterator[Path]:
    """Give a new folder beside `target`; its files move into `target` when the block ends well.

    Args:
        target: made when missing; files in it that the block does not write again stay.
        replaces: globs of files in `target` that an earlier run may have left and that would mix with the new
            ones (frames of a longer clip); they go at the moment the new files come.

    Raises: CannotRun if `target` is a file or cannot be made.
    """
    if target.exists() and not target.is_dir():
        raise CannotRun(f"--output: {target} is a file. Name a folder.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise CannotRun(
            f"--output: cannot write beside {target} ({error}). Choose another folder."
        ) from error
    try:
        yield stage
        target.mkdir(exist_ok=True)
        for glob in replaces:
            for old in target.glob(glob):
                old.unlink()
        for path in sorted(stage.rglob("*")):
            if path.is_file():
                destination = target / path.relative_to(stage)
                destination.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, destination)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
