"""Mapped weight files: of any size, private, and without a copy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from worldstereo_core.checks import CheckpointError
from worldstereo_core.model.mapped_file import MAPS_WITHOUT_RESERVING, TYPES, map_safetensors
from worldstereo_core.model.weight_files import read_weights

pytestmark = pytest.mark.skipif(not MAPS_WITHOUT_RESERVING, reason="the safetensors library maps files here")


def _header(entries: dict) -> bytes:
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def test_every_type_reads_as_the_library_reads_it(tmp_path: Path):
    path = tmp_path / "types.safetensors"
    # The library's own writer knows no C64.
    kinds = [dtype for name, dtype in TYPES.items() if name not in ("C64", "F8_E8M0", "U64", "U32", "U16")]
    tensors = {str(dtype): torch.arange(6).view(2, 3).to(dtype) for dtype in kinds}
    tensors |= {"scalar": torch.tensor(3.0), "empty": torch.zeros(0, 4)}
    save_file(tensors, path)
    for name, value in map_safetensors(path).items():
        assert value.dtype == tensors[name].dtype and value.shape == tensors[name].shape
        assert value.double().tolist() == tensors[name].double().tolist()


def test_writing_to_a_tensor_leaves_the_file_alone(tmp_path: Path):
    path = tmp_path / "file.safetensors"
    save_file({"a": torch.ones(1000)}, path)
    content = path.read_bytes()
    tensors = map_safetensors(path)
    tensors["a"].zero_()
    assert float(tensors["a"].sum()) == 0 and path.read_bytes() == content


def test_a_file_larger_than_main_memory_is_mapped(tmp_path: Path):
    path, size = tmp_path / "huge.safetensors", 2**40
    head = _header({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}})
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)  # sparse: nothing is stored
    tensors, _ = read_weights(path)
    assert tensors["a"].shape == (size,) and int(tensors["a"][-1]) == 0


def test_an_unknown_type_of_number_is_named(tmp_path: Path):
    path = tmp_path / "odd.safetensors"
    path.write_bytes(_header({"a": {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}}) + b"\0\0")
    with pytest.raises(CheckpointError, match=r"odd\.safetensors: .*F4"):
        read_weights(path)
