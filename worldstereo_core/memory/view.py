"""One picture of the stereo bank with its camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..checks import WorldStereoError
from ..geometry.cameras import Cameras
from ..geometry.trajectory import Trajectory

# Interpolation and bf16 decoding overshoot 0..1 by this much; more means another range.
_OVERSHOOT = 0.02


@dataclass(frozen=True, eq=False)
class View:
    """One picture of the stereo bank with its camera.

    Attributes:
        image: [3, H, W] uint8.
        w2c: [4, 4] float32.
        K: [3, 3] float32, pixels of this view's own H x W.
        name: e.g. "image" or "clip_01/0003".
        clip: 0 for the input image, then 1, 2, ...
        depth: [H, W] float32 camera z in scene units, 0 = no data, or None. Far depth is contracted exactly
            as the memory's points are, so depth and points agree.
        latent: [16, H / 8, W / 8] float32, the VAE's own latent that the image was decoded from, or None. It
            spares the next clip a trip through the VAE, each of which shifts colours a little. Whoever
            changes the image drops it.
    """

    image: Tensor
    w2c: Tensor
    K: Tensor
    name: str
    clip: int = 0
    depth: Tensor | None = None
    latent: Tensor | None = None

    @property
    def height(self) -> int:
        return self.image.shape[1]

    @property
    def width(self) -> int:
        return self.image.shape[2]

    @property
    def picture(self) -> Tensor:
        """[3, H, W] float 0..1."""
        return self.image.float() / 255

    @property
    def camera(self) -> Cameras:
        """Cameras of one frame, at the view's own size."""
        return Cameras(self.w2c[None], self.K[None], self.height, self.width)

    @property
    def trajectory(self) -> Trajectory:
        """The view's camera as a trajectory of one frame."""
        return Trajectory(self.camera, name=self.name, source="view of a memory")

    def to(self, device: torch.device | str) -> View:
        """Return the view on another device."""
        return replace(
            self,
            image=self.image.to(device),
            w2c=self.w2c.to(device),
            K=self.K.to(device),
            depth=None if self.depth is None else self.depth.to(device),
            latent=None if self.latent is None else self.latent.to(device),
        )


def image_to_bytes(name: str, image: Tensor) -> Tensor:
    """Round pictures in 0..1 to 8 bits, any shape.

    Args:
        name: the input as the user sees it.

    Raises: WorldStereoError if values are not finite or clearly outside 0..1.
    """
    low, high = float(image.amin()), float(image.amax())
    if not (low >= -_OVERSHOOT and high <= 1 + _OVERSHOOT):
        raise WorldStereoError(
            f"{name}: got values from {low:.4g} to {high:.4g}, expected 0 to 1. "
            "Rescale the picture; values that are not numbers come from a failed decode."
        )
    return (image.float().clamp(0, 1) * 255).round().to(torch.uint8)
