"""Files and folders that appear whole or not at all, and survive a crash of the machine where asked to."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .checks import WorldStereoError


@contextmanager
def replace_when_done(path: str | os.PathLike[str], is_durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside the target; rename it to the target if the block ends without an error.

    Args:
        is_durable: have the disk confirm the contents before the rename and the rename before returning, so
            that neither a crash nor a power cut can leave less than the old file or the whole new one.

    Raises: WorldStereoError if the folder of the target does not exist.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise WorldStereoError(
            f"{target}: the folder {target.parent} does not exist, so nothing was written. Create it first."
        )
    # Same folder, so that the rename stays on one disk; same suffix, for libraries that look at it.
    temporary = target.with_name(f".{target.stem}.{uuid.uuid4().hex}.part{target.suffix}")
    try:
        yield temporary
        if is_durable:
            flush_file(temporary)
        os.replace(temporary, target)
        if is_durable:
            flush_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def folder_when_done(
    path: str | os.PathLike[str], is_replaced: bool = False, is_durable: bool = False
) -> Iterator[Path]:
    """Yield a temporary folder beside the target; rename it to the target if the block ends without an error.

    Args:
        is_replaced: a folder of that name gives way, as a whole, once the new one is complete.
        is_durable: have the disk confirm every file before the rename and the rename before returning.

    Raises: WorldStereoError if the target exists already and is not to be replaced, or its own folder does
    not exist.
    """
    target = Path(path)
    exists = target.exists() and not (is_replaced and target.is_dir())
    if exists or not target.parent.is_dir():
        problem = "exists already" if exists else f"cannot be made: {target.parent} does not exist"
        raise WorldStereoError(f"{target}: {problem}, so nothing was written. Choose another name.")
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    old = temporary.with_suffix(".old")
    temporary.mkdir()
    try:
        yield temporary
        if is_durable:
            for parent, _, files in os.walk(temporary, topdown=False):
                for name in files:
                    flush_file(Path(parent) / name)
                flush_folder(Path(parent))
        if target.exists() and is_replaced:
            os.rename(target, old)
        try:
            os.rename(temporary, target)
        except OSError:
            if old.exists():
                os.rename(old, target)
            raise
        if is_durable:
            flush_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)


def write_by_content(folder: str | os.PathLike[str], prefix: str, suffix: str, content: bytes) -> Path:
    """Write a file whose name is made from its content: prefix, SHA-1, suffix. One that is there stays.

    Raises: WorldStereoError if there is no such folder.
    """
    name = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    target = Path(folder) / f"{prefix}{name}{suffix}"
    if not target.is_file():
        with replace_when_done(target) as temporary:
            temporary.write_bytes(content)
    return target


def flush_file(path: Path) -> None:
    """Have the disk confirm a file's contents."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def flush_folder(path: Path) -> None:
    """Have the disk confirm a folder's list of names."""
    if os.name == "nt":  # it has no such call, and its file system keeps a log of names
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
