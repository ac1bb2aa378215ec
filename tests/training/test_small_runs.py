"""Whole runs of a few steps: configuration, clips, loop, samples, figures, files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("diffusers")
pytest.importorskip("accelerate")
pytest.importorskip("yaml")

from worldstereo_core.adapters.diffusers.loader import load_worldstereo
from worldstereo_core.formats.images import read_image
from worldstereo_core.model.tiny import VAE_WIDTH, random_tensors, write_weights
from worldstereo_core.model.vae_key_names import wan_vae_shapes
from worldstereo_core.training.config import read_config
from worldstereo_core.training.loop import train


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a VAE and the drawn clips of every run of this file."""
    folder = tmp_path_factory.mktemp("runs")
    write_weights(folder / "vae.safetensors", random_tensors(wan_vae_shapes(VAE_WIDTH), 1))
    return folder


def write_config(workplace: Path, name: str, stage: str, **settings: object) -> Path:
    clips = {
        "vae": str(workplace / "vae.safetensors"),
        "count": 4,
        "held_out": 2,
        "drawn": str(workplace / "drawn"),
        "worlds": {"frames": 3, "height": 32, "width": 48, "clips_per_world": 2},
    }
    values = {
        "stage": stage,
        "loop": {"steps": 2, "batch": 2, "warmup": 1, "log_every": 1, "precision": "bf16"},
        "settings": {"networks": {"size": "nano"}, **settings, "clips": clips},
    }
    path = workplace / f"{name}.yaml"
    path.write_text(json.dumps(values))  # JSON is YAML too
    return path


@pytest.fixture(scope="module")
def joint(workplace: Path) -> tuple[Path, list[str]]:
    """A joint run of two steps: its output and what it reported."""
    lines: list[str] = []
    output = workplace / "joint"
    train(read_config(write_config(workplace, "joint", "joint")), output, report=lines.append)
    return output, lines


def test_a_joint_run_leaves_samples_figures_and_files(joint: tuple[Path, list[str]]):
    output, lines = joint
    [grid] = sorted((output / "samples").glob("*.png"))
    picture = read_image(grid)
    # Two clips of six rows (truth, render, four choices of signals), five frames each; margins apart.
    assert picture.shape[1] >= 2 * 6 * 32 and picture.shape[2] >= 5 * 48
    text = "\n".join(lines)
    assert "weights learn" in text and "held_out_both" in text and "held_out_camera" in text
    card = json.loads((output / "export" / "card.json").read_text())
    assert card["steps"] == 2


def test_a_student_is_distilled_from_the_joint_run(workplace: Path, joint: tuple[Path, list[str]]):
    export = joint[0] / "export"
    networks = {
        "backbone": str(export / "diffusion_models" / "backbone.safetensors"),
        "worldstereo": str(export / "worldstereo" / "worldstereo-memory"),
    }
    config = write_config(workplace, "distil", "distil", networks=networks, fake_steps=2, own_views=1.0)
    lines: list[str] = []
    train(read_config(config), workplace / "distil", report=lines.append)
    assert any("fake/loss" in line and "generator/loss_matching" in line for line in lines)
    loaded = load_worldstereo(None, workplace / "distil" / "export" / "worldstereo-memory-dmd")
    assert loaded.checkpoint.config.variant == "memory-dmd" and loaded.checkpoint.config.num_keyframes == 3
    card = json.loads((workplace / "distil" / "export" / "card.json").read_text())
    assert card["started_from"]["stage"] == "joint", "once, though two files came from that run"
