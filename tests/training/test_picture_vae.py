"""The small VAE: the same numbers as Wan's VAE in diffusers and our adapters, and Wan's latent statistics."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from worldstereo_core.checks import CheckpointError, WorldStereoError
from worldstereo_core.model.latents import LATENT_MEAN, LATENT_STD, normalise_latents
from worldstereo_core.model.vae_key_names import wan_vae_shapes
from worldstereo_core.training.config import read_config
from worldstereo_core.training.gradients import gradients_of
from worldstereo_core.training.loop import TrainingRun
from worldstereo_core.training.picture_losses import gradient_loss, psnr
from worldstereo_core.training.picture_vae import (
    PictureVAE,
    fold_statistics,
    picture_to_wan_state,
    wan_to_picture_state,
)
from worldstereo_core.training.stages.vae import VAEStage, load_vae

CONFIG = """
stage: vae
loop: {steps: 2, batch: 2, sample_every: 9, save_every: 9, log_every: 1, warmup: 0, ema: 0.5}
settings:
  width: 4
  num_columns: 2
  data: {height: 16, width: 32, num_worlds: 2, frames_per_world: 2, num_held_out: 3}
"""


@pytest.fixture(scope="module")
def vae() -> PictureVAE:
    torch.manual_seed(0)
    vae = PictureVAE(4).eval()
    with torch.no_grad():
        for weight in vae.parameters():
            weight.add_(0.1 * torch.randn_like(weight))  # biases and scales differ from 0 and 1
    return vae


def config_in(folder: Path, *overrides: str):
    path = folder / "vae.yaml"
    path.write_text(CONFIG)
    return read_config(path, overrides)


def test_the_whole_vae_has_wans_names_and_shapes(vae: PictureVAE):
    whole = picture_to_wan_state(vae.state_dict())
    assert {name: tuple(tensor.shape) for name, tensor in whole.items()} == wan_vae_shapes(4)
    back = wan_to_picture_state(whole)
    assert back.keys() == vae.state_dict().keys()
    for name, tensor in vae.state_dict().items():
        assert torch.equal(back[name], tensor), name


def test_diffusers_codes_pictures_alike(vae: PictureVAE):
    diffusers = pytest.importorskip("worldstereo_core.adapters.diffusers.vae")
    pytest.importorskip("diffusers")
    adapter = diffusers.KeyframeVAE.from_file(picture_to_wan_state(vae.state_dict()))
    pictures = torch.rand(2, 3, 16, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        mean, _ = vae.encode(pictures * 2 - 1)
        decoded = vae.decode(mean) * 0.5 + 0.5
    latents = adapter.encode_keyframes(pictures)
    torch.testing.assert_close(latents, normalise_latents(mean.movedim(0, 1)[None]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(adapter.decode_keyframes(latents), decoded.clamp(0, 1), atol=1e-5, rtol=1e-5)


def test_a_video_is_coded_as_every_fourth_frame_alone(vae: PictureVAE):
    diffusers = pytest.importorskip("worldstereo_core.adapters.diffusers.vae")
    pytest.importorskip("diffusers")
    adapter = diffusers.KeyframeVAE.from_file(picture_to_wan_state(vae.state_dict()))
    frames = torch.rand(9, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    latents = adapter.encode_video(frames)
    torch.testing.assert_close(latents, adapter.encode_keyframes(frames[::4]), atol=1e-5, rtol=1e-5)
    held = adapter._decode(latents)
    alone = adapter.decode_keyframes(latents)
    expected = alone[[0, 1, 1, 1, 1, 2, 2, 2, 2]]
    torch.testing.assert_close(held, expected, atol=1e-5, rtol=1e-5)


def test_folding_gives_wans_statistics_and_the_same_pictures(vae: PictureVAE):
    pixels = torch.rand(3, 3, 16, 32, generator=torch.Generator().manual_seed(3)) * 2 - 1
    with torch.no_grad():
        mean, log_variance = vae.encode(pixels)
        values = mean.movedim(1, 0).flatten(1)
        folded = PictureVAE(4)
        folded.load_state_dict(fold_statistics(vae.state_dict(), values.mean(1), values.std(1, correction=0)))
        new_mean, new_log_variance = folded.encode(pixels)
        new_values = new_mean.movedim(1, 0).flatten(1)
        torch.testing.assert_close(new_values.mean(1), torch.tensor(LATENT_MEAN), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(
            new_values.std(1, correction=0), torch.tensor(LATENT_STD), atol=1e-4, rtol=1e-4
        )
        torch.testing.assert_close(folded.decode(new_mean), vae.decode(mean), atol=1e-4, rtol=1e-4)
        # The posterior's width is scaled like the latents.
        scale = (new_log_variance - log_variance).mean(dim=(0, 2, 3)).div(2).exp()
        torch.testing.assert_close(scale, torch.tensor(LATENT_STD) / values.std(1, correction=0))


def test_training_exports_a_file_that_loaders_take(tmp_path: Path):
    run = TrainingRun(config_in(tmp_path), tmp_path)
    pictures = run.stage.dataset().pictures
    assert pictures.shape == (4, 3, 16, 32) and pictures.dtype == torch.uint8
    with run.journal:
        result = run.train()
    file = tmp_path / "export" / "small_wan_vae.safetensors"
    assert result.files == [file, tmp_path / "export" / "card.json"]
    assert set(result.figures) == {"psnr", "psnr_worst_tenth"}
    vae = PictureVAE(4)
    load_vae(vae, str(file))
    with torch.no_grad():
        mean, _ = vae.encode(run.stage.settings.data.statistics() * 2 - 1)
    values = mean.movedim(1, 0).flatten(1)
    # Half precision in the file.
    torch.testing.assert_close(values.mean(1), torch.tensor(LATENT_MEAN), atol=0.02, rtol=0.01)
    torch.testing.assert_close(values.std(1, correction=0), torch.tensor(LATENT_STD), atol=0.02, rtol=0.01)
    # The file can be trained on.
    again = VAEStage(config_in(tmp_path, f"settings.start_from={file}").settings, 0)
    torch.testing.assert_close(again.vae.state_dict(), vae.state_dict())
    with pytest.raises(CheckpointError, match=r"settings.start_from: .* does not fit a VAE of width 5"):
        VAEStage(config_in(tmp_path, f"settings.start_from={file}", "settings.width=5").settings, 0)


def test_all_of_the_vae_learns(tmp_path: Path):
    stage = VAEStage(config_in(tmp_path).settings, 0)
    batch = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    learning = gradients_of(stage, "vae", batch, torch.Generator().manual_seed(0))
    assert learning == {f"vae.{name}" for name, _ in stage.vae.named_parameters()}


def test_a_compiler_with_wrong_gradients_is_refused(tmp_path: Path):
    stage = VAEStage(config_in(tmp_path, "settings.compile=true").settings, 0)
    batch = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    # As torch 2.13 does with F.interpolate: right values, nothing behind the decoder's last doubling.
    stage._code = lambda pixels, noise: (
        stage._code_eagerly(pixels, noise)[0].detach() + 0 * stage.vae.encoder.conv1.weight.sum(),
        *stage._code_eagerly(pixels, noise)[1:],
    )
    with pytest.raises(WorldStereoError, match=r"settings.compile: .*cosine 0.000.*Set compile to false"):
        stage.loss("vae", batch, torch.Generator().manual_seed(0))


def test_a_folder_of_pictures_is_split_and_read(tmp_path: Path):
    from worldstereo_core.formats.images import write_png
    from worldstereo_core.training.picture_data import PictureData

    for number in range(5):
        write_png(tmp_path / f"{number}.png", torch.full((3, 20, 40), number / 5))
    data = PictureData(source="folder", folder=str(tmp_path), height=16, width=32, num_held_out=2)
    assert data.held_out()[:, 0, 0, 0].tolist() == pytest.approx([0, 0.8], abs=1e-2)
    assert data.training().pictures[:, 0, 0, 0].tolist() == [51, 102, 153]
    with pytest.raises(WorldStereoError, match=r"has 5 pictures, expected more than the 5 that are held out"):
        PictureData(source="folder", folder=str(tmp_path), num_held_out=5).training()


def test_losses_by_hand():
    zero, one = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    one[..., 2:] = 1  # one edge in each of 3 horizontal steps; 1 in the halved picture's single step
    assert float(gradient_loss(one, zero)) == pytest.approx((1 / 3 + 1) / 2)
    assert float(psnr(zero + 0.1, zero)[0]) == pytest.approx(20, abs=1e-4)
