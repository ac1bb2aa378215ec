"""The student in weights/small: a released kind of file, and a card that tells the truth."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

from worldstereo_core.commands.small_model import FOLDER, FRAMES, HEIGHT, WIDTH
from worldstereo_core.commands.template_weights import memory_tensors
from worldstereo_core.model.checkpoint import checkpoint_from_tensors, load_checkpoint
from worldstereo_core.model.tiny import wan_shapes

FILE = FOLDER / "worldstereo" / "small_worldstereo_memory_dmd.safetensors"


def test_it_is_a_complete_file_of_the_released_kind():
    checkpoint = load_checkpoint(FILE)
    config = checkpoint.config
    assert checkpoint.is_complete and not checkpoint.unknown_keys and not checkpoint.missing_backbone_keys
    assert config.variant == "memory-dmd" and config.dmd.num_steps == 4
    assert (config.num_keyframes, config.buckets) == (FRAMES, ((HEIGHT, WIDTH),))
    shapes = {key: tuple(tensor.shape) for key, tensor in checkpoint.backbone_state.items()}
    assert shapes == wan_shapes(256, 6, 768)


def test_the_card_describes_the_files_and_the_whole_way_to_them():
    card = json.loads((FOLDER / "card.json").read_text())
    for name, told in card["files"].items():
        content = (FOLDER / name).read_bytes()
        assert told == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}, name
    assert str(FILE.relative_to(FOLDER)) in card["files"]
    for told in (json.dumps(card), (FOLDER / "vae" / "card.json").read_text()):
        assert not re.search(r'"/|"work/|train_dit|train_vae', told), "paths of the machine that trained it"
    stages = []
    while card:
        assert card["licence"] == "Apache-2.0" and card["machine"] and card["minutes"] > 0
        stages.append(card["stage"])
        assert not isinstance(card.get("started_from"), str), card["started_from"]
        card = card.get("started_from")
    assert stages[0] == "distil" and set(stages[1:]) == {"joint"}


def test_only_a_complete_student_is_taken_and_its_paths_are_told_from_the_runs(tmp_path: Path):
    from scripts.ship_small_model import FILES, ship

    export, target = tmp_path / "runs" / "distil" / "export", tmp_path / "small"
    with pytest.raises(SystemExit, match=r"no worldstereo-memory-dmd/model\.safetensors"):
        ship(export, target)
    for source, shipped in FILES.items():
        (export / source).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(FOLDER / shipped, export / source)
    backbone = str(tmp_path / "runs" / "joint" / "export" / "backbone.safetensors")
    (export / "card.json").write_text(json.dumps({"backbone": backbone, "vae": "/elsewhere/vae.safetensors"}))
    assert ship(export, target) > 20e6
    card = json.loads((target / "card.json").read_text())
    assert card["backbone"] == "joint/export/backbone.safetensors" and card["vae"] == "vae.safetensors"
    assert set(card["files"]) == set(FILES.values())

    config = export / "worldstereo-memory-dmd" / "config.json"
    settings = json.loads(config.read_text())
    config.write_text(
        json.dumps({key: settings[key] for key in settings if not key.startswith(("dmd", "gen"))})
    )
    before = (target / "card.json").read_bytes()
    with pytest.raises(SystemExit, match="complete memory-dmd"):
        ship(export, target)
    assert (target / "card.json").read_bytes() == before


def test_the_memory_file_that_templates_load_is_cut_from_it():
    checkpoint = load_checkpoint(FILE)
    memory = checkpoint_from_tensors(memory_tensors(checkpoint))
    assert not memory.is_complete and memory.config.variant == "memory"
    assert memory.num_backbone_blocks == 6 and not memory.unknown_keys
