"""Everything a clip's control needs, prepared once before sampling."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


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
    """

    render_latents: Tensor
    hole_mask: Tensor
    rays: Tensor | None = None
    reference_latents: Tensor | None = None
    reference_index: Tensor | None = None
    camera_tokens: Tensor | None = None
    reference_camera_tokens: Tensor | None = None
