"""Pictures of a memory for the eye: the cloud from above, chosen references, recoloured points."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..checks import WorldStereoError
from ..geometry.cameras import Cameras
from ..geometry.point_cloud import PointCloud
from .coverage import COUNT_COLOURS, Coverage, column_means, counts_to_colours
from .memory import GeometricMemory
from .merging import MemoryDiff
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


def draw_memory(
    memory: GeometricMemory,
    size: int = 512,
    *,
    points: PointCloud | None = None,
    over: PointCloud | None = None,
    trajectory: Cameras | None = None,
    caption: str | None = None,
    dot: int = 1,
) -> Tensor:
    """Draw the cloud from above with the cameras of the views.

    World x goes right and world z (forward) up. Cameras are drawn as wedges that open where they look, in the
    colour of their clip. What lies outside the middle 98 % of the points is cut.

    Args:
        points: drawn in place of the memory's own, e.g. the same in other colours.
        over: drawn over those, however low they lie.
        trajectory: cameras drawn as a white line from a dot, at their start.
        caption: the line at the top, in place of the counts.
        dot: edge of a drawn point, pixels.

    Returns: [size, size, 3] in 0..1.
    """
    from PIL import ImageDraw

    layers = [_from_above(cloud) for cloud in (points or memory.points, over) if cloud is not None]
    cameras = _to_world([view.w2c for view in memory.views])
    path = torch.zeros(0, 3) if trajectory is None else trajectory.centers.cpu()
    plan = torch.cat([*(_middle(x_z) for x_z, _ in layers), cameras[:, (0, 2), 3], path[:, (0, 2)]])
    if len(plan) == 0:
        plan = torch.zeros(1, 2)
    low, high = plan.amin(dim=0), plan.amax(dim=0)
    scale = 0.9 * size / float((high - low).max().clamp_min(1e-6))
    centre = (low + high) / 2

    def place(x_z: Tensor) -> Tensor:
        return size / 2 + (x_z - centre) * scale * x_z.new_tensor([1, -1])

    canvas = torch.tensor(BACKGROUND, dtype=torch.float32).expand(size, size, 3) / 255
    canvas = canvas.clone()
    for x_z, rgb in layers:
        pixels = place(x_z).long()
        inside = ((pixels >= 0) & (pixels <= size - dot)).all(dim=1)
        for step in range(dot * dot):
            canvas[pixels[inside, 1] + step // dot, pixels[inside, 0] + step % dot] = rgb[inside]
    picture = to_pil(canvas)
    draw = ImageDraw.Draw(picture)
    length = 0.06 * size / scale
    for view, c2w in zip(memory.views, cameras, strict=True):
        half = length * view.width / (2 * float(view.K[0, 0]))
        corners = torch.tensor([[0.0, 0, 0, 1], [-half, 0, length, 1], [half, 0, length, 1]])
        outline = place((corners @ c2w.T)[:, (0, 2)])
        colour = tuple(round(255 * part) for part in CLIP_COLOURS[view.clip % len(CLIP_COLOURS)])
        draw.polygon([(float(x), float(y)) for x, y in outline], outline=colour, width=2)
    if len(path):
        line = [(float(x), float(y)) for x, y in place(path[:, (0, 2)])]
        draw.line(line, fill="white", width=2)
        x, y = line[0]
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill="white")
    counts = f"{memory.points.num_points:,} points, {len(memory.views)} views"
    draw.text((8, 6), counts if caption is None else caption, fill="white")
    draw.text((8, size - 18), f"from above, {size / scale:.3g} scene units across", fill="white")
    return from_pil(picture)


def draw_diff(memory: GeometricMemory, diff: MemoryDiff, size: int = 512) -> Tensor:
    """Draw from above what changed on the way to a memory: added green, removed red, kept grey.

    Returns: [size, size, 3] in 0..1.
    """
    both = diff.coloured()
    is_changed = torch.cat([diff.is_added, torch.ones_like(diff.is_removed[diff.is_removed])])
    return draw_memory(
        memory,
        size,
        points=both.select(~is_changed),
        over=both.select(is_changed),
        caption=diff.short_text,
        dot=2,
    )


def draw_coverage(
    memory: GeometricMemory, coverage: Coverage, trajectory: Cameras | None = None, size: int = 512
) -> Tensor:
    """Draw from above how many views saw each place, averaged over its height, with a legend and a path.

    Returns: [size, size, 3] in 0..1.
    """
    from PIL import ImageDraw

    means = column_means(memory.points.xyz, coverage.counts.to(memory.points.xyz.device))
    points = replace(memory.points, rgb=counts_to_colours(means))
    picture = to_pil(
        draw_memory(memory, size, points=points, trajectory=trajectory, caption="seen by", dot=4)
    )
    draw = ImageDraw.Draw(picture)
    last = len(COUNT_COLOURS) - 1
    for number, colour in enumerate(COUNT_COLOURS):
        left = 66 + 40 * number
        draw.rectangle((left, 8, left + 12, 18), fill=tuple(round(255 * part) for part in colour))
        draw.text((left + 16, 6), f"{number}{'+' if number == last else ''}", fill="white")
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


def _to_world(w2c: list[Tensor]) -> Tensor:
    """[V, 4, 4] camera-to-world on the CPU."""
    return torch.linalg.inv(torch.stack(w2c).cpu()) if w2c else torch.zeros(0, 4, 4)


def _from_above(points: PointCloud) -> tuple[Tensor, Tensor]:
    """World x and z [N, 2] and colours [N, 3] of not too many points, the highest last (y points down)."""
    step = max(1, points.num_points // MAX_DRAWN_POINTS)
    xyz, rgb = points.xyz[::step].cpu(), points.rgb[::step].cpu().clamp(0, 1)
    order = xyz[:, 1].argsort(descending=True)
    return xyz[order][:, (0, 2)], rgb[order]


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
