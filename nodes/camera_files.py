"""Camera trajectories from files of other programs and back."""

from __future__ import annotations

import logging
from dataclasses import replace

from comfy_api.latest import io

from ..worldstereo_core.formats.cameras.axes import UP_AXES
from ..worldstereo_core.formats.cameras.registry import (
    BY_NAME,
    READABLE,
    WRITABLE,
    read_camera_file,
    write_trajectory,
)
from ..worldstereo_core.geometry.trajectory import Trajectory
from ..worldstereo_core.tensor_writer import saying_why_not
from .files import check_input_file, fingerprint, input_path, list_files, output_path, saved_result
from .io_types import TrajectorySocket

logger = logging.getLogger(__name__)

# A COLMAP model is a folder of such files; any one of them stands for it.
CAMERA_EXTENSIONS = tuple(sorted({suffix for name in READABLE for suffix in BY_NAME[name].suffixes}))
UP_AXIS_CHOICES = ("auto", *UP_AXES)


def up_axis_or_none(choice: str) -> str | None:
    return None if choice == "auto" else choice


class LoadTrajectory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_LoadTrajectory",
            display_name="Load Camera Trajectory",
            category="WorldStereo/camera",
            description=(
                "Reads a camera move: camera.json of WorldStereo, nerfstudio, COLMAP, glTF, USD, Alembic, "
                "Nuke .chan, After Effects text, CSV. The format is told by the content. Cameras that are "
                "not rigid or not finite are refused."
            ),
            search_aliases=[
                "camera.json",
                "import camera",
                "blender camera",
                "nerfstudio",
                "colmap",
                "usd",
                "alembic",
                "nuke chan",
                "camera path file",
            ],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=list_files(CAMERA_EXTENSIONS),
                    tooltip="Camera file in ComfyUI's input folder, or one saved to the output folder. For "
                    "COLMAP choose images.txt or images.bin.",
                ),
                io.Int.Input(
                    "frames",
                    default=21,
                    min=0,
                    max=1024,
                    tooltip="Frames wanted, spread evenly over the file's: 81 poses become 21 key frames, "
                    "fewer poses are interpolated. 0 keeps every pose (Uni3C files take 81).",
                ),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=8192,
                    step=16,
                    tooltip="Width of the clip in pixels, a multiple of 16; intrinsics are scaled. 0 keeps "
                    "the file's. Formats without a size (.chan, most glTF and USD) need it.",
                ),
                io.Int.Input(
                    "height",
                    default=0,
                    min=0,
                    max=8192,
                    step=16,
                    tooltip="Height of the clip in pixels, a multiple of 16; intrinsics are scaled. 0 "
                    "keeps the file's. Formats without a size (.chan, most glTF and USD) need it.",
                ),
                io.Float.Input(
                    "fps",
                    default=0.0,
                    min=0.0,
                    max=240.0,
                    step=0.001,
                    optional=True,
                    advanced=True,
                    tooltip="Frames per second where the file does not say; 0 = the file's, else 16.",
                ),
                io.Float.Input(
                    "sensor_width_mm",
                    display_name="sensor width (mm)",
                    default=36.0,
                    min=0.1,
                    max=1000.0,
                    step=0.1,
                    optional=True,
                    advanced=True,
                    tooltip="Millimetres of film that the focal length refers to, where the file gives a "
                    "focal length alone. 36 = full frame.",
                ),
                io.Combo.Input(
                    "up_axis",
                    options=list(UP_AXIS_CHOICES),
                    default="auto",
                    optional=True,
                    advanced=True,
                    tooltip="Which axis of the file's world points up. auto: what the file says, else the "
                    "format's usual one.",
                ),
                io.Float.Input(
                    "unit_scale",
                    default=0.0,
                    min=0.0,
                    max=1e6,
                    step=0.0001,
                    optional=True,
                    advanced=True,
                    tooltip="Scene units per unit of the file, e.g. 0.01 for centimetres into metres. 0 = "
                    "what the file says, else 1.",
                ),
                io.Combo.Input(
                    "fit",
                    options=["crop", "stretch"],
                    default="crop",
                    optional=True,
                    advanced=True,
                    tooltip="What width and height of another aspect do, as on Fit Image: crop keeps "
                    "proportions, stretch scales both sides alone, as the released code does.",
                ),
            ],
            outputs=[
                TrajectorySocket.Output(
                    "trajectory", tooltip="One camera per frame, with size and frame rate."
                ),
                io.String.Output("report", tooltip="Format found, frames, and what was assumed or repaired."),
            ],
        )

    @classmethod
    def validate_inputs(cls, file) -> bool | str:
        return check_input_file(file, "file")

    @classmethod
    def fingerprint_inputs(cls, file, **kwargs) -> object:
        return fingerprint(file, "file")

    @classmethod
    def execute(
        cls,
        file: str,
        frames: int = 21,
        width: int = 0,
        height: int = 0,
        fps: float = 0.0,
        sensor_width_mm: float = 36.0,
        up_axis: str = "auto",
        unit_scale: float = 0.0,
        fit: str = "crop",
    ) -> io.NodeOutput:
        path = input_path(file, "file")
        found = read_camera_file(
            path,
            fps=fps or None,
            size=(height, width) if height and width else None,
            sensor_width_mm=sensor_width_mm,
            up_axis=up_axis_or_none(up_axis),
            unit_scale=unit_scale or None,
        )
        read = found.trajectory
        size = (height or read.height, width or read.width)
        cameras = read.cameras.cropped(*size) if fit == "crop" else read.cameras.resized(*size)
        trajectory = replace(read, cameras=cameras)
        notes = [f"{BY_NAME[found.format].title}: {read.num_frames} frames.", *found.notes]
        if frames not in (0, trajectory.num_frames):
            notes.append(f"{trajectory.num_frames} poses become {frames}.")
            trajectory = trajectory.resampled(frames)
        for note in notes[1:]:
            logger.info("WorldStereo: %s: %s", path.name, note)
        report = "\n".join(notes)
        return io.NodeOutput(trajectory, report, ui={"text": (report,)})


class SaveTrajectory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_SaveTrajectory",
            display_name="Save Camera Trajectory",
            category="WorldStereo/camera",
            description=(
                "Writes the cameras for another program: camera.json, Blender script, USD, Alembic, glTF, "
                "nerfstudio, COLMAP, Nuke .chan, After Effects text, CSV."
            ),
            search_aliases=[
                "camera.json",
                "export camera",
                "save camera path",
                "blender camera",
                "colmap",
                "nerfstudio",
                "usd",
                "alembic",
            ],
            is_output_node=True,
            inputs=[
                TrajectorySocket.Input("trajectory", tooltip="The cameras to save, one per frame."),
                io.String.Input(
                    "filename_prefix",
                    default="worldstereo/camera",
                    tooltip="Name below ComfyUI's output folder; a number is added, nothing is overwritten.",
                ),
                io.Combo.Input(
                    "format",
                    options=list(WRITABLE),
                    default="camera_json",
                    tooltip="File format. camera_json keeps everything and is what the released "
                    "WorldStereo reads; colmap writes a folder; alembic needs the package alembic3d.",
                ),
                io.Float.Input(
                    "sensor_width_mm",
                    display_name="sensor width (mm)",
                    default=36.0,
                    min=0.1,
                    max=1000.0,
                    step=0.1,
                    optional=True,
                    advanced=True,
                    tooltip="Millimetres of film that focal lengths are written for. 36 = full frame.",
                ),
                io.Combo.Input(
                    "up_axis",
                    options=list(UP_AXIS_CHOICES),
                    default="auto",
                    optional=True,
                    advanced=True,
                    tooltip="Which axis of the file's world points up. auto: the format's usual one.",
                ),
                io.Float.Input(
                    "unit_scale",
                    default=0.0,
                    min=0.0,
                    max=1e6,
                    step=0.0001,
                    round=False,
                    optional=True,
                    advanced=True,
                    tooltip="Scene units per unit of the file: 0.01 writes a scene in metres in centimetres "
                    "(Unreal, After Effects). 0 = the format's usual one.",
                ),
                io.Int.Input(
                    "first_frame",
                    default=-1,
                    min=-1,
                    max=1_000_000,
                    optional=True,
                    advanced=True,
                    tooltip="Number of the first frame, where the format numbers frames: 1001 for film "
                    "pipelines. -1 = the format's usual one.",
                ),
            ],
            outputs=[
                io.String.Output("file", tooltip="The file's name, as Load Camera Trajectory takes it."),
            ],
        )

    @classmethod
    def execute(
        cls,
        trajectory: Trajectory,
        filename_prefix: str = "worldstereo/camera",
        format: str = "camera_json",
        sensor_width_mm: float = 36.0,
        up_axis: str = "auto",
        unit_scale: float = 0.0,
        first_frame: int = -1,
    ) -> io.NodeOutput:
        form = BY_NAME[format]
        path, name = output_path(filename_prefix, "" if form.is_folder else form.suffixes[0])
        with saying_why_not(f"filename_prefix: {path.name}"):
            notes = write_trajectory(
                path,
                trajectory,
                format,
                sensor_width_mm=sensor_width_mm,
                up_axis=up_axis_or_none(up_axis),
                unit_scale=unit_scale or None,
                first_frame=None if first_frame < 0 else first_frame,
            )
        if form.is_folder:
            name = f"{name.removesuffix(' [output]')}/images{form.suffixes[0]} [output]"
        text = "\n".join([f"{trajectory.num_frames} cameras in {name}", *notes])
        shown = () if form.is_folder else (saved_result(path),)
        return io.NodeOutput(name, ui={"text": (text,), "files": shown})
