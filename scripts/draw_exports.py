"""Draw assets/exported_world.jpg: one world exported for three programs, each seen in its own convention.

    python scripts/draw_exports.py [--drawn views.pt]

Blender renders its folder itself, points and camera script (needs bpy, in this Python). Splats are drawn as
the paper of 3D Gaussian Splatting has it, after what SuperSplat and Spark do with a file's axes: see
worldstereo_core/world/export_targets.py.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from room_views import HEIGHT, WIDTH, room_views  # noqa: E402

from tests.formats.splat_picture import Splats, opened, projected, read_splats  # noqa: E402
from worldstereo_core.formats.point_axes import FROM_OURS  # noqa: E402
from worldstereo_core.geometry.trajectory import build_trajectory  # noqa: E402
from worldstereo_core.memory.memory import GeometricMemory  # noqa: E402
from worldstereo_core.world.export import ExportSettings, export_world  # noqa: E402
from worldstereo_core.world.export_targets import TARGETS  # noqa: E402

PAPER, INK, GAP, TITLE, COLUMN = (250, 249, 246), (30, 32, 36), 12, 50, 448
BACK = np.array([0.93, 0.93, 0.92])
FRAME, FRAMES = 16, 21
UP = {"+y": (0.0, 1, 0), "+z": (0.0, 0, 1)}


def blend(splats: Splats, axes: np.ndarray, centre: np.ndarray, focal: float) -> np.ndarray:
    """[H, W, 3], splat by splat from front to back."""
    near = projected(splats | {"xyz": splats["xyz"] - centre}, axes, focal, HEIGHT, WIDTH)
    image, through = np.zeros((HEIGHT, WIDTH, 3)), np.ones((HEIGHT, WIDTH))
    for xy, inverse, alpha, rgb, depth in zip(*near, strict=True):
        # Viewers widen every splat by 0.3 square pixels, so that none falls between pixels.
        flat = np.linalg.inv(inverse) + 0.3 * np.eye(2)
        reach = 3 * np.sqrt(flat.diagonal())
        (left, top), (right, bottom) = np.floor(xy - reach).astype(int), np.ceil(xy + reach).astype(int)
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, WIDTH), min(bottom, HEIGHT)
        if depth < 0.1 or left >= right or top >= bottom or (reach > 200).any():
            continue
        offset = np.stack(np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5), -1) - xy
        power = -0.5 * np.einsum("yxi,ij,yxj->yx", offset, np.linalg.inv(flat), offset)
        share = through[top:bottom, left:right] * np.minimum(alpha * np.exp(power), 0.99)
        image[top:bottom, left:right] += share[..., None] * rgb
        through[top:bottom, left:right] -= share
    return image + through[..., None] * BACK


def splat_panel(
    folder: Path, target: str, memory: GeometricMemory, eye: tuple[float, float, float]
) -> Image.Image:
    """A view of a folder's splats, upright in its program.

    Args:
        eye: of the viewer, in our world; it looks at the middle of the room.
    """
    file = next(part for part in TARGETS[target].files if "splats" in part.name)
    matrix = np.array(file.opened, dtype=float)
    splats = opened(read_splats(folder / file.name), matrix)
    ours = matrix @ np.array(FROM_OURS[file.axes])
    centre = ours @ np.array(eye)
    above = np.array(UP[TARGETS[target].up])
    ahead = ours @ (np.array([0.1, 0.45, 3.6]) - np.array(eye))
    ahead = ahead / np.linalg.norm(ahead)
    right = np.cross(ahead, above)
    right = right / np.linalg.norm(right)
    axes = np.stack([right, np.cross(ahead, right), ahead])
    focal = float(memory.views[0].K[0, 0])
    return Image.fromarray((blend(splats, axes, centre, focal).clip(0, 1) * 255).round().astype(np.uint8))


def blender_panel(folder: Path, packages: Path | None) -> Image.Image:
    picture = folder / "rendered.png"
    command = [
        sys.executable,
        str(ROOT / "scripts" / "blender_picture.py"),
        str(folder),
        str(picture),
        str(FRAME),
    ]
    environment = os.environ | ({"PYTHONPATH": str(packages)} if packages else {})
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return Image.open(picture).convert("RGB")


def compose(panels: list[tuple[str, str, Image.Image]]) -> Image.Image:
    height = round(HEIGHT * COLUMN / WIDTH)
    page = Image.new("RGB", (GAP + len(panels) * (COLUMN + GAP), height + TITLE + 2 * GAP), PAPER)
    draw = ImageDraw.Draw(page)
    for number, (title, detail, picture) in enumerate(panels):
        x = GAP + number * (COLUMN + GAP)
        draw.text((x, GAP - 4), title, INK, ImageFont.load_default(21))
        draw.text((x, GAP + 22), detail, INK, ImageFont.load_default(15))
        page.paste(picture.resize((COLUMN, height)), (x, GAP + TITLE))
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw assets/exported_world.jpg.")
    parser.add_argument("--drawn", type=Path, help="where to keep the drawn views")
    parser.add_argument("--blender", type=Path, help="folder that bpy was installed into, with pip --target")
    args = parser.parse_args()
    memory = room_views(args.drawn).memory()
    first = memory.views[0]
    move = build_trajectory(
        "orbit right",
        start=(first.w2c, first.K),
        height=first.height,
        width=first.width,
        amount_deg=26,
        num_frames=FRAMES,
        pivot_depth=memory.median_depth,
    )
    with tempfile.TemporaryDirectory() as place:
        for target in ("Blender", "SuperSplat", "three.js"):
            export_world(Path(place) / target, memory, ExportSettings(target), trajectory=move)
        page = compose(
            [
                (
                    "Blender",
                    f"points.ply and camera.py, rendered by Blender, frame {FRAME}",
                    blender_panel(Path(place) / "Blender", args.blender),
                ),
                (
                    "SuperSplat",
                    "splats.ply",
                    splat_panel(Path(place) / "SuperSplat", "SuperSplat", memory, (-1.0, -0.5, 0.5)),
                ),
                (
                    "three.js",
                    "splats.spz",
                    splat_panel(Path(place) / "three.js", "three.js", memory, (1.1, -0.7, 0.2)),
                ),
            ]
        )
    page.save(ROOT / "assets" / "exported_world.jpg", quality=86, optimize=True)


if __name__ == "__main__":
    main()
