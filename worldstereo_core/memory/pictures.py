"""Pictures of a memory for the eye: the cloud from above, chosen references, recoloured points."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..checks import WorldStereoError
from ..geometry.point_cloud import PointCloud
from .memory import GeometricMemory
from .retrieval import References

if TYPE_CHECKING:
    from PIL.Image import Image

Colouring = Literal["pictures", "clip", "confidence"]

# One colour per clip, in turn; neighbours differ in hue and in brightness.
CLIP_COLOURS = (
    (0.75, 0.75, 0.75),
    (0.90, 0.35, 0.25),
    (0.25, 0.60, 0.90),
    (0.95, 0.75, 0.20),
    (0.40, 0.75, 0.35),
    (0.65, 0.40, 0.85),
    (0.25, 0.75, 0.75),
)
BACKGROUND = (24, 26, 30)
MAX_DRAWN_POINTS = 200_000


def recoloured(points: PointCloud, colouring: Colouring) -> PointCloud:
    """The same points in other colours: their own, one colour per clip, or confidence from black to white."""
    if colouring == "pictures":
        return points
    if colouring == "clip":
        colours = points.rgb.new_tensor(CLIP_COLOURS)[points.clip.long() % len(CLIP_COLOURS)]
    elif colouring == "confidence":
        colours = points.confidence[:, None].expand(-1, 3).to(points.rgb)
    else:
        raise WorldStereoError(f'colours: got "{colouring}", expected pictures, clip or confidence.')
    return replace(points, rgb=colours)


def draw_memory(memory: GeometricMemory, size: int = 512) -> Tensor:
    """Draw the cloud from above with the cameras of the views.

    World x goes right and world z (forward) up. Cameras are drawn as wedges that open where they look, in the
    colour of their clip. What lies outside the middle 98 % of the points is cut.

    Returns: [size, size, 3] in 0..1.
    """
    from PIL import ImageDraw

    xyz, rgb = memory.points.xyz.cpu(), memory.points.rgb.cpu()
    step = max(1, len(xyz) // MAX_DRAWN_POINTS)
    xyz, rgb = xyz[::step], rgb[::step]
    cameras = torch.stack([torch.linalg.inv(view.w2c.cpu()) for view in memory.views])
    plan = torch.cat([_middle(xyz[:, (0, 2)]), cameras[:, (0, 2), 3]])
    low, high = plan.amin(dim=0), plan.amax(dim=0)
    scale = 0.9 * size / float((high - low).max().clamp_min(1e-6))
    centre = (low + high) / 2

    def place(x_z: Tensor) -> Tensor:
        return size / 2 + (x_z - centre) * scale * x_z.new_tensor([1, -1])

    canvas = torch.tensor(BACKGROUND, dtype=torch.float32).expand(size, size, 3) / 255
    canvas = canvas.clone()
    order = xyz[:, 1].argsort(descending=True)  # y points down: the highest points are drawn last
    pixels = place(xyz[order][:, (0, 2)]).long()
    inside = ((pixels >= 0) & (pixels < size)).all(dim=1)
    canvas[pixels[inside, 1], pixels[inside, 0]] = rgb[order][inside].clamp(0, 1)
    picture = to_pil(canvas)
    draw = ImageDraw.Draw(picture)
    length = 0.06 * size / scale
    for view, c2w in zip(memory.views, cameras, strict=True):
        half = length * view.width / (2 * float(view.K[0, 0]))
        corners = torch.tensor([[0.0, 0, 0, 1], [-half, 0, length, 1], [half, 0, length, 1]])
        outline = place((corners @ c2w.T)[:, (0, 2)])
        colour = tuple(round(255 * part) for part in CLIP_COLOURS[view.clip % len(CLIP_COLOURS)])
        draw.polygon([(float(x), float(y)) for x, y in outline], outline=colour, width=2)
    draw.text((8, 6), f"{memory.points.num_points:,} points, {len(memory.views)} views", fill="white")
    draw.text((8, size - 18), f"from above, {size / scale:.3g} scene units across", fill="white")
    return from_pil(picture)


def draw_references(references: References, height: int = 192) -> Tensor:
    """Draw the chosen views side by side, each with the key frame it is used at and its score.

    Returns: [height, W, 3] in 0..1.
    """
    from PIL import ImageDraw

    tiles = []
    facts = zip(references.views, references.slots.tolist(), references.scores.tolist(), strict=True)
    for view, slot, score in facts:
        width = max(96, round(height * view.width / view.height))
        image = interpolate(
            view.image[None].cpu().float() / 255, (height, width), mode="bilinear", antialias=True
        )
        picture = to_pil(image[0].movedim(0, -1))
        draw = ImageDraw.Draw(picture)
        draw.rectangle((0, 0, width, 28), fill=(0, 0, 0))
        draw.text((4, 1), f"key frame {slot + 1}: {view.name}", fill="white")
        draw.text((4, 14), f"overlap {score:.2f}", fill="white")
        tiles.append(from_pil(picture))
    return torch.cat(tiles, dim=1)


def _middle(values: Tensor) -> Tensor:
    """[2, D] the 1st and 99th percentile of every column; nothing for no values."""
    if len(values) == 0:
        return values
    ranked = values.sort(dim=0).values
    last = len(values) - 1
    return ranked[[round(0.01 * last), round(0.99 * last)]]


def to_pil(image: Tensor) -> Image:
    """[H, W, 3] in 0..1 as a picture of Pillow."""
    from PIL import Image

    return Image.fromarray((image.clamp(0, 1) * 255).round().to(torch.uint8).numpy())


def from_pil(picture: Any) -> Tensor:
    """A picture of Pillow as [H, W, 3] in 0..1."""
    import numpy as np

    return torch.from_numpy(np.asarray(picture).copy()).float() / 255
