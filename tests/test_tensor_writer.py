"""Streaming safetensors writer: right bytes, one tensor at a time, whole or not at all."""

from __future__ import annotations

import errno
import signal
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from worldstereo_core import tensor_writer
from worldstereo_core.checks import WorldStereoError
from worldstereo_core.tensor_writer import saying_why_not, write_tensors


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "matrix": torch.randn(3, 5, generator=generator),
        "half": torch.randn(7, generator=generator).to(torch.bfloat16),
        "eighth": torch.randn(5, 2, generator=generator).to(torch.float8_e4m3fn),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "turned": torch.randn(4, 6, generator=generator).T,
    }


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_library_reads_back_what_was_written(tmp_path: Path, tensors: dict[str, Tensor]):
    path = tmp_path / "new folder" / "file.safetensors"
    size = write_tensors(path, tensors, {"key": "value"})
    assert size == path.stat().st_size
    found = load_file(path)
    assert set(found) == set(tensors)
    for name, value in tensors.items():
        assert found[name].dtype == value.dtype and torch.equal(found[name].float(), value.float()), name
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"format": "pt", "key": "value"}
    assert left_behind(path.parent) == ["file.safetensors"]


def test_tensors_are_stored_in_the_type_asked_for(tmp_path: Path, tensors: dict[str, Tensor]):
    path = tmp_path / "file.safetensors"
    half = torch.bfloat16

    def convert(name: str, tensor: Tensor) -> torch.dtype:
        return half if name == "matrix" else tensor.dtype

    write_tensors(path, tensors, convert=convert)
    assert torch.equal(load_file(path)["matrix"], tensors["matrix"].to(half))


def test_a_value_that_the_type_cannot_hold_is_refused(tmp_path: Path):
    with pytest.raises(WorldStereoError, match=r"dtype: large has values that float16 cannot hold"):
        write_tensors(
            tmp_path / "file.safetensors",
            {"large": torch.tensor([1e6])},
            convert=lambda name, tensor: torch.float16,
        )
    assert left_behind(tmp_path) == []


def test_progress_ends_at_its_total_and_may_stop_the_writing(tmp_path: Path):
    tensors = {str(index): torch.zeros(2**18) for index in range(4)}  # 1 MiB each
    seen: list[tuple[int, int]] = []
    write_tensors(
        tmp_path / "file.safetensors", tensors, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]

    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        write_tensors(tmp_path / "other.safetensors", tensors, progress=stop)
    assert left_behind(tmp_path) == ["file.safetensors"]


def test_the_disk_is_kept_up_with_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    confirmed: list[int] = []
    monkeypatch.setattr(tensor_writer, "_UNCONFIRMED", 2**20)
    monkeypatch.setattr(tensor_writer, "_confirm", lambda file: confirmed.append(file.tell() >> 19))
    write_tensors(tmp_path / "file.safetensors", {str(index): torch.zeros(2**17) for index in range(5)})
    # Half a MiB each: after every second, and at the end.
    assert confirmed == [2, 4, 5]


def test_a_failed_write_keeps_the_file_that_was_there(tmp_path: Path):
    path = tmp_path / "file.safetensors"
    path.write_bytes(b"earlier")
    with pytest.raises(WorldStereoError):
        write_tensors(path, {"large": torch.tensor([1e6])}, convert=lambda name, tensor: torch.float16)
    assert path.read_bytes() == b"earlier" and left_behind(tmp_path) == ["file.safetensors"]


def test_a_disk_that_fills_up_while_writing_is_named_and_left_clean(tmp_path: Path):
    resource = pytest.importorskip("resource")
    # A limit on the size of files fails in the kernel, in the middle of a write, as a full disk does.
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, limits[1]))
        with (
            pytest.raises(WorldStereoError, match=r"^prefix: there is no room for it .* nothing was left"),
            saying_why_not("prefix"),
        ):
            write_tensors(tmp_path / "file.safetensors", {"a": torch.zeros(2**20)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert left_behind(tmp_path) == []


def test_too_little_space_is_said_before_writing(tmp_path: Path):
    # 2 EiB of zeros without storage.
    huge = torch.zeros(1).expand(2**59)
    sentence = r"there is no room for 2147483648\.0 GiB"
    with pytest.raises(WorldStereoError, match=sentence), saying_why_not("prefix"):
        write_tensors(tmp_path / "file.safetensors", {"a": huge})
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
):
    # Raised here, since the tests may run as a user who may write everywhere.
    def refuse(path: object) -> object:
        raise OSError(number, "refused")

    monkeypatch.setattr(tensor_writer, "replace_when_done", refuse)
    sentence = "prefix: this folder cannot be written to"
    with pytest.raises(WorldStereoError, match=sentence), saying_why_not("prefix"):
        write_tensors(tmp_path / "file.safetensors", {"a": torch.zeros(1)})


def test_a_folder_that_is_a_file_is_named(tmp_path: Path):
    (tmp_path / "folder").write_text("")
    sentence = r"writing failed \(File exists\)|writing failed \(Not a directory\)"
    with pytest.raises(WorldStereoError, match=sentence), saying_why_not("prefix"):
        write_tensors(tmp_path / "folder" / "file.safetensors", {"a": torch.zeros(1)})
