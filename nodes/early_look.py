"""A look at the clip before the full run."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..worldstereo_core.adapters.comfy.early_look import look_early
from ..worldstereo_core.adapters.comfy.vae import ComfyKeyframeVAE
from ..worldstereo_core.model.latents import normalise_latents
from .images import animated_preview, to_image
from .progress import node_progress

SIZE_FACTORS = {"full": 1.0, "half": 0.5}
PREVIEW_FPS = 8.0  # half the pace of a clip: a look, not a result


class LookEarly(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_LookEarly",
            display_name="Early Look",
            category="WorldStereo/generate",
            description=(
                "Shows in a fraction of the time roughly where the camera goes and what the clip will show: "
                "few steps, at half size if you like. Run it alone before the full clip; detail and colours "
                "come only with all steps."
            ),
            search_aliases=["preview", "draft", "quick look", "one step", "test run"],
            is_output_node=True,
            inputs=[
                io.Model.Input("model", tooltip="From Apply WorldStereo Control, as for the sampler."),
                io.Conditioning.Input("positive", tooltip="From WorldStereo Image to Key Frames."),
                io.Conditioning.Input(
                    "negative", tooltip="From WorldStereo Image to Key Frames; unused at CFG 1."
                ),
                io.Latent.Input(
                    "latent", tooltip="From WorldStereo Image to Key Frames; gives frames and size."
                ),
                io.Vae.Input("vae", tooltip="Wan 2.1 VAE (wan_2.1_vae)."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**64 - 1,
                    control_after_generate=True,
                    tooltip="Seed of the noise. At full size, the sampler's own seed gives the same start.",
                ),
                io.Int.Input(
                    "steps",
                    default=1,
                    min=1,
                    max=50,
                    tooltip="Model calls. 1 is enough for few-step (DMD) files; others show more in 4 to 8.",
                ),
                io.Combo.Input(
                    "size",
                    options=list(SIZE_FACTORS),
                    default="full",
                    tooltip="half: half as wide and high, about six times as fast, and another picture "
                    "than at full size.",
                ),
                io.Float.Input(
                    "cfg",
                    default=1.0,
                    min=1.0,
                    max=30.0,
                    step=0.1,
                    optional=True,
                    advanced=True,
                    tooltip="Guidance. 1 = none and twice as fast; camera and memory files follow the "
                    "prompt better at 5.",
                ),
            ],
            outputs=[io.Image.Output("images", tooltip="The key frames, one picture each.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: Any,
        negative: Any,
        latent: dict[str, Any],
        vae: Any,
        seed: int = 0,
        steps: int = 1,
        size: str = "full",
        cfg: float = 1.0,
    ) -> io.NodeOutput:
        keyframe_vae = ComfyKeyframeVAE(vae)
        samples = look_early(
            model,
            positive,
            negative,
            latent["samples"],
            num_steps=steps,
            cfg=cfg,
            seed=seed,
            size_factor=SIZE_FACTORS[size],
        )
        images = to_image(keyframe_vae.decode_keyframes(normalise_latents(samples[:1]), node_progress()))
        return io.NodeOutput(images, ui=animated_preview(cls, images, PREVIEW_FPS))
