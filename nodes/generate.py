"""Sampling: control on the model, schedules, the UniPC sampler, key frames back to pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ..worldstereo_core.adapters.comfy.patch import apply_control, control_module
from ..worldstereo_core.adapters.comfy.samplers import make_unipc_sampler
from ..worldstereo_core.adapters.comfy.vae import keyframes_to_batch
from ..worldstereo_core.checks import WorldStereoError
from ..worldstereo_core.model.condition import ControlCondition
from ..worldstereo_core.model.control_parts import part_stages
from ..worldstereo_core.model.control_session import ControlStrength
from ..worldstereo_core.schedule import DMDSchedule, UniPCSchedule
from .io_types import ConditionSocket

DMD, FLOW, FROM_CONTROL = "few-step (DMD)", "flow (UniPC)", "from control"


def stage_input(stage: str, which: str) -> io.Float.Input:
    return io.Float.Input(
        stage,
        display_name=f"{stage} strength",
        default=1.0,
        min=0.0,
        max=10.0,
        step=0.01,
        optional=True,
        advanced=True,
        tooltip=f"Multiplies the strength of the {which} third of the control blocks. No unit; 1 = released.",
    )


def part_input(name: str, what: str) -> io.Float.Input:
    return io.Float.Input(
        name,
        default=1.0,
        min=0.0,
        max=10.0,
        step=0.01,
        optional=True,
        advanced=True,
        tooltip=f"Strength of the optional part that {what}. No unit; 1 = as trained, 0 = off. Released "
        "files have no such part.",
    )


def part_percent_input(name: str, default: float, which: str) -> io.Float.Input:
    return io.Float.Input(
        name,
        default=default,
        min=0.0,
        max=1.0,
        step=0.001,
        optional=True,
        advanced=True,
        tooltip=f"Where the optional parts {which}, as a share of sampling (0 to 1).",
    )


class ApplyControl(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_ApplyControl",
            display_name="Apply WorldStereo Control",
            category="WorldStereo/generate",
            description="Makes the model follow the renders and cameras, and look at the reference views.",
            search_aliases=["control", "camera control", "model patch", "apply"],
            inputs=[
                io.Model.Input("model", tooltip="Wan 2.1 image-to-video model, with or without LoRAs."),
                io.ModelPatch.Input("control", tooltip="From Load WorldStereo Model."),
                ConditionSocket.Input("condition", tooltip="From Encode Control, for this clip."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.01,
                    tooltip="How strongly renders and cameras steer. No unit; 1 = released, 0 = not at all.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    tooltip="Where control begins, as a share of sampling: 0 = first step.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    tooltip="Where control ends, as a share of sampling: 1 = last step.",
                ),
                stage_input("early", "first"),
                stage_input("middle", "second"),
                stage_input("late", "last"),
                io.Float.Input(
                    "reference_strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    advanced=True,
                    tooltip="How much the clip looks at the reference views: 1 = released, 0 = as if there "
                    "were none. Memory files only; values between cost speed.",
                ),
                io.Int.Input(
                    "reference_radius",
                    default=-1,
                    min=-1,
                    max=64,
                    optional=True,
                    advanced=True,
                    tooltip="Each place of the clip looks at reference places that show the same surface, "
                    "and at this many tokens (16 pixels each) around them. -1 = everywhere, as released. "
                    "Needs memory wired into Encode Control.",
                ),
                part_input("modulation", "scales the model's activations block by block"),
                part_input("global_vector", "tells how far the clip goes and how large the scene is"),
                part_input("pictures", "follows depth, edges and semantic pictures"),
                part_input("warped_references", "shows the references carried over by geometry"),
                part_input("geometry", "sees the memory's surfaces at three scales"),
                part_input("attention", "looks at reference places of the same surface"),
                part_percent_input("parts_start", 0.0, "begin"),
                part_percent_input("parts_end", 1.0, "end"),
            ],
            outputs=[io.Model.Output("model", tooltip="The model with control; wire it to the sampler.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        control: Any,
        condition: ControlCondition,
        strength: float = 1.0,
        start_percent: float = 0.0,
        end_percent: float = 1.0,
        early: float = 1.0,
        middle: float = 1.0,
        late: float = 1.0,
        reference_strength: float = 1.0,
        reference_radius: int = -1,
        modulation: float = 1.0,
        global_vector: float = 1.0,
        pictures: float = 1.0,
        warped_references: float = 1.0,
        geometry: float = 1.0,
        attention: float = 1.0,
        parts_start: float = 0.0,
        parts_end: float = 1.0,
    ) -> io.NodeOutput:
        strengths = (modulation, global_vector, pictures, warped_references, geometry, attention)
        patched = apply_control(
            model,
            control,
            condition,
            ControlStrength(overall=strength, early=early, middle=middle, late=late),
            start_percent,
            end_percent,
            reference_strength=reference_strength,
            reference_radius=reference_radius,
            parts=part_stages(strengths, parts_start, parts_end),
        )
        return io.NodeOutput(patched)


class MakeSigmas(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_MakeSigmas",
            display_name="WorldStereo Sigmas",
            category="WorldStereo/generate",
            description=(
                "The noise levels the released models were made for. few-step (DMD): 4 steps, for "
                "memory-dmd with Euler at CFG 1. flow (UniPC): 40 steps, for camera and memory with Flow "
                "UniPC Sampler."
            ),
            search_aliases=["scheduler", "dmd", "unipc", "sigmas", "shift"],
            inputs=[
                io.Combo.Input(
                    "schedule",
                    options=[DMD, FLOW, FROM_CONTROL],
                    default=DMD,
                    tooltip="Which schedule. from control takes schedule, steps, shift and start from the "
                    "file (wire control).",
                ),
                io.Int.Input(
                    "steps",
                    default=4,
                    min=1,
                    max=1000,
                    tooltip="Sampling steps: 4 for few-step, 40 for flow.",
                ),
                io.Float.Input(
                    "shift",
                    default=5.0,
                    min=0.01,
                    max=100.0,
                    step=0.01,
                    tooltip="More shift spends more steps at high noise. No unit; 5 for few-step, 3 to 5 "
                    "for flow.",
                ),
                io.Int.Input(
                    "start",
                    default=250,
                    min=1,
                    max=1000,
                    optional=True,
                    advanced=True,
                    tooltip="Timestep (1 to 1000) of the last step before shifting; few-step only, 250 "
                    "released.",
                ),
                io.ModelPatch.Input(
                    "control",
                    optional=True,
                    tooltip="From Load WorldStereo Model; read when schedule says from control.",
                ),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="1 = from pure noise. Less keeps more of the latent wired to the sampler (Images "
                    "to Key Frame Latent); 0 = keeps it all. The step count stays.",
                ),
            ],
            outputs=[io.Sigmas.Output("sigmas", tooltip="Noise levels for SamplerCustom, 1 down to 0.")],
        )

    @classmethod
    def execute(
        cls,
        schedule: str = DMD,
        steps: int = 4,
        shift: float = 5.0,
        start: int = 250,
        control: Any = None,
        denoise: float = 1.0,
    ) -> io.NodeOutput:
        if schedule == FROM_CONTROL:
            if control is None:
                raise WorldStereoError(
                    "control: nothing is connected, but schedule says from control. Connect the control "
                    "output of Load WorldStereo Model, or choose another schedule."
                )
            return io.NodeOutput(replace(control_module(control).config.schedule, denoise=denoise).sigmas())
        if schedule == DMD:
            few = DMDSchedule(num_steps=steps, start=start, shift=shift, denoise=denoise)
            return io.NodeOutput(few.sigmas())
        return io.NodeOutput(UniPCSchedule(num_steps=steps, shift=shift, denoise=denoise).sigmas())


class MakeUniPCSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_MakeUniPCSampler",
            display_name="Flow UniPC Sampler",
            category="WorldStereo/generate",
            description="The sampler of the released camera and memory models; core's uni_pc gives other "
            "results.",
            search_aliases=["unipc", "uni_pc", "sampler", "flow matching"],
            inputs=[
                io.Int.Input(
                    "order", default=2, min=1, max=2, tooltip="Order of the solver, 1 or 2. 2 = released."
                ),
                io.Boolean.Input(
                    "official_timesteps",
                    default=True,
                    optional=True,
                    advanced=True,
                    tooltip="Show the model whole-numbered timesteps, as the released code does. Off: "
                    "exact ones.",
                ),
            ],
            outputs=[io.Sampler.Output("sampler", tooltip="For SamplerCustom, with flow (UniPC) sigmas.")],
        )

    @classmethod
    def execute(cls, order: int = 2, official_timesteps: bool = True) -> io.NodeOutput:
        return io.NodeOutput(make_unipc_sampler(order, official_timesteps))


class SplitKeyframes(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_SplitKeyframes",
            display_name="Key Frames to Images",
            category="WorldStereo/generate",
            description=(
                "Makes a batch of single pictures of a sampled clip, for core's VAE Decode. Always put it "
                "between sampler and VAE Decode: decoded as a video, 21 key frames become 81 blurred ones."
            ),
            search_aliases=["vae decode", "keyframes to batch", "latent batch", "split latent"],
            inputs=[io.Latent.Input("latent", tooltip="The sampled clip, one latent frame per key frame.")],
            outputs=[io.Latent.Output("latent", tooltip="One latent per picture; wire it to VAE Decode.")],
        )

    @classmethod
    def execute(cls, latent: dict[str, Any]) -> io.NodeOutput:
        return io.NodeOutput({"samples": keyframes_to_batch(latent["samples"])})
