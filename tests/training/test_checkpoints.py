"""Checkpoints: other configurations and sizes, damage, full disks; the last good one stays."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest
import torch

from worldstereo_core.checks import CheckpointError, WorldStereoError
from worldstereo_core.training import checkpoints
from worldstereo_core.training.checkpoints import checkpoint_folders, load_checkpoint
from worldstereo_core.training.loop import train


def names(output: Path) -> list[str]:
    return [folder.name for folder in checkpoint_folders(output)]


def test_only_the_newest_are_kept(toy, tmp_path: Path):
    train(toy(save_every=2), tmp_path)
    assert names(tmp_path) == ["step_00000008", "step_00000010"]
    assert not [path for path in (tmp_path / "checkpoints").iterdir() if path.name.startswith(".")]


def test_resuming_with_another_configuration_names_both_values(toy, tmp_path: Path):
    train(toy(steps=2), tmp_path)
    expected = r"loop.batch: 3 in the checkpoint, 4 now; loop.steps: 2 in the checkpoint, 3 now; seed: 3 in"
    with pytest.raises(CheckpointError, match=expected):
        train(toy(steps=3, batch=4, seed=4), tmp_path, resume=True)
    # What does not change the result may change.
    train(toy(steps=2, log_every=1, save_every=1, workers=0, keep=1, minutes=3.0), tmp_path, resume=True)


def test_a_checkpoint_of_another_size_is_refused(toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    train(toy(steps=1), tmp_path)
    monkeypatch.setattr("worldstereo_core.training.loop.check_same_config", lambda *_: None)
    with pytest.raises(
        CheckpointError, match=r"student/0.weight: \[4, 3\] in the checkpoint, \[5, 3\] in the"
    ):
        train(toy(steps=1, width=5), tmp_path, resume=True)


def test_resuming_without_a_checkpoint_is_refused(toy, tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"--resume: .* holds no checkpoint"):
        train(toy(), tmp_path, resume=True)


@pytest.mark.parametrize("file", ["weights.safetensors", "mean.safetensors", "state.pt", "checkpoint.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_checkpoint_is_refused_and_the_older_one_named(toy, tmp_path: Path, file: str, damage: str):
    train(toy(steps=2, save_every=1), tmp_path)
    path = tmp_path / "checkpoints" / "step_00000002" / file
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    with pytest.raises(
        CheckpointError, match=r"step_00000002: the checkpoint is damaged.*from step_00000001"
    ):
        load_checkpoint(tmp_path)
    shutil.rmtree(path.parent)
    assert load_checkpoint(tmp_path).step == 1


def test_without_room_nothing_is_written_and_the_last_one_stays(toy, tmp_path: Path, monkeypatch):
    full = type("Usage", (), {"free": 1000})
    train(toy(steps=4, minutes=None, save_every=4), tmp_path / "a")
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda _: full)
    with pytest.raises(WorldStereoError, match=r"takes 0 MB and .* has 0 MB left. There is no earlier one"):
        train(toy(), tmp_path / "b")
    assert not names(tmp_path / "b")


def test_a_disk_that_fills_up_while_writing_keeps_the_last_checkpoint(toy, tmp_path: Path, monkeypatch):
    write = torch.save

    def fails_later(value, path, *args, **kwargs):
        if ".step_00000006." in str(path):
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(value, path, *args, **kwargs)

    monkeypatch.setattr(torch, "save", fails_later)
    with pytest.raises(
        WorldStereoError, match=r"No space left on device.*checkpoint, step_00000003, is kept"
    ):
        train(toy(save_every=3), tmp_path)
    assert names(tmp_path) == ["step_00000003"] and load_checkpoint(tmp_path).step == 3
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1
