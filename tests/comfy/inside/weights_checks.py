"""Checks of WorldStereo weights laid over models in every storage form, run under ComfyUI's Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tiny_graph import difference, make_condition, sample
from torch import Tensor
from weights_files import (
    State,
    add_lora,
    base_state,
    find_gguf_pack,
    load_as,
    lora_state,
    overlay_state,
    with_lora,
    write_overlay,
)

from worldstereo_core.adapters.comfy.loader_patches import apply_weights
from worldstereo_core.adapters.comfy.patch import apply_control

ONE_STEP = torch.tensor([1.0, 0.4])
VARIANTS = ("camera", "memory")


def gguf_pack() -> str | None:
    path = find_gguf_pack()
    return None if path is None else str(path)


def _run(model: Any, control: Any, variant: str) -> Tensor:
    applied = apply_control(model, control, make_condition(variant))
    return sample(applied, cfg=1.0, sigmas=ONE_STEP)


def _error(result: Tensor, exact: Tensor) -> float:
    return float((result - exact).abs().mean() / exact.abs().mean())


@lru_cache
def _control(weights: str, folder: str, variant: str) -> Any:
    bare = load_as("fp32", base_state(weights), folder)
    path = write_overlay(weights, folder, variant)
    return apply_weights(bare, path, control_only=True).control


@lru_cache
def _exact(weights: str, folder: str, variant: str, with_weights: bool, has_lora: bool) -> Tensor:
    """The float32 result of weights merged by hand."""
    state = _merged(weights, variant, with_weights, has_lora)
    return _run(load_as("fp32", state, folder), _control(weights, folder, variant), variant)


def _merged(weights: str, variant: str, with_weights: bool, has_lora: bool) -> State:
    state = base_state(weights)
    if with_weights:
        state |= overlay_state(weights, variant)[1]
    return with_lora(state, lora_state(weights)) if has_lora else state


def matrix(weights: str, folder: str, form: str) -> list[dict[str, Any]]:
    """One storage form with every variant and LoRA order.

    Noise is what storing the hand-merged weights in that form does to the result. Effects are what leaving
    the overlay or the LoRA out would do: a bound below both can tell.
    """
    lora, rows = lora_state(weights), []
    base = load_as(form, base_state(weights), folder)
    for variant in VARIANTS:
        path, control = write_overlay(weights, folder, variant), _control(weights, folder, variant)
        patched = apply_weights(base, path).model
        runs = {
            "none": patched,
            "before": apply_weights(add_lora(base, lora), path).model,
            "after": add_lora(patched, lora),
        }
        results = {order: _run(model, control, variant) for order, model in runs.items()}
        noise = {}
        for has_lora in (False, True):
            stored = load_as(form, _merged(weights, variant, True, has_lora), folder)
            exact = _exact(weights, folder, variant, True, has_lora)
            noise[has_lora] = _error(_run(stored, control, variant), exact)
        for order, result in results.items():
            has_lora = order != "none"
            exact = _exact(weights, folder, variant, True, has_lora)
            rows.append(
                {
                    "variant": variant,
                    "lora": order,
                    "error": _error(result, exact),
                    "noise": noise[has_lora],
                    "without overlay": _error(_exact(weights, folder, variant, False, has_lora), exact),
                    "without lora": _error(_exact(weights, folder, variant, True, not has_lora), exact),
                    "orders differ by": difference(results["before"], results["after"]),
                }
            )
    return rows


def _bytes(model: Any) -> dict[str, bytes]:
    network = model.model.diffusion_model
    found = {}
    for key, value in network.named_parameters():
        stored = getattr(value, "_qdata", value).detach()
        stored = torch.Tensor.contiguous(torch.as_tensor(stored)).as_subclass(Tensor)
        found[key] = stored.reshape(-1).view(torch.uint8).numpy().tobytes()
    return found


def unpatched(weights: str, folder: str, form: str) -> dict[str, Any]:
    """A model before, with and after the weights: the same bytes, the same result."""
    import comfy.model_management as management

    base = load_as(form, base_state(weights), folder)
    path, control = write_overlay(weights, folder, "memory"), _control(weights, folder, "memory")
    before, result = _bytes(base), _run(base, control, "memory")
    patched = apply_weights(base, path).model
    changed = difference(_run(patched, control, "memory"), result)
    again = difference(_run(base, control, "memory"), result)
    management.unload_all_models()
    after = _bytes(base)
    return {
        "changed": changed,
        "again": again,
        "altered": [key for key in before if before[key] != after[key]],
        "tensors": len(before),
    }


def equals_the_loader(weights: str, folder: str) -> float:
    """Apply on a float32 model and the loader's own merge give the same result."""
    from worldstereo_core.adapters.comfy.loader import load_worldstereo

    path = write_overlay(weights, folder, "memory")
    backbone = Path(folder) / "base.safetensors"
    save_file(base_state(weights), backbone)
    loaded = load_worldstereo(backbone, path, "fp32")
    patched = apply_weights(load_as("fp32", base_state(weights), folder), path)
    return difference(
        _run(loaded.model, loaded.control, "memory"), _run(patched.model, patched.control, "memory")
    )


def report(weights: str, folder: str, control_only: bool = False) -> str:
    base = load_as("fp32", base_state(weights), folder)
    return apply_weights(base, write_overlay(weights, folder, "memory"), control_only=control_only).report


def apply_refused(weights: str, folder: str, change: str) -> None:
    """Apply with one thing wrong; every change must raise."""
    state = base_state(weights)
    path = write_overlay(weights, folder, "memory")
    target = Path(folder)
    if change == "complete":
        control, backbone = overlay_state(weights, "memory")
        path = target / "complete.safetensors"
        save_file({**control, **state, **backbone}, path)
    elif change == "shape":
        path = write_overlay(
            weights, str(target / "shape"), "memory", {"blocks.0.attn1.to_q.bias": torch.ones(3)}
        )
    elif change == "wan 2.2":
        state = without_image_encoder(state)
    elif change == "text to video":
        state = without_image_encoder(state)
        state["patch_embedding.weight"] = state["patch_embedding.weight"][:, :16].contiguous()
    elif change == "backbone":
        path = target / "backbone.safetensors"
        save_file(state, path)
    model = load_as("fp32", state, folder)
    if change == "twice":
        model = apply_weights(model, path).model
    apply_weights(model, path)


def without_image_encoder(state: State) -> State:
    """What a Wan 2.2 image-to-video file lacks."""
    return {key: value for key, value in state.items() if "_img" not in key and "img_emb" not in key}


def saving_fails(weights: str, folder: str, how: str) -> dict[str, Any]:
    """Save Merged Model that cannot finish: what it says, and what lies in the folders afterwards."""
    from worldstereo_core.adapters.comfy.loader_saving import save_merged

    target = Path(folder) / how
    backbone = Path(folder) / "base.safetensors"
    save_file(base_state(weights), backbone)
    control_size = sum(value.nbytes for value in overlay_state(weights, "memory")[0].values()) >> 20

    def stop(done: int, total: int) -> None:
        if total > 2 * control_size:
            raise InterruptedSaving("cancelled")

    inputs = backbone, write_overlay(weights, folder, "memory")
    paths = target / "model" / "m.safetensors", target / "control" / "c.safetensors"
    said = ""
    try:
        if how == "cancelled":
            save_merged(*inputs, *paths, progress=stop)
        else:
            with _small_files(2**20 * (control_size + 2)):
                save_merged(*inputs, *paths)
    except (InterruptedSaving, ValueError) as error:
        said = f"{type(error).__name__}: {error}"
    return {"said": said, "left": [str(path) for path in target.rglob("*") if path.is_file()]}


class InterruptedSaving(Exception):
    pass


@contextmanager
def _small_files(limit: int) -> Iterator[None]:
    """Files may not grow beyond a limit: fails in the kernel while writing, as a full disk does."""
    import resource
    import signal

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
