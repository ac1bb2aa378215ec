"""Bring the colours of a memory, or of some of its clips, to those of a reference picture."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..checks import WorldStereoError, check_shape
from .editing import region_in_view
from .mask import ClipRegion
from .memory import GeometricMemory
from .view import View, image_to_bytes

# Colours that hardly vary in some direction must not be stretched without bound along it: variance floor.
_VARIANCE_FLOOR = 1e-5


@dataclass(frozen=True, eq=False)
class ColourMap:
    """colour_new = matrix @ colour + offset, cut to 0..1.

    Attributes:
        matrix: [3, 3].
        offset: [3].
    """

    matrix: Tensor
    offset: Tensor

    def to_colours(self, rgb: Tensor) -> Tensor:
        """Map colours [..., 3] in 0..1."""
        mapped = rgb.double() @ self.matrix.to(rgb.device).mT + self.offset.to(rgb.device)
        return mapped.clamp(0, 1).to(rgb.dtype)


def match_colours(colours: Tensor, reference: Tensor, strength: float = 1.0) -> ColourMap:
    """Find the linear map that gives colours the mean and the covariance of a reference.

    Of all such maps it is the one that changes colours least (Monge-Kantorovich transport between Gaussians,
    Pitié and Kokaram 2007).

    Args:
        colours, reference: [N, 3] and [M, 3] in 0..1.
        strength: 0 changes nothing, 1 matches fully.

    Raises: WorldStereoError if one is empty or the strength is out of range.
    """
    for name, values in (("colours", colours), ("reference", reference)):
        if check_shape(name, values, ("N", 3))["N"] == 0:
            raise WorldStereoError(f"{name}: got no colours, expected at least one.")
    if not 0 <= strength <= 1:
        raise WorldStereoError(f"strength: got {strength}, expected 0 (no change) to 1.")
    mean, covariance = _moments(colours)
    wanted_mean, wanted = _moments(reference.to(colours.device))
    root = _root(covariance)
    inverse_root = torch.linalg.inv(root)
    matrix = inverse_root @ _root(root @ wanted @ root) @ inverse_root
    matrix = (1 - strength) * torch.eye(3, dtype=matrix.dtype, device=matrix.device) + strength * matrix
    target = (1 - strength) * mean + strength * wanted_mean
    return ColourMap(matrix, target - matrix @ mean)


def recolour(
    memory: GeometricMemory,
    reference: Tensor,
    *,
    clips: Collection[int] | None = None,
    strength: float = 1.0,
    within: ClipRegion | None = None,
) -> GeometricMemory:
    """Return the memory with its points and views in the colours of a reference picture.

    Args:
        reference: [3, H, W] float 0..1; it should show about the same things.
        clips: numbers of the clips that change; all by default. One map serves them all, found from their
            points (or, if they have none, their views).
        strength: 0 changes nothing, 1 matches mean and covariance fully.
        within: only what lies in it changes: points, and the pixels of views that have depth there.

    Raises: WorldStereoError if the clips hold neither points nor views, or no points in ``within``.
    """
    check_shape("reference", reference, (3, "H", "W"))
    image_to_bytes("reference", reference)
    points = memory.points
    chosen = torch.ones_like(points.clip, dtype=torch.bool)
    if clips is not None:
        chosen = torch.isin(points.clip, points.clip.new_tensor(sorted(clips)))
    if within is not None:
        chosen = chosen & within(points.xyz, points.clip)
    is_chosen_view = [clips is None or view.clip in clips for view in memory.views]
    if bool(chosen.any()):
        colours = points.rgb[chosen]
    elif within is not None:
        raise WorldStereoError(
            "selection: no point of these clips is selected, so nothing can be recoloured. Select points in "
            "View World, name their clips, or unplug the selection."
        )
    elif any(is_chosen_view):
        pictures = [view.image for view, use in zip(memory.views, is_chosen_view, strict=True) if use]
        colours = torch.cat([picture.flatten(1).mT.float() / 255 for picture in pictures])
    else:
        raise WorldStereoError(f"clips: got {sorted(clips or ())}, of which the memory holds none.")
    mapping = match_colours(colours, reference.flatten(1).mT.float(), strength)
    views = tuple(
        _mapped_view(view, mapping, within) if use else view
        for view, use in zip(memory.views, is_chosen_view, strict=True)
    )
    rgb = torch.where(chosen[:, None], mapping.to_colours(points.rgb), points.rgb)
    which = "all clips" if clips is None else f"clips {', '.join(str(clip) for clip in sorted(clips))}"
    if within is not None:
        which = f"{int(chosen.sum()):,} selected points of {which}"
    return replace(
        memory,
        points=replace(points, rgb=rgb),
        views=views,
        history=(*memory.history, f"Colours of {which} matched to a reference, strength {strength:.2g}."),
    )


def _mapped_view(view: View, mapping: ColourMap, within: ClipRegion | None) -> View:
    image = _map_picture(view.image, mapping)
    if within is not None:
        inside = region_in_view(view, within)
        if not bool(inside.any()):
            return view
        image = torch.where(inside, image, view.image)
    return replace(view, image=image, latent=None)


def _map_picture(image: Tensor, mapping: ColourMap) -> Tensor:
    colours = mapping.to_colours(image.movedim(0, -1).float() / 255)
    return image_to_bytes("view", colours.movedim(-1, 0))


def _moments(colours: Tensor) -> tuple[Tensor, Tensor]:
    colours = colours.double()
    mean = colours.mean(dim=0)
    centred = colours - mean
    floor = _VARIANCE_FLOOR * torch.eye(3, dtype=centred.dtype, device=centred.device)
    return mean, centred.mT @ centred / len(colours) + floor


def _root(symmetric: Tensor) -> Tensor:
    """The symmetric square root of a positive definite matrix."""
    values, vectors = torch.linalg.eigh(symmetric)
    return vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.mT
