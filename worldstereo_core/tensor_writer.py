"""Safetensors files written one tensor at a time, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from .atomic import replace_when_done
from .checks import WorldStereoError

# The names of the safetensors format, https://github.com/huggingface/safetensors#format.
_TYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_ALIGNMENT = 8  # of the first tensor's bytes; wider types come first, so that every tensor is aligned
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_UNCONFIRMED = 2**27  # bytes that may wait for the disk, so that neither a cancel nor the end takes long


def write_tensors(
    path: str | Path,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
    *,
    convert: Callable[[str, Tensor], torch.dtype] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write a safetensors file while holding no more than one tensor in memory.

    The file appears under its name when it is complete and on the disk; whatever goes wrong before, nothing
    is left behind.

    Args:
        path: ``.safetensors``; its folder is made if need be.
        tensors: what to write; mapped tensors are read one after the other, others brought to the CPU so.
            Several may share memory.
        metadata: of the file.
        convert: the type to store a tensor in; None keeps every tensor's own.
        progress: called with (done, total) in MiB; may raise to stop.

    Returns:
        Bytes of the file.

    Raises: OSError if the folder cannot be written or the disk is full, see ``saying_why_not``;
        WorldStereoError if a value does not fit into the type it is to be stored in.
    """
    path = Path(path)
    types = {name: convert(name, tensor) if convert else tensor.dtype for name, tensor in tensors.items()}
    order = sorted(tensors, key=lambda name: (-types[name].itemsize, name))
    header, size = _header(tensors, types, order, metadata or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    _check_space(path.parent, len(header) + size)
    with replace_when_done(path) as temporary, temporary.open("wb") as file:
        file.write(header)
        _write_one_by_one(file, tensors, types, order, size, progress)
        _confirm(file)
    return len(header) + size


@contextmanager
def saying_why_not(place: str | Path) -> Iterator[None]:
    """Turn the system's errors while something is written into a sentence.

    Args:
        place: what the sentence begins with: the file, or the node input it comes from.

    Raises: WorldStereoError for a full disk, a folder that cannot be written to, and whatever else fails.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            lacking = error.args[1] if isinstance(error, _TooLittleSpace) else "it"
            reason = f"there is no room for {lacking} on this disk. Make room, or choose another folder"
        elif error.errno in _DENIED:
            reason = "this folder cannot be written to. Allow it, or choose another folder"
        else:
            reason = f"writing failed ({error.strerror or error})"
        raise WorldStereoError(f"{place}: {reason}; nothing was left behind.") from error


def _header(
    tensors: Mapping[str, Tensor],
    types: Mapping[str, torch.dtype],
    order: list[str],
    metadata: Mapping[str, str],
) -> tuple[bytes, int]:
    """The file's first bytes, length included, and the bytes of all tensors."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt", **metadata}}
    offset = 0
    for name in order:
        end = offset + tensors[name].numel() * types[name].itemsize
        entries[name] = {
            "dtype": _TYPE_NAMES[types[name]],
            "shape": list(tensors[name].shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text, offset


def _write_one_by_one(
    file: IO[bytes],
    tensors: Mapping[str, Tensor],
    types: Mapping[str, torch.dtype],
    order: list[str],
    size: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    done, waiting, total = 0, 0, max(size >> 20, 1)
    for name in order:
        stored = _converted(name, tensors[name], types[name])
        if stored.numel():
            file.write(memoryview(stored.reshape(-1).view(torch.uint8).numpy()))
        done += stored.numel() * stored.itemsize
        waiting += stored.numel() * stored.itemsize
        if waiting >= _UNCONFIRMED:
            _confirm(file)
            waiting = 0
        if progress is not None:
            progress(min(done >> 20, total), total)


def _converted(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    stored = tensor.detach().to("cpu", dtype).contiguous()
    if dtype != tensor.dtype and not bool(stored.float().isfinite().all()):
        raise WorldStereoError(
            f"dtype: {name} has values that {str(dtype).removeprefix('torch.')} cannot hold, or that are not "
            'finite. Choose bf16 or "as stored".'
        )
    return stored


def _confirm(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


class _TooLittleSpace(OSError):
    """A full disk, found before writing; says how much is needed."""


def _check_space(folder: Path, needed: int) -> None:
    if shutil.disk_usage(folder).free < needed:
        text = f"{needed / 2**30:.1f} GiB" if needed >= 2**28 else f"{needed} bytes"
        raise _TooLittleSpace(errno.ENOSPC, text)
