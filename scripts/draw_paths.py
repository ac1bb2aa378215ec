"""Draw assets/camera_paths.jpg: what the nodes for camera paths show, on the demo's room.

python scripts/draw_paths.py [--drawn views.pt]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from room_views import RoomViews, room_views  # noqa: E402

from worldstereo_core.formats.polyline import polyline_from_text  # noqa: E402
from worldstereo_core.geometry.drawn_path import draw_path  # noqa: E402
from worldstereo_core.geometry.path_picture import draw_on_picture  # noqa: E402
from worldstereo_core.geometry.path_spline import sample_path  # noqa: E402
from worldstereo_core.geometry.trajectory_plot import plot_trajectory  # noqa: E402
from worldstereo_core.memory.check_picture import draw_check  # noqa: E402
from worldstereo_core.memory.suggest import suggest_trajectories  # noqa: E402
from worldstereo_core.memory.suggest_picture import draw_suggestions  # noqa: E402
from worldstereo_core.memory.trajectory_check import check_trajectory  # noqa: E402

PAPER, INK, GAP, TITLE = (250, 249, 246), (30, 32, 36), 12, 30
COLUMN = 640
LINE = "30%,95% 60%,76% 68%,60% 56%,52%"


def panels(views: RoomViews) -> list[list[tuple[str, Tensor]]]:
    """Columns of titles and pictures, [H, W, 3]."""
    memory = views.memory()
    first = memory.views[0]
    size = (first.height, first.width)
    assert first.depth is not None
    line = polyline_from_text(LINE, size)
    path = draw_path(line, first.depth, first.camera, reach=0.6, scale=memory.median_depth)
    flown = sample_path(path, 21)
    far = sample_path(draw_path(line, first.depth, first.camera, reach=1.0, scale=memory.median_depth), 21)
    rendered = memory.render(far.cameras)
    checked = check_trajectory(memory, far, rendered)
    picture = first.image.float() / 255
    moves = suggest_trajectories(memory, first.camera, 21)
    return [
        [
            ("Draw Camera Path on Image", draw_on_picture(picture, first.camera, flown, line)),
            ("Sample Camera Path", plot_trajectory(flown, memory.points)),
        ],
        [
            ("Check Camera Trajectory: the same line, flown too far", draw_check(memory, far, checked)),
            ("Suggest Camera Trajectory", draw_suggestions(moves)),
        ],
    ]


def compose(columns: list[list[tuple[str, Tensor]]]) -> Image.Image:
    placed, heights = [], []
    for number, column in enumerate(columns):
        y = GAP
        for title, values in column:
            picture = Image.fromarray((values.clamp(0, 1) * 255).round().to(torch.uint8).numpy())
            height = round(picture.height * COLUMN / picture.width)
            placed.append((GAP + number * (COLUMN + GAP), y, title, picture.resize((COLUMN, height))))
            y += TITLE + height + GAP
        heights.append(y)
    page = Image.new("RGB", (GAP + len(columns) * (COLUMN + GAP), max(heights)), PAPER)
    draw = ImageDraw.Draw(page)
    for x, y, title, picture in placed:
        draw.text((x, y), title, INK, ImageFont.load_default(20))
        page.paste(picture, (x, y + TITLE))
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw assets/camera_paths.jpg.")
    parser.add_argument("--drawn", type=Path, help="where to keep the drawn views")
    page = compose(panels(room_views(parser.parse_args().drawn)))
    page.save(ROOT / "assets" / "camera_paths.jpg", quality=86, optimize=True)


if __name__ == "__main__":
    main()
