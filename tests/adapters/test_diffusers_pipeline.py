"""Whole clips with tiny networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("diffusers")

from worldstereo_core.adapters.diffusers.loader import LoadedWorldStereo, load_worldstereo
from worldstereo_core.adapters.diffusers.pipeline import (
    generate_clip,
    recommended_guidance,
    recommended_schedule,
)
from worldstereo_core.adapters.diffusers.vae import KeyframeVAE
from worldstereo_core.checks import WorldStereoError
from worldstereo_core.model.condition import ControlCondition
from worldstereo_core.model.tiny import TinyModels, write_tiny_models
from worldstereo_core.schedule import DMDSchedule, UniPCSchedule

FRAMES, HEIGHT, WIDTH = 3, 32, 48


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    return write_tiny_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def vae(models: TinyModels) -> KeyframeVAE:
    return KeyframeVAE.from_file(models.vae, dtype=torch.float32)


@pytest.fixture(scope="module")
def dmd(models: TinyModels) -> LoadedWorldStereo:
    return load_worldstereo(models.backbone, models.memory_dmd)


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def arguments(**changes: Any) -> dict[str, Any]:
    cells = (HEIGHT // 8, WIDTH // 8)
    condition = ControlCondition(
        render_latents=random(1, 1, 16, FRAMES, *cells),
        hole_mask=(random(2, 1, 1, FRAMES, HEIGHT, WIDTH) > 0).float(),
        rays=random(3, 1, 6, FRAMES, HEIGHT, WIDTH),
        reference_latents=random(4, 1, 16, 1, *cells),
        reference_index=torch.tensor([0]),
        camera_tokens=random(5, 1, FRAMES, 7),
        reference_camera_tokens=random(6, 1, 1, 7),
    )
    return {
        "image": random(7, 3, HEIGHT, WIDTH).sigmoid(),
        "condition": condition,
        "text_embeds": random(8, 1, 4, 4096),
        "image_embeds": random(9, 1, 257, 1280),
    } | changes


def generate(loaded: LoadedWorldStereo, vae: KeyframeVAE, **changes: Any) -> Tensor:
    return generate_clip(loaded.backbone, loaded.control, vae, **arguments(**changes))


def test_a_seed_means_the_same_frames(dmd: LoadedWorldStereo, vae: KeyframeVAE):
    first, again, other = (
        generate(dmd, vae, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert first.shape == (FRAMES, 3, HEIGHT, WIDTH)
    assert float(first.min()) >= 0 and float(first.max()) <= 1
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.allclose(first, other, atol=1e-2)


def test_a_file_brings_its_own_schedule_and_guidance(models: TinyModels, dmd: LoadedWorldStereo):
    assert recommended_schedule(dmd.control.config) == DMDSchedule()
    assert recommended_guidance(dmd.control.config) == 1
    memory = load_worldstereo(models.backbone, models.memory).control.config
    assert recommended_schedule(memory) == UniPCSchedule(40)
    assert recommended_guidance(memory) == 5


def test_guidance_calls_the_model_with_both_prompts(dmd: LoadedWorldStereo, vae: KeyframeVAE):
    predictions: list[Tensor] = []

    def probe(name: str, tensor: Tensor) -> None:
        if name == "prediction":
            predictions.append(tensor)

    options = {"schedule": UniPCSchedule(2), "noise": random(11, 1, 16, FRAMES, 4, 6), "probe": probe}
    generate(dmd, vae, guidance=3.0, negative_embeds=random(10, 1, 2, 4096), **options)
    assert len(predictions) == 4
    assert not torch.equal(predictions[0], predictions[1])
    predictions.clear()
    generate(dmd, vae, guidance=1.0, **options)
    assert len(predictions) == 2


def test_guidance_of_equal_prompts_is_no_guidance(dmd: LoadedWorldStereo, vae: KeyframeVAE):
    options = {"schedule": UniPCSchedule(2), "noise": random(11, 1, 16, FRAMES, 4, 6)}
    prompt = arguments()["text_embeds"]
    guided = generate(dmd, vae, guidance=7.0, negative_embeds=prompt, **options)
    torch.testing.assert_close(guided, generate(dmd, vae, guidance=1.0, **options), atol=1e-4, rtol=1e-4)


def test_progress_names_the_stages_and_may_stop_the_run(dmd: LoadedWorldStereo, vae: KeyframeVAE):
    calls: list[tuple[str, int, int]] = []
    generate(dmd, vae, progress=lambda *call: calls.append(call))
    assert calls == [
        ("condition", 0, 1),
        ("condition", 1, 1),
        *(("denoise", step, 4) for step in (1, 2, 3, 4)),
        *(("decode", frame, FRAMES) for frame in (1, 2, 3)),
    ]

    class Stop(Exception):
        pass

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "denoise":
            raise Stop

    with pytest.raises(Stop):
        generate(dmd, vae, progress=stop)


def test_first_frame_modes_differ_after_the_first_frame_only(dmd: LoadedWorldStereo, vae: KeyframeVAE):
    found: list[Tensor] = []

    def probe(name: str, tensor: Tensor) -> None:
        if name == "condition":
            found.append(tensor)

    for mode in ("full_vae", "first_frame_only"):
        generate(dmd, vae, latent_condition_mode=mode, schedule=DMDSchedule(1), probe=probe)
    torch.testing.assert_close(found[0][:, :, 0], found[1][:, :, 0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found[0][:, :, 1], found[1][:, :, 1], atol=1e-2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"guidance": 5.0}, "negative prompt: guidance 5 needs one"),
        (
            {"image": torch.zeros(3, 48, 48)},
            r"image: got a tensor of shape \[3, 48, 48\], expected \[3, 32, 48\]",
        ),
        ({"noise": torch.zeros(1, 16, 4, 4, 6)}, "noise: got a tensor"),
        ({"text_embeds": torch.zeros(1, 600, 4096)}, "got 600 tokens"),
        (
            {"condition": replace(arguments()["condition"], reference_index=torch.tensor([2]))},
            r"slots 2\.\.2 lie outside",
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    dmd: LoadedWorldStereo, vae: KeyframeVAE, changes: dict[str, Any], message: str
):
    with pytest.raises(WorldStereoError, match=message):
        generate(dmd, vae, **changes)
