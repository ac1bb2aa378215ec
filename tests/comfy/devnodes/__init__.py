"""Development-only nodes that stand in for encoders which cannot be tiny. Never shipped.

ComfyUI builds its text encoder (umt5) and CLIP vision model at full size only, so a test graph gets their
outputs from here. A seed of 0 gives zeros; any other seed gives the same random numbers on every run.
"""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import ComfyExtension, io
from typing_extensions import override


def _numbers(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    if seed == 0:
        return torch.zeros(shape)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def moge_geometry(image: torch.Tensor, depth: torch.Tensor, K: torch.Tensor) -> dict[str, torch.Tensor]:
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


class _ClipVision:
    """What ``encode_clip_vision`` asks of a CLIP vision model."""

    def __init__(self, seed: int):
        self.seed = seed

    def encode_image(self, image: torch.Tensor) -> Any:
        return ClipVisionStandIn.execute(self.seed).args[0]


class ClipVisionModelStandIn(io.ComfyNode):
    """A CLIP_VISION that gives the same random numbers for any picture, for nodes that encode themselves."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereoDev_ClipVisionModel",
            display_name="CLIP Vision Model Stand-in (dev)",
            category="WorldStereo/dev",
            inputs=[io.Int.Input("seed", default=0, min=0, max=2**31)],
            outputs=[io.ClipVision.Output()],
            is_dev_only=True,
        )

    @classmethod
    def execute(cls, seed: int) -> io.NodeOutput:
        return io.NodeOutput(_ClipVision(seed))


class _MogeModel:
    """What core's MoGe node asks of a depth model: a tilted plane for every picture."""

    def __init__(self, near: float, far: float, fov_deg: float):
        self.near, self.far, self.fov_deg = near, far, fov_deg

    def infer(self, pictures: torch.Tensor, **settings: Any) -> dict[str, torch.Tensor]:
        image = pictures.movedim(1, -1)
        return GeometryStandIn.execute(image, self.near, self.far, self.fov_deg).args[0]


class MogeModelStandIn(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereoDev_MogeModel",
            display_name="MoGe Model Stand-in (dev)",
            category="WorldStereo/dev",
            inputs=[
                io.Float.Input("near", default=2.0, min=0.01, max=1000.0),
                io.Float.Input("far", default=4.0, min=0.01, max=1000.0),
                io.Float.Input("fov_deg", default=60.0, min=1.0, max=170.0),
            ],
            outputs=[io.Custom("MOGE_MODEL").Output()],
            is_dev_only=True,
        )

    @classmethod
    def execute(cls, near: float, far: float, fov_deg: float) -> io.NodeOutput:
        return io.NodeOutput(_MogeModel(near, far, fov_deg))


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
        return io.NodeOutput(moge_geometry(image, depth, K))


class DevExtension(ComfyExtension):
    @override
    async def on_load(self) -> None:
        from .renamed import register_renamed_node
        from .stand_in_encoders import install

        install()
        await register_renamed_node()

    @override
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            TextStandIn,
            ClipVisionStandIn,
            ClipVisionModelStandIn,
            MogeModelStandIn,
            GeometryStandIn,
        ]


async def comfy_entrypoint() -> DevExtension:
    return DevExtension()
