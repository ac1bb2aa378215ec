"""Reading weight files without running their code, with an error that says what is wrong with the file."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from ..checks import CheckpointError
from .mapped_file import MAPS_WITHOUT_RESERVING, map_safetensors

_DOWNLOAD_AGAIN = "Download it again."


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read every tensor of a file, memory-mapped where the format allows.

    Args:
        path: ``.safetensors``; or ``.pth``, ``.pt``, ``.ckpt``, ``.bin``, read with ``weights_only=True``.

    Returns:
        The tensors by name, and the file's metadata (empty for torch files).

    Raises: CheckpointError if the file is absent, empty, truncated or not of its format.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file. Check the name, or download the file first.")
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path}: the file is empty (0 bytes). {_DOWNLOAD_AGAIN}")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in (".pth", ".pt", ".ckpt", ".bin"):
        return _read_torch(path), {}
    raise CheckpointError(f"{path}: got a {path.suffix or 'nameless'} file, expected .safetensors (or .pth).")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    _check_safetensors_size(path)
    try:
        # Opened for numpy the library checks the header and maps nothing that could be written to.
        with safe_open(path, framework="np" if MAPS_WITHOUT_RESERVING else "pt") as file:
            metadata = dict(file.metadata() or {})
            if not MAPS_WITHOUT_RESERVING:
                return {key: file.get_tensor(key) for key in file.keys()}, metadata  # noqa: SIM118
        return map_safetensors(path), metadata
    except SafetensorError as error:
        raise CheckpointError(
            f"{path}: not a readable safetensors file ({error}). {_DOWNLOAD_AGAIN}"
        ) from error


def _check_safetensors_size(path: Path) -> None:
    """Compare the file's size with what its header promises, so that the message can give both."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(9)
        length = int.from_bytes(start[:8], "little")
        if start[8:] != b"{":
            raise CheckpointError(_not_safetensors(path, start + file.read(40)))
        if length + 8 > size:
            raise CheckpointError(
                f"{path}: truncated: its header alone needs {length + 8} bytes, got {size}. {_DOWNLOAD_AGAIN}"
            )
        header = start[8:] + file.read(length - 1)
    try:
        entries = json.loads(header)
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(_not_safetensors(path, start + header[:40])) from error
    expected = 8 + length + max(ends, default=0)
    if size < expected:
        raise CheckpointError(f"{path}: truncated: got {size} bytes, expected {expected}. {_DOWNLOAD_AGAIN}")


def _not_safetensors(path: Path, begins: bytes) -> str:
    text = begins.decode("utf-8", errors="replace").splitlines()[0] if begins.strip() else ""
    if text.startswith("version https://git-lfs"):
        return (
            f"{path}: this is a git-lfs pointer of {path.stat().st_size} bytes, not the weights. "
            "Run `git lfs pull`, or download the file itself."
        )
    if text.isprintable() and text:
        return f"{path}: not a safetensors file, it begins with {text[:40]!r}. {_DOWNLOAD_AGAIN}"
    return f"{path}: not a safetensors file. {_DOWNLOAD_AGAIN}"


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path}: cannot be read as plain weights ({reason}). Files that hold more than tensors are "
            "refused; use the safetensors version, or download the file again."
        ) from error
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError(
            f"{path}: got a {type(loaded).__name__}, expected a dictionary of tensors. Use the safetensors "
            "version of the file."
        )
    return loaded
