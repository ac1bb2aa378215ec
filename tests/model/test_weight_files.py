"""Weight files: what is wrong with them is said, and their tensors are not copied."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from worldstereo_core.checks import CheckpointError
from worldstereo_core.model.weight_files import read_weights


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "some.safetensors"
    save_file({"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}, path, {"x": "y"})
    return path


def test_tensors_and_metadata_come_back(weights: Path):
    tensors, metadata = read_weights(weights)
    torch.testing.assert_close(tensors["a"], torch.arange(6.0).view(2, 3))
    assert tensors["b"].dtype is torch.bfloat16
    assert metadata == {"x": "y"}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc to see memory use")
def test_tensors_are_mapped_not_read(tmp_path: Path):
    path = tmp_path / "large.safetensors"
    save_file({"zeros": torch.zeros(24, 1024, 1024)}, path)  # 96 MiB

    def resident_mib() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * 4096 / 2**20

    before = resident_mib()
    tensors, _ = read_weights(path)
    assert tensors["zeros"].shape == (24, 1024, 1024)
    assert resident_mib() - before < 24


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_truncated_file_says_how_much_is_missing(weights: Path, kept: float):
    content = weights.read_bytes()
    weights.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(
        CheckpointError, match=rf"{weights}: truncated: .*{len(content[: int(len(content) * kept)])}"
    ):
        read_weights(weights)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"hello, this is a text file", "begins with 'hello, this"),
        (b"<!DOCTYPE html><html>Not found</html>", "begins with '<!DOCTYPE html>"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"{}", "not a safetensors file"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{not json at all", "not a safetensors file"),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00" + b"[1, 2]  ", "not a safetensors file"),
        (bytes(200), "not a safetensors file"),
    ],
)
def test_other_content_under_a_safetensors_name_is_named(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_weights(path)
    assert str(path) in str(caught.value)


def test_header_that_lies_about_its_tensors_is_refused(weights: Path):
    content = weights.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["a"]["shape"] = [5, 5]
    text = json.dumps(header).encode()
    weights.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        read_weights(weights)


def test_missing_file_and_unknown_kind_are_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no such file"):
        read_weights(tmp_path / "absent.safetensors")
    other = tmp_path / "model.gguf"
    other.write_bytes(b"GGUF")
    with pytest.raises(CheckpointError, match=r"got a \.gguf file, expected \.safetensors"):
        read_weights(other)


class _RunsCode:
    def __reduce__(self):
        return (print, ("code of a weight file was run",))


def test_pth_with_code_is_refused_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "controlnet.pth"
    torch.save({"a": torch.ones(2), "evil": _RunsCode()}, path)
    with pytest.raises(CheckpointError, match="more than tensors"):
        read_weights(path)
    assert "code of a weight file" not in capsys.readouterr().out


def test_pth_of_tensors_is_read_also_below_state_dict(tmp_path: Path):
    path = tmp_path / "controlnet.pth"
    for content in ({"a": torch.ones(2)}, {"state_dict": {"a": torch.ones(2)}}):
        torch.save(content, path)
        torch.testing.assert_close(read_weights(path)[0], {"a": torch.ones(2)})


@pytest.mark.parametrize("content", [b"plain text", pickle.dumps({"a": 1})[:-2]])
def test_damaged_pth_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "controlnet.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read as plain weights"):
        read_weights(path)


def test_pth_of_something_else_is_refused(tmp_path: Path):
    path = tmp_path / "controlnet.pth"
    torch.save([1, 2, 3], path)
    with pytest.raises(CheckpointError, match="got a list, expected a dictionary of tensors"):
        read_weights(path)
