"""Recomputes golden results through ComfyUI: the same loader, hook, samplers and VAE that the nodes use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from ...checks import CheckpointError
from ...model.checkpoint import WorldStereoCheckpoint, checkpoint_from_tensors
from ...model.condition import ControlCondition
from ...model.conditioning import encode_render
from ...model.latents import denormalise_latents, normalise_latents
from ...model.stereo_memory import reference_model_input
from ...model.weight_files import read_weights
from ...schedule import DMDSchedule, UniPCSchedule
from .environment import prepare
from .loader import build_control, build_model
from .patch import apply_control
from .samplers import make_unipc_sampler
from .vae import ComfyKeyframeVAE, first_frame_conditioning

TEXT_LENGTH = 512
TIMESTEPS = 1000  # of Wan's schedules: a timestep is this times sigma


class GoldenLike(Protocol):
    """What is read of a golden; see ``commands.verify.golden.Golden``."""

    @property
    def name(self) -> str: ...
    @property
    def manifest(self) -> dict[str, Any]: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    def input(self, name: str) -> Tensor: ...
    def has_input(self, name: str) -> bool: ...
    def weights(self, case: str | None = None) -> list[Path]: ...
    def config(self) -> dict[str, Any]: ...


def controlled_forward(golden: GoldenLike) -> dict[str, Tensor]:
    """One call of the diffusion model with control (g3) and references (g4), and the bare backbone."""
    prepare()
    with torch.inference_mode():
        return _controlled_forward(golden)


def _controlled_forward(golden: GoldenLike) -> dict[str, Tensor]:
    checkpoint, base = _checkpoint(golden)
    latents = golden.input("hidden_states")
    condition = ControlCondition(
        render_latents=golden.input("render_latent"),
        hole_mask=golden.input("render_mask").float(),
        rays=golden.input("camera_embedding") if checkpoint.config.control.takes_rays else None,
        **_references(golden, lambda: golden.input("reference_latent")[:, :16]),
    )
    computed: dict[str, Tensor] = {}

    def record(name: str, tensor: Tensor) -> None:
        computed[f"dbg.{name}"] = tensor.detach().clone()

    model, _ = build_model(checkpoint, base, "fp32")
    control = build_control(checkpoint, "fp32")
    patched = apply_control(model, control, condition, probe=record)
    computed["output"] = _call(patched, golden, latents)
    if "output_backbone_only" in golden.names:
        bare = replace(checkpoint, backbone_state={}, is_complete=False)
        computed["output_backbone_only"] = _call(build_model(bare, base, "fp32")[0], golden, latents)
    return computed


def _call(model: Any, golden: GoldenLike, latents: Tensor) -> Tensor:
    """Call the diffusion model inside a MODEL as ComfyUI's samplers do, without their arithmetic around
    it."""
    import comfy.model_management

    batch = latents.shape[0]
    comfy.model_management.load_models_gpu([model])
    options = {**model.model_options["transformer_options"], "wrappers": model.wrappers}
    device = model.load_device
    model.pre_run()
    try:
        output = model.model.diffusion_model(
            latents.to(device),
            golden.input("timestep").float().to(device),
            context=_to_batch(pad_text(golden.input("text_tokens")), batch).to(device),
            clip_fea=_to_batch(golden.input("image_embeds"), batch).to(device),
            transformer_options=options,
        )
    finally:
        model.cleanup()
    return output.float().cpu()


def pipeline(golden: GoldenLike) -> dict[str, Tensor]:
    """A whole clip (g10): conditions, every prediction and step, and the decoded frames."""
    prepare()
    with torch.inference_mode():
        return _pipeline(golden)


def _pipeline(golden: GoldenLike) -> dict[str, Tensor]:
    checkpoint, base = _checkpoint(golden)
    vae = _load_vae(golden)
    noise = golden.input("latents0")
    render_latents = encode_render(vae, _pictures(golden.input("render_video")), noise.shape[2])
    condition = ControlCondition(
        render_latents=render_latents,
        hole_mask=golden.input("render_mask").float(),
        rays=golden.input("camera_embedding") if checkpoint.config.control.takes_rays else None,
        **_references(golden, lambda: vae.encode_keyframes(_pictures(golden.input("reference_video")))),
    )
    image = golden.input("image").float() / 255
    values = first_frame_conditioning(vae, image, noise.shape[2], golden.manifest["latent_cond_mode"])
    model, _ = build_model(checkpoint, base, "fp32")
    patched = apply_control(model, build_control(checkpoint, "fp32"), condition)
    recorder = _Recorder()
    # Under its own key and added last, so that it stands inside the control's wrapper, next to the model.
    patched.add_wrapper_with_key("diffusion_model", "worldstereo_record", recorder.wrap_model)
    latents = _sample(patched, golden, noise, values, recorder)
    computed = {**recorder.computed, "render_latent": render_latents}
    if condition.reference_latents is not None:
        computed["reference_latent"] = reference_model_input(condition.reference_latents)
    computed["frames"] = vae.decode_keyframes(latents)[None]
    return computed


def _sample(
    model: Any, golden: GoldenLike, noise: Tensor, values: Mapping[str, Any], recorder: _Recorder
) -> Tensor:
    """Sample with core's guider and the golden's schedule; returns normalised latents."""
    import comfy.clip_vision
    import comfy.sample
    import comfy.samplers

    config, call = golden.manifest["scheduler_config"], golden.manifest["call"]
    if "dmd_steps" in config:
        schedule = DMDSchedule(
            config["dmd_steps"], config["start_timesteps"], config["num_train_timesteps"], config["shift"]
        )
        sampler = comfy.samplers.sampler_object("euler")  # pyright: ignore[reportAttributeAccessIssue]
        # Core scales the noise by the first sigma, which is below 1 for a single step; the released code
        # starts from the noise itself.
        noise = noise / schedule.sigmas()[0]
    else:
        steps = call.get("num_inference_steps", len(golden.manifest["timesteps"]))
        schedule = UniPCSchedule(steps, config["flow_shift"], config["solver_order"])
        sampler = make_unipc_sampler(config["solver_order"])
    vision = comfy.clip_vision.Output()  # pyright: ignore[reportAttributeAccessIssue]
    vision["penultimate_hidden_states"] = golden.input("image_embeds")
    default = 1.0 if "dmd_steps" in config else 5.0  # of the released pipelines
    guidance = max(float(call.get("guidance_scale", default)), 1.0)  # at or below 1 there is no guidance
    negative = "negative_tokens" if guidance > 1 else "text_tokens"
    prompts = [
        [[pad_text(golden.input(name)), {**values, "clip_vision_output": vision}]]
        for name in ("text_tokens", negative)
    ]
    samples = comfy.sample.sample_custom(
        model,
        noise,
        guidance,
        sampler,
        schedule.sigmas(),
        *prompts,
        torch.zeros_like(noise),
        callback=recorder.note_step,
        disable_pbar=True,
        seed=0,
    )
    latents = normalise_latents(samples.float().cpu())
    recorder.finish(latents)
    return latents


class _Recorder:
    """Collects model input, predictions and latents under golden names while core samples."""

    def __init__(self) -> None:
        self.computed: dict[str, Tensor] = {}
        self.num_predictions = 0
        self.num_steps = 0

    def wrap_model(self, executor: Any, x: Tensor, timestep: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        output = executor(x, timestep, *args, **kwargs)
        options = args[-1]
        order = options["cond_or_uncond"]
        # Core may batch both in either order; the goldens list conditional before unconditional.
        parts = dict(zip(order, output.float().cpu().chunk(len(order)), strict=True))
        for kind in sorted(parts):
            self.computed[f"pred{self.num_predictions:02d}"] = parts[kind]
            self.num_predictions += 1
        self.computed.setdefault("condition", x[:1, 16:].float().cpu())
        return output

    def note_step(self, step: int, denoised: Tensor, x: Tensor, total: int) -> None:
        # Called with the latents that entered the step: those that left the one before.
        if step > 0:
            self.computed[f"latents_step{step}"] = x.float().cpu().clone()
        self.num_steps = step + 1

    def finish(self, latents: Tensor) -> None:
        self.computed[f"latents_step{self.num_steps}"] = latents


def vae(golden: GoldenLike) -> dict[str, Tensor]:
    """Key frames and a video through ComfyUI's VAE (g10)."""
    prepare()
    computed: dict[str, Tensor] = {}
    with torch.inference_mode():
        coder = _load_vae(golden)
        # A set may hold a part of these only.
        if golden.has_input("keyframes"):
            keyframes = coder.encode_keyframes(_pictures(golden.input("keyframes")))
            computed["keyframe_latent_norm"] = keyframes
            computed["keyframe0_latent_raw"] = denormalise_latents(keyframes[:, :, :1])
        if golden.has_input("video"):
            video = coder.encode_video(_pictures(golden.input("video")))
            computed["video_latent_raw"] = denormalise_latents(video)
        if golden.has_input("latents_norm_for_decode"):
            decoded = coder.decode_keyframes(golden.input("latents_norm_for_decode"))
            computed["decoded"] = (decoded * 2 - 1).movedim(0, 1)[None]
            # Clipped in the golden too: Wan's decoder does it itself.
            computed["decoded0_unclipped"] = computed["decoded"][:, :, :1]
    return computed


def _load_vae(golden: GoldenLike) -> ComfyKeyframeVAE:
    """The golden's VAE in the naming that ComfyUI reads."""
    import comfy.sd

    for path in golden.weights():
        tensors = read_weights(path)[0]
        if "decoder.middle.0.residual.0.gamma" in tensors:
            return ComfyKeyframeVAE(comfy.sd.VAE(sd=dict(tensors), dtype=torch.float32))
    raise CheckpointError(
        f"{golden.name}: its weights list no VAE in ComfyUI's naming, which this adapter needs."
    )


def _pictures(video: Tensor) -> Tensor:
    """[1, 3, T, H, W] in -1..1 -> [T, 3, H, W] in 0..1."""
    return video[0].movedim(1, 0) * 0.5 + 0.5


def _checkpoint(golden: GoldenLike) -> tuple[WorldStereoCheckpoint, Path | None]:
    """The golden's WorldStereo file under the manifest's settings, and the backbone file it is laid over."""
    control: dict[str, Tensor] = {}
    base = None
    for path in golden.weights():
        tensors = read_weights(path)[0]
        if any(key.startswith(("encoder.", "decoder.")) for key in tensors):
            continue  # the VAE
        # What follows the WorldStereo file overrides it, or the backbone tensors it brings.
        if control or any("controlnet" in key for key in tensors):
            control.update(tensors)
        else:
            base = path
    overrides: dict[str, Any] = {
        "reference_update": golden.manifest.get("update_ref"),
        "variant": "memory" if _has_references(golden) else "camera",
    }
    checkpoint = checkpoint_from_tensors(
        control, golden.config(), settings_source="the manifest", overrides=overrides, source=golden.name
    )
    return checkpoint, None if checkpoint.is_complete else base


def _has_references(golden: GoldenLike) -> bool:
    """Whether a golden belongs to a memory model, whatever its configuration calls it."""
    is_reference_pipeline = "Ref" in golden.manifest.get("what", "")
    return golden.name.startswith("g4_") or "reference_latent" in golden.names or is_reference_pipeline


def _references(golden: GoldenLike, latents: Any) -> Mapping[str, Tensor | None]:
    """The reference fields of a condition; empty for a golden of the camera model."""
    if not _has_references(golden):
        return {}
    uses = golden.manifest.get("use_camera_qt", True)
    uses_of_references = golden.manifest.get("use_camera_qt_ref", uses)

    def tokens(name: str, used: bool) -> Tensor | None:
        return golden.input(name) if used and golden.has_input(name) else None

    return {
        "reference_latents": latents(),
        "reference_index": golden.input("ref_index"),
        "camera_tokens": tokens("camera_qt", uses),
        "reference_camera_tokens": tokens("camera_qt_ref", uses_of_references),
    }


def pad_text(tokens: Tensor) -> Tensor:
    """[b, n, 4096] -> [b, 512, 4096]: the zeros pass through the text network and are attended to."""
    return functional.pad(tokens, (0, 0, 0, TEXT_LENGTH - tokens.shape[1]))


def _to_batch(tensor: Tensor, batch: int) -> Tensor:
    return tensor if tensor.shape[0] == batch else tensor.repeat(batch, *[1] * (tensor.ndim - 1))
