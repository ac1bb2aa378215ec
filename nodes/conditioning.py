"""Everything encoded once before sampling: the start picture, its CLIP vision, renders and references."""

from __future__ import annotations

import logging
from typing import Any

import node_helpers
from comfy_api.latest import io
from torch import Tensor

from ..worldstereo_core.adapters.comfy.clip_vision import encode_clip_vision
from ..worldstereo_core.adapters.comfy.patch import control_module
from ..worldstereo_core.adapters.comfy.vae import (
    ComfyKeyframeVAE,
    empty_keyframes,
    first_frame_conditioning,
)
from ..worldstereo_core.checks import ShapeError
from ..worldstereo_core.geometry.pictures import Fit, fit_pictures
from ..worldstereo_core.geometry.trajectory import Trajectory
from ..worldstereo_core.memory.memory import GeometricMemory
from ..worldstereo_core.memory.retrieval import References
from ..worldstereo_core.model.conditioning import build_condition
from ..worldstereo_core.model.config import LatentConditionMode
from ..worldstereo_core.model.part_inputs import add_part_inputs
from ..worldstereo_core.sizes import RESOLUTION_BUCKETS, nearest_bucket, scaled_size, select_keyframes
from .camera import fewer_frames
from .images import one_picture, pictures, to_image
from .io_types import ConditionSocket, MemorySocket, ReferencesSocket, TrajectorySocket
from .latents import one_latent, start_latent_input
from .progress import node_progress, render_device

logger = logging.getLogger(__name__)

RESOLUTIONS = ("auto", *(f"{width}x{height}" for height, width in RESOLUTION_BUCKETS))


def fewer_renders(render: Tensor, holes: Tensor, frames: int, needed: int) -> tuple[Tensor, Tensor]:
    """Renders [T, 3, H, W] and holes [T, H, W] sampled down to as many as are needed, which is logged.

    Raises: ShapeError if there are fewer, or if renders and holes differ in number.
    """
    if len(render) != len(holes):
        raise ShapeError(
            f"render and holes differ in frames: render {len(render)}, holes {len(holes)}. Wire both from "
            "one Render Memory along Trajectory."
        )
    if len(render) < needed:
        raise ShapeError(
            f"render: got {len(render)} frames, expected {needed} for a clip of {frames} key frames. Build "
            f"the trajectory with {needed} frames and render it, or set frames here and on WorldStereo Image "
            "to Key Frames to the number you rendered."
        )
    if len(render) > needed:
        logger.info("WorldStereo: %d renders are sampled down to %d.", len(render), needed)
        kept = select_keyframes(len(render), needed)
        render, holes = render[kept], holes[kept]
    return render, holes


def like_renders(images: Tensor, num_renders: int, needed: int) -> Tensor:
    """Pictures [T, 3, H, W] sampled down as the renders were, if there is one per render."""
    return images[select_keyframes(num_renders, needed)] if len(images) == num_renders > needed else images


def check_references_fit(references: References | None, frames: int) -> None:
    """Raise ShapeError if references were chosen for a clip of another length: other key frames."""
    if references is None:
        return
    made_for = len(references.matches.bank_indices) + 1
    if made_for != frames:
        raise ShapeError(
            f"references: they were retrieved for {made_for} key frames, expected {frames} as frames says. "
            f"Set frames on Retrieve Reference Views to {frames}, with a trajectory of at least as many."
        )


class FitImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_FitImage",
            display_name="Fit Image to WorldStereo Size",
            category="WorldStereo/generate",
            description="Brings a picture to one of the sizes the released models were trained at.",
            search_aliases=["resize", "resolution", "bucket", "crop", "480p"],
            inputs=[
                io.Image.Input("image", tooltip="The picture, any size; batches are fitted alike."),
                io.Combo.Input(
                    "resolution",
                    options=list(RESOLUTIONS),
                    default="auto",
                    tooltip="Width x height in pixels. auto takes the size whose aspect is nearest.",
                ),
                io.Combo.Input(
                    "fit",
                    options=["crop", "stretch"],
                    default="crop",
                    optional=True,
                    advanced=True,
                    tooltip="crop keeps proportions and cuts what is over, evenly. stretch keeps "
                    "everything and distorts a little, as the released code does.",
                ),
                io.Float.Input(
                    "scale",
                    default=1.0,
                    min=0.25,
                    max=4.0,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="Times that size, to the nearest 16 pixels. Above 1 is larger than the models "
                    "were trained at: make the clip at 1 first (Enlarge Clip to Sample On).",
                ),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The picture at the chosen size."),
                io.Int.Output("width", tooltip="Its width in pixels."),
                io.Int.Output("height", tooltip="Its height in pixels."),
            ],
        )

    @classmethod
    def execute(
        cls, image: Tensor, resolution: str = "auto", fit: Fit = "crop", scale: float = 1.0
    ) -> io.NodeOutput:
        batch = pictures("image", image)
        if resolution == "auto":
            height, width = nearest_bucket(batch.shape[2], batch.shape[3])
        else:
            width, height = (int(side) for side in resolution.split("x"))
        height, width = scaled_size(height, width, scale)
        return io.NodeOutput(to_image(fit_pictures(batch, height, width, fit)), width, height)


class EncodeClipVision(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_EncodeClipVision",
            display_name="Encode CLIP Vision (WorldStereo)",
            category="WorldStereo/generate",
            description="CLIP vision of the start picture, with the released code's preprocessing on demand.",
            search_aliases=["clip vision encode", "image embeds", "clip-h"],
            inputs=[
                io.ClipVision.Input("clip_vision", tooltip="clip_vision_h, as for Wan 2.1 image to video."),
                io.Image.Input("image", tooltip="The start picture of the clip."),
                io.Combo.Input(
                    "preprocessing",
                    options=["standard", "official"],
                    default="standard",
                    tooltip="standard: as core does. official: as the released code, which does not scale "
                    "pixels to 0 to 1 before normalising (only to reproduce its results).",
                ),
            ],
            outputs=[
                io.ClipVisionOutput.Output(
                    "clip_vision_output", tooltip="For WorldStereo Image to Key Frames."
                ),
            ],
        )

    @classmethod
    def execute(cls, clip_vision: Any, image: Tensor, preprocessing: str = "standard") -> io.NodeOutput:
        picture = one_picture("image", image)
        return io.NodeOutput(
            encode_clip_vision(clip_vision, picture, is_rescaled=preprocessing == "standard")
        )


class EncodeFirstFrame(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_EncodeFirstFrame",
            display_name="WorldStereo Image to Key Frames",
            category="WorldStereo/generate",
            description=(
                "Prepares prompts and an empty clip of key frames that starts with the picture. Takes the "
                "place of WanImageToVideo. The clip's size is the picture's."
            ),
            search_aliases=["image to video", "i2v", "start image", "key frames", "wan image to video"],
            inputs=[
                io.Conditioning.Input("positive", tooltip="What the clip shows, from a text encoder."),
                io.Conditioning.Input("negative", tooltip="What it should not show; unused at CFG 1."),
                io.Vae.Input("vae", tooltip="Wan 2.1 VAE (wan_2.1_vae)."),
                io.Image.Input("image", tooltip="First frame of the clip; sides in multiples of 16 pixels."),
                io.Int.Input(
                    "frames",
                    default=21,
                    min=2,
                    max=1024,
                    tooltip="Key frames of the clip, each a whole latent frame. The released models made 21.",
                ),
                io.Combo.Input(
                    "mode",
                    options=["full_vae", "first_frame_only"],
                    default="full_vae",
                    tooltip="How the first frame is encoded; the loader's report names the right one. "
                    "full_vae: as a video that goes on in grey. first_frame_only: alone, and one grey "
                    "frame repeated.",
                ),
                io.ClipVisionOutput.Input(
                    "clip_vision_output",
                    optional=True,
                    tooltip="CLIP vision of the picture. Wan 2.1 I2V expects it; without it results are "
                    "poor.",
                ),
                start_latent_input("the picture"),
            ],
            outputs=[
                io.Conditioning.Output("positive", tooltip="Positive prompt with the first frame."),
                io.Conditioning.Output("negative", tooltip="Negative prompt with the first frame."),
                io.Latent.Output("latent", tooltip="Empty clip: one latent frame per key frame."),
            ],
        )

    @classmethod
    def execute(
        cls,
        positive: Any,
        negative: Any,
        vae: Any,
        image: Tensor,
        frames: int = 21,
        mode: LatentConditionMode = "full_vae",
        clip_vision_output: Any = None,
        start_latent: dict[str, Any] | None = None,
    ) -> io.NodeOutput:
        picture = one_picture("image", image)
        values: dict[str, Any] = first_frame_conditioning(
            ComfyKeyframeVAE(vae), picture, frames, mode, one_latent(start_latent)
        )
        if clip_vision_output is not None:
            values["clip_vision_output"] = clip_vision_output
        return io.NodeOutput(
            node_helpers.conditioning_set_values(positive, values),
            node_helpers.conditioning_set_values(negative, values),
            {"samples": empty_keyframes(frames, picture.shape[1], picture.shape[2])},
        )


class EncodeControl(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_EncodeControl",
            display_name="Encode Control",
            category="WorldStereo/generate",
            description=(
                "Encodes renders, holes, cameras and reference views for the control branch, once, before "
                "sampling."
            ),
            search_aliases=["control condition", "encode render", "camera control", "references"],
            inputs=[
                io.ModelPatch.Input(
                    "control", tooltip="From Load WorldStereo Model: says what the file needs."
                ),
                io.Vae.Input("vae", tooltip="Wan 2.1 VAE (wan_2.1_vae)."),
                TrajectorySocket.Input("trajectory", tooltip="The cameras of the renders."),
                io.Image.Input("render", tooltip="From Render Memory along Trajectory; holes are mid-grey."),
                io.Mask.Input("holes", tooltip="1 where nothing is known, one per render."),
                io.Int.Input(
                    "frames",
                    default=21,
                    min=2,
                    max=1024,
                    tooltip="Key frames of the clip, as in WorldStereo Image to Key Frames. A longer "
                    "render or trajectory is sampled down to it, and that is said.",
                ),
                ReferencesSocket.Input(
                    "references",
                    optional=True,
                    tooltip="Views for memory files. Without them a memory file takes the first render as "
                    "its only reference; camera files ignore them.",
                ),
                io.Combo.Input(
                    "tiled",
                    options=["auto", "on", "off"],
                    default="auto",
                    optional=True,
                    advanced=True,
                    tooltip="Encode pictures in tiles: less memory, slower. auto: only when memory runs out.",
                ),
                io.Float.Input(
                    "hole_threshold",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    advanced=True,
                    tooltip="From this value of holes (0 to 1) on, a pixel is the model's to make up. 0.5 as "
                    "released.",
                ),
                io.Float.Input(
                    "hole_softness",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    advanced=True,
                    tooltip="Width of a ramp around the threshold (0 to 1) in place of a step: lets soft "
                    "masks through. 0 as released; models were not trained with more.",
                ),
                MemorySocket.Input(
                    "memory",
                    optional=True,
                    tooltip="The memory that was rendered. Needed for reference_radius on Apply WorldStereo "
                    "Control (finds which places of clip and references show the same surface), and by files "
                    "with optional parts, which take depth from it.",
                ),
                start_latent_input("the first render, where the clip's start picture was put in its place"),
                io.Image.Input(
                    "edges",
                    optional=True,
                    tooltip="Edges of the clip, white on black, one picture per render at its size. Only for "
                    "files with the optional part pictures; released files have none.",
                ),
                io.Image.Input(
                    "semantic",
                    optional=True,
                    tooltip="A colour per class or object, one picture per render at its size. Only for "
                    "files with the optional part pictures; released files have none.",
                ),
            ],
            outputs=[
                ConditionSocket.Output(
                    "condition", tooltip="For Apply WorldStereo Control; same size and frames."
                ),
                io.Float.Output(
                    "fps",
                    tooltip="For Create Video: frames per second at which the clip's key frames move as fast "
                    "as the trajectory says.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        control: Any,
        vae: Any,
        trajectory: Trajectory,
        render: Tensor,
        holes: Tensor,
        frames: int = 21,
        references: References | None = None,
        tiled: str = "auto",
        hole_threshold: float = 0.5,
        hole_softness: float = 0.0,
        memory: GeometricMemory | None = None,
        start_latent: dict[str, Any] | None = None,
        edges: Tensor | None = None,
        semantic: Tensor | None = None,
    ) -> io.NodeOutput:
        config = control_module(control).config
        needed = config.control.num_mask_frames(frames)
        check_references_fit(references, frames)
        holes = holes.float().cpu()
        shown, hidden = fewer_renders(pictures("render", render), holes, frames, needed)
        encoder, cameras = (
            ComfyKeyframeVAE(vae, is_tiled=tiled == "on"),
            fewer_frames(trajectory, needed).cameras,
        )
        if memory is not None:
            memory = memory.to(render_device())
        condition = build_condition(
            config,
            encoder,
            cameras,
            shown,
            hidden,
            references,
            hole_threshold=hole_threshold,
            hole_softness=hole_softness,
            start_latent=one_latent(start_latent),
            progress=node_progress(),
            memory=memory,
        )
        more = [
            None if images is None else like_renders(pictures(name, images), len(render), needed)
            for name, images in (("edges", edges), ("semantic", semantic))
        ]
        condition = add_part_inputs(
            condition,
            config,
            encoder,
            cameras,
            hidden,
            memory,
            references,
            edges=more[0],
            semantic=more[1],
            progress=node_progress(),
        )
        return io.NodeOutput(condition, trajectory.fps_of(frames))
