"""Checks of the control hook beside patches and nodes of others, run under ComfyUI's Python."""

from __future__ import annotations

from typing import Any

import comfy.sd
import torch
from hook_checks import apply
from tiny_graph import Calls, difference, load, random, sample


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
