"""Checks of the control hook, run under ComfyUI's Python; each returns figures to judge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import comfy.model_management
import comfy.patcher_extension
import comfy.sample
import comfy.sampler_helpers
import comfy.samplers
import comfy.sd
import torch
from tiny_graph import Calls, conditioning, difference, load, make_condition, random, sample

from worldstereo_core.adapters.comfy.patch import applied_control, apply_control
from worldstereo_core.model.control_session import ControlStrength


def apply(weights: str, variant: str = "memory", model: Any = None, **arguments: Any) -> Any:
    loaded = load(weights, variant)
    condition = arguments.pop("condition", None) or make_condition(variant)
    return apply_control(model or loaded.model, loaded.control, condition, **arguments)


def control_changes_the_result(weights: str, variant: str) -> float:
    return difference(sample(apply(weights, variant)), sample(load(weights, variant).model))


def switched_off(weights: str) -> dict[str, float]:
    """Everything that must equal the bare model, bit for bit."""
    bare = sample(load(weights).model)
    stages = ControlStrength(early=0, middle=0, late=0)
    return {
        "strength": difference(sample(apply(weights, strength=0.0)), bare),
        "stages": difference(sample(apply(weights, strength=stages)), bare),
        "range": difference(sample(apply(weights, start_percent=1.0)), bare),
        "after other strengths": difference(_after(weights), bare),
    }


def _after(weights: str) -> torch.Tensor:
    sample(apply(weights, strength=0.3))
    sample(apply(weights, strength=2.0))
    return sample(load(weights).model)


def stage_strength(weights: str) -> dict[str, float]:
    """Overall strength equals the same factor on every stage; a stage alone differs from all."""
    half = sample(apply(weights, strength=0.5))
    stages = sample(apply(weights, strength=ControlStrength(early=0.5, middle=0.5, late=0.5)))
    early = sample(apply(weights, strength=ControlStrength(middle=0.0, late=0.0)))
    return {"same": difference(half, stages), "other": difference(half, early)}


def percent_range(weights: str, start: float, end: float) -> int:
    """Steps in which the control ran."""
    calls = Calls()
    sample(apply(weights, start_percent=start, end_percent=end, probe=calls), cfg=1.0)
    return calls.count("control0")


def batching(weights: str) -> dict[str, Any]:
    """cond and uncond in one batch and in two calls; control runs once per step when batched."""
    calls = Calls()
    together = sample(apply(weights, probe=calls))
    apart = apply(weights)
    apart.model.memory_required, kept = (lambda *args, **kwargs: 1e30), apart.model.memory_required
    try:
        separate = sample(apart)
    finally:
        apart.model.memory_required = kept
    return {
        "difference": difference(together, separate),
        "largest": float(together.abs().max()),
        "control calls": calls.count("control0"),
        "control batch": calls.count("block0.ref"),
    }


def two_latents(weights: str) -> dict[str, float]:
    """A batch of two equal latents: both samples equal the single run."""
    single, both = sample(apply(weights)), sample(apply(weights), batch=2)
    return {"first": difference(both[:1], single), "second": difference(both[1:], single)}


def negative_without_start_image(weights: str) -> int:
    """The control is computed for both halves when their masks differ."""
    batches: list[int] = []

    def probe(name: str, tensor: torch.Tensor) -> None:
        if name == "control0":
            batches.append(tensor.shape[0])

    model = apply(weights, probe=probe)
    noise = random(1, 16, 5, 8, 12, seed=7)
    comfy.sample.sample_custom(
        model,
        noise,
        4.0,
        comfy.samplers.sampler_object("euler"),
        torch.tensor([1.0, 0.5]),
        conditioning(11),
        conditioning(12, concat_latent_image=None, concat_mask=None),
        torch.zeros_like(noise),
        disable_pbar=True,
        seed=0,
    )
    return max(batches)


def apply_twice(weights: str) -> None:
    apply(weights, model=apply(weights))


def repeat_after_unload(weights: str) -> float:
    model = apply(weights)
    first = sample(model)
    comfy.model_management.unload_all_models()
    return difference(sample(model), first)


def interrupt(weights: str) -> dict[str, Any]:
    """Interrupted in mid-sampling, then run again."""
    model = apply(weights)
    before = sample(model)

    def stop(step: int, *_: Any) -> None:
        comfy.model_management.interrupt_current_processing()

    try:
        sample(model, callback=stop)
        stopped = False
    except comfy.model_management.InterruptProcessingException:
        stopped = True
    finally:
        comfy.model_management.interrupt_current_processing(False)
    return {"stopped": stopped, "difference": difference(sample(model), before)}


def wrong_size(weights: str) -> dict[str, Any]:
    """A condition for another width: refused before the model is called or loaded."""
    calls = Calls()
    model = apply(weights, condition=make_condition(width=16), probe=calls)
    comfy.model_management.unload_all_models()
    try:
        sample(model)
        text = ""
    except ValueError as error:
        text = str(error)
    return {
        "text": text,
        "loaded": len(comfy.model_management.current_loaded_models),
        "calls": len(calls.names),
    }


def wrong_frames(weights: str) -> None:
    sample(apply(weights), frames=6)


def missing_references(weights: str) -> None:
    apply(weights, condition=make_condition("camera"))


def references_on_a_camera_control(weights: str) -> float:
    """References are ignored by a camera control: the result equals that without them."""
    with_references = sample(apply(weights, "camera", condition=make_condition("memory")))
    return difference(with_references, sample(apply(weights, "camera")))


def per_frame_timesteps(weights: str) -> None:
    model = apply(weights)
    options = {**model.model_options["transformer_options"], "wrappers": model.wrappers}
    latents = random(1, 36, 5, 8, 12, seed=1)
    text, vision = random(1, 512, 4096, seed=2), random(1, 257, 1280, seed=3)
    comfy.model_management.load_models_gpu([model])
    model.model.diffusion_model(
        latents, torch.full((1, 5), 500.0), context=text, clip_fea=vision, transformer_options=options
    )


def loaded_models(weights: str) -> dict[str, Any]:
    """What is loaded before, during and after sampling, and what is left on the computing device."""
    comfy.model_management.unload_all_models()
    model = apply(weights)
    hook = applied_control(model)
    assert hook is not None
    during: list[int] = []
    cleaned: list[int] = []
    original = hook.cleanup

    def cleanup() -> None:
        cleaned.append(len(hook._placed))
        original()

    hook.cleanup = cleanup
    sample(model, callback=lambda *_: during.append(len(hook._placed)))
    classes = [type(entry.model.model).__name__ for entry in comfy.model_management.current_loaded_models]
    comfy.model_management.unload_all_models()
    return {
        "classes": sorted(classes),
        "models": [type(entry.model).__name__ for entry in hook.models()],
        "to": hook.to("cpu") is hook and hook.to(torch.float16) is hook,
        "during": sorted(set(during)),
        "cleaned": cleaned,
        "after": len(hook._placed),
        "left": len(comfy.model_management.current_loaded_models),
    }


def two_hooks_on_clones(weights: str) -> dict[str, float]:
    """Two controls on two clones of one model, used in turn: each as if it were alone."""
    base = load(weights).model
    weak, strong = apply(weights, strength=0.2), apply(weights, strength=1.0)
    alone = [sample(model) for model in (weak, strong, base)]
    turns = [sample(model) for model in (strong, weak, base, strong)]
    return {
        "weak": difference(turns[1], alone[0]),
        "strong": max(difference(turns[0], alone[1]), difference(turns[3], alone[1])),
        "base": difference(turns[2], alone[2]),
        "effect": difference(alone[0], alone[1]),
    }


def sizes(weights: str) -> dict[str, bool]:
    """Odd frame counts, portrait, a size of no bucket, the smallest: sampled, with control in effect."""
    results = {}
    for frames, height, width in ((2, 8, 12), (7, 12, 8), (4, 10, 14), (3, 2, 2)):
        condition = make_condition(frames=frames, height=height, width=width)
        noise = random(1, 16, frames, height, width, seed=7)
        text = conditioning(11, concat_latent_image=noise, concat_mask=torch.ones_like(noise[:, :1]))
        outputs = [
            comfy.sample.sample_custom(
                model,
                noise,
                1.0,
                comfy.samplers.sampler_object("euler"),
                torch.tensor([1.0, 0.5, 0.0]),
                text,
                text,
                torch.zeros_like(noise),
                disable_pbar=True,
                seed=0,
            )
            for model in (apply(weights, condition=condition), load(weights).model)
        ]
        finite = bool(outputs[0].isfinite().all()) and outputs[0].shape == noise.shape
        results[f"{frames}x{height}x{width}"] = finite and difference(*outputs) > 1e-3
    return results


def missing_api(module: str, name: str) -> str:
    """The sentence for a ComfyUI that lacks a name."""
    import importlib

    from worldstereo_core.adapters.comfy.needed_api import check_comfyui
    from worldstereo_core.checks import WorldStereoError

    owner = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    kept = owner.__dict__[last]
    delattr(owner, last)
    try:
        check_comfyui()
    except WorldStereoError as error:
        return str(error)
    finally:
        setattr(owner, last, kept)
    return ""


def all_api() -> None:
    from worldstereo_core.adapters.comfy.needed_api import check_comfyui

    check_comfyui()


def bfloat16(weights: str) -> dict[str, Any]:
    exact, loaded = sample(apply(weights)), load(weights, weight_dtype="bf16")
    result = sample(apply_control(loaded.model, loaded.control, make_condition()))
    return {
        "finite": bool(result.isfinite().all()),
        "stored": str(next(loaded.control.model.parameters()).dtype),
        "relative": float((result - exact).abs().mean() / exact.abs().mean()),
    }


def fp8(weights: str) -> dict[str, Any]:
    loaded = load(weights, weight_dtype="fp8_e4m3fn")
    result = sample(apply_control(loaded.model, loaded.control, make_condition()))
    return {"finite": bool(result.isfinite().all()), "dtype": str(loaded.model.model.get_dtype())}


def reference_strength(weights: str) -> dict[str, float]:
    """The bias against one made with an explicit attention mask, and its two ends."""
    import math

    main = 5 * 4 * 6
    strength = 0.3

    def masked(function: Any, query: torch.Tensor, key: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if query.shape[1] == key.shape[1] > main:
            mask = torch.zeros(query.shape[1], key.shape[1])
            mask[:main, main:] = math.log(strength)
            kwargs["mask"] = mask
        return function(query, key, *args, **kwargs)

    explicit = apply(weights)
    explicit.model_options["transformer_options"]["optimized_attention_override"] = masked
    biased = sample(apply(weights, reference_strength=strength))
    none = sample(apply(weights, reference_strength=0.0))
    full = sample(apply(weights))
    return {
        "explicit": difference(biased, sample(explicit)),
        "effect": difference(biased, full),
        "nearly none": difference(sample(apply(weights, reference_strength=1e-9)), none),
        "nearly full": difference(sample(apply(weights, reference_strength=1 - 1e-7)), full),
    }


def reference_radius(weights: str) -> dict[str, float]:
    """Restricted reference attention against an explicit attention mask, with a bias and between its ends."""
    import math

    from worldstereo_core.memory.token_correspondence import TokenCorrespondences
    from worldstereo_core.model.backbone import TokenGrid
    from worldstereo_core.model.reference_attention import reference_access

    main, other = 5 * 4 * 6, 2 * 4 * 6
    chosen = torch.randint(0, main * other, (150,), generator=torch.Generator().manual_seed(3)).unique()
    pairs = TokenCorrespondences(chosen // other, chosen % other, main, other)
    everything = torch.arange(main * other)
    full = TokenCorrespondences(everything // other, everything % other, main, other)
    nothing = TokenCorrespondences(everything[:0], everything[:0], main, other)
    strength = 0.3
    seen = reference_access(pairs, TokenGrid(5, 4, 6), 1).dense()
    lengths: list[int] = []

    def masked(function: Any, query: torch.Tensor, key: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if query.shape[1] == key.shape[1] > main:
            mask = torch.zeros(query.shape[1], key.shape[1])
            mask[:main, main:] = torch.where(seen[:, main:], math.log(strength), -torch.inf)
            kwargs["mask"] = mask
        return function(query, key, *args, **kwargs)

    def count(function: Any, query: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        lengths.append(query.shape[1])
        return function(query, *args, **kwargs)

    def restricted(
        surfaces: TokenCorrespondences, radius: int = 1, override: Any = None, **settings: Any
    ) -> Any:
        condition = replace(make_condition(), shared_surfaces=surfaces)
        model = apply(weights, condition=condition, reference_radius=radius, **settings)
        if override is not None:
            model.model_options["transformer_options"]["optimized_attention_override"] = override
        return sample(model)

    explicit = apply(weights)
    explicit.model_options["transformer_options"]["optimized_attention_override"] = masked
    plain = sample(apply(weights))
    limited = restricted(pairs, reference_strength=strength)
    result = {
        "explicit": difference(limited, sample(explicit)),
        "effect": difference(limited, sample(apply(weights, reference_strength=strength))),
        "everything": difference(restricted(full, 0), plain),
        "off": difference(restricted(pairs, -1), plain),
        "none is little": difference(restricted(nothing, 0), plain),
        "counted": difference(restricted(pairs, 1, count), restricted(pairs, 1)),
        "reference queries seen by an override": lengths.count(other),
        "joined queries seen by an override": lengths.count(main + other),
    }
    try:
        apply(weights, reference_radius=2)
    except ValueError as error:
        result["refused"] = str(error)
    return result
