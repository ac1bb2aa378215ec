"""From encoded clips to what the model is shown: which controls, which references, in which slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, autocast

from ..checks import WorldStereoError
from ..geometry.cameras import Cameras
from ..memory.token_correspondence import TokenCorrespondences
from ..model.condition import ControlCondition
from ..model.conditioning import camera_rays, camera_tokens
from ..model.config import WorldStereoConfig
from ..model.latents import PIXELS_PER_CELL

EncodedClips = Mapping[str, Tensor]
"""B clips as ``encoded_clips`` makes them; F key frames, R views of the bank, h x w cells.

clean: [B, 16, F, h, w] latents of the true pictures.
image_condition: [B, 20, F, h, w] first-frame mask and latents; its later frames are the grey picture's.
render_latents: [B, 16, F, h, w] point renders, the first frame's picture pasted in.
hole_mask: [B, 1, F, 8 h, 8 w], 0 or 1.
K, w2c: [B, F, 3, 3] in pixels of 8 h x 8 w, [B, F, 4, 4].
bank_latents, bank_w2c: [B, R, 16, h, w], [B, R, 4, 4] views that could be references.
bank_matches: [B, F - 1] the view of the bank that frames 1.. would choose.

For a control with optional parts also what ``part_clips.shown_tensors`` makes, under the names of
``ControlCondition``, and bank_tokens: [B, R, n, m], 1 = token n of the clip and m of a view show one surface.
"""

Signal = Literal["none", "camera", "global", "stereo", "both"]
SIGNALS: tuple[Signal, ...] = ("none", "camera", "global", "stereo", "both")
_OF_POINTS = ("global_vector", "pictures", "geometry")
PARTS_SHOWN_WITH: dict[Signal, tuple[str, ...]] = {
    "global": _OF_POINTS,
    "stereo": ("warped_references",),
    "both": (*_OF_POINTS, "warped_references"),
}


@dataclass(frozen=True)
class SignalWeights:
    """How often a batch is shown which controls; any scale.

    Attributes:
        none: the bare backbone.
        camera: rays, and renders that show nothing but holes.
        global_memory: rays and the point renders.
        stereo_memory: rays and reference views.
        both: rays, renders and reference views.
    """

    none: float = 0.0
    camera: float = 0.0
    global_memory: float = 0.0
    stereo_memory: float = 0.0
    both: float = 0.0

    def __post_init__(self) -> None:
        if min(self._weights()) < 0 or sum(self._weights()) <= 0:
            raise WorldStereoError("signals: expected weights of 0 or more, at least one above 0.")

    def _weights(self) -> tuple[float, ...]:
        return self.none, self.camera, self.global_memory, self.stereo_memory, self.both

    def draw(self, generator: torch.Generator) -> Signal:
        index = torch.multinomial(torch.tensor(self._weights()), 1, generator=generator)
        return SIGNALS[int(index)]


@dataclass(frozen=True)
class ReferenceSettings:
    """How reference views are shown in training.

    A model that always gets its references whole, in order and at the slot of the frame they match best
    learns to copy by position. So views change places, lose parts and come in any number.

    Attributes:
        fewest, most: views per clip; each batch draws a number between. The same number for both costs a
            compiled model the fewest compilations.
        shuffled: share of batches in which views are dealt to the slots anew; camera tokens go with the view.
        masked: share of batches in which each view loses a random rectangle.
        largest_mask: side of that rectangle, as a share of the picture's.
        without_cameras: share of batches without camera tokens.
    """

    fewest: int = 1
    most: int = 6
    shuffled: float = 0.3
    masked: float = 0.3
    largest_mask: float = 0.6
    without_cameras: float = 0.1

    def __post_init__(self) -> None:
        if not 1 <= self.fewest <= self.most:
            raise WorldStereoError(
                f"fewest: got {self.fewest} to {self.most} reference views, expected at least 1, and fewest "
                "no larger than most."
            )
        for name in ("shuffled", "masked", "largest_mask", "without_cameras"):
            if not 0 <= getattr(self, name) <= 1:
                raise WorldStereoError(f"{name}: got {getattr(self, name)}, expected a share, 0 to 1.")


def make_condition(
    clips: EncodedClips,
    config: WorldStereoConfig,
    signal: Signal,
    references: ReferenceSettings,
    generator: torch.Generator,
) -> ControlCondition | None:
    """The control inputs of a batch, shown with one choice of signals.

    Args:
        clips: on the device of the model.
        config: of the control; a camera model gets no references.
        signal: what is shown.
        references: how reference views are disturbed; see ``plain_references`` for not at all.
        generator: on the CPU.

    Returns:
        The condition of the whole batch, or None for the bare backbone.
    """
    if signal == "none":
        return None
    render, holes = clips["render_latents"], clips["hole_mask"]
    if signal in ("camera", "stereo"):
        render, holes = _without_render(clips)
    height, width = render.shape[-2] * PIXELS_PER_CELL, render.shape[-1] * PIXELS_PER_CELL
    cameras = [
        Cameras(w2c, K, height, width) for w2c, K in zip(clips["w2c"].cpu(), clips["K"].cpu(), strict=True)
    ]
    with full_precision():
        rays = [camera_rays(camera, config.control) for camera in cameras]
    condition: dict[str, Any] = {
        "render_latents": render,
        "hole_mask": holes,
        "rays": None if rays[0] is None else torch.cat([r for r in rays if r is not None]).to(render),
    }
    shown = PARTS_SHOWN_WITH.get(signal, ())
    condition |= {name: clips[name] for name in shown if name in clips}
    if not config.takes_references:
        return ControlCondition(**condition)
    if signal in ("stereo", "both"):
        latents, w2c, slots, views = _draw_references(clips, references, generator)
        if "bank_tokens" in clips:
            condition["shared_surfaces"] = batch_pairs(clips["bank_tokens"], views)
    else:  # as at inference: a memory model without references sees its first frame
        latents, w2c, slots = clips["clean"][:, :, :1], clips["w2c"][:, :1], torch.zeros(1, dtype=torch.int64)
    has_cameras = config.camera_token_width is not None
    if has_cameras and signal in ("stereo", "both"):
        has_cameras = float(torch.rand((), generator=generator)) >= references.without_cameras
    tokens = []
    if has_cameras:
        with full_precision():
            tokens = [camera_tokens(c.w2c, views) for c, views in zip(cameras, w2c.cpu(), strict=True)]
    return ControlCondition(
        **condition,
        reference_latents=latents,
        reference_index=slots.to(render.device),
        camera_tokens=torch.cat([clip for clip, _ in tokens]).to(render) if tokens else None,
        reference_camera_tokens=torch.cat([views for _, views in tokens]).to(render) if tokens else None,
    )


def full_precision() -> autocast:
    """Camera maths on the CPU is never rounded to the half precision that layers compute in."""
    return autocast("cpu", enabled=False)


def plain_references(most: int, fewest: int = 1) -> ReferenceSettings:
    """References as inference shows them, for samples and validation."""
    return ReferenceSettings(fewest, most, shuffled=0.0, masked=0.0, without_cameras=0.0)


def _without_render(clips: EncodedClips) -> tuple[Tensor, Tensor]:
    """Renders of an empty memory: the first frame, then grey pictures that are all hole."""
    render, holes = clips["render_latents"].clone(), clips["hole_mask"].clone()
    render[:, :, 1:] = _grey(clips).to(render)
    holes[:, :, 1:] = 1
    return render, holes


def _grey(clips: EncodedClips) -> Tensor:
    """[B, 16, 1, h, w] latents of the grey picture."""
    return clips["image_condition"][:, 4:, 1:2]


def _draw_references(
    clips: EncodedClips, settings: ReferenceSettings, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Latents [B, 16, V, h, w], w2c [B, V, 4, 4], slots [V] (the batch's) and views [B, V] of the bank."""

    def happens(share: float) -> bool:
        return float(torch.rand((), generator=generator)) < share

    matches = clips["bank_matches"]
    num_slots = matches.shape[1]
    fewest, most = min(settings.fewest, num_slots), min(settings.most, num_slots)
    count = int(torch.randint(fewest, most + 1, (), generator=generator))
    slots = torch.randperm(num_slots, generator=generator)[:count].sort().values
    views = matches[:, slots.to(matches.device)]  # [B, V]
    if happens(settings.shuffled):
        views = views[:, torch.randperm(count, generator=generator).to(views.device)]
    rows = torch.arange(len(views), device=views.device)[:, None]
    latents = clips["bank_latents"][rows, views].transpose(1, 2)  # [B, V, 16, h, w] -> [B, 16, V, h, w]
    if happens(settings.masked):
        hidden = _rectangles(latents, settings.largest_mask, generator)
        latents = torch.where(hidden, _grey(clips).to(latents), latents)
    return latents, clips["bank_w2c"][rows, views], slots, views


def batch_pairs(bank_tokens: Tensor, views: Tensor) -> TokenCorrespondences:
    """The pairs of a batch whose clips have chosen views, numbered sample by sample.

    Args:
        bank_tokens: [B, R, n, m], 1 = same surface.
        views: [B, V] the view of the bank that each reference shows.
    """
    rows = torch.arange(len(views), device=views.device)[:, None]
    chosen = bank_tokens[rows, views].transpose(1, 2)  # [B, V, n, m] -> [B, n, V, m]
    batch, num_targets, num_views, per_view = chosen.shape
    sample, target, view, token = chosen.nonzero(as_tuple=True)
    num_references = num_views * per_view
    return TokenCorrespondences(
        target=sample * num_targets + target,
        reference=sample * num_references + view * per_view + token,
        num_targets=batch * num_targets,
        num_references=batch * num_references,
    )


def _rectangles(latents: Tensor, largest: float, generator: torch.Generator) -> Tensor:
    """[B, 1, V, h, w] bool, True inside one random rectangle per view."""
    batch, _, views, *sizes = latents.shape
    inside = torch.ones(batch, 1, views, *sizes, dtype=torch.bool)
    for axis, size in enumerate(sizes):
        side = torch.rand(batch, 1, views, 1, 1, generator=generator) * largest * size
        start = torch.rand(batch, 1, views, 1, 1, generator=generator) * (size - side)
        cells = (torch.arange(size) + 0.5).view(*[1] * (3 + axis), size, *[1] * (1 - axis))
        inside &= (cells >= start) & (cells < start + side)
    return inside.to(latents.device)
