"""The VAE in weights/small: pictures come back, latents are normalised, and its card tells the truth."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from worldstereo_core.model.vae_key_names import wan_vae_shapes
from worldstereo_core.model.weight_files import read_weights
from worldstereo_core.training.picture_losses import psnr
from worldstereo_core.training.world_pictures import draw_world_pictures

FOLDER = Path(__file__).resolve().parents[2] / "weights" / "small" / "vae"
FILE = FOLDER / "small_wan_vae.safetensors"


def test_pictures_of_unseen_worlds_come_back():
    pytest.importorskip("diffusers")
    from worldstereo_core.adapters.diffusers.vae import KeyframeVAE

    vae = KeyframeVAE.from_file(FILE, dtype=torch.float32)
    pictures = draw_world_pictures(range(2_000_000, 2_000_006), 2, 64, 96).float() / 255
    latents = vae.encode_keyframes(pictures)
    values = psnr(vae.decode_keyframes(latents), pictures)
    assert float(values.mean()) > 26, values.tolist()
    # Normalised latents: 12 pictures are a small sample of what has mean 0 and deviation 1.
    per_channel = latents[0].flatten(1)
    assert float(per_channel.mean(1).abs().max()) < 0.5
    deviations = per_channel.std(1)
    assert bool(((deviations > 0.6) & (deviations < 1.6)).all()), deviations.tolist()


def test_the_card_describes_the_file():
    card = json.loads((FOLDER / "card.json").read_text())
    content = FILE.read_bytes()
    assert card["files"][FILE.name] == {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert len(content) < 8e6
    assert card["licence"] == "Apache-2.0" and card["held_out"]["psnr"] > 26
    assert card["machine"] and card["minutes"] > 0 and card["seed"] == card["config"]["seed"]
    tensors = read_weights(FILE)[0]
    assert {name: tuple(t.shape) for name, t in tensors.items()} == wan_vae_shapes(16)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
