"""export: a memory's points as PLY."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from worldstereo_core.__main__ import main
from worldstereo_core.formats.ply import read_ply
from worldstereo_core.memory.memory import initialise_memory
from worldstereo_core.memory.storage import save_memory


@pytest.fixture
def memory_file(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    K = torch.tensor([[10.0, 0, 5], [0, 10.0, 4], [0, 0, 1]])
    memory = initialise_memory(torch.rand(3, 8, 10, generator=generator), torch.full((8, 10), 2.0), K)
    save_memory(tmp_path / "memory.safetensors", memory)
    return tmp_path / "memory.safetensors"


def export(memory_file: Path, *more: str) -> int:
    return main(
        ["export", str(memory_file), "--format", "ply", "--output", str(memory_file.parent / "w.ply"), *more]
    )


def test_every_point_is_written_upright(memory_file: Path):
    assert export(memory_file) == 0
    text = (memory_file.parent / "w.ply").read_bytes().split(b"end_header")[0]
    assert b"element vertex 80" in text
    assert read_ply(memory_file.parent / "w.ply", up_axis="-y").xyz[:, 2].allclose(torch.tensor(-2.0))
    assert export(memory_file, "--up-axis", "opencv") == 0
    assert read_ply(memory_file.parent / "w.ply", up_axis="-y").xyz[:, 2].allclose(torch.tensor(2.0))


def test_confidence_that_no_point_reaches_is_refused(memory_file: Path, capsys):
    assert export(memory_file, "--min-confidence", "1.5") == 1
    assert "--min-confidence" in capsys.readouterr().err and not (memory_file.parent / "w.ply").exists()


def test_missing_memory_cannot_run_and_damaged_memory_fails(memory_file: Path, capsys):
    content = memory_file.read_bytes()
    memory_file.write_bytes(content[: len(content) // 2])
    assert export(memory_file) == 1
    assert "memory.safetensors" in capsys.readouterr().err
    memory_file.unlink()
    assert export(memory_file) == 2
    assert not (memory_file.parent / "w.ply").exists()
