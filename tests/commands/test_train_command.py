"""The train command: trains, resumes, changes settings, and says what is wrong in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("accelerate", reason="training needs the train extra")
pytest.importorskip("tensorboard", reason="training needs the train extra")

from worldstereo_core.__main__ import main
from worldstereo_core.formats.images import read_image, write_png

CONFIG = """
stage: vae
loop: {steps: 2, batch: 2, warmup: 0, log_every: 1, save_every: 1, sample_every: 2}
settings:
  width: 2
  num_columns: 2
  data: {source: folder, folder: PICTURES, height: 16, width: 32, num_held_out: 2}
"""


def test_a_folder_of_pictures_becomes_a_vae(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    import torch

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(5):
        write_png(pictures / f"{number}.png", torch.full((3, 16, 32), number / 5))
    config = tmp_path / "mine.yaml"
    config.write_text(CONFIG.replace("PICTURES", str(pictures)))
    output = tmp_path / "out"
    arguments = ["train", str(config), "--output", str(output)]

    assert main([*arguments, "--set", "loop.minutes=0"]) == 0
    assert "stopped: the time is up" in capsys.readouterr().out
    assert main([*arguments, "--resume"]) == 0
    said = capsys.readouterr().out
    assert "memory: weights" in said and "going on after step 0" in said and "done: 2 steps" in said
    assert (output / "export" / "card.json").is_file()
    # Two rows of two pictures of 16 x 32, two pixels between.
    assert read_image(output / "samples" / "step_00000002.png").shape == (3, 34, 66)

    assert main(arguments) == 1
    assert "holds checkpoints of an earlier run" in capsys.readouterr().err
    assert main([*arguments, "--resume", "--set", "seed=1"]) == 1
    assert "seed: 0 in the checkpoint, 1 now" in capsys.readouterr().err
    assert main([*arguments, "--set", "loop.stepz=1"]) == 1
    assert "error: mine.yaml: loop.stepz: no such setting. Did you mean steps?" in capsys.readouterr().err


def test_a_missing_library_names_the_extra(tmp_path, capsys, monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "yaml", None)
    assert main(["train", str(tmp_path / "any.yaml")]) == 2
    assert "yaml is not installed: pip install '.[train]'" in capsys.readouterr().err
