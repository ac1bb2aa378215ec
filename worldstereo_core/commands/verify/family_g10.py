"""g10: the key-frame VAE, the UniPC solver, and whole pipelines from picture to frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...model.checkpoint import merge_backbone
from ...model.condition import ControlCondition
from ...model.conditioning import encode_render
from ...model.latents import denormalise_latents
from ...model.stereo_memory import reference_model_input
from ...model.world_control import WorldStereoControl
from ...schedule import Schedule, UniPCSchedule
from ...unipc import UniPC
from .checks import Check, compare_all
from .family_g6 import compare_lists, schedule_from
from .golden import Golden
from .networks import (
    backbone_tensors,
    build_backbone,
    build_control,
    camera_tokens,
    control_checkpoint,
    golden_condition,
    has_references,
    is_vae_file,
)

INPUT_GLOBS = (
    # of g10_vae
    "image",
    "keyframes",
    "video",
    "latents_norm_for_decode",
    # of g10_unipc
    "*.sample0",
    "*.model_output*",
)


def compute(golden: Golden, adapter: str) -> dict[str, Tensor]:
    """What the golden's name asks for."""
    if is_solver(golden):
        return run_solver(golden)
    if adapter == "comfy":
        from ...adapters.comfy import verify

        return verify.vae(golden) if is_vae(golden) else verify.pipeline(golden)
    return code_pictures(golden) if is_vae(golden) else run_pipeline(golden)


def facts(golden: Golden, adapter: str) -> list[Check]:
    """Step tables that a solver golden's manifest lists; a VAE golden's weights under their other naming."""
    if is_solver(golden):
        checks = []
        for case in golden.cases:
            schedule = solver_schedule(case)
            computed = {"sigmas": schedule.sigmas(), "timesteps": schedule.timesteps()}
            checks += compare_lists(golden, case["case"], case, computed)
        return checks
    if is_vae(golden) and adapter == "diffusers":
        return [
            replace(check, name=f"{check.name} ({path.stem})")
            for path in golden.weights()[1:]
            for check in _compare_outputs(golden, code_pictures(golden, path))
        ]
    return []


def _compare_outputs(golden: Golden, computed: dict[str, Tensor]) -> list[Check]:
    expected = {name: golden.tensors[name] for name in computed if name in golden.tensors}
    return compare_all(computed, expected, golden.checks)


def is_solver(golden: Golden) -> bool:
    # Its cases are a list of step tables; a case may bring numbers only.
    return isinstance(golden.cases, list) and any("flow_shift" in case for case in golden.cases)


def is_vae(golden: Golden) -> bool:
    return "scheduler_config" not in golden.manifest and not is_solver(golden)


def solver_schedule(case: Mapping[str, Any]) -> UniPCSchedule:
    return UniPCSchedule(num_steps=case["steps"], shift=case["flow_shift"], order=case.get("solver_order", 2))


def run_solver(golden: Golden) -> dict[str, Tensor]:
    """Samples after every UniPC step of every case, on given velocities."""
    computed = {}
    for case in golden.cases:
        name, schedule = case["case"], solver_schedule(case)
        if not golden.has_input(f"{name}.sample0"):
            continue  # a case of numbers only: see facts
        solver = UniPC(schedule.sigmas(), schedule.order)
        sample = golden.input(f"{name}.sample0")
        for step in range(schedule.num_steps):
            sample = solver.step(sample, golden.input(f"{name}.model_output{step}"))
            computed[f"{name}.sample{step + 1}"] = sample
    return computed


def code_pictures(golden: Golden, path: Path | None = None) -> dict[str, Tensor]:
    """Key frames and a video through the VAE of one weight file; None = the first."""
    from ...adapters.diffusers.vae import KeyframeVAE

    vae = KeyframeVAE.from_file(path or golden.weights()[0], dtype=torch.float32)
    computed: dict[str, Tensor] = {}
    if golden.has_input("keyframes"):
        keyframes = vae.encode_keyframes(pictures(golden.input("keyframes")))
        computed["keyframe_latent_norm"] = keyframes
        computed["keyframe0_latent_raw"] = denormalise_latents(keyframes[:, :, :1])
    if golden.has_input("video"):
        video = vae.encode_video(pictures(golden.input("video")))
        computed["video_latent_raw"] = denormalise_latents(video)
    if golden.has_input("latents_norm_for_decode"):
        decoded = vae.decode_keyframes(golden.input("latents_norm_for_decode"))
        computed["decoded"] = (decoded * 2 - 1).movedim(0, 1)[None]
        computed["decoded0_unclipped"] = computed["decoded"][:, :, :1]
    return computed


def pictures(video: Tensor) -> Tensor:
    """[1, 3, T, H, W] in -1..1 -> [T, 3, H, W] in 0..1."""
    return video[0].movedim(1, 0) * 0.5 + 0.5


@torch.no_grad()
def run_pipeline(golden: Golden) -> dict[str, Tensor]:
    """A whole clip: conditions, every prediction and step, and the decoded frames."""
    from ...adapters.diffusers.pipeline import generate_clip
    from ...adapters.diffusers.vae import KeyframeVAE

    checkpoint = control_checkpoint(golden)
    control = build_control(checkpoint)
    backbone = build_backbone(golden, merge_backbone(backbone_tensors(golden), checkpoint))
    vae = KeyframeVAE.from_file(
        next(path for path in golden.weights() if is_vae_file(path)), dtype=torch.float32
    )
    noise = golden.input("latents0")
    condition = pipeline_condition(golden, control, vae, noise.shape[2])
    guidance = pipeline_guidance(golden)
    computed = {"render_latent": condition.render_latents}
    if condition.reference_latents is not None:
        computed["reference_latent"] = reference_model_input(condition.reference_latents)
    counts = {"prediction": 0, "latents": 0}

    def record(name: str, tensor: Tensor) -> None:
        if name == "prediction":
            computed[f"pred{counts[name]:02d}"] = tensor
        elif name == "latents":
            computed[f"latents_step{counts[name] + 1}"] = tensor
        else:
            computed[name] = tensor
        counts[name] = counts.get(name, 0) + 1

    frames = generate_clip(
        backbone,
        control,
        vae,
        image=golden.input("image").float() / 255,
        condition=condition,
        text_embeds=golden.input("text_tokens"),
        image_embeds=golden.input("image_embeds"),
        negative_embeds=golden.input("negative_tokens") if guidance > 1 else None,
        schedule=pipeline_schedule(golden),
        guidance=guidance,
        latent_condition_mode=golden.manifest["latent_cond_mode"],
        noise=noise,
        probe=record,
    )
    return {**computed, "frames": frames[None]}


def pipeline_condition(
    golden: Golden, control: WorldStereoControl, vae: Any, latent_frames: int
) -> ControlCondition:
    """Encode the golden's render and, for a memory model, its references."""
    render_latents = encode_render(vae, pictures(golden.input("render_video")), latent_frames)
    references: dict[str, Tensor] = {}
    if has_references(golden):
        references = {
            "reference_latents": vae.encode_keyframes(pictures(golden.input("reference_video"))),
            "reference_index": golden.input("ref_index"),
            **camera_tokens(golden),
        }
    return golden_condition(golden, control, render_latents, **references)


def pipeline_guidance(golden: Golden) -> float:
    """Guidance of the call, else what its pipeline takes by itself: none when distilled."""
    default = 1.0 if "dmd_steps" in golden.manifest["scheduler_config"] else 5.0
    return float(golden.manifest["call"].get("guidance_scale", default))


def pipeline_schedule(golden: Golden) -> Schedule:
    """The schedule that the manifest's scheduler configuration describes."""
    config = golden.manifest["scheduler_config"]
    if "dmd_steps" in config:
        return schedule_from(config)
    steps = golden.manifest["call"].get("num_inference_steps", len(golden.manifest["timesteps"]))
    return UniPCSchedule(
        num_steps=steps,
        shift=config["flow_shift"],
        order=config["solver_order"],
        num_train_timesteps=config["num_train_timesteps"],
    )
