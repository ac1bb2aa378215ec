"""Changes of whole trajectories, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comfy_api.latest import io, ui

from ..worldstereo_core.geometry.trajectory import EASINGS, Trajectory
from ..worldstereo_core.geometry.trajectory_edit import (
    MIRRORS,
    backwards,
    even_speed,
    joined,
    loop_closed,
    mirrored,
    retimed,
    shaken,
    smoothed,
    starting_at,
    there_and_back,
)
from ..worldstereo_core.geometry.trajectory_plot import plot_trajectory
from ..worldstereo_core.memory.memory import GeometricMemory
from .camera import unit_text
from .io_types import MemorySocket, TrajectorySocket

CONTINUE, AS_IS = "continue where this one ends", "leave both where they are"

Edit = Callable[[Trajectory, dict[str, Any], float], Trajectory]
# What each choice does with the trajectory, its own inputs, and the scene units of one median depth.
EDITS: dict[str, Edit] = {
    "resample": lambda given, told, scale: given.resampled(told["frames"]),
    "retime": lambda given, told, scale: retimed(given, told["speed"], told["easing"]),
    "constant speed": lambda given, told, scale: even_speed(given, scale),
    "reverse": lambda given, told, scale: backwards(given),
    "there and back": lambda given, told, scale: there_and_back(given),
    "close the loop": lambda given, told, scale: loop_closed(given, told["return_frames"]),
    "concatenate": lambda given, told, scale: joined(given, told["other"], told["join"] == CONTINUE),
    "start where another ends": lambda given, told, scale: starting_at(given, told["other"].w2c[-1]),
    "mirror": lambda given, told, scale: mirrored(given, told["axis"]),
    "smooth": lambda given, told, scale: smoothed(given, told["smooth_frames"]),
    "handheld": lambda given, told, scale: shaken(
        given, told["shake_deg"], told["shake_travel"] * scale, told["frequency"], told["seed"]
    ),
}


def other_input(tooltip: str) -> Any:
    return TrajectorySocket.Input("other", tooltip=tooltip)


def operation_options() -> list[io.DynamicCombo.Option]:
    """The choices with the inputs that each one shows."""
    inputs: dict[str, list[Any]] = {name: [] for name in EDITS}
    inputs["resample"] = [
        io.Int.Input(
            "frames",
            default=21,
            min=1,
            max=4096,
            tooltip="Frames wanted. Fewer are picked evenly (81 poses give 21 key frames, every fourth); "
            "more are interpolated.",
        )
    ]
    inputs["retime"] = [
        io.Float.Input(
            "speed",
            default=1.0,
            min=0.05,
            max=20.0,
            step=0.05,
            tooltip="2 goes the same way in half the frames, 0.5 in twice as many.",
        ),
        io.Combo.Input(
            "easing",
            options=list(EASINGS),
            default="linear",
            tooltip="How the pace changes over the clip: linear keeps it, smooth slows both ends down.",
        ),
    ]
    inputs["close the loop"] = [
        io.Int.Input(
            "return_frames",
            default=20,
            min=1,
            max=1024,
            tooltip="Frames of the way back to the first camera, which is the last of them.",
        )
    ]
    inputs["concatenate"] = [
        other_input("The trajectory that follows; same picture size and frame rate."),
        io.Combo.Input(
            "join",
            options=[CONTINUE, AS_IS],
            default=CONTINUE,
            tooltip="continue: the other is moved to this one's last camera. leave: both stay in the world, "
            "and the picture may jump.",
        ),
    ]
    inputs["start where another ends"] = [other_input("The whole move begins at this one's last camera.")]
    inputs["mirror"] = [
        io.Combo.Input(
            "axis",
            options=list(MIRRORS),
            default=MIRRORS[0],
            tooltip="left-right: what went right goes left, seen from the first camera. up-down likewise.",
        )
    ]
    inputs["smooth"] = [
        io.Float.Input(
            "smooth_frames",
            default=2.0,
            min=0.1,
            max=100.0,
            step=0.1,
            tooltip="How far it smooths, frames (standard deviation). First and last camera stay.",
        )
    ]
    inputs["handheld"] = [
        io.Float.Input(
            "shake_deg",
            display_name="shake (degrees)",
            default=0.4,
            min=0.0,
            max=30.0,
            step=0.05,
            tooltip="Typical turn about each axis (standard deviation), degrees. None at the first frame.",
        ),
        io.Float.Input(
            "shake_travel",
            default=0.005,
            min=0.0,
            max=1.0,
            step=0.001,
            tooltip="Typical shift along each axis (standard deviation), in median depths of the memory.",
        ),
        io.Float.Input(
            "frequency",
            default=2.0,
            min=0.05,
            max=30.0,
            step=0.05,
            tooltip="Main frequency of the shake, hertz, at the trajectory's frame rate.",
        ),
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=2**53,
            tooltip="The same seed gives the same shake.",
        ),
    ]
    return [io.DynamicCombo.Option(name, found) for name, found in inputs.items()]


class EditTrajectory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_EditTrajectory",
            display_name="Edit Camera Trajectory",
            category="WorldStereo/camera",
            description=(
                "One change of a trajectory: number of frames, pace, order, a second one after it, loop, "
                "mirror, smoothing or handheld shake. Chain several."
            ),
            search_aliases=[
                "retime",
                "reverse",
                "resample",
                "loop",
                "ping pong",
                "concatenate trajectories",
                "handheld",
                "camera shake",
                "smooth camera",
                "mirror",
            ],
            is_output_node=True,
            inputs=[
                TrajectorySocket.Input("trajectory", tooltip="The trajectory to change; it stays as it is."),
                io.DynamicCombo.Input(
                    "operation",
                    options=operation_options(),
                    tooltip="What is done; its settings appear below.",
                ),
                MemorySocket.Input(
                    "memory",
                    optional=True,
                    tooltip="Gives the scale of distances and the points of the plot. Without it the median "
                    "depth counts as 1 scene unit.",
                ),
            ],
            outputs=[
                TrajectorySocket.Output("trajectory", tooltip="The changed trajectory."),
                io.Image.Output("plot", tooltip="The move from above and from the side."),
            ],
        )

    @classmethod
    def execute(
        cls, trajectory: Trajectory, operation: dict[str, Any], memory: GeometricMemory | None = None
    ) -> io.NodeOutput:
        scale = 1.0 if memory is None else memory.median_depth
        edited = EDITS[operation["operation"]](trajectory, operation, scale)
        plot = plot_trajectory(edited, None if memory is None else memory.points)[None]
        text = (
            f"{edited.name}: {trajectory.num_frames} frames became {edited.num_frames}, "
            f"{edited.num_frames / edited.fps:.3g} s at {edited.fps:g} per second.\n{unit_text(memory)}"
        )
        shown = ui.PreviewImage(plot, cls=cls).as_dict()
        return io.NodeOutput(edited, plot, ui={**shown, "text": (text,)})
