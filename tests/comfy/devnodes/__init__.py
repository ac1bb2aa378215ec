"""Development-only nodes that stand in for encoders which cannot be tiny. Never shipped.

ComfyUI builds its text encoder (umt5) and CLIP vision model at full size only, so a test graph gets their
outputs from here. A seed of 0 gives zeros; any other seed gives the same random numbers on every run.
"""

from __future__ import annotations

import os

import folder_paths
import numpy as np
import torch
from comfy_api.latest import ComfyExtension, io
from typing_extensions import override


def _numbers(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    if seed == 0:
        return torch.zeros(shape)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _moge_geometry(image: torch.Tensor, depth: torch.Tensor, K: torch.Tensor) -> dict[str, torch.Tensor]:
    """Pack depth [T, H, W] and K [3, 3], normalised by width and height, as core's MoGe node does."""
    batch, height, width = depth.shape
    rows, columns = torch.meshgrid(
        (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij"
    )
    rays = torch.stack([columns, rows, torch.ones_like(rows)], dim=-1) @ torch.linalg.inv(K).T
    return {
        "points": rays * depth[..., None],
        "depth": depth,
        "intrinsics": K.expand(batch, 3, 3).contiguous(),
        "mask": depth > 0,
        "image": image[..., :3],
    }


class TextStandIn(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereoDev_Text",
            display_name="Text Stand-in (dev)",
            category="WorldStereo/dev",
            inputs=[io.Int.Input("seed", default=0, min=0, max=2**31)],
            outputs=[io.Conditioning.Output()],
            is_dev_only=True,
        )

    @classmethod
    def execute(cls, seed: int) -> io.NodeOutput:
        return io.NodeOutput([[_numbers((1, 512, 4096), seed), {}]])


class ClipVisionStandIn(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereoDev_ClipVision",
            display_name="CLIP Vision Stand-in (dev)",
            category="WorldStereo/dev",
            inputs=[io.Int.Input("seed", default=0, min=0, max=2**31)],
            outputs=[io.ClipVisionOutput.Output()],
            is_dev_only=True,
        )

    @classmethod
    def execute(cls, seed: int) -> io.NodeOutput:
        import comfy.clip_vision

        output = comfy.clip_vision.Output()
        output.penultimate_hidden_states = _numbers((1, 257, 1280), seed)
        output.last_hidden_state = output.penultimate_hidden_states
        output.image_embeds = output.penultimate_hidden_states[:, 0]
        return io.NodeOutput(output)


class GeometryStandIn(io.ComfyNode):
    """A tilted plane as MOGE_GEOMETRY: depth grows from `near` at the bottom row to `far` at the top row."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereoDev_Geometry",
            display_name="Geometry Stand-in (dev)",
            category="WorldStereo/dev",
            inputs=[
                io.Image.Input("image"),
                io.Float.Input("near", default=2.0, min=0.01, max=1000.0),
                io.Float.Input("far", default=4.0, min=0.01, max=1000.0),
                io.Float.Input("fov_deg", default=60.0, min=1.0, max=170.0),
            ],
            outputs=[io.Custom("MOGE_GEOMETRY").Output()],
            is_dev_only=True,
        )

    @classmethod
    def execute(cls, image: torch.Tensor, near: float, far: float, fov_deg: float) -> io.NodeOutput:
        batch, height, width = image.shape[:3]
        depth = torch.linspace(far, near, height)[None, :, None].expand(batch, height, width).contiguous()
        focal = 0.5 / torch.tan(
            torch.deg2rad(torch.tensor(fov_deg)) / 2
        )  # of the width, as MoGe normalises it
        K = torch.tensor([[focal, 0, 0.5], [0, focal * width / height, 0.5], [0, 0, 1]])
        return io.NodeOutput(_moge_geometry(image, depth, K))


class GeometryFileStandIn(io.ComfyNode):
    """Depth [T, H, W] and K [3, 3] in pixels from an NPZ file in the input folder, as MOGE_GEOMETRY."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereoDev_GeometryFile",
            display_name="Geometry File Stand-in (dev)",
            category="WorldStereo/dev",
            inputs=[io.Image.Input("image"), io.String.Input("file")],
            outputs=[io.Custom("MOGE_GEOMETRY").Output()],
            is_dev_only=True,
        )

    @classmethod
    def execute(cls, image: torch.Tensor, file: str) -> io.NodeOutput:
        with np.load(os.path.join(folder_paths.get_input_directory(), file)) as stored:
            depth, K = torch.from_numpy(stored["depth"]), torch.from_numpy(stored["K"])
        if depth.shape != image.shape[:3]:
            raise ValueError(f"{file} holds depth {list(depth.shape)}, the picture is {list(image.shape)}")
        size = torch.tensor([[depth.shape[2]], [depth.shape[1]], [1]])
        return io.NodeOutput(_moge_geometry(image, depth, K / size))


class DevExtension(ComfyExtension):
    @override
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [TextStandIn, ClipVisionStandIn, GeometryStandIn, GeometryFileStandIn]


async def comfy_entrypoint() -> DevExtension:
    return DevExtension()
