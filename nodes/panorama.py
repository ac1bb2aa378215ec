"""Worlds that start from a panorama: its memory, and perspective pictures to start clips from."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..worldstereo_core.adapters.comfy.geometry_input import panorama_to_distance
from ..worldstereo_core.geometry.panorama import ViewSet, check_panorama, look_around, panorama_to_views
from ..worldstereo_core.geometry.trajectory import Trajectory
from ..worldstereo_core.memory.panorama import initialise_panorama_memory
from .images import one_mask, one_picture, to_image
from .io_types import MemorySocket, MogeGeometrySocket, TrajectorySocket
from .places import edge_threshold_input
from .progress import node_progress

VIEW_SETS: dict[str, ViewSet] = {
    "27 views (released)": "released",
    "9 views (horizon)": "horizon",
    "6 views (cube)": "cube",
}


class CreatePanoramaMemory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_CreatePanoramaMemory",
            display_name="Create Panorama Memory",
            category="WorldStereo/memory",
            description=(
                "Lifts a 360 degree panorama (exactly 2 : 1) into a point cloud all around and fills the "
                "bank with perspective views of it. The middle of the picture is in front."
            ),
            search_aliases=[
                "panorama",
                "equirectangular",
                "360",
                "hdri",
                "pano memory",
                "world from panorama",
            ],
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="Equirectangular panorama, exactly twice as wide as high, for example 2048 "
                    "x 1024 pixels.",
                ),
                io.MultiType.Input(
                    "geometry",
                    types=[MogeGeometrySocket, io.Image],
                    tooltip="Distance from the viewpoint of the same panorama at the same size: Run MoGe "
                    "Panorama Inference, Load Depth Map, or a distance picture. Scene units.",
                ),
                io.Combo.Input(
                    "views",
                    options=list(VIEW_SETS),
                    default="27 views (released)",
                    tooltip="Which perspective views go into the bank. 27: nine all around at the horizon, "
                    "nine looking 26.6 degrees up, nine down, as released.",
                ),
                io.Int.Input(
                    "width", default=832, min=64, max=4096, step=16, tooltip="Width of a view in pixels."
                ),
                io.Int.Input(
                    "height", default=480, min=64, max=4096, step=16, tooltip="Height of a view in pixels."
                ),
                io.Float.Input(
                    "fov_deg",
                    display_name="horizontal fov (degrees)",
                    default=120.0,
                    min=20.0,
                    max=150.0,
                    step=0.1,
                    tooltip="Horizontal field of view of a view, degrees. 120 is the released value.",
                ),
                edge_threshold_input(),
                io.Float.Input(
                    "far_contraction",
                    display_name="far contraction (× median distance)",
                    default=8.0,
                    min=0.0,
                    max=1000.0,
                    step=0.5,
                    tooltip="What is farther than this many median distances is pulled in, to at most twice "
                    "as far. 0 = off.",
                ),
                io.Mask.Input(
                    "sky",
                    optional=True,
                    tooltip="Pixels to leave out of the cloud, 1 = sky. Pixels that the geometry masks are "
                    "left out without it.",
                ),
                io.Int.Input(
                    "density",
                    display_name="points per pixel and side",
                    default=1,
                    min=1,
                    max=4,
                    optional=True,
                    advanced=True,
                    tooltip="2 makes four points of every panorama pixel. More for small panoramas and for "
                    "clips that zoom in.",
                ),
            ],
            outputs=[
                MemorySocket.Output("memory", tooltip="Points all around and the bank of views."),
                io.Image.Output("views", tooltip="The views of the bank; the first looks to the front."),
                io.String.Output(
                    "report", tooltip="Points kept, median distance in scene units, views of the bank."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        geometry: Any,
        views: str = "27 views (released)",
        width: int = 832,
        height: int = 480,
        fov_deg: float = 120.0,
        edge_threshold: float = 0.35,
        far_contraction: float = 8.0,
        sky: Tensor | None = None,
        density: int = 1,
    ) -> io.NodeOutput:
        picture = one_picture("image", image)
        check_panorama("image", picture.shape[1], picture.shape[2])
        memory = initialise_panorama_memory(
            picture,
            panorama_to_distance(geometry),
            sky=None if sky is None else one_mask("sky", sky),
            view_set=VIEW_SETS[views],
            height=height,
            width=width,
            fov_deg=fov_deg,
            edge_threshold=edge_threshold,
            far_contraction=far_contraction,
            density=density,
            progress=node_progress(),
        )
        bank = to_image(torch.stack([view.image for view in memory.views]).float() / 255)
        text = memory.summary().text
        shown = ui.PreviewImage(bank, cls=cls).as_dict()
        return io.NodeOutput(memory, bank, text, ui={**shown, "text": (text,)})


class CropPanorama(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_CropPanorama",
            display_name="Perspective View of Panorama",
            category="WorldStereo/camera",
            description=(
                "Cuts an ordinary picture out of a 360 degree panorama, with its camera: the start picture "
                "and the start of a trajectory for a clip in any direction."
            ),
            search_aliases=["panorama to perspective", "equirectangular crop", "360 view", "look around"],
            inputs=[
                io.Image.Input("image", tooltip="Equirectangular panorama, exactly twice as wide as high."),
                io.Float.Input(
                    "yaw_deg",
                    display_name="yaw (degrees)",
                    default=0.0,
                    min=-360.0,
                    max=360.0,
                    step=0.5,
                    tooltip="How far to look to the right of the panorama's middle, degrees.",
                ),
                io.Float.Input(
                    "pitch_deg",
                    display_name="pitch (degrees)",
                    default=0.0,
                    min=-90.0,
                    max=90.0,
                    step=0.5,
                    tooltip="How far to look up, degrees; negative looks down.",
                ),
                io.Float.Input(
                    "fov_deg",
                    display_name="horizontal fov (degrees)",
                    default=75.0,
                    min=10.0,
                    max=150.0,
                    step=0.1,
                    tooltip="Horizontal field of view, degrees.",
                ),
                io.Int.Input("width", default=768, min=64, max=8192, step=16, tooltip="Width in pixels."),
                io.Int.Input("height", default=480, min=64, max=8192, step=16, tooltip="Height in pixels."),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The picture that a camera there takes."),
                TrajectorySocket.Output(
                    "camera",
                    tooltip="That camera, as a trajectory of one frame in the world of Create Panorama "
                    "Memory. Wire it to continue_from of Build Camera Trajectory.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        yaw_deg: float = 0.0,
        pitch_deg: float = 0.0,
        fov_deg: float = 75.0,
        width: int = 768,
        height: int = 480,
    ) -> io.NodeOutput:
        picture = one_picture("image", image)
        check_panorama("image", picture.shape[1], picture.shape[2])
        cameras = look_around([(yaw_deg, pitch_deg)], height, width, fov_deg)
        view = to_image(panorama_to_views(picture, cameras))
        name = f"panorama yaw {yaw_deg:g}, pitch {pitch_deg:g}"
        shown = ui.PreviewImage(view, cls=cls).as_dict()
        return io.NodeOutput(view, Trajectory(cameras, name=name), ui=shown)
