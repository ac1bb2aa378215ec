"""A folder that training wrote, through the headless generate command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("diffusers")

from worldstereo_core.__main__ import main
from worldstereo_core.formats.video import read_mp4
from worldstereo_core.model.tiny import VAE_WIDTH, random_tensors, write_weights
from worldstereo_core.model.vae_key_names import wan_vae_shapes
from worldstereo_core.training import family
from worldstereo_core.training.encoded_clips import ClipSettings
from worldstereo_core.training.networks import NetworkSettings, load_networks
from worldstereo_core.training.stages.joint import JointStage, JointStageSettings
from worldstereo_core.training.world_clips import WorldClips

HEIGHT, WIDTH, FRAMES = 32, 48, 3


@pytest.mark.parametrize("variant", ["camera", "memory"])
def test_the_generate_command_needs_no_encoder_files(
    tmp_path: Path, variant: str, capsys: pytest.CaptureFixture[str]
):
    worlds = WorldClips(frames=FRAMES, height=HEIGHT, width=WIDTH)
    networks = NetworkSettings(size="nano", buckets=(HEIGHT, WIDTH))
    stage = JointStage(JointStageSettings(ClipSettings("none", worlds), networks), 0)
    torch.nn.init.normal_(stage.networks.backbone.transformer.proj_out.weight, std=0.02)
    models = tmp_path / "models"
    models.mkdir()
    stage.export(models)
    write_weights(models / "vae" / "vae.safetensors", random_tensors(wan_vae_shapes(VAE_WIDTH), 1))
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    depth = np.linspace(2, 3, HEIGHT, dtype=np.float32)[:, None].repeat(WIDTH, 1)
    K = np.array([[40.0, 0, WIDTH / 2], [0, 40.0, HEIGHT / 2], [0, 0, 1]])
    np.savez(tmp_path / "depth.npz", depth=depth, K=K)
    command = ["generate", "--image", str(tmp_path / "image.png"), "--depth", str(tmp_path / "depth.npz")]
    command += [
        "--model",
        str(models),
        "--worldstereo",
        str(models / "worldstereo" / f"worldstereo-{variant}"),
    ]
    command += ["--trajectory", "orbit right:15", "--steps", "1", "--device", "cpu", "--radius", "0.03"]
    assert main([*command, "--output", str(tmp_path / "out")]) == 0
    # Size and length are the file's own.
    assert read_mp4(tmp_path / "out" / "clip_01.mp4").shape == (FRAMES, 3, HEIGHT, WIDTH)
    assert f"{variant} overlay" in capsys.readouterr().out


def test_null_context_is_one_token_of_zeros(tmp_path: Path):
    tensors = family.null_context()
    assert {key: tuple(value.shape) for key, value in tensors.items()} == {
        "text_embeds": (1, 1, 4096),
        "negative_embeds": (1, 1, 4096),
        "image_embeds": (1, 1, 1280),
    }
    assert family.write_null_context(tmp_path).stat().st_size < 25_000
    assert load_networks(NetworkSettings(size="nano"), 0).has_null_context
