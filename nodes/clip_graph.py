"""The graph of one clip, as an artist would wire it by hand, for the loop to run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from comfy_execution.graph_utils import GraphBuilder, Node
from torch import Tensor

from ..worldstereo_core.geometry.trajectory import Trajectory
from ..worldstereo_core.memory.memory import GeometricMemory
from ..worldstereo_core.world.plan import StartFrame
from ..worldstereo_core.world.world import World
from .clips import PATH, START
from .images import to_image


@dataclass(frozen=True, eq=False)
class ClipSettings:
    """What all clips of a loop share; names and meaning are those of the inputs of Generate Clips."""

    model: Any
    control: Any
    vae: Any
    positive: Any
    negative: Any
    sampler: Any
    sigmas: Tensor
    cfg: float
    frames: int
    mode: str
    clip_vision: Any
    moge_model: Any
    colour_anchor: float
    strength: float
    reference_strength: float
    max_references: int
    keep_frames: int
    radius: float
    points_per_pixel: int
    alignment: str
    retrieval: str
    takes_references: bool

    def inputs(self) -> dict[str, Any]:
        """By the input names of Generate Clips."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        del values["takes_references"]
        return values


def build_clip(
    graph: GraphBuilder,
    shared: ClipSettings,
    world: World,
    memory: GeometricMemory,
    path: Trajectory,
    slot: int,
    start: StartFrame,
    seed: int,
    made_with: Mapping[str, Any],
) -> Node:
    """Add the nodes of one clip; returns the one that saves it.

    Args:
        memory: of the world; live, as all objects here: nodes of an expansion take them as constants.
        path: the trajectory as it was wired, with as many frames as the control wants renders or more.
        start: the picture it begins with.
    """
    picture = to_image(start.image[None])
    latent = {} if start.latent is None else {"start_latent": {"samples": start.latent[None, :, None]}}
    render = graph.node(
        "WorldStereo_RenderMemory",
        memory=memory,
        trajectory=path,
        radius=shared.radius,
        points_per_pixel=shared.points_per_pixel,
        min_confidence=0.0,
        first_frame=picture,
    )
    control = graph.node(
        "WorldStereo_EncodeControl",
        control=shared.control,
        vae=shared.vae,
        trajectory=path,
        render=render.out(0),
        holes=render.out(1),
        frames=shared.frames,
        **latent,
    )
    if shared.takes_references:
        references = graph.node(
            "WorldStereo_RetrieveReferences",
            memory=memory,
            trajectory=path,
            max_references=shared.max_references,
            method=shared.retrieval,
            frames=shared.frames,
        )
        control.set_input("references", references.out(0))
    apply = graph.node(
        "WorldStereo_ApplyControl",
        model=shared.model,
        control=shared.control,
        condition=control.out(0),
        strength=shared.strength,
        start_percent=0.0,
        end_percent=1.0,
        reference_strength=shared.reference_strength,
    )
    first = graph.node(
        "WorldStereo_EncodeFirstFrame",
        positive=shared.positive,
        negative=shared.negative,
        vae=shared.vae,
        image=picture,
        frames=shared.frames,
        mode=shared.mode,
        **latent,
    )
    if shared.clip_vision is not None:
        vision = graph.node(
            "WorldStereo_EncodeClipVision",
            clip_vision=shared.clip_vision,
            image=picture,
            preprocessing="standard",
        )
        first.set_input("clip_vision_output", vision.out(0))
    sample = graph.node(
        "SamplerCustom",
        model=apply.out(0),
        add_noise=True,
        noise_seed=seed,
        cfg=shared.cfg,
        positive=first.out(0),
        negative=first.out(1),
        sampler=shared.sampler,
        # Some of core's samplers write into the noise levels.
        sigmas=shared.sigmas.clone(),
        latent_image=first.out(2),
    )
    split = graph.node("WorldStereo_SplitKeyframes", latent=sample.out(0))
    decode = graph.node("VAEDecode", samples=split.out(0), vae=shared.vae)
    images, samples = decode.out(0), sample.out(0)
    if shared.colour_anchor > 0:
        anchor = graph.node(
            "WorldStereo_AnchorColours",
            images=images,
            render=render.out(0),
            holes=render.out(1),
            strength=shared.colour_anchor,
            latent=samples,
            vae=shared.vae,
        )
        images, samples = anchor.out(0), anchor.out(2)
    return _keep(
        graph,
        shared,
        world,
        memory,
        path,
        images,
        samples,
        seed,
        {PATH: slot, START: start.text, **made_with},
    )


def _keep(
    graph: GraphBuilder,
    shared: ClipSettings,
    world: World,
    memory: GeometricMemory,
    path: Trajectory,
    images: Any,
    samples: Any,
    seed: int,
    made_with: Mapping[str, Any],
) -> Node:
    """Depth of the finished clip, the memory that holds it as well, and the world folder."""
    geometry = {}
    if shared.moge_model is not None:
        depth = graph.node(
            "MoGeInference",
            moge_model=shared.moge_model,
            image=images,
            resolution_level=9,
            fov_x_degrees=_fov_deg(path),
            # One by one, so that a cancel need not wait for a batch.
            batch_size=1,
            force_projection=True,
            apply_mask=True,
        )
        geometry = {"geometry": depth.out(0)}
    update = graph.node(
        "WorldStereo_UpdateMemory",
        memory=memory,
        images=images,
        trajectory=path,
        keep_frames=shared.keep_frames,
        clip_name=f"clip_{world.manifest.last_number + 1:02d}",
        alignment=shared.alignment,
        **geometry,
    )
    return graph.node(
        "WorldStereo_SaveClip",
        world=world,
        memory=update.out(0),
        images=images,
        trajectory=path,
        latent=samples,
        seed=seed,
        report=update.out(1),
        made_with=json.dumps(made_with),
        **geometry,
    )


def _fov_deg(path: Trajectory) -> float:
    """Horizontal field of view of all frames in degrees; 0, which asks the estimator, if it changes."""
    focal = path.K[:, 0, 0]
    if float(focal.max() - focal.min()) > 1e-3 * float(focal.max()):
        return 0.0
    return min(math.degrees(2 * math.atan(path.width / (2 * float(focal[0])))), 170.0)
