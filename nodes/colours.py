"""Colours of a clip held to the memory's."""

from __future__ import annotations

import logging
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..worldstereo_core.adapters.comfy.vae import ComfyKeyframeVAE, follow_pictures
from ..worldstereo_core.checks import WorldStereoError
from ..worldstereo_core.memory.colour_anchor import anchor_colours
from .conditioning import fewer_renders
from .images import pictures, to_image

logger = logging.getLogger(__name__)


class AnchorColours(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_AnchorColours",
            display_name="Anchor Colours to Memory",
            category="WorldStereo/memory",
            description=(
                "Brings the colours of a clip to those that the memory shows in the same views, so that "
                "brightness and tint do not drift from clip to clip. One smooth change for the whole clip: "
                "it cannot flicker."
            ),
            search_aliases=["colour drift", "color match", "white balance", "exposure match", "deflicker"],
            inputs=[
                io.Image.Input("images", tooltip="The clip's frames after VAE Decode."),
                io.Image.Input(
                    "render", tooltip="Render of the memory along the clip's trajectory, same size."
                ),
                io.Mask.Input(
                    "holes", tooltip="1 where the memory shows nothing; from the same render node."
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="0 changes nothing, 1 anchors fully. No unit.",
                ),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="The clip's sampled latent, to follow the same change. Needs vae.",
                ),
                io.Vae.Input(
                    "vae", optional=True, tooltip="Wan 2.1 VAE; only used when a latent is connected."
                ),
            ],
            outputs=[
                io.Image.Output("images", tooltip="The clip with anchored colours."),
                io.String.Output(
                    "report", tooltip="Gain per channel, and the mean difference from the memory of 255."
                ),
                io.Latent.Output(
                    "latent", tooltip="The latent of the anchored frames, if one was connected."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        images: Tensor,
        render: Tensor,
        holes: Tensor,
        strength: float = 1.0,
        latent: dict[str, Any] | None = None,
        vae: Any = None,
    ) -> io.NodeOutput:
        if latent is not None and vae is None:
            raise WorldStereoError(
                "vae: nothing is connected, but a latent is. Connect the Wan 2.1 VAE, or leave the latent "
                "open."
            )
        frames = pictures("images", images)
        # Some control branches take several renders per key frame.
        known, hidden = fewer_renders(
            pictures("render", render), holes.float().cpu(), len(frames), len(frames)
        )
        anchored, anchor = anchor_colours(frames, known, hidden, strength)
        if latent is not None and anchored is not frames:
            samples = follow_pictures(ComfyKeyframeVAE(vae), latent["samples"], frames, anchored)
            latent = {**latent, "samples": samples}
        logger.info("WorldStereo: %s", anchor.text)
        return io.NodeOutput(to_image(anchored), anchor.text, latent)
