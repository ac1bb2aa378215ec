"""The student in weights/small: a released kind of file, and a card that tells the truth."""

from __future__ import annotations

import hashlib
import json

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
    assert "/work/" not in json.dumps(card)
    stages = []
    while card:
        assert card["licence"] == "Apache-2.0" and card["machine"] and card["minutes"] > 0
        stages.append(card["stage"])
        assert not isinstance(card.get("started_from"), str), card["started_from"]
        card = card.get("started_from")
    assert stages[0] == "distil" and set(stages[1:]) == {"joint"}


def test_the_memory_file_that_templates_load_is_cut_from_it():
    checkpoint = load_checkpoint(FILE)
    memory = checkpoint_from_tensors(memory_tensors(checkpoint))
    assert not memory.is_complete and memory.config.variant == "memory"
    assert memory.num_backbone_blocks == 6 and not memory.unknown_keys
