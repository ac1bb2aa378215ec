"""Key frames through diffusers' Wan VAE."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers")

from worldstereo_core.adapters.diffusers.vae import KeyframeVAE
from worldstereo_core.checks import CheckpointError, ShapeError
from worldstereo_core.model.latents import denormalise_latents, normalise_latents
from worldstereo_core.model.tiny import random_tensors
from worldstereo_core.model.vae_key_names import wan_to_diffusers_vae_key, wan_vae_shapes


@pytest.fixture(scope="module")
def vae() -> KeyframeVAE:
    return KeyframeVAE.from_file(random_tensors(wan_vae_shapes(8), 0), dtype=torch.float32)


def pictures(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 16, 32, generator=torch.Generator().manual_seed(0))


def test_every_picture_is_coded_without_its_neighbours(vae: KeyframeVAE):
    images = pictures(3)
    latents = vae.encode_keyframes(images)
    assert latents.shape == (1, 16, 3, 2, 4) and latents.dtype is torch.float32
    torch.testing.assert_close(vae.encode_keyframes(images[1:2])[:, :, 0], latents[:, :, 1])
    decoded = vae.decode_keyframes(latents)
    assert decoded.shape == (3, 3, 16, 32)
    torch.testing.assert_close(vae.decode_keyframes(latents[:, :, 2:]), decoded[2:])
    assert float(decoded.min()) >= 0 and float(decoded.max()) <= 1


def test_a_video_shares_context_but_its_first_frame_stands_alone(vae: KeyframeVAE):
    frames = pictures(5)
    video, alone = vae.encode_video(frames), vae.encode_keyframes(frames)
    assert video.shape == (1, 16, 2, 2, 4)
    torch.testing.assert_close(video[:, :, 0], alone[:, :, 0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(video[:, :, 1], alone[:, :, 4], atol=1e-2)


def test_latents_are_normalised_by_wans_constants(vae: KeyframeVAE):
    with torch.no_grad():
        raw = vae.vae.encode(pictures(1).movedim(0, 1)[None] * 2 - 1).latent_dist.mode()
    torch.testing.assert_close(vae.encode_keyframes(pictures(1)), normalise_latents(raw))
    torch.testing.assert_close(denormalise_latents(normalise_latents(raw)), raw)
    first = normalise_latents(torch.zeros(1, 16, 1, 1, 1)).flatten()[0]
    assert float(first) == pytest.approx(0.7571 / 2.8184)


def test_progress_is_told_after_each_picture(vae: KeyframeVAE):
    calls: list[tuple[int, int]] = []
    vae.encode_keyframes(pictures(2), lambda *call: calls.append(call))
    vae.decode_keyframes(torch.zeros(1, 16, 2, 2, 4), lambda *call: calls.append(call))
    assert calls == [(1, 2), (2, 2)] * 2


def test_both_namings_and_a_half_precision_file_load(golden_dir: Path):
    tensors = random_tensors(wan_vae_shapes(16), 1)
    renamed = {str(wan_to_diffusers_vae_key(key)): value for key, value in tensors.items()}
    ours, theirs = KeyframeVAE.from_file(tensors), KeyframeVAE.from_file(renamed)
    assert ours.dtype is torch.bfloat16
    assert ours.vae.config.base_dim == 16
    torch.testing.assert_close(ours.vae.state_dict(), theirs.vae.state_dict())
    KeyframeVAE.from_file(golden_dir / "weights/tiny_vae_comfy.safetensors")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"blocks.0.norm3.weight": torch.ones(1)}, "not a Wan 2.1 VAE"),
        (random_tensors(wan_vae_shapes(8, 48), 0), "48 latent channels, expected 16.*Wan 2.2"),
        (
            {
                key: value
                for key, value in random_tensors(wan_vae_shapes(8), 0).items()
                if "middle.1" not in key
            },
            r"10 tensors missing \(.*attentions",
        ),
    ],
)
def test_other_vaes_are_refused(tensors: dict[str, torch.Tensor], message: str):
    with pytest.raises(CheckpointError, match=message):
        KeyframeVAE.from_file(tensors)


def test_sizes_and_counts_it_cannot_code_are_refused(vae: KeyframeVAE):
    with pytest.raises(ShapeError, match="multiples of 16"):
        vae.encode_keyframes(torch.zeros(1, 3, 20, 32))
    with pytest.raises(ShapeError, match="got 4 frames, expected 4 k"):
        vae.encode_video(pictures(4))
    with pytest.raises(ShapeError, match="one clip at a time"):
        vae.decode_keyframes(torch.zeros(2, 16, 1, 2, 4))
