"""The tiny models of the demo and the tests."""

from __future__ import annotations

from pathlib import Path

import torch

from worldstereo_core.model.checkpoint import load_checkpoint, merge_backbone
from worldstereo_core.model.key_names import wan_keys
from worldstereo_core.model.tiny import (
    NUM_BLOCKS,
    random_tensors,
    tiny_backbone_tensors,
    write_tiny_models,
)
from worldstereo_core.model.weight_files import read_weights


def test_files_are_of_every_variant_and_fit_the_backbone(tmp_path: Path):
    models = write_tiny_models(tmp_path, seed=5)
    base = read_weights(models.backbone)[0]
    assert set(base) == set(wan_keys(NUM_BLOCKS))
    for variant, path in models.worldstereo.items():
        checkpoint = load_checkpoint(path)
        assert checkpoint.config.variant == variant
        assert checkpoint.unknown_keys == checkpoint.unused_keys == ()
        assert set(merge_backbone(base, checkpoint)) == set(base)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 40e6
    assert not list(tmp_path.rglob("*.part"))


def test_a_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path):
    first = write_tiny_models(tmp_path / "a", 1)
    again = write_tiny_models(tmp_path / "b", 1)
    other = write_tiny_models(tmp_path / "c", 2)
    for part in ("backbone", "vae", "camera", "memory", "memory_dmd"):
        assert getattr(first, part).read_bytes() == getattr(again, part).read_bytes()
        assert getattr(first, part).read_bytes() != getattr(other, part).read_bytes()


def test_layers_keep_values_of_order_one():
    tensors = random_tensors({"a.weight": (400, 300), "a.bias": (400,), "n.weight": (400,)}, 0)
    output = torch.randn(200, 300) @ tensors["a.weight"].float().T + tensors["a.bias"].float()
    assert 0.9 < float(output.std()) < 1.1
    assert abs(float(tensors["n.weight"].float().mean()) - 1) < 0.05
    assert {tensor.dtype for tensor in tiny_backbone_tensors(0).values()} == {torch.bfloat16}
