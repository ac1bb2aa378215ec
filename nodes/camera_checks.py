"""Seconds before minutes: is the path worth it, and where to look next."""

from __future__ import annotations

import logging

from comfy_api.latest import io, ui
from torch import Tensor

from ..worldstereo_core.checks import PathError
from ..worldstereo_core.geometry.trajectory import EASINGS, Trajectory
from ..worldstereo_core.memory.check_picture import draw_check
from ..worldstereo_core.memory.memory import GeometricMemory
from ..worldstereo_core.memory.suggest import KINDS, moves_of, suggest_trajectories
from ..worldstereo_core.memory.suggest_picture import draw_suggestions
from ..worldstereo_core.memory.trajectory_check import (
    DEFAULT_CLEARANCE,
    MAX_HOLES,
    MAX_TRAVEL,
    MAX_TURN_DEG,
    CheckLimits,
    check_trajectory,
)
from .camera import fewer_frames, start_camera, unit_text
from .images import to_image
from .io_types import MemorySocket, TrajectorySocket
from .places import radius_input
from .progress import node_progress
from .render import drawn_memory, render_clip

logger = logging.getLogger(__name__)

GO_ON, STOP = "go on", "stop"


def limit_inputs(*names: str) -> list[io.Float.Input]:
    """Inputs for what is still fine, by name."""
    found = [
        io.Float.Input(
            "max_holes",
            default=MAX_HOLES,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="Share of a frame that may be hole, 0 to 1. The paths released with the model leave up "
            "to 0.72 to it.",
        ),
        io.Float.Input(
            "clearance",
            default=DEFAULT_CLEARANCE,
            min=0.0,
            max=10.0,
            step=0.01,
            tooltip="How near the camera may come to the points, in median depths.",
        ),
        io.Float.Input(
            "max_turn_deg",
            display_name="max turn (degrees per key frame)",
            default=MAX_TURN_DEG,
            min=0.0,
            max=180.0,
            step=0.1,
            optional=True,
            advanced=True,
            tooltip="Fastest turn from one of 21 key frames to the next, degrees. 9 is the fastest of the "
            "paths released with the model. Longer clips have less per frame: 2.25 at 81.",
        ),
        io.Float.Input(
            "max_travel",
            default=MAX_TRAVEL,
            min=0.0,
            max=100.0,
            step=0.01,
            optional=True,
            advanced=True,
            tooltip="Fastest travel from one of 21 key frames to the next, median depths. 0.16 is the "
            "fastest of the paths released with the model.",
        ),
    ]
    return [entry for entry in found if entry.id in names]


class CheckTrajectory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_CheckTrajectory",
            display_name="Check Camera Trajectory",
            category="WorldStereo/camera",
            description=(
                "Renders the memory along the trajectory and says what would go wrong: collisions, holes, "
                "steps too fast for the model, places nobody has seen. The render is the very one of Render "
                "Memory along Trajectory: wire it on, or preview it."
            ),
            search_aliases=[
                "collision",
                "validate path",
                "preflight",
                "hole percentage",
                "too fast",
                "preview",
            ],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="The memory the clip is to be made from."),
                TrajectorySocket.Input("trajectory", tooltip="The planned cameras."),
                io.Int.Input(
                    "frames",
                    default=21,
                    min=2,
                    max=1024,
                    tooltip="Key frames of the clip, as in WorldStereo Image to Key Frames. A longer "
                    "trajectory is sampled down to it, and that is said.",
                ),
                *limit_inputs("max_holes", "clearance"),
                io.Combo.Input(
                    "on_warning",
                    options=[GO_ON, STOP],
                    default=GO_ON,
                    tooltip="stop: the run ends here with the warnings, before sampling costs anything.",
                ),
                io.Image.Input(
                    "first_frame",
                    optional=True,
                    tooltip="Picture put in place of frame 0, as in Render Memory along Trajectory.",
                ),
                radius_input(
                    "Point radius as a share of half the shorter side, as in Render Memory along Trajectory.",
                ),
                io.Int.Input(
                    "points_per_pixel",
                    default=8,
                    min=1,
                    max=64,
                    optional=True,
                    advanced=True,
                    tooltip="How many of the nearest points are blended in one pixel, as in Render Memory "
                    "along Trajectory.",
                ),
                io.Float.Input(
                    "min_confidence",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    advanced=True,
                    tooltip="Points with a lower confidence (0 to 1) are not drawn, as in Render Memory "
                    "along Trajectory.",
                ),
                *limit_inputs("max_turn_deg", "max_travel"),
            ],
            outputs=[
                TrajectorySocket.Output(
                    "trajectory", tooltip="The trajectory as it was checked, at most `frames` long."
                ),
                io.Image.Output(
                    "render", tooltip="The same render as Render Memory along Trajectory makes, to the bit."
                ),
                io.Mask.Output("holes", tooltip="1 where no point was seen; one per camera."),
                io.Image.Output(
                    "picture",
                    tooltip="Path from above and from the side, and a bar per frame for its share of holes.",
                ),
                io.String.Output("report", tooltip="The figures and one line per warning."),
                io.Boolean.Output("is_fine", tooltip="True if there is no warning."),
            ],
        )

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory,
        trajectory: Trajectory,
        frames: int = 21,
        max_holes: float = MAX_HOLES,
        clearance: float = DEFAULT_CLEARANCE,
        on_warning: str = GO_ON,
        first_frame: Tensor | None = None,
        radius: float = 0.008,
        points_per_pixel: int = 8,
        min_confidence: float = 0.0,
        max_turn_deg: float = MAX_TURN_DEG,
        max_travel: float = MAX_TRAVEL,
    ) -> io.NodeOutput:
        limits = CheckLimits(max_holes, clearance, max_turn_deg, max_travel)
        trajectory = fewer_frames(trajectory, frames)
        rendered = render_clip(memory, trajectory, radius, points_per_pixel, min_confidence, first_frame)
        check = check_trajectory(drawn_memory(memory), trajectory, rendered, limits, node_progress())
        for warning in check.warnings:
            logger.warning("WorldStereo: %s", warning)
        if check.warnings and on_warning == STOP:
            raise PathError("trajectory: " + "\n".join(check.warnings))
        picture = draw_check(memory, trajectory, check)[None]
        shown = ui.PreviewImage(picture, cls=cls).as_dict()
        text = f"{check.text}\n{unit_text(memory)}"
        return io.NodeOutput(
            trajectory,
            to_image(rendered.image),
            rendered.hole_mask,
            picture,
            check.text,
            not check.warnings,
            ui={**shown, "text": (text,)},
        )


class SuggestTrajectory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_SuggestTrajectory",
            display_name="Suggest Camera Trajectory",
            category="WorldStereo/camera",
            description=(
                "Proposes the next move: orbits, dollies, trucks and arcs from the start camera, ranked by "
                "how much they show that the memory has not seen yet, without collisions. Takes a few "
                "seconds and no model."
            ),
            search_aliases=["next best view", "coverage", "auto path", "explore", "advice", "where to look"],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="What is known so far."),
                io.Int.Input(
                    "rank",
                    default=1,
                    min=1,
                    max=100,
                    tooltip="Which proposal to take: 1 is the best, 2 the next one, and so on.",
                ),
                io.Combo.Input(
                    "moves",
                    options=list(KINDS),
                    default=KINDS[0],
                    tooltip="Which kinds of move are tried.",
                ),
                io.Int.Input(
                    "frames",
                    default=21,
                    min=2,
                    max=1024,
                    tooltip="Frames of the trajectory. A released WorldStereo clip has 21 key frames.",
                ),
                io.Combo.Input(
                    "easing",
                    options=list(EASINGS),
                    default="smooth",
                    tooltip="How the speed changes over the clip.",
                ),
                *limit_inputs("max_holes", "clearance"),
                TrajectorySocket.Input(
                    "continue_from",
                    optional=True,
                    tooltip="Start at the last camera of this trajectory instead of the memory's first "
                    "picture.",
                ),
                *limit_inputs("max_turn_deg", "max_travel"),
            ],
            outputs=[
                TrajectorySocket.Output("trajectory", tooltip="The proposal of the chosen rank."),
                io.String.Output(
                    "report", tooltip="All candidates in order: new area, holes, what speaks against."
                ),
                io.Image.Output("picture", tooltip="The last frames of the best proposals; green = taken."),
            ],
        )

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory,
        rank: int = 1,
        moves: str = KINDS[0],
        frames: int = 21,
        easing: str = "smooth",
        max_holes: float = MAX_HOLES,
        clearance: float = DEFAULT_CLEARANCE,
        continue_from: Trajectory | None = None,
        max_turn_deg: float = MAX_TURN_DEG,
        max_travel: float = MAX_TRAVEL,
    ) -> io.NodeOutput:
        found = suggest_trajectories(
            drawn_memory(memory),
            start_camera(memory, continue_from, 60.0, 0, 0),
            frames,
            moves=moves_of(moves),
            limits=CheckLimits(max_holes, clearance, max_turn_deg, max_travel),
            easing=easing,
            progress=node_progress(),
        )
        if rank > len(found):
            raise PathError(
                f"rank: got {rank}, but there are {len(found)} candidates. Choose a smaller number or more "
                "moves."
            )
        chosen = found[rank - 1]
        if not chosen.is_usable:
            logger.warning("WorldStereo: the proposal of rank %d is not usable: %s", rank, chosen.text)
        picture = draw_suggestions(found, rank - 1)[None]
        lines = [f"{number + 1}. {one.text}" for number, one in enumerate(found)]
        report = "\n".join(["New area in square median depths.", *lines])
        shown = ui.PreviewImage(picture, cls=cls).as_dict()
        text = f"Taken: {lines[rank - 1]}\n{unit_text(memory)}\n{report}"
        return io.NodeOutput(chosen.trajectory, report, picture, ui={**shown, "text": (text,)})
