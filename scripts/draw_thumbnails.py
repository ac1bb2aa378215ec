"""Draw the templates' thumbnails, workflows/*.jpg, from the demo's room: its picture and its points.

    python scripts/draw_thumbnails.py

They show what the templates compute before the model runs; no clip of the model is in them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from worldstereo_core.commands.demo_scene import cast_depth, draw_view, start_camera  # noqa: E402
from worldstereo_core.geometry.cameras import Cameras, fov_to_K, look_at, project  # noqa: E402
from worldstereo_core.geometry.trajectory import Trajectory, build_trajectory  # noqa: E402
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory  # noqa: E402

WIDTH, HEIGHT = 640, 400
SAMPLES = 9
GOLD, TEAL, WHITE = (240, 190, 60), (70, 210, 200), (255, 255, 255)
QUALITY = 84


def main() -> None:
    w2c, K = start_camera(HEIGHT, WIDTH)
    picture = draw_view(w2c, K, HEIGHT, WIDTH, SAMPLES)
    memory = initialise_memory(picture, cast_depth(w2c, K, HEIGHT, WIDTH), K)
    right = _orbit(memory, "orbit right", 20.0, (torch.eye(4), K))
    left = _orbit(memory, "orbit left", 40.0, (right.w2c[-1], K))
    drawn = {
        "one_clip_from_one_image": film_strip(picture, memory, right),
        "two_clips_and_point_cloud": overview(memory, w2c, [(right, GOLD), (left, TEAL)]),
        "camera_variant_40_steps": halves(picture, memory, right),
    }
    for name, image in drawn.items():
        image.save(ROOT / "workflows" / f"{name}.jpg", quality=QUALITY, optimize=True)


def film_strip(picture: Tensor, memory: GeometricMemory, trajectory: Trajectory) -> Image.Image:
    """The picture, and over it what the camera sees of its points along the move."""
    image = _image(picture)
    draw = ImageDraw.Draw(image)
    frames = memory.render(trajectory.cameras[[5, 10, 15, 20]]).image
    width, height = 146, 91
    for number, frame in enumerate(frames):
        x, y = 11 + number * (width + 11), HEIGHT - height - 14
        draw.rectangle((x - 3, y - 3, x + width + 2, y + height + 2), WHITE)
        image.paste(_image(frame).resize((width, height), Image.Resampling.LANCZOS), (x, y))
    return image


def halves(picture: Tensor, memory: GeometricMemory, trajectory: Trajectory) -> Image.Image:
    """The picture on the left, the view at the end of the move on the right."""
    image = _image(picture)
    end = _image(memory.render(trajectory.cameras[[trajectory.num_frames - 1]]).image[0])
    image.paste(end.crop((WIDTH // 2, 0, WIDTH, HEIGHT)), (WIDTH // 2, 0))
    ImageDraw.Draw(image).line((WIDTH // 2, 0, WIDTH // 2, HEIGHT), WHITE, 3)
    return image


def overview(
    memory: GeometricMemory, start: Tensor, moves: list[tuple[Trajectory, tuple[int, int, int]]]
) -> Image.Image:
    """The room's points after both moves, seen from above and behind, with the two camera paths."""
    for trajectory, _ in moves:
        cameras = trajectory.cameras[[0, 5, 10, 15, 20]]
        views = [camera @ start for camera in cameras.w2c]
        K = cameras.K[0]
        frames = torch.stack([draw_view(view, K, HEIGHT, WIDTH, 4) for view in views])
        depths = torch.stack([cast_depth(view, K, HEIGHT, WIDTH) for view in views])
        memory, _ = memory.update(frames, cameras, depths, keep_frames=4)
    points = memory.points.select(memory.points.xyz[:, 1] > -1.2)  # without the ceiling
    eye = torch.tensor([0.3, -5.2, -4.6])
    w2c = look_at(eye, torch.tensor([0.2, 0.6, 3.2]))[None]
    K = fov_to_K(0.95, HEIGHT, WIDTH)[None]
    seen = GeometricMemory(points, memory.views, memory.median_depth).render(
        Cameras(w2c, K, HEIGHT, WIDTH), radius=0.006, background=0.1
    )
    image = _image(seen.image[0])
    draw = ImageDraw.Draw(image)
    for trajectory, colour in reversed(moves):  # the first move on top
        path, _ = project(trajectory.cameras.centers[None], K, w2c)
        draw.line([tuple(point) for point in path[0].tolist()], colour, 4, joint="curve")
        for frame in (0, 10, 20):
            _draw_camera(draw, trajectory, frame, K, w2c, colour)
    return image


def _draw_camera(
    draw: ImageDraw.ImageDraw, trajectory: Trajectory, frame: int, K: Tensor, w2c: Tensor, colour: tuple
) -> None:
    """A small pyramid where a camera stands."""
    corners = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]]) * torch.tensor(
        [0.26, 0.17, 0.4]
    )
    c2w = trajectory.cameras.c2w[frame]
    world = corners @ c2w[:3, :3].T + c2w[:3, 3]
    flat, _ = project(torch.cat([c2w[None, :3, 3], world])[None], K, w2c)
    tip, *rim = [tuple(point) for point in flat[0].tolist()]
    for corner in rim:
        draw.line([tip, corner], colour, 2)
    draw.polygon(rim, outline=colour, width=2)


def _orbit(memory: GeometricMemory, preset: str, amount: float, start: tuple[Tensor, Tensor]) -> Trajectory:
    return build_trajectory(
        preset,
        start=start,
        height=HEIGHT,
        width=WIDTH,
        amount_deg=amount,
        pivot_depth=memory.median_depth,
    )


def _image(picture: Tensor) -> Image.Image:
    return Image.fromarray((picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())


if __name__ == "__main__":
    main()
