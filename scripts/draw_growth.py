"""Draw assets/memory_growth.png: a memory before and after three clips of the demo's room.

    python scripts/draw_growth.py [--drawn views.pt]

Pictures are drawn by casting rays and depth is exact, but each clip's depth comes at a scale and shift of its
own, with waves, and one frame of the last clip is noise. Drawing takes minutes; with --drawn the
drawn views are kept in a file and used again.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import interpolate

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from worldstereo_core.commands.demo_scene import START, cast_depth, draw_view, start_camera  # noqa: E402
from worldstereo_core.geometry.cameras import Cameras, fov_to_K, look_at, project  # noqa: E402
from worldstereo_core.geometry.render import render_points  # noqa: E402
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory  # noqa: E402
from worldstereo_core.memory.pictures import CLIP_COLOURS  # noqa: E402
from worldstereo_core.memory.update_report import UpdateReport  # noqa: E402

HEIGHT, WIDTH = 288, 448
SAMPLES, CLIP_SAMPLES, KEPT = 4, 2, 3
# Where each clip ends and what it looks at, metres in the room; all start with the first picture's camera.
CLIPS = (
    ((1.7, -0.3, -0.5), (-0.9, 0.3, 3.2)),
    ((-1.7, -0.4, -0.3), (1.3, 0.3, 3.6)),
    ((0.5, -0.9, 1.6), (0.6, 0.5, 4.4)),
)
# 1 / depth = scale / estimate + shift of each clip's estimator.
LINES = ((3.1, 0.02), (0.35, -0.03), (12.0, 0.05))
BROKEN = 1  # which kept frame of the last clip is noise
EDGES = 0.15
CELL = 0.003  # median depths: a pixel of these small pictures
PAPER, INK, BACK = (250, 249, 246), (30, 32, 36), (0.93, 0.93, 0.92)
CEILING = -1.35  # what lies above is taken off for the view from above


@dataclass(frozen=True)
class Drawn:
    """The first picture and the clips' kept frames, in the room's world."""

    picture: Tensor
    depth: Tensor
    w2c: Tensor  # [clips, frames, 4, 4]
    frames: Tensor  # [clips, frames, 3, H, W]
    depths: Tensor  # [clips, frames, H, W]


def draw_all() -> Drawn:
    start, K = start_camera(HEIGHT, WIDTH)
    picture = draw_view(start, K, HEIGHT, WIDTH, SAMPLES)
    w2c, frames, depths = [], [], []
    for end, target in CLIPS:
        for step in range(1, KEPT + 1):
            share = step / KEPT
            eye = torch.lerp(torch.tensor(START), torch.tensor(end), share)
            ahead = torch.tensor([0.0, -0.1, 3.0])
            w2c.append(look_at(eye, torch.lerp(ahead, torch.tensor(target), share)))
            frames.append(draw_view(w2c[-1], K, HEIGHT, WIDTH, CLIP_SAMPLES))
            depths.append(cast_depth(w2c[-1], K, HEIGHT, WIDTH))
            print(f"drew {len(frames)} of {len(CLIPS) * KEPT}", flush=True)

    def by_clip(parts: list[Tensor]) -> Tensor:
        return torch.stack(parts).unflatten(0, (len(CLIPS), KEPT))

    depth = cast_depth(start, K, HEIGHT, WIDTH)
    return Drawn(picture, depth, by_clip(w2c), by_clip(frames), by_clip(depths))


def estimate(depth: Tensor, line: tuple[float, float], seed: int) -> Tensor:
    """Depth as an estimator with a scale and shift of its own gives it, with waves of half a percent."""
    scale, shift = line
    waves = torch.randn(1, 1, 6, 9, generator=torch.Generator().manual_seed(seed)).double()
    guess = scale / (1 / depth.double() - shift)
    return (guess * (1 + 0.005 * interpolate(waves, depth.shape, mode="bicubic")[0, 0])).float()


def grow(drawn: Drawn) -> tuple[list[GeometricMemory], list[UpdateReport]]:
    start, K = start_camera(HEIGHT, WIDTH)
    memories = [initialise_memory(drawn.picture, drawn.depth, K, start, edge_threshold=EDGES)]
    reports = []
    for clip in range(len(CLIPS)):
        depths = torch.stack(
            [estimate(depth, LINES[clip], 10 * clip + i) for i, depth in enumerate(drawn.depths[clip])]
        )
        if clip == len(CLIPS) - 1:
            depths[BROKEN] = torch.rand(depths[BROKEN].shape, generator=torch.Generator().manual_seed(9)) * 40
        # An update leaves out the first frame, which repeats the last of the clip before.
        repeat = [0, *range(KEPT)]
        cameras = Cameras(drawn.w2c[clip][repeat], K.expand(KEPT + 1, 3, 3), HEIGHT, WIDTH)
        grown, report = memories[-1].update(
            drawn.frames[clip][repeat],
            cameras,
            depths[repeat],
            keep_frames=KEPT,
            align_scale=True,
            alignment="robust",
            fusion="voxel",
            cell=CELL * memories[-1].median_depth,
            edge_threshold=EDGES,
        )
        memories.append(grown)
        reports.append(report)
        print(report.text)
        print(report.table)
    return memories, reports


def overview(memory: GeometricMemory, height: int, width: int) -> Image.Image:
    """The room from above and behind, its ceiling taken off, with the cameras of the views."""
    cut = memory.points.select(memory.points.xyz[:, 1] > CEILING)
    w2c = look_at(torch.tensor([0.1, -5.1, -4.9]), torch.tensor([0.1, 0.45, 1.75]))[None]
    camera = Cameras(w2c, fov_to_K(0.83, height, width)[None], height, width)
    image = _image(render_points(cut, camera, radius=0.007, background=BACK).image[0])
    draw = ImageDraw.Draw(image)
    for view in memory.views:
        colour = tuple(round(255 * part) for part in CLIP_COLOURS[view.clip]) if view.clip else INK
        c2w = torch.linalg.inv(view.w2c)
        corners = torch.tensor([[0.0, 0, 0], [-0.25, -0.16, 0.38], [0.25, -0.16, 0.38], [0.25, 0.16, 0.38]])
        corners = torch.cat([corners, torch.tensor([[-0.25, 0.16, 0.38]])])
        xy = project(corners @ c2w[:3, :3].T + c2w[:3, 3], camera.K[0], w2c[0])[0].tolist()
        eye, rim = tuple(xy[0]), [tuple(corner) for corner in xy[1:]]
        for corner, after in zip(rim, [*rim[1:], rim[0]], strict=True):
            draw.line([eye, corner], colour, 2)
            draw.line([corner, after], colour, 2)
    return image


def inside(memory: GeometricMemory, height: int, width: int) -> Image.Image:
    """A view from where no clip was: grey is a hole."""
    w2c = look_at(torch.tensor([-1.1, -0.5, 0.9]), torch.tensor([1.5, 0.35, 3.9]))[None]
    camera = Cameras(w2c, fov_to_K(1.25, height, width)[None], height, width)
    return _image(memory.render(camera, radius=0.009).image[0])


def compose(memories: list[GeometricMemory], reports: list[UpdateReport]) -> Image.Image:
    column, top, gap, text = 620, 400, 12, 118
    low = 300
    page = Image.new("RGB", (2 * column + 3 * gap, top + low + 4 * gap + text + 34), PAPER)
    draw = ImageDraw.Draw(page)
    large, small = ImageFont.load_default(22), ImageFont.load_default(17)
    titles = ("Memory of one picture", "After three clips")
    for index, memory in enumerate((memories[0], memories[-1])):
        x = gap + index * (column + gap)
        title = f"{titles[index]}: {memory.points.num_points:,} points, {len(memory.views)} view"
        draw.text((x, gap), title + ("s" if len(memory.views) > 1 else ""), INK, large)
        page.paste(overview(memory, top, column), (x, gap + 34))
        page.paste(inside(memory, low, column), (x, top + 2 * gap + 34))
    y = top + low + 3 * gap + 34
    heading = "Each clip's depth came at a scale of its own; found by what memory and frames share:"
    draw.text((gap, y), heading, INK, small)
    for clip, report in enumerate(reports):
        assert report.alignment is not None
        found = [entry.fit.scale for entry in report.alignment.frames if entry.fit is not None]
        worst = max(abs(scale / LINES[clip][0] - 1) for scale in found)
        rejected = report.alignment.with_status("rejected")
        words = (
            f"clip {clip + 1}: given x {LINES[clip][0]:g}, found x {found[0]:.4g}, off by at most {worst:.1%}"
        )
        if rejected:
            words += f"; frame {rejected[0]}, whose depth is noise, was found and left out"
        square = tuple(round(255 * part) for part in CLIP_COLOURS[clip + 1])
        draw.rectangle((gap, y + 31 + 25 * clip, gap + 12, y + 43 + 25 * clip), square)
        draw.text((gap + 22, y + 26 + 25 * clip), words, INK, small)
    return page


def _image(picture: Tensor) -> Image.Image:
    values = (picture.clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(values.permute(1, 2, 0).numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drawn", type=Path, help="where to keep the drawn views")
    args = parser.parse_args()
    if args.drawn is not None and args.drawn.is_file():
        drawn = Drawn(**torch.load(args.drawn))
    else:
        drawn = draw_all()
        if args.drawn is not None:
            torch.save(vars(drawn), args.drawn)
    page = compose(*grow(drawn)).quantize(256, dither=Image.Dither.FLOYDSTEINBERG)
    page.save(ROOT / "assets" / "memory_growth.png", optimize=True)


if __name__ == "__main__":
    main()
