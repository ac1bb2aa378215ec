"""Checks of starting from given pictures, of early looks and of the memory reservation, under ComfyUI's
Python."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.sd
import comfy.utils
import torch
from tiny_graph import FRAMES, HEIGHT, WIDTH, conditioning, difference, load, make_condition, random, sample

from worldstereo_core.adapters.comfy.early_look import early_schedule, look_early, smaller_condition
from worldstereo_core.adapters.comfy.patch import apply_control
from worldstereo_core.adapters.comfy.samplers import make_unipc_sampler
from worldstereo_core.adapters.comfy.scales import enlarge_clip
from worldstereo_core.adapters.comfy.vae import ComfyKeyframeVAE, keyframes_to_start_from
from worldstereo_core.memory.token_correspondence import TokenCorrespondences
from worldstereo_core.model.latents import normalise_latents
from worldstereo_core.schedule import DMDSchedule, UniPCSchedule


@cache
def keyframe_vae(weights: str) -> ComfyKeyframeVAE:
    state = comfy.utils.load_torch_file(str(Path(weights) / "tiny_vae_comfy.safetensors"))
    return ComfyKeyframeVAE(comfy.sd.VAE(sd=state))


def pictures(count: int, seed: int = 40) -> torch.Tensor:
    return torch.rand(count, 3, 8 * HEIGHT, 8 * WIDTH, generator=torch.Generator().manual_seed(seed))


def start_latents(weights: str) -> dict[str, Any]:
    """Every picture alone; one for all frames; sampled down."""
    vae, frames = keyframe_vae(weights), pictures(FRAMES)
    clip = keyframes_to_start_from(vae, frames, FRAMES)
    alone = [vae.vae.encode(frame[None].movedim(1, -1)) for frame in frames]
    repeated = keyframes_to_start_from(vae, frames[:1], 3)
    longer = keyframes_to_start_from(vae, frames, 3)
    return {
        "shape": list(clip.shape),
        "alone": max(difference(clip[:, :, i : i + 1], latent) for i, latent in enumerate(alone)),
        "repeated": max(difference(repeated[:, :, i : i + 1], alone[0]) for i in range(3)),
        "sampled down": difference(longer, clip[:, :, [0, 2, 4]]),
    }


def too_few_pictures(weights: str) -> None:
    keyframes_to_start_from(keyframe_vae(weights), pictures(2), FRAMES)


def odd_size(weights: str) -> None:
    keyframes_to_start_from(keyframe_vae(weights), pictures(1)[..., :88], FRAMES)


def first_input(weights: str, kind: str, denoise: float) -> dict[str, float]:
    """What the model sees first, against x = sigma * noise + (1 - sigma) * latent, in model space."""
    schedule = (DMDSchedule if kind == "dmd" else UniPCSchedule)(num_steps=3, shift=3.0, denoise=denoise)
    sigmas = schedule.sigmas()
    raw = keyframes_to_start_from(keyframe_vae(weights), pictures(FRAMES), FRAMES)
    noise = random(1, 16, FRAMES, HEIGHT, WIDTH, seed=7)
    seen: list[torch.Tensor] = []

    def note(executor: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        seen.append(x[:1, :16].clone())
        return executor(x, *args, **kwargs)

    model = apply_control(load(weights).model, load(weights).control, make_condition())
    model.add_wrapper_with_key("diffusion_model", "note", note)
    sampler: Any = comfy.samplers.sampler_object("euler") if kind == "dmd" else make_unipc_sampler()
    result = run(model, noise, sampler, sigmas, raw)
    sigma = float(sigmas[0])
    by_hand = sigma * noise + (1 - sigma) * normalise_latents(raw)
    return {
        "sigma": sigma,
        "difference": difference(seen[0], by_hand),
        "moved": float((result - raw).abs().mean()),
        "largest": float(raw.abs().mean()),
    }


def no_denoise(weights: str) -> float:
    raw = keyframes_to_start_from(keyframe_vae(weights), pictures(FRAMES), FRAMES)
    model = apply_control(load(weights).model, load(weights).control, make_condition())
    sigmas = DMDSchedule(denoise=0.0).sigmas()
    noise = random(1, 16, FRAMES, HEIGHT, WIDTH, seed=7)
    return difference(run(model, noise, comfy.samplers.sampler_object("euler"), sigmas, raw), raw)


def full_denoise(weights: str) -> float:
    """From pure noise a start has no say: the DMD table begins at sigma 1."""
    raw = keyframes_to_start_from(keyframe_vae(weights), pictures(FRAMES), FRAMES)
    model = apply_control(load(weights).model, load(weights).control, make_condition())
    noise = random(1, 16, FRAMES, HEIGHT, WIDTH, seed=7)
    euler = comfy.samplers.sampler_object("euler")
    sigmas = DMDSchedule(num_steps=2, start=500).sigmas()
    return difference(
        run(model, noise, euler, sigmas, raw), run(model, noise, euler, sigmas, torch.zeros_like(raw))
    )


def run(model: Any, noise: torch.Tensor, sampler: Any, sigmas: torch.Tensor, latent: torch.Tensor) -> Any:
    text = conditioning(11)
    return comfy.sample.sample_custom(
        model, noise, 1.0, sampler, sigmas, text, text, latent, disable_pbar=True, seed=0
    )


def early_looks(weights: str) -> dict[str, Any]:
    """A look in all steps at full size is the full run; a small one has a small size."""
    loaded = load(weights)
    model = apply_control(loaded.model, loaded.control, make_condition())
    text, latent = conditioning(11), torch.zeros(1, 16, FRAMES, HEIGHT, WIDTH)
    look = look_early(model, text, text, latent, num_steps=3, seed=5)
    noise = comfy.sample.prepare_noise(latent, 5)
    sigmas = UniPCSchedule(3).sigmas()
    half = look_early(model, text, text, latent, num_steps=1, seed=5, size_factor=0.5)
    again = look_early(model, text, text, latent, num_steps=3, seed=5)
    return {
        "full": difference(look, run(model, noise, make_unipc_sampler(), sigmas, latent)),
        "half": list(half.shape),
        "finite": bool(half.isfinite().all()),
        "untouched": difference(look, again),
        "one step": early_schedule(DMDSchedule(), 1).sigmas().tolist(),
        "two steps": early_schedule(DMDSchedule(), 2).timesteps().tolist(),
    }


def early_look_without_control(weights: str) -> None:
    text = conditioning(11)
    look_early(load(weights).model, text, text, torch.zeros(1, 16, FRAMES, HEIGHT, WIDTH))


def smaller(weights: str) -> dict[str, Any]:
    """Averages of what they cover, at a size in multiples of 16."""
    tokens = 4 * 6
    index = torch.arange(2)
    surfaces = TokenCorrespondences(index, index, FRAMES * tokens, 2 * tokens)
    condition = replace(make_condition(), shared_surfaces=surfaces)
    half = smaller_condition(condition, 0.5)
    block = condition.render_latents[0, 3, 2, :2, :2].mean()
    return {
        "size": [half.height, half.width],
        "latent": float((half.render_latents[0, 3, 2, 0, 0] - block).abs()),
        "holes": sorted(set(half.hole_mask.flatten().tolist())),
        "rays": list(half.rays.shape) if half.rays is not None else None,
        "surfaces": half.shared_surfaces is None,
    }


def reserved(weights: str) -> dict[str, float]:
    """Bytes asked for: bare, with control, with references, and what control keeps alive by hand count."""
    asked: list[float] = []
    original = comfy.model_management.load_models_gpu

    def spy(models: Any, memory_required: float = 0, **kwargs: Any) -> Any:
        asked.append(memory_required)
        return original(models, memory_required=memory_required, **kwargs)

    loaded = load(weights)
    comfy.model_management.load_models_gpu = spy
    try:
        sample(loaded.model)
        sample(apply_control(loaded.model, loaded.control, make_condition(), reference_strength=0.0))
        sample(apply_control(loaded.model, loaded.control, make_condition()))
    finally:
        comfy.model_management.load_models_gpu = original
    tokens = 2 * FRAMES * (HEIGHT // 2) * (WIDTH // 2)
    pixels = FRAMES * 64 * HEIGHT * WIDTH
    control = 4 * (tokens * 128 + 7 * pixels + 16 * FRAMES * HEIGHT * WIDTH)
    return {"bare": asked[0], "control": asked[1], "references": asked[2], "by hand": control}


def enlarged(weights: str, level: float, kind: str = "dmd") -> dict[str, Any]:
    """A sampled clip of half the size as the start of the full size, against the full size alone."""
    vae, small = keyframe_vae(weights), random(1, 16, FRAMES, HEIGHT // 2, WIDTH // 2, seed=9)
    larger = torch.zeros(1, 16, FRAMES, HEIGHT, WIDTH)
    sigmas = (DMDSchedule if kind == "dmd" else UniPCSchedule)(num_steps=3).sigmas()
    first = pictures(1)[0]
    done: list[tuple[int, int]] = []
    samples, tail = enlarge_clip(vae, small, larger, sigmas, level, first, lambda *step: done.append(step))
    model = apply_control(load(weights).model, load(weights).control, make_condition())
    noise = random(1, 16, FRAMES, HEIGHT, WIDTH, seed=7)
    sampler: Any = comfy.samplers.sampler_object("euler") if kind == "dmd" else make_unipc_sampler()
    result = run(model, noise, sampler, tail, samples)
    frames = torch.nn.functional.interpolate(
        vae.decode_keyframes(normalise_latents(small)),
        scale_factor=2,
        mode="bicubic",
        antialias=True,
        align_corners=False,
    )
    by_hand = keyframes_to_start_from(vae, torch.cat([first[None], frames[1:]]).clamp(0, 1), FRAMES)
    return {
        "tail": tail.tolist(),
        "sigmas": sigmas.tolist(),
        "start": difference(samples, by_hand),
        "kept": difference(result, samples),
        "plain": difference(result, run(model, noise, sampler, sigmas, larger)),
        "progress": done[-1] if done else None,
    }


def enlarged_wrong(weights: str, case: str) -> None:
    """Frames that differ, or sizes the wrong way round."""
    vae, clip = keyframe_vae(weights), torch.zeros(1, 16, FRAMES, HEIGHT, WIDTH)
    other = clip[:, :, :3] if case == "frames" else clip[..., : WIDTH // 2]
    enlarge_clip(vae, clip, other, DMDSchedule().sigmas(), 0.85)
