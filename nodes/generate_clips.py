"""The loop: one clip per trajectory, each saved to the world folder as it finishes."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, get_args

from comfy_api.latest import io
from comfy_execution.graph_utils import GraphBuilder
from torch import Tensor

from ..worldstereo_core.adapters.comfy.patch import control_module
from ..worldstereo_core.adapters.comfy.prompt_facts import still_running, widgets_behind
from ..worldstereo_core.geometry.trajectory import Trajectory
from ..worldstereo_core.memory.retrieval import RetrievalMethod
from ..worldstereo_core.model.config import LatentConditionMode
from ..worldstereo_core.world.lock import keep_locked
from ..worldstereo_core.world.plan import (
    OnChange,
    check_starts,
    check_trajectories,
    find_start,
    joined_frames,
    plan_clips,
    resolve_changes,
    take_seed,
    without_latents,
)
from ..worldstereo_core.world.world import World
from .camera import fewer_frames
from .clip_graph import ClipSettings, build_clip
from .images import to_image
from .io_types import MemorySocket, MogeModelSocket, TrajectoriesSocket, TrajectorySocket, WorldSocket
from .places import radius_input
from .progress import node_progress, show_progress

logger = logging.getLogger(__name__)

# Sockets whose whole graph says what a clip was made with.
MADE_BY = ("model", "control", "vae", "positive", "negative", "sampler", "clip_vision", "moge_model")


class GenerateClips(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_GenerateClips",
            display_name="Generate Clips",
            category="WorldStereo/generate",
            description=(
                "Makes one clip per trajectory: render, references, sampling, depth, memory, one after the "
                "other. Every finished clip is saved to the world folder. Run again and it goes on at the "
                "first missing clip, also after a cancel, a crash or a restart."
            ),
            search_aliases=["loop", "multi clip", "batch clips", "world loop", "long video", "resume"],
            is_output_node=True,
            enable_expand=True,
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
            inputs=[
                WorldSocket.Input("world", tooltip="From Open World Folder."),
                io.MultiType.Input(
                    "trajectories",
                    types=[TrajectoriesSocket, TrajectorySocket],
                    tooltip="One trajectory, or several from List Camera Trajectories. Each starts at the "
                    "input picture or where an earlier one passes.",
                ),
                io.Model.Input("model", tooltip="From Load WorldStereo Model, with or without LoRAs."),
                io.ModelPatch.Input("control", tooltip="From Load WorldStereo Model."),
                io.Vae.Input("vae", tooltip="Wan 2.1 VAE (wan_2.1_vae)."),
                io.Conditioning.Input("positive", tooltip="What the clips show, from a text encoder."),
                io.Conditioning.Input("negative", tooltip="What they should not show; unused at CFG 1."),
                io.Sampler.Input("sampler", tooltip="Euler for few-step files, else Flow UniPC Sampler."),
                io.Sigmas.Input("sigmas", tooltip="From WorldStereo Sigmas."),
                io.Float.Input(
                    "cfg",
                    default=1.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="Guidance: 1 for few-step files, 5 for camera and memory. No unit.",
                ),
                io.Int.Input(
                    "seed",
                    default=1024,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="Noise of the first clip; the next ones count up, and each new take of a "
                    "rejected clip adds 1000. Another seed does not make finished clips anew: reject them "
                    "for that.",
                ),
                io.Int.Input(
                    "frames",
                    default=21,
                    min=2,
                    max=1024,
                    tooltip="Key frames per clip. The released models made 21. Longer trajectories are "
                    "sampled down to it.",
                ),
                io.Combo.Input(
                    "mode",
                    options=["full_vae", "first_frame_only"],
                    default="full_vae",
                    tooltip="How the first frame is encoded; the loader's report names the right one.",
                ),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="clip_vision_h, as for Wan 2.1 image to video. Without it results are poor.",
                ),
                MogeModelSocket.Input(
                    "moge_model",
                    optional=True,
                    tooltip="From Load MoGe Model: depth of the finished clips. Without it clips add views "
                    "to the memory and no points, so later renders show only the input picture's.",
                ),
                io.Combo.Input(
                    "if_changed",
                    options=["stop", "keep", "redo"],
                    default="stop",
                    optional=True,
                    tooltip="When a clip that is there was made along another path or with other settings. "
                    "stop: say so before anything is made. keep: leave it, make new ones with the new "
                    "settings. redo: reject it and make it anew, unless it was accepted.",
                ),
                io.Float.Input(
                    "colour_anchor",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Holds each clip's colours to those that the memory shows in the same views: 0 = "
                    "off, 1 = fully. No unit. Turn it on if brightness or tint drifts from clip to clip.",
                ),
                io.Boolean.Input(
                    "reuse_latents",
                    default=True,
                    optional=True,
                    advanced=True,
                    tooltip="Where a clip starts at, or looks back to, a frame of an earlier clip, take that "
                    "frame's own latent instead of encoding its picture again, which shifts colours a little "
                    "each time.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.01,
                    optional=True,
                    advanced=True,
                    tooltip="How strongly renders and cameras steer. No unit; 1 = released.",
                ),
                io.Float.Input(
                    "reference_strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    advanced=True,
                    tooltip="How much clips look at reference views: 1 = released, 0 = not. Memory files "
                    "only.",
                ),
                io.Int.Input(
                    "max_references",
                    default=8,
                    min=1,
                    max=20,
                    optional=True,
                    advanced=True,
                    tooltip="At most this many reference views per clip. Memory files only.",
                ),
                io.Int.Input(
                    "keep_frames",
                    default=8,
                    min=1,
                    max=256,
                    optional=True,
                    advanced=True,
                    tooltip="How many frames of each clip join the memory, spread evenly, the last one "
                    "always.",
                ),
                radius_input(
                    "Point radius of the renders as a share of half the shorter side.",
                ),
                io.Int.Input(
                    "points_per_pixel",
                    default=8,
                    min=1,
                    max=64,
                    optional=True,
                    advanced=True,
                    tooltip="How many of the nearest points are blended in one pixel of the renders.",
                ),
                io.Combo.Input(
                    "alignment",
                    options=["robust", "ratio"],
                    default="robust",
                    optional=True,
                    advanced=True,
                    tooltip="How the clips' depth meets the memory's scale. robust: scale and shift that a "
                    "part of the pixels may contradict; frames that do not fit add no points. ratio: one "
                    "factor per frame, and an error where a frame shares nothing with the memory.",
                ),
                io.Combo.Input(
                    "retrieval",
                    options=list(get_args(RetrievalMethod)),
                    default="frustum overlap",
                    optional=True,
                    advanced=True,
                    tooltip="How reference views are chosen, as method on Retrieve Reference Views. frustum "
                    "overlap = released. Memory files only.",
                ),
            ],
            outputs=[
                WorldSocket.Output("world", tooltip="The world with all clips."),
                MemorySocket.Output("memory", tooltip="The memory with all clips."),
                io.Image.Output(
                    "images",
                    tooltip="All clips one after the other; frames that repeat the one before are left out.",
                ),
                io.String.Output("report", tooltip="What was made, kept and changed, and the list of clips."),
            ],
        )

    @classmethod
    def execute(
        cls,
        world: World,
        trajectories: Any,
        model: Any,
        control: Any,
        vae: Any,
        positive: Any,
        negative: Any,
        sampler: Any,
        sigmas: Tensor,
        cfg: float = 1.0,
        seed: int = 1024,
        frames: int = 21,
        mode: LatentConditionMode = "full_vae",
        clip_vision: Any = None,
        moge_model: Any = None,
        if_changed: OnChange = "stop",
        colour_anchor: float = 0.0,
        reuse_latents: bool = True,
        strength: float = 1.0,
        reference_strength: float = 1.0,
        max_references: int = 8,
        keep_frames: int = 8,
        radius: float = 0.008,
        points_per_pixel: int = 8,
        alignment: str = "robust",
        retrieval: RetrievalMethod = "frustum overlap",
    ) -> io.NodeOutput:
        paths = (trajectories,) if isinstance(trajectories, Trajectory) else tuple(trajectories)
        config = control_module(control).config
        check_trajectories(paths, config.control.num_mask_frames(frames))
        key_paths = [fewer_frames(path, frames) for path in paths]
        settings = {
            "cfg": cfg,
            "key frames": frames,
            "size": f"{paths[0].width} x {paths[0].height}",
            "mode": mode,
            "noise levels": [round(float(sigma), 6) for sigma in sigmas],
            "colour anchor": colour_anchor,
            "reuse latents": reuse_latents,
            "strength": strength,
            "reference strength": reference_strength,
            "most references": max_references,
            "kept frames": keep_frames,
            "radius": radius,
            "points per pixel": points_per_pixel,
            "alignment": alignment,
            "retrieval": retrieval,
            **widgets_behind(cls.hidden.prompt, cls.hidden.unique_id, MADE_BY),
        }
        world = world.reload()
        plan = plan_clips(world, key_paths, settings)
        if plan.next_slot is not None or (plan.changes and if_changed == "redo"):
            # From here on nobody else may write; somebody may have until now.
            keep_locked(world.folder, still_running())
            world = world.reload()
            plan = plan_clips(world, key_paths, settings)
        # Decided once for the whole list, by the first node of the loop.
        if not world.remarks:
            world, said = resolve_changes(world, plan, if_changed)
            if said:
                logger.warning("WorldStereo: %s", said)
                world = replace(world, remarks=(said,))
                plan = plan_clips(world, key_paths, settings)
        if plan.next_slot is None:
            return _finished(world, len(paths))
        check_starts(world, key_paths)
        slot = plan.next_slot
        start = find_start(world, key_paths, slot)
        memory = world.memory(node_progress())
        if not reuse_latents:
            memory, start = without_latents(memory), replace(start, latent=None)
        show_progress(f"clip {slot} of {len(paths)}: {paths[slot - 1].name}", cls.hidden.unique_id)
        shared = ClipSettings(
            model=model,
            control=control,
            vae=vae,
            positive=positive,
            negative=negative,
            sampler=sampler,
            sigmas=sigmas,
            cfg=cfg,
            frames=frames,
            mode=mode,
            clip_vision=clip_vision,
            moge_model=moge_model,
            colour_anchor=colour_anchor,
            strength=strength,
            reference_strength=reference_strength,
            max_references=max_references,
            keep_frames=keep_frames,
            radius=radius,
            points_per_pixel=points_per_pixel,
            alignment=alignment,
            retrieval=retrieval,
            takes_references=config.takes_references,
        )
        graph = GraphBuilder()
        saved = build_clip(
            graph,
            shared,
            world,
            memory,
            paths[slot - 1],
            slot,
            start,
            take_seed(world, seed, slot),
            settings,
        )
        # The rest of the list, once this clip is saved.
        rest = graph.node(
            "WorldStereo_GenerateClips",
            world=saved.out(0),
            trajectories=paths,
            if_changed="keep",
            seed=seed,
            reuse_latents=reuse_latents,
            **{name: value for name, value in shared.inputs().items() if value is not None},
        )
        return io.NodeOutput(*(rest.out(index) for index in range(4)), expand=graph.finalize())


def _finished(world: World, count: int) -> io.NodeOutput:
    records = sorted(
        (record for record in world.manifest.present if record.slot is not None and record.slot <= count),
        key=lambda record: record.slot or 0,
    )
    progress = node_progress()
    clips = []
    for done, record in enumerate(records):
        clips.append((record, world.frames(record.clip)))
        progress(done + 1, len(records))
    report = "\n".join((*world.remarks, world.text))
    memory = world.memory(node_progress())
    world = replace(world, remarks=())
    return io.NodeOutput(world, memory, to_image(joined_frames(clips)), report, ui={"text": (report,)})
