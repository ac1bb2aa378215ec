"""Checks of the control hook among other nodes, run under ComfyUI's Python; each returns figures to judge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import comfy.model_management
import comfy.patcher_extension
import comfy.sampler_helpers
import comfy.sd
import torch
from tiny_graph import Calls, conditioning, difference, load, make_condition, random, sample

from worldstereo_core.adapters.comfy.patch import KEY, apply_control
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
    import comfy.sample
    import comfy.samplers

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


def failing_patch(weights: str) -> dict[str, Any]:
    """An exception inside a block leaves the model as it was."""
    model = apply(weights)
    before = sample(model)
    failing = model.clone()

    def fail(arguments: dict[str, Any]) -> torch.Tensor:
        raise ArithmeticError("another node's patch failed")

    failing.set_model_attn2_patch(fail)
    try:
        sample(failing)
        raised = False
    except ArithmeticError:
        raised = True
    blocks = model.model.diffusion_model.blocks
    clean = not any("forward" in block.cross_attn.__dict__ for block in blocks)
    return {"raised": raised, "clean": clean, "difference": difference(sample(model), before)}


def foreign_patches(weights: str) -> dict[str, Any]:
    """Patches of other nodes that change nothing: what they see, and that the result stays."""
    reference = sample(apply(weights))
    seen: dict[str, set[int]] = {"attn1": set(), "attn2": set(), "replace": set()}
    model = apply(weights)

    def attention_patch(name: str) -> Any:
        def patch(arguments: dict[str, Any]) -> torch.Tensor:
            seen[name].add(arguments["x"].shape[1])
            if name == "attn1" and isinstance(arguments["q"], torch.Tensor):
                seen[name].add(arguments["q"].shape[1])
            return arguments["x"]

        return patch

    def replacement(arguments: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        seen["replace"].add(arguments["img"].shape[1])
        return extra["original_block"](arguments)

    model.set_model_attn1_patch(attention_patch("attn1"))
    model.set_model_attn2_patch(attention_patch("attn2"))
    model.set_model_patch_replace(replacement, "dit", "double_block", 1)
    return {
        "difference": difference(sample(model), reference),
        "seen": {name: sorted(counts) for name, counts in seen.items()},
    }


def attention_override(weights: str) -> dict[str, Any]:
    """A kernel override sees main, joined and control attention and does not change the result."""
    reference = sample(apply(weights), cfg=1.0)
    lengths: list[int] = []

    def override(function: Any, query: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        lengths.append(query.shape[1])
        return function(query, *args, **kwargs)

    model = apply(weights)
    model.model_options["transformer_options"]["optimized_attention_override"] = override
    result = sample(model, cfg=1.0)
    return {
        "difference": difference(result, reference),
        "main": lengths.count(5 * 4 * 6),
        "joined": lengths.count(7 * 4 * 6),
    }


def cross_attention_object_patch(weights: str) -> dict[str, Any]:
    """A forward set on one block's cross-attention (as NAG nodes do), before and after our node."""
    loaded = load(weights)
    tokens: set[int] = set()

    def patched(model: Any) -> Any:
        clone = model.clone()
        original = clone.model.diffusion_model.blocks[1].cross_attn.forward

        def forward(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            tokens.add(x.shape[1])
            return 0.5 * original(x, *args, **kwargs)

        clone.add_object_patch("diffusion_model.blocks.1.cross_attn.forward", forward)
        return clone

    before = sample(apply(weights, model=patched(loaded.model)))
    after = sample(patched(apply(weights)))
    plain = sample(apply(weights))
    return {
        "order": difference(before, after),
        "effect": difference(before, plain),
        "tokens": sorted(tokens),
    }


def skip_layer_guidance(weights: str) -> dict[str, float]:
    from comfy_extras.nodes_slg import SkipLayerGuidanceDiT

    def guided(model: Any) -> Any:
        return SkipLayerGuidanceDiT.execute(model, 2.0, 0.0, 1.0, "0, 2", "").args[0]

    before, after = sample(apply(weights, model=guided(load(weights).model))), sample(guided(apply(weights)))
    return {"order": difference(before, after), "effect": difference(before, sample(apply(weights)))}


def easy_cache(weights: str) -> dict[str, Any]:
    """With a threshold that skips steps: control runs only in the steps that are computed."""
    from comfy_extras.nodes_easycache import EasyCacheNode

    def cached(model: Any) -> Any:
        return EasyCacheNode.execute(model, 3.0, 0.0, 1.0, False).args[0]

    sigmas = torch.linspace(1, 0, 7)
    before, after = Calls(), Calls()
    first = sample(apply(weights, model=cached(load(weights).model), probe=before), sigmas=sigmas, cfg=1.0)
    second = sample(cached(apply(weights, probe=after)), sigmas=sigmas, cfg=1.0)
    return {
        "steps": 6,
        "before": before.count("control0"),
        "after": after.count("control0"),
        "finite": bool(first.isfinite().all() and second.isfinite().all()),
    }


def lora(weights: str) -> dict[str, float]:
    state = {}
    for block in range(4):
        name = f"diffusion_model.blocks.{block}.self_attn.q"
        state[f"{name}.lora_A.weight"] = random(4, 256, seed=block) * 0.1
        state[f"{name}.lora_B.weight"] = random(256, 4, seed=block + 10) * 0.1
    with_lora = comfy.sd.load_lora_for_models(load(weights).model, None, state, 1.0, 0.0)[0]
    before = sample(apply(weights, model=with_lora))
    after = sample(comfy.sd.load_lora_for_models(apply(weights), None, state, 1.0, 0.0)[0])
    return {"order": difference(before, after), "effect": difference(before, sample(apply(weights)))}


def context_windows(weights: str) -> None:
    import utils.install_util  # noqa: F401  # before `nodes`, which the node file imports
    from comfy_extras.nodes_context_windows import WanContextWindowsManualNode

    arguments = {
        "context_length": 13,
        "context_overlap": 5,
        "context_schedule": "standard_static",
        "context_stride": 1,
        "closed_loop": False,
        "fuse_method": "pyramid",
        "freenoise": False,
    }
    sample(WanContextWindowsManualNode.execute(apply(weights), **arguments).args[0])


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


def memory_estimate(weights: str) -> dict[str, Any]:
    """What is reserved with and without control, the result being the same call."""
    asked: list[float] = []
    original = comfy.model_management.load_models_gpu

    def spy(models: Any, memory_required: float = 0, **kwargs: Any) -> Any:
        asked.append(memory_required)
        return original(models, memory_required=memory_required, **kwargs)

    comfy.model_management.load_models_gpu = spy
    try:
        sample(load(weights).model)
        sample(apply(weights))
    finally:
        comfy.model_management.load_models_gpu = original
    return {"bare": asked[0], "control": asked[-1]}


def loaded_models(weights: str) -> dict[str, Any]:
    """The control module is loaded together with the model, and the device copy is dropped afterwards."""
    comfy.model_management.unload_all_models()
    model = apply(weights)
    sample(model)
    classes = [type(entry.model.model).__name__ for entry in comfy.model_management.current_loaded_models]
    hook = model.model_options["transformer_options"]["patches"][KEY][0]
    return {"classes": sorted(classes), "copies": len(hook._placed)}


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


def compiled(weights: str, is_per_block: bool) -> dict[str, float]:
    """Traced by torch.compile (without code generation), the percent range still at work."""
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    model = apply(weights, end_percent=0.5)
    reference = sample(model)
    keys = [f"diffusion_model.blocks.{index}" for index in range(4)] if is_per_block else ["diffusion_model"]
    traced = model.clone()
    set_torch_compile_wrapper(model=traced, backend="aot_eager", keys=keys)
    return {
        "difference": difference(sample(traced), reference),
        "range": difference(reference, sample(apply(weights))),
    }
