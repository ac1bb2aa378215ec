"""What the templates' thumbnails are drawn from: the demo's room, its picture, its points, camera moves."""

from __future__ import annotations

import math
from typing import Any

import torch
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFilter, ImageOps
from torch import Tensor

from worldstereo_core.commands.demo_scene import cast_depth, draw_view, start_camera
from worldstereo_core.geometry.cameras import Cameras, fov_to_K, look_at, project
from worldstereo_core.geometry.trajectory import Trajectory, build_trajectory
from worldstereo_core.memory.match_pictures import draw_matches
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory

Image = Pillow.Image
Colour = tuple[int, int, int]
WIDTH, HEIGHT = 640, 400
SAMPLES = 9
GOLD, TEAL, WHITE, RED = (240, 190, 60), (70, 210, 200), (255, 255, 255), (235, 100, 90)
EYE, AIM = (0.3, -5.2, -4.6), (0.2, 0.6, 3.2)  # from above and behind, on the room


class Scene:
    """The demo's room seen by its first camera, and the memory of that picture."""

    def __init__(self) -> None:
        self.w2c, self.K = start_camera(HEIGHT, WIDTH)
        self.picture = draw_view(self.w2c, self.K, HEIGHT, WIDTH, SAMPLES)
        depth = cast_depth(self.w2c, self.K, HEIGHT, WIDTH)
        self.memory = initialise_memory(self.picture, depth, self.K)

    def move(
        self, preset: str, amount_deg: float = 0.0, start: Trajectory | None = None, **settings: Any
    ) -> Trajectory:
        """A camera move of 21 frames from the first picture, or from where another one ends."""
        camera = (torch.eye(4), self.K) if start is None else (start.w2c[-1], self.K)
        return build_trajectory(
            preset,
            start=camera,
            height=HEIGHT,
            width=WIDTH,
            amount_deg=amount_deg,
            pivot_depth=self.memory.median_depth,
            **settings,
        )

    def film_strip(self, trajectory: Trajectory) -> Image:
        """The picture, and over it what the camera sees of its points along the move."""
        image = to_image(self.picture)
        draw = ImageDraw.Draw(image)
        frames = self.memory.render(trajectory.cameras[[5, 10, 15, 20]]).image
        width, height = 146, 91
        for number, frame in enumerate(frames):
            x, y = 11 + number * (width + 11), HEIGHT - height - 14
            draw.rectangle((x - 3, y - 3, x + width + 2, y + height + 2), WHITE)
            image.paste(to_image(frame).resize((width, height), Pillow.Resampling.LANCZOS), (x, y))
        return image

    def halves(self, trajectory: Trajectory) -> Image:
        """The picture on the left, the view at the end of the move on the right."""
        end = to_image(self.memory.render(trajectory.cameras[[trajectory.num_frames - 1]]).image[0])
        return side_by_side(to_image(self.picture), end)

    def around(self) -> Tensor:
        """[3, HEIGHT, WIDTH] all around the first camera: 360 degrees wide, 112 high, four views joined."""
        longitude = (torch.arange(WIDTH) + 0.5) / WIDTH * 2 * math.pi - math.pi
        latitude = math.radians(56) - (torch.arange(HEIGHT) + 0.5) / HEIGHT * math.radians(112)
        picture = torch.zeros(3, HEIGHT, WIDTH)
        K = fov_to_K(math.radians(124), HEIGHT, HEIGHT)
        for quarter in range(4):
            yaw = quarter * math.pi / 2
            turn = torch.eye(4)
            turn[0, 0] = turn[2, 2] = math.cos(yaw)
            turn[0, 2], turn[2, 0] = -math.sin(yaw), math.sin(yaw)
            view = draw_view(turn @ self.w2c, K, HEIGHT, HEIGHT, 4)
            angle = torch.remainder(longitude - yaw + math.pi, 2 * math.pi) - math.pi
            ahead = angle.abs() <= math.pi / 4 + 1e-4
            side = angle[ahead].tan().expand(HEIGHT, -1)
            down = -latitude.tan()[:, None] / angle[ahead].cos()
            grid = torch.stack([side, down], dim=-1) * K[0, 0] / (HEIGHT / 2)
            seen = torch.nn.functional.grid_sample(view[None], grid[None], align_corners=False)
            picture[:, :, ahead] = seen[0]
        return picture

    def restyled(self, trajectory: Trajectory) -> Image:
        """The room as it is on the left, drawn with flat colours and outlines on the right."""
        camera = trajectory.cameras[[trajectory.num_frames - 1]]
        view = to_image(draw_view(camera.w2c[0] @ self.w2c, self.K, HEIGHT, WIDTH, SAMPLES))
        smooth = view.filter(ImageFilter.MedianFilter(7))
        hue, saturation, value = smooth.convert("HSV").split()
        warm = Pillow.merge("HSV", (hue, saturation.point(lambda s: min(255, int(1.5 * s))), value))
        flat = warm.convert("RGB").quantize(20, dither=Pillow.Dither.NONE).convert("RGB")
        lines = smooth.convert("L").filter(ImageFilter.FIND_EDGES).filter(ImageFilter.MaxFilter(3))
        ink = ImageOps.crop(lines.point(lambda edge: 255 if edge > 34 else 0), 3)
        flat.paste((54, 36, 58), (3, 3), ink)
        return side_by_side(view, flat)

    def view(self, camera: Cameras) -> Image:
        """The room itself as one camera sees it."""
        return to_image(draw_view(camera.w2c[0] @ self.w2c, self.K, HEIGHT, WIDTH, SAMPLES))

    def matches(self, trajectory: Trajectory) -> Image:
        """What the first picture and the end of a move share: lines above, colours below."""
        cameras = trajectory.cameras[[0, trajectory.num_frames - 1]]
        w2c = cameras.w2c[1] @ self.w2c
        frames = torch.stack([self.picture, draw_view(w2c, self.K, HEIGHT, WIDTH, SAMPLES)])
        depths = cast_depth(w2c, self.K, HEIGHT, WIDTH).expand(2, -1, -1)  # frame 0 is not kept
        memory, _ = self.memory.update(frames, cameras, depths, keep_frames=1)
        image = Pillow.new("RGB", (WIDTH, HEIGHT))
        for row, style in enumerate(("lines", "colour map")):
            drawn = draw_matches(memory, 0, -1, style, num_lines=24)
            pair = to_image(drawn.image.movedim(-1, 0)).resize(
                (WIDTH, HEIGHT // 2), Pillow.Resampling.LANCZOS
            )
            image.paste(pair, (0, row * HEIGHT // 2))
        return image

    def overview(
        self,
        moves: list[tuple[Trajectory, Colour]],
        eye: tuple[float, float, float] = EYE,
        taken_in: int | None = None,
    ) -> Image:
        """The room's points after the moves, seen from above and behind, with the camera paths.

        Args:
            taken_in: so many of the moves add points; None = all.
        """
        memory = self.memory
        for trajectory, _ in moves[:taken_in]:
            cameras = trajectory.cameras[[0, 5, 10, 15, 20]]
            views = [camera @ self.w2c for camera in cameras.w2c]
            K = cameras.K[0]
            frames = torch.stack([draw_view(view, K, HEIGHT, WIDTH, 4) for view in views])
            depths = torch.stack([cast_depth(view, K, HEIGHT, WIDTH) for view in views])
            memory, _ = memory.update(frames, cameras, depths, keep_frames=4)
        points = memory.points.select(memory.points.xyz[:, 1] > -1.2)  # without the ceiling
        w2c = look_at(torch.tensor(eye), torch.tensor(AIM))[None]
        K = fov_to_K(0.95, HEIGHT, WIDTH)[None]
        seen = GeometricMemory(points, memory.views, memory.median_depth).render(
            Cameras(w2c, K, HEIGHT, WIDTH), radius=0.006, background=0.1
        )
        image = to_image(seen.image[0])
        draw = ImageDraw.Draw(image)
        for trajectory, colour in reversed(moves):  # the first move on top
            path, _ = project(trajectory.cameras.centers[None], K, w2c)
            draw.line([tuple(point) for point in path[0].tolist()], colour, 4, joint="curve")
            for frame in (0, 10, 20):
                _draw_camera(draw, trajectory, frame, K, w2c, colour)
        return image


def side_by_side(left: Image, right: Image) -> Image:
    """Left half of one picture, right half of another, a white line between."""
    image = left.copy()
    image.paste(right.crop((WIDTH // 2, 0, WIDTH, HEIGHT)), (WIDTH // 2, 0))
    ImageDraw.Draw(image).line((WIDTH // 2, 0, WIDTH // 2, HEIGHT), WHITE, 3)
    return image


def to_image(picture: Tensor) -> Image:
    """[3, H, W] 0..1 as a Pillow image."""
    return Pillow.fromarray((picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())


def _draw_camera(
    draw: ImageDraw.ImageDraw, trajectory: Trajectory, frame: int, K: Tensor, w2c: Tensor, colour: Colour
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
