"""A camera path drawn on the picture it starts from, in perspective."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .cameras import Cameras, project
from .trajectory import Trajectory
from .trajectory_plot import BACKGROUND, END, MIDDLE, START

SUPERSAMPLING = 2
# A camera nearer than this share of the way's length would fill the picture.
NEAREST = 0.02


def draw_on_picture(
    image: Tensor, camera: Cameras, trajectory: Trajectory, line: Tensor | None = None
) -> Tensor:
    """Draw where a trajectory goes on the picture that a camera took.

    Dots are camera centres, near ones large; start green, end red. What lies behind the camera is not drawn.

    Args:
        image: [3, H, W] in 0..1.
        camera: the picture's, one frame, at its size.
        trajectory: whose centres are drawn.
        line: [N, 2] pixels, a line that was drawn, or None; it is dashed white.

    Returns:
        [H, W, 3] float32 in 0..1.
    """
    from PIL import Image, ImageDraw

    height, width = camera.height, camera.width
    pixels = (image.detach().cpu().clamp(0, 1).movedim(0, -1) * 255).round().to(torch.uint8).numpy()
    picture = Image.fromarray(pixels).resize((width * SUPERSAMPLING, height * SUPERSAMPLING))
    draw = ImageDraw.Draw(picture, "RGBA")
    unit = SUPERSAMPLING * min(height, width) / 480
    if line is not None:
        points = [(x * SUPERSAMPLING, y * SUPERSAMPLING) for x, y in line.tolist()]
        if len(points) > 1:
            draw.line(points, fill=(255, 255, 255, 170), width=max(1, round(2 * unit)))
        for x, y in points if len(points) <= 50 else []:
            radius = 4 * unit
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], outline=(255, 255, 255, 220))

    centers = trajectory.cameras.centers.detach().cpu().double()
    K, w2c = camera.K[:1].cpu().double(), camera.w2c[:1].cpu().double()
    xy, z = project(centers, K, w2c)
    length = float((centers.diff(dim=0).norm(dim=-1)).sum()) if len(centers) > 1 else 1.0
    visible = z[0] > NEAREST * max(length, 1e-9)
    last = max(len(centers) - 1, 1)
    # Far dots first, so that near ones lie over them.
    for frame in sorted(range(len(centers)), key=lambda index: -float(z[0, index])):
        if not bool(visible[frame]):
            continue
        x, y = (xy[0, frame] * SUPERSAMPLING).tolist()
        size = float((length / (3 * z[0, frame])).clamp(0.25, 1.2)) * 9 * unit
        colour = _mix(frame / last)
        rim = size + 1.2 * unit
        draw.ellipse([x - rim, y - rim, x + rim, y + rim], fill=(*BACKGROUND, 200))
        draw.ellipse([x - size, y - size, x + size, y + size], fill=(*colour, 235))
    small = picture.resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(small, dtype=np.float32) / 255)


def _mix(share: float) -> tuple[int, ...]:
    a, b, share = (START, MIDDLE, 2 * share) if share < 0.5 else (MIDDLE, END, 2 * share - 1)
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
