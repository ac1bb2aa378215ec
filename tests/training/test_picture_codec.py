"""Key frames coded many at a time, compared with diffusers' VAE one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers")

from worldstereo_core.adapters.diffusers.vae import KeyframeVAE
from worldstereo_core.checks import WorldStereoError
from worldstereo_core.model.tiny import VAE_WIDTH, random_tensors, write_weights
from worldstereo_core.model.vae_key_names import wan_vae_shapes
from worldstereo_core.training.picture_codec import PictureCodec


@pytest.fixture(scope="module")
def vae_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vae") / "vae.safetensors"
    write_weights(path, random_tensors(wan_vae_shapes(VAE_WIDTH), 1))
    return path


def test_many_pictures_at_a_time_are_each_coded_alone(vae_file: Path):
    pictures = torch.rand(3, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    codec, whole = PictureCodec.from_file(vae_file), KeyframeVAE.from_file(vae_file, dtype=torch.float32)
    latents = codec.encode_keyframes(pictures)
    torch.testing.assert_close(latents, whole.encode_keyframes(pictures), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        codec.decode_keyframes(latents), whole.decode_keyframes(latents), rtol=1e-3, atol=1e-4
    )


def test_a_missing_vae_is_named():
    with pytest.raises(WorldStereoError, match=r"clips\.vae: nowhere\.safetensors does not exist"):
        PictureCodec.from_file("nowhere.safetensors")


def test_video_is_refused(vae_file: Path):
    with pytest.raises(WorldStereoError, match=r"video: got 5 frames"):
        PictureCodec.from_file(vae_file).encode_video(torch.zeros(5, 3, 32, 48))
