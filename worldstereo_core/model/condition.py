"""Everything a clip's control needs, prepared once before sampling."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..memory.token_correspondence import TokenCorrespondences
from .reference_attention import ReferenceAccess


@dataclass(frozen=True)
class ControlCondition:
    """Control inputs of one clip in model space (b = 1 or the latent batch).

    Attributes:
        render_latents: [b, 16, F, h, w], key-frame latents of the point renders, normalised.
        hole_mask: [b, 1, M, 8h, 8w] float, 1 = hole; M = F (temporal kernel 1) or 4 (F - 1) + 1 (kernel 4).
        rays: [b, 6, M, 8h, 8w] Plücker rays (direction, moment), or None for a control branch without rays.
        reference_latents: [b, 16, V, h, w] key-frame latents of the reference views, normalised, or None.
        reference_index: [V] int64 in 0..F-2; reference j takes the time position reference_index[j] + 1.
        camera_tokens: [b, F, 7] quaternion wxyz and translation of the normalised w2c, or None.
        reference_camera_tokens: [b, V, 7], or None.
        shared_surfaces: pairs of clip and reference tokens of the same surface; None = not looked for. Those
            of one clip count for every sample; those of a batch of clips are numbered sample by sample.
        reference_access: what each token may see of the references; None = everything.
        global_vector: [b, G] numbers about trajectory and scene, for a control with that part, or None.
        pictures: [b, C, M, 8h, 8w] depth, edges and semantic picture, 0..1, or None.
        warped_references: [b, 17, F, h, w] latents carried over from references, and 1 where there are any.
        geometry: [b, C, M, 8h, 8w] maps of the rasterised cloud, or None. A part whose input is None is off.
    """

    render_latents: Tensor
    hole_mask: Tensor
    rays: Tensor | None = None
    reference_latents: Tensor | None = None
    reference_index: Tensor | None = None
    camera_tokens: Tensor | None = None
    reference_camera_tokens: Tensor | None = None
    shared_surfaces: TokenCorrespondences | None = None
    reference_access: ReferenceAccess | None = None
    global_vector: Tensor | None = None
    pictures: Tensor | None = None
    warped_references: Tensor | None = None
    geometry: Tensor | None = None

    @property
    def num_frames(self) -> int:
        """Key frames of the clip."""
        return self.render_latents.shape[2]

    @property
    def num_references(self) -> int:
        return 0 if self.reference_latents is None else self.reference_latents.shape[2]

    @property
    def height(self) -> int:
        """Picture height, pixels."""
        return self.render_latents.shape[3] * 8

    @property
    def width(self) -> int:
        """Picture width, pixels."""
        return self.render_latents.shape[4] * 8

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> ControlCondition:
        """The same condition elsewhere; indices keep their integer type."""
        moved: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                moved[field.name] = value.to(device, dtype if value.is_floating_point() else None)
        if self.reference_access is not None:
            moved["reference_access"] = self.reference_access.to(device)
        return replace(self, **moved)

    def resized(self, height: int, width: int) -> ControlCondition:
        """The same condition for smaller pictures; sides in pixels, multiples of 16.

        Every value becomes the mean of those it covers, latents too: good for a quick look, not for a result.
        Surfaces shared with references, which belong to a token grid, are left out.
        """
        changed: dict[str, Any] = {
            "shared_surfaces": None,
            "reference_access": None,
            "render_latents": _mean_resized(self.render_latents, height // 8, width // 8),
            "hole_mask": (_mean_resized(self.hole_mask, height, width) >= 0.5).to(self.hole_mask.dtype),
        }
        if self.rays is not None:
            changed["rays"] = _mean_resized(self.rays, height, width)
        if self.reference_latents is not None:
            changed["reference_latents"] = _mean_resized(self.reference_latents, height // 8, width // 8)
        for name in ("pictures", "geometry", "warped_references"):
            values = getattr(self, name)
            if values is not None:
                cells = 8 if name == "warped_references" else 1
                changed[name] = _mean_resized(values, height // cells, width // cells)
        return replace(self, **changed)


def _mean_resized(tensor: Tensor, height: int, width: int) -> Tensor:
    """[b, C, M, H, W] -> [b, C, M, height, width]."""
    return interpolate(tensor.flatten(1, 2), (height, width), mode="area").unflatten(1, tensor.shape[1:3])
