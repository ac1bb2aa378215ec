"""Checks of loading and of the VAE and CLIP vision adapters, run under ComfyUI's Python."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import comfy.sd
import comfy.utils
import torch
from safetensors.torch import load_file, save_file
from tiny_graph import difference, load, make_condition, random, sample

from worldstereo_core.adapters.comfy.clip_vision import encode_clip_vision
from worldstereo_core.adapters.comfy.loader import build_model, load_worldstereo
from worldstereo_core.adapters.comfy.patch import apply_control
from worldstereo_core.adapters.comfy.vae import ComfyKeyframeVAE, keyframes_to_batch
from worldstereo_core.model.checkpoint import load_checkpoint
from worldstereo_core.model.key_names import diffusers_to_wan_key, wan_to_diffusers_key


def _base(weights: str) -> Path:
    return Path(weights) / "wan_base_comfy.safetensors"


def _memory(weights: str) -> Path:
    return Path(weights) / "worldstereo-memory" / "model.safetensors"


def overlay_is_applied(weights: str) -> dict[str, Any]:
    """Every backbone tensor of the overlay stands in the model, every other one is the base's."""
    loaded = load(weights, "memory")
    state = loaded.model.model.diffusion_model.state_dict()
    base = load_file(_base(weights))
    overlay = {diffusers_to_wan_key(key): value for key, value in load_file(_memory(weights)).items()}
    overlay.pop(None, None)
    expected = {**base, **overlay}
    wrong = [key for key, value in expected.items() if not torch.equal(state[key], value.float())]
    return {
        "wrong": wrong,
        "overridden": len(overlay),
        "report": loaded.report,
        "variant": loaded.control.model.config.variant,
    }


class Stopped(Exception):
    """Stands for ComfyUI's interrupt."""


def converted_one_by_one(weights: str) -> dict[str, Any]:
    """What the loader reports while it converts a backbone of 32 bits, and what it does when stopped."""

    def seen_while_loading(weight_dtype: str, last: int | None = None) -> list[tuple[int, int]]:
        seen: list[tuple[int, int]] = []

        def report(done: int, total: int) -> None:
            seen.append((done, total))
            if done == last:
                raise Stopped

        with suppress(Stopped):
            build_model(load_checkpoint(_memory(weights)), _base(weights), weight_dtype, progress=report)
        return seen

    return {
        "seen": seen_while_loading("fp8_e4m3fn"),
        "stopped after": seen_while_loading("fp8_e4m3fn", last=1),
        "nothing to convert": seen_while_loading("default"),
    }


def complete_file(weights: str, folder: str) -> dict[str, Any]:
    """A complete file alone, and with a backbone beside it, equals base plus overlay."""
    overlay = load_file(_memory(weights))
    replaced = {diffusers_to_wan_key(key) for key in overlay}
    base = {key: value for key, value in load_file(_base(weights)).items() if key not in replaced}
    path = Path(folder) / "complete.safetensors"
    save_file({**base, **overlay}, path)
    alone = load_worldstereo(None, path, "fp32")
    beside = load_worldstereo(_base(weights), path, "fp32")
    expected = sample(_applied(load(weights, "memory")))
    return {
        "alone": difference(sample(_applied(alone)), expected),
        "beside": difference(sample(_applied(beside)), expected),
        "report": beside.report,
    }


def _applied(loaded: Any) -> Any:
    return apply_control(loaded.model, loaded.control, make_condition())


def diffusers_named_backbone(weights: str, folder: str) -> float:
    path = Path(folder) / "diffusers.safetensors"
    save_file({wan_to_diffusers_key(key): value for key, value in load_file(_base(weights)).items()}, path)
    loaded = load_worldstereo(path, _memory(weights), "fp32")
    return difference(sample(_applied(loaded)), sample(_applied(load(weights, "memory"))))


def prefixed_backbone(weights: str, folder: str) -> float:
    path = Path(folder) / "prefixed.safetensors"
    save_file(
        {f"model.diffusion_model.{key}": value for key, value in load_file(_base(weights)).items()}, path
    )
    loaded = load_worldstereo(path, _memory(weights), "fp32")
    return difference(sample(_applied(loaded)), sample(_applied(load(weights, "memory"))))


def scaled_fp8_backbone(weights: str, folder: str) -> dict[str, Any]:
    """A base quantised to scaled fp8: overridden layers lose their scales, the others keep them."""
    state: dict[str, torch.Tensor] = {}
    for key, value in load_file(_base(weights)).items():
        if key.startswith("blocks.") and key.endswith((".q.weight", ".k.weight", ".ffn.0.weight")):
            scale = value.float().abs().max() / 448
            state[key] = (value.float() / scale).to(torch.float8_e4m3fn)
            state[key.removesuffix("weight") + "scale_weight"] = scale
        else:
            state[key] = value
    state["scaled_fp8"] = torch.empty(2, dtype=torch.float8_e4m3fn)
    path = Path(folder) / "scaled.safetensors"
    save_file(state, path)
    exact = sample(_applied(load(weights, "memory")))
    result = sample(_applied(load_worldstereo(path, _memory(weights))))
    return {
        "finite": bool(result.isfinite().all()),
        "relative": float((result - exact).abs().mean() / exact.abs().mean()),
    }


def reload(weights: str) -> dict[str, float]:
    """The factories that ComfyUI uses to load again give the same weights."""
    loaded = load(weights, "memory")
    results = {}
    for name, patcher in (("model", loaded.model), ("control", loaded.control)):
        factory, arguments = patcher.cached_patcher_init
        again = factory(*arguments, disable_dynamic=True)
        pairs = zip(patcher.model.state_dict().values(), again.model.state_dict().values(), strict=True)
        results[name] = max(difference(a.float(), b.float()) for a, b in pairs)
    return results


def load_altered(weights: str, folder: str, change: str) -> None:
    """Load with one thing wrong; every change must end in a CheckpointError."""
    base, overlay, target = load_file(_base(weights)), _memory(weights), Path(folder)
    backbone: Path | None = target / "backbone.safetensors"
    if change == "none":
        backbone = None
    elif change == "t2v":
        base["patch_embedding.weight"] = base["patch_embedding.weight"][:, :16].contiguous()
        base = {key: value for key, value in base.items() if "_img" not in key and "img_emb" not in key}
    elif change == "5b":
        base["patch_embedding.weight"] = random(256, 48, 1, 2, 2, seed=1)
    elif change == "width":
        base["patch_embedding.weight"] = random(384, 36, 1, 2, 2, seed=1)
    elif change == "family":
        base = {"double_blocks.0.img_attn.qkv.weight": torch.zeros(8, 8)}
    elif change == "vace":
        base["vace_patch_embedding.weight"] = random(256, 96, 1, 2, 2, seed=1)
    elif change == "animate":
        base["face_adapter.fuser_blocks.0.k_norm.weight"] = torch.ones(256)
    elif change == "wan 2.2":
        base = {key: value for key, value in base.items() if "_img" not in key and "img_emb" not in key}
    elif change == "worldstereo":
        base = load_file(overlay)
    elif change == "incomplete":
        del base["blocks.1.ffn.2.weight"]
    if backbone is not None:
        save_file(base, backbone)
    if change == "truncated backbone":
        assert backbone is not None
        backbone.write_bytes(backbone.read_bytes()[:-1000])
    if change == "truncated":
        overlay = target / "truncated.safetensors"
        overlay.write_bytes(_memory(weights).read_bytes()[:-1000])
    load_worldstereo(backbone, overlay, "int4" if change == "weight_dtype" else "fp32")


def without_config(weights: str, folder: str, variant: str | None) -> str:
    """A flat file without config.json: what the report says was assumed."""
    path = Path(folder) / "flat.safetensors"
    shutil.copyfile(_memory(weights), path)
    return load_worldstereo(_base(weights), path, "fp32", {"variant": variant}).report


def uni3c(weights: str, folder: str) -> dict[str, Any]:
    """A Uni3C file: control only, on a backbone of its width; 9 video frames make 3 latent frames."""
    tensors = load_file(Path(weights) / "uni3c_layout_controlnet.safetensors")
    path = Path(folder) / "uni3c.safetensors"
    save_file(tensors, path)
    loaded = load_worldstereo(_base(weights), path, "fp32")
    sizes = loaded.config.control
    return {
        "kernel": sizes.mask_kernel,
        "variant": loaded.config.variant,
        "frames": sizes.num_mask_frames(3),
        "report": loaded.report,
    }


def apply_to_wrong_model(weights: str, folder: str) -> None:
    """A T2V model from core's own loader into Apply."""
    base = load_file(_base(weights))
    base["patch_embedding.weight"] = base["patch_embedding.weight"][:, :16].contiguous()
    base = {key: value for key, value in base.items() if "_img" not in key and "img_emb" not in key}
    model = comfy.sd.load_diffusion_model_state_dict(base)
    loaded = load(weights, "memory")
    apply_control(model, loaded.control, make_condition())


def wan_variant(weights: str) -> None:
    """A Wan model whose class has a forward pass of its own."""
    from comfy.ldm.wan.model import VaceWanModel

    from worldstereo_core.adapters.comfy.backbone import check_wan_model

    check_wan_model(VaceWanModel.__new__(VaceWanModel), load(weights, "memory").config)


def apply_wrong_control(weights: str) -> None:
    loaded = load(weights, "memory")
    apply_control(loaded.model, loaded.model, make_condition())


def stock_model(weights: str) -> float:
    """Control on a model from core's own loader equals the same through ours (the camera file has no
    overlay)."""
    loaded = load(weights, "camera")
    model = comfy.sd.load_diffusion_model(str(_base(weights)), model_options={"dtype": torch.float32})
    condition = make_condition("camera")
    ours, theirs = (apply_control(m, loaded.control, condition) for m in (loaded.model, model))
    return difference(sample(ours), sample(theirs))


def _vae(weights: str) -> Any:
    state = comfy.utils.load_torch_file(str(Path(weights) / "tiny_vae_comfy.safetensors"))
    return comfy.sd.VAE(sd=state, dtype=torch.float32)


def vae_tiles(weights: str) -> dict[str, float]:
    """Tiled coding of pictures smaller than a tile equals plain coding."""
    images = random(2, 3, 64, 96, seed=1).sigmoid()
    plain, tiled = ComfyKeyframeVAE(_vae(weights)), ComfyKeyframeVAE(_vae(weights), is_tiled=True)
    latents = plain.encode_keyframes(images)
    return {
        "encode": difference(tiled.encode_keyframes(images), latents),
        "decode": difference(tiled.decode_keyframes(latents), plain.decode_keyframes(latents)),
    }


def vae_core_decode(weights: str) -> dict[str, Any]:
    """Key frames to batch, then core's VAE Decode, equals the per-frame loop."""
    import utils.install_util  # noqa: F401  # before `nodes`

    from nodes import VAEDecode
    from worldstereo_core.model.latents import denormalise_latents

    vae = _vae(weights)
    latents = random(1, 16, 3, 8, 12, seed=2)
    batch = keyframes_to_batch(denormalise_latents(latents))
    images = VAEDecode().decode(vae, {"samples": batch})[0]
    ours = ComfyKeyframeVAE(vae).decode_keyframes(latents).movedim(1, -1)
    return {"shape": list(images.shape), "difference": difference(images, ours)}


def vae_progress(weights: str) -> list[list[int]]:
    seen: list[list[int]] = []
    images = random(3, 3, 32, 48, seed=1).sigmoid()
    ComfyKeyframeVAE(_vae(weights)).encode_keyframes(images, lambda done, total: seen.append([done, total]))
    return seen


def vae_interrupt(weights: str) -> str:
    import comfy.model_management as management

    images = random(3, 3, 32, 48, seed=1).sigmoid()
    coder, done_pictures = ComfyKeyframeVAE(_vae(weights)), []

    def stop(done: int, total: int) -> None:
        done_pictures.append(done)
        management.interrupt_current_processing()

    try:
        coder.encode_keyframes(images, stop)
    except management.InterruptProcessingException:
        return f"stopped after {done_pictures}"
    finally:
        management.interrupt_current_processing(False)
    return "not stopped"


def wrong_vae(weights: str) -> None:
    class OtherVAE:
        first_stage_model = torch.nn.Identity()
        latent_channels = 48

    ComfyKeyframeVAE(OtherVAE())


def _tiny_clip(hidden: int) -> Any:
    import comfy.clip_vision

    config = {
        "model_type": "clip_vision_model",
        "hidden_size": hidden,
        "image_size": 28,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "patch_size": 14,
        "num_channels": 3,
        "projection_dim": 8,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
    }
    # ComfyUI 0.26 takes a file only.
    path = Path("tiny_clip.json")
    path.write_text(json.dumps(config))
    clip = comfy.clip_vision.ClipVisionModel(str(path))
    with torch.no_grad():
        for index, parameter in enumerate(clip.model.parameters()):
            parameter.copy_(0.02 * random(*parameter.shape, seed=index))
    return clip


def clip_preprocessing() -> dict[str, Any]:
    """The official preprocessing leaves pixels at 0..255; both give an output that Wan can take."""
    clip, seen = _tiny_clip(1280), []
    original = clip.model.forward

    def spy(*args: Any, **kwargs: Any) -> Any:
        seen.append(float((kwargs["pixel_values"] if "pixel_values" in kwargs else args[0]).max()))
        return original(*args, **kwargs)

    clip.model.forward = spy
    image = torch.linspace(0, 1, 3 * 40 * 60).view(3, 40, 60)
    standard = encode_clip_vision(clip, image)
    official = encode_clip_vision(clip, image, is_rescaled=False)
    return {
        "largest": seen,
        "shapes": [list(output.penultimate_hidden_states.shape) for output in (standard, official)],
        "differs": difference(standard.penultimate_hidden_states, official.penultimate_hidden_states) > 0,
    }


def clip_of_another_width() -> None:
    encode_clip_vision(_tiny_clip(64), torch.zeros(3, 40, 60))


def kept_dtypes(weights: str, folder: str, weight_dtype: str) -> dict[str, str]:
    """An fp8 base under a bf16 overlay: in which type each part is kept."""
    state = {
        key: value.to(torch.float8_e4m3fn) if value.ndim == 2 and key.startswith("blocks.") else value
        for key, value in load_file(_base(weights)).items()
    }
    path = Path(folder) / "fp8.safetensors"
    save_file(state, path)
    loaded = load_worldstereo(path, _memory(weights), weight_dtype)
    found = loaded.model.model.diffusion_model.state_dict()
    finite = sample(_applied(loaded), cfg=1.0).isfinite().all()
    parts = {
        "overlaid": "blocks.0.self_attn.q.weight",
        "base": "blocks.0.ffn.0.weight",
        "vector": "blocks.0.norm3.weight",
        "table": "blocks.0.modulation",
    }
    kept = {part: str(found[key].dtype).removeprefix("torch.") for part, key in parts.items()}
    return {**kept, "finite": str(bool(finite))}
