"""Tensors as views of a mapped safetensors file of any size: nothing is read before it is used."""

from __future__ import annotations

import json
import mmap
import sys
from pathlib import Path

import torch
from torch import Tensor

from ..checks import CheckpointError

# Elsewhere the safetensors library maps the file itself.
MAPS_WITHOUT_RESERVING = sys.platform == "linux"
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
_TYPE_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
    "C64": "complex64",
}
# Older versions of torch lack some.
TYPES = {name: getattr(torch, ours) for name, ours in _TYPE_NAMES.items() if hasattr(torch, ours)}


def map_safetensors(path: Path) -> dict[str, Tensor]:
    """Map a file whose header has been checked.

    Pages are private copies once something writes to them, and the file never changes. The system is asked
    not to set memory aside for such copies: it would refuse a file larger than main memory.

    Returns:
        The tensors by name; the mapping lives as long as one of them.

    Raises: CheckpointError for a type of number that torch does not have, OSError if the system refuses.
    """
    with path.open("rb") as file:
        mapped = mmap.mmap(
            file.fileno(),
            0,
            flags=mmap.MAP_PRIVATE | _NO_RESERVE,
            prot=mmap.PROT_READ | mmap.PROT_WRITE,
        )
    length = int.from_bytes(mapped[:8], "little")
    entries = json.loads(mapped[8 : 8 + length])
    entries.pop("__metadata__", None)
    unknown = {entry["dtype"] for entry in entries.values()} - set(TYPES)
    if unknown:
        raise CheckpointError(
            f"{path}: it holds numbers of type {', '.join(sorted(unknown))}, which torch {torch.__version__} "
            "does not have. Choose the file in bf16, fp16 or fp8."
        )
    return {name: _view(mapped, 8 + length, entry) for name, entry in entries.items()}


def _view(mapped: mmap.mmap, start: int, entry: dict) -> Tensor:
    dtype, shape = TYPES[entry["dtype"]], entry["shape"]
    begin, end = entry["data_offsets"]
    if begin == end:
        return torch.empty(shape, dtype=dtype)
    count = (end - begin) // dtype.itemsize
    return torch.frombuffer(mapped, dtype=dtype, count=count, offset=start + begin).view(shape)
