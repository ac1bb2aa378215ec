"""Configurations: what they become, and how wrong ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.training.config import LoopConfig, read_config

GOOD = """
stage: vae
seed: 7
loop: {steps: 20, batch: 2, ema: 0, precision: no, minutes: 5}
settings:
  width: 4
  learning_rate: 1
  data: {source: folder, folder: pictures, height: 16, width: 32}
"""


def config_file(tmp_path: Path, text: str = GOOD) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(text)
    return path


def test_a_file_becomes_frozen_settings(tmp_path: Path):
    config = read_config(config_file(tmp_path), ["loop.batch=4", "settings.data.num_held_out=1", "seed=8"])
    assert config.seed == 8 and config.stage == "vae"
    assert config.loop == LoopConfig(steps=20, batch=4, ema=0.0, precision="no", minutes=5.0)
    assert config.settings.learning_rate == 1.0 and isinstance(config.settings.learning_rate, float)
    assert (config.settings.data.width, config.settings.data.num_held_out) == (32, 1)
    assert config.to_dict()["settings"]["data"]["folder"] == "pictures"
    with pytest.raises(AttributeError):
        config.loop.steps = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("override", "error"),
    [
        ("loop.step=3", r"small.yaml: loop.step: no such setting. Did you mean steps\?"),
        ("loops.steps=3", r"loops: no such setting. Did you mean loop\?"),
        ("loop.steps=many", r"loop.steps: got the text 'many', expected a whole number"),
        ("loop.steps=2.5", r"loop.steps: got the number 2.5, expected a whole number"),
        ("loop.steps=true", r"loop.steps: got the bool True, expected a whole number"),
        ("loop.steps=0", r"loop.steps: got 0, expected at least 1"),
        ("loop.ema=1", r"loop.ema: got 1.0, expected at least 0 and at most"),
        ("loop.precision=fp8", r"loop.precision: got the text 'fp8', expected one of no, bf16, fp16"),
        ("loop=3", r"loop: got the number 3, expected a section"),
        ("settings.data.width=20", r"settings.data.width: got 20, expected a multiple of 16"),
        ("settings.data.folder=null", r"settings.data.folder: got None, but source is folder"),
        ("settings.absolut=1", r"settings.absolut: no such setting. Did you mean absolute\?"),
        ("stage=vea", r"stage: got 'vea', which is no stage. Did you mean vae\?"),
        ("stage=null", r"stage: got None, which is no stage. Choose one of"),
        ("seed=-1", r"seed: got -1, expected at least 0"),
        ("loop.steps", r"--set loop.steps: expected key=value"),
        ("seed.x=1", r"--set seed.x=1: seed holds the number 7 and no keys"),
        ("loop.steps=[", r"--set loop.steps=\[: the value is not YAML"),
    ],
)
def test_wrong_settings_are_refused_by_name(tmp_path: Path, override: str, error: str):
    with pytest.raises(WorldStereoError, match=error):
        read_config(config_file(tmp_path), [override])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("- a\n- b", "holds a list, expected the keys stage, loop and settings"),
        ("a: [", "is not YAML"),
        ("", "holds nothing, expected"),
        ("stage: vae\nloop: {batch: 2}", "loop.steps is missing: expected a whole number"),
    ],
)
def test_files_of_another_shape_are_refused(tmp_path: Path, text: str, error: str):
    with pytest.raises(WorldStereoError, match=error):
        read_config(config_file(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(WorldStereoError, match=r"CONFIG: .*none.yaml does not exist"):
        read_config(tmp_path / "none.yaml")


def test_every_shipped_configuration_can_be_read():
    files = sorted((Path(__file__).resolve().parents[2] / "training").glob("*.yaml"))
    assert files
    for file in files:
        assert read_config(file).licence == "Apache-2.0"
