"""Sampling with control among core's nodes on a real server: what is refused, and what takes any size."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.comfy.prompts import FRAMES, HEIGHT, WIDTH, picture, workflow

current = pytest.mark.parametrize("comfyui", ["current"], indirect=True)


@pytest.fixture
def server(comfy_server):
    picture().save(comfy_server.base / "input" / "picture.png")
    return comfy_server


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def frames_of(server, run, name: str) -> np.ndarray:
    images = [Image.open(io.BytesIO(server.view(file))).convert("RGB") for file in run.files(name)]
    return np.stack([np.asarray(image) for image in images]).astype(float)


def test_context_windows_are_refused_where_the_user_sees_it(server):
    prompt = workflow("one_clip", "preview")
    prompt["windows"] = node(
        "WanContextWindowsManual",
        model=["controlled", 0],
        context_length=13,
        context_overlap=5,
        context_schedule="standard_static",
        context_stride=1,
        closed_loop=False,
        fuse_method="pyramid",
        freenoise=False,
        retain_first_frame=False,
        split_conds_to_windows=False,
    )
    prompt["guider"]["inputs"]["model"] = ["windows", 0]
    error = server.run_expecting_error(prompt)
    assert error["node_id"] == "sampled"
    assert "context windows cut the clip into pieces" in error["exception_message"]
    assert "Remove the context window node" in error["exception_message"]


def test_a_second_apply_is_refused_at_its_node(server):
    prompt = workflow("one_clip", "preview")
    prompt["second"] = {**prompt["controlled"], "inputs": dict(prompt["controlled"]["inputs"])}
    prompt["second"]["inputs"]["model"] = ["controlled", 0]
    prompt["guider"]["inputs"]["model"] = ["second", 0]
    error = server.run_expecting_error(prompt)
    assert error["node_id"] == "second"
    assert "two camera paths cannot be followed at once" in error["exception_message"]


def test_a_noise_mask_on_the_latent_keeps_what_it_does_not_cover(server):
    """Core mixes what it keeps into every step of a Wan 2.1 model, at one noise level for all frames."""
    prompt = workflow("one_clip", "preview")
    # A latent of nothing but zeros would mean "empty" to core.
    prompt["still"] = node(
        "WorldStereo_EncodeKeyframes", images=["picture", 0], vae=["vae", 0], frames=FRAMES
    )
    prompt["mask"] = node("SolidMask", value=0.0, width=WIDTH, height=HEIGHT)
    prompt["masked"] = node("SetLatentNoiseMask", samples=["still", 0], mask=["mask", 0])
    prompt["split"] = node("WorldStereo_SplitKeyframes", latent=["still", 0])
    prompt["decoded"] = node("VAEDecode", samples=["split", 0], vae=["vae", 0])
    prompt["start"] = node("PreviewImage", images=["decoded", 0])
    free = server.run(prompt)
    start = frames_of(server, free, "start")
    assert np.abs(frames_of(server, free, "preview") - start).max() > 20
    prompt["sampled"]["inputs"]["latent_image"] = ["masked", 0]
    assert np.abs(frames_of(server, server.run(prompt), "preview") - start).max() <= 1


@current
def test_a_latent_for_another_number_of_frames_is_refused(server):
    prompt = workflow("one_clip", "preview")
    prompt["image_latent"] = node("EmptyLatentImage", width=WIDTH, height=HEIGHT, batch_size=1)
    prompt["sampled"]["inputs"]["latent_image"] = ["image_latent", 0]
    error = server.run_expecting_error(prompt)
    assert "encoded for 5 key frames of 64x96" in error["exception_message"]
    assert "the latents have 1 of 64x96" in error["exception_message"]


@current
def test_a_picture_of_another_multiple_is_refused_with_the_nearest_size(server):
    picture(64, 88).save(server.base / "input" / "odd.png")
    prompt = workflow("one_clip", "preview")
    prompt["picture"]["inputs"]["image"] = "odd.png"
    error = server.run_expecting_error(prompt)
    assert "multiples of 16" in error["exception_message"] and "64x" in error["exception_message"]


@current
def test_portrait_clips_of_an_even_number_of_frames(server):
    picture(112, 64).save(server.base / "input" / "portrait.png")
    prompt = workflow("one_clip", "preview")
    prompt["picture"]["inputs"]["image"] = "portrait.png"
    for name in ("trajectory", "references", "first_frame", "condition"):
        prompt[name]["inputs"]["frames"] = 6
    frames = frames_of(server, server.run(prompt), "preview")
    assert frames.shape == (6, 112, 64, 3)
    assert frames.std() > 0


@current
def test_a_batch_of_two_latents_gives_two_clips(server):
    prompt = workflow("one_clip", "preview")
    prompt["two"] = node("RepeatLatentBatch", samples=["first_frame", 2], amount=2)
    prompt["sampled"]["inputs"]["latent_image"] = ["two", 0]
    frames = frames_of(server, server.run(prompt), "preview")
    assert frames.shape == (2 * FRAMES, HEIGHT, WIDTH, 3)
    assert np.abs(frames[:FRAMES] - frames[FRAMES:]).mean() > 1, "each has noise of its own"


@current
def test_denoise_says_how_much_of_the_render_stays(server):
    def clip(denoise: float) -> np.ndarray:
        prompt = workflow("one_clip", "preview")
        prompt["start"] = node(
            "WorldStereo_EncodeKeyframes", images=["render", 0], vae=["vae", 0], frames=FRAMES
        )
        prompt["sampled"]["inputs"]["latent_image"] = ["start", 0]
        prompt["sigmas"]["inputs"]["denoise"] = denoise
        return frames_of(server, server.run(prompt), "preview")

    untouched = clip(0.0)
    distances = [np.abs(clip(denoise) - untouched).mean() for denoise in (0.01, 0.3, 1.0)]
    assert distances[0] < 0.3 * distances[2]
    assert distances[0] < distances[1] < 1.2 * distances[2]


@current
def test_an_early_look_at_half_size_runs_without_sampler_nodes(server):
    prompt = workflow("one_clip", "first_frame", "controlled")
    prompt["look"] = node(
        "WorldStereo_LookEarly",
        model=["controlled", 0],
        positive=["first_frame", 0],
        negative=["first_frame", 1],
        latent=["first_frame", 2],
        vae=["vae", 0],
        seed=3,
        steps=2,
        size="half",
    )
    run = server.run(prompt)
    shown = Image.open(io.BytesIO(server.view(run.files("look")[0])))
    assert shown.size == (WIDTH // 2, HEIGHT // 2)
    assert getattr(shown, "n_frames", 1) == FRAMES


@current
def test_skip_layer_guidance_and_easy_cache_together_with_control(server):
    prompt = workflow("camera_clip", "preview")
    prompt["skipping"] = node(
        "SkipLayerGuidanceDiT",
        model=["controlled", 0],
        scale=2.0,
        start_percent=0.0,
        end_percent=1.0,
        double_layers="1",
        single_layers="",
        rescaling_scale=0.0,
    )
    prompt["caching"] = node(
        "EasyCache",
        model=["skipping", 0],
        reuse_threshold=0.2,
        start_percent=0.15,
        end_percent=0.95,
        verbose=False,
    )
    prompt["guider"]["inputs"]["model"] = ["caching", 0]
    frames = frames_of(server, server.run(prompt), "preview")
    assert frames.shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert frames.std() > 0
