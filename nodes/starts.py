"""Clips to start sampling from: given pictures, or the same clip at a smaller size."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..worldstereo_core.adapters.comfy.scales import enlarge_clip
from ..worldstereo_core.adapters.comfy.vae import ComfyKeyframeVAE, keyframes_to_start_from
from ..worldstereo_core.model.scales import DEFAULT_START_LEVEL
from .images import one_picture, pictures
from .progress import node_progress


class EncodeKeyframes(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_EncodeKeyframes",
            display_name="Images to Key Frame Latent",
            category="WorldStereo/generate",
            description=(
                "Makes a clip to start sampling from: the render, an earlier clip, or one picture for all "
                "frames. Wire it to the sampler in place of the empty latent, and lower denoise on "
                "WorldStereo Sigmas. Every picture is encoded alone, unlike in VAE Encode."
            ),
            search_aliases=["vae encode", "img2img", "vid2vid", "denoise", "start latent", "key frames"],
            inputs=[
                io.Image.Input(
                    "images",
                    tooltip="Pictures of the clip, sides in multiples of 16 pixels. One picture is used for "
                    "every frame; more than needed are sampled down evenly.",
                ),
                io.Vae.Input("vae", tooltip="Wan 2.1 VAE (wan_2.1_vae)."),
                io.Int.Input(
                    "frames",
                    default=21,
                    min=2,
                    max=1024,
                    tooltip="Key frames of the clip, as in WorldStereo Image to Key Frames.",
                ),
                io.Combo.Input(
                    "tiled",
                    options=["auto", "on", "off"],
                    default="auto",
                    optional=True,
                    advanced=True,
                    tooltip="Encode pictures in tiles: less memory, slower. auto: only when memory runs out.",
                ),
            ],
            outputs=[io.Latent.Output("latent", tooltip="The clip, one latent frame per key frame.")],
        )

    @classmethod
    def execute(cls, images: Tensor, vae: Any, frames: int = 21, tiled: str = "auto") -> io.NodeOutput:
        keyframe_vae = ComfyKeyframeVAE(vae, is_tiled=tiled == "on")
        samples = keyframes_to_start_from(keyframe_vae, pictures("images", images), frames, node_progress())
        return io.NodeOutput({"samples": samples})


class EnlargeClip(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_EnlargeClip",
            display_name="Enlarge Clip to Sample On",
            category="WorldStereo/generate",
            description=(
                "Makes a sampled clip the start of a larger one: layout from the small size, detail from the "
                "large. Wire both outputs to the sampler of the larger size, whose control and first frame "
                "are encoded at that size."
            ),
            search_aliases=["multi-scale", "hires fix", "upscale", "two pass", "low resolution first"],
            inputs=[
                io.Latent.Input("latent", tooltip="The sampled clip of the smaller size."),
                io.Vae.Input("vae", tooltip="Wan 2.1 VAE (wan_2.1_vae)."),
                io.Latent.Input(
                    "larger",
                    tooltip="Empty clip of the larger size, from WorldStereo Image to Key Frames: gives the "
                    "size.",
                ),
                io.Sigmas.Input("sigmas", tooltip="The whole schedule, from WorldStereo Sigmas."),
                io.Float.Input(
                    "start_level",
                    default=DEFAULT_START_LEVEL,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of noise (0 to 1) mixed into the enlarged clip. Sampling goes on with the "
                    "schedule's first step at or below it: 0.94, 0.84 and 0.63 are those of few-step (DMD). "
                    "1 = the smaller clip has no say, 0 = it stays as it is.",
                ),
                io.Image.Input(
                    "first_frame",
                    optional=True,
                    tooltip="The clip's start picture at the larger size, put in place of the enlarged one.",
                ),
                io.Combo.Input(
                    "tiled",
                    options=["auto", "on", "off"],
                    default="auto",
                    optional=True,
                    advanced=True,
                    tooltip="Code pictures in tiles: less memory, slower. auto: only when memory runs out.",
                ),
            ],
            outputs=[
                io.Latent.Output("latent", tooltip="The clip at the larger size, for latent_image."),
                io.Sigmas.Output("sigmas", tooltip="The noise levels from the start level down to 0."),
            ],
        )

    @classmethod
    def execute(
        cls,
        latent: dict[str, Any],
        vae: Any,
        larger: dict[str, Any],
        sigmas: Tensor,
        start_level: float = DEFAULT_START_LEVEL,
        first_frame: Tensor | None = None,
        tiled: str = "auto",
    ) -> io.NodeOutput:
        samples, tail = enlarge_clip(
            ComfyKeyframeVAE(vae, is_tiled=tiled == "on"),
            latent["samples"],
            larger["samples"],
            sigmas,
            start_level,
            None if first_frame is None else one_picture("first_frame", first_frame),
            node_progress(),
        )
        return io.NodeOutput({"samples": samples}, tail)
