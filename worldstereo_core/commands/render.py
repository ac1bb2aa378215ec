"""render: draw the points of one photo along a camera path. Needs no model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from ..geometry.cameras import Cameras
    from ..geometry.render import RenderedFrames
    from .scene_files import Source

DESCRIPTION = """\
Lift a photo to points with its depth and draw them from every camera of a camera.json or a path: the
pictures, and the masks of what the photo never saw, that a WorldStereo model takes as its guide. Needs no
model.

Writes into the output folder, at the size that camera.json's K refers to (with --path: the photo's):
  frame_0000.png …  the points; grey where nothing was seen
  mask_0000.png …   255 = hole
  render.mp4        the frames at 16 per second
Either all of these are written or none."""

EPILOG = """\
The source camera is K and w2c of the depth NPZ when it has them, else frame 0 of camera.json.

--path takes waypoints as JSON, as the ComfyUI nodes and their editor write them (Build Camera Path gives it
out; worldstereo_core/formats/camera_path.py describes it). It is drawn at the photo's size. Without K and w2c
in the depth file the photo was taken at the world's origin, with the first waypoint's field of view.

example:
  python -m worldstereo_core render --image photo.png --depth depth.npz --camera camera.json --output out"""

FRAMES_PER_SECOND = 16
EASINGS = ("linear", "smooth", "ease in", "ease out")  # help must not wait for torch


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "render",
        help="draw a photo's points along a camera path",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--image", type=Path, required=True, help="the photo (PNG, JPEG, WebP)")
    parser.add_argument(
        "--depth",
        type=Path,
        required=True,
        help="its depth, camera z in the units of the cameras, 0 = no data: NPZ (depth, optional K and w2c), "
        "NPY, EXR or 16-bit PNG",
    )
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--camera", type=Path, help="camera.json with extrinsic (w2c) and intrinsic (K)")
    way.add_argument("--path", type=Path, metavar="PATH.JSON", help="camera path with waypoints, see below")
    parser.add_argument("--frames", type=int, default=21, help="frames along a --path (21)")
    add_easing(parser)
    parser.add_argument("--output", type=Path, required=True, help="folder for the frames, masks and video")
    add_png_scale(parser)
    add_render_options(parser)
    parser.add_argument(
        "--paste-first",
        action="store_true",
        help="put the photo itself in place of frame 0 and clear its mask",
    )
    parser.set_defaults(run=run)


def add_png_scale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--png-scale", type=float, default=0.001, help="scene units per step of a 16-bit PNG depth (0.001)"
    )


def add_easing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--easing",
        choices=EASINGS,
        default="smooth",
        help="speed over a whole --path, on top of its waypoints' own (smooth)",
    )


def add_render_options(parser: argparse.ArgumentParser) -> None:
    """Options of the point renderer, shared by the commands that draw."""
    parser.add_argument(
        "--radius", type=float, default=0.008, help="point radius, in half short sides of the picture (0.008)"
    )
    parser.add_argument(
        "--points-per-pixel",
        type=int,
        default=8,
        help="nearest points blended per pixel (8; official: 20)",
    )
    parser.add_argument(
        "--edge-threshold",
        type=float,
        default=0.35,
        help="drop points at depth edges; higher drops more, 0 drops none (0.35)",
    )
    parser.add_argument(
        "--edge-mode",
        choices=("masked", "official"),
        default="masked",
        help="masked looks for edges between pixels with depth; official is the released behaviour, which "
        "misses them as soon as a pixel has no depth (masked)",
    )
    parser.add_argument(
        "--far-contraction",
        type=float,
        default=8.0,
        help="pull depth beyond this many medians nearer; 0 leaves it (8)",
    )


def run(args: argparse.Namespace) -> int:
    from ..geometry.path_spline import sample_path
    from ..geometry.pictures import fit_pictures, paste_first_frame
    from ..tensor_writer import saying_why_not
    from .scene_files import photo_camera, read_cameras, read_path_file, read_source
    from .staging import staged_folder

    path = None if args.path is None else read_path_file("--path", args.path)
    first = (
        read_cameras("--camera", args.camera, args.image) if path is None else photo_camera(path, args.image)
    )
    source = read_source(args.image, args.depth, first, png_scale=args.png_scale)
    cameras = first
    if path is not None:
        height, width = source.size
        move = sample_path(path, args.frames, easing=args.easing, height=height, width=width)
        cameras = move.cameras
    rendered = draw(source, cameras, args)
    if args.paste_first:
        picture = fit_pictures(source.image[None], cameras.height, cameras.width, "stretch")[0]
        rendered = paste_first_frame(rendered, picture)
    frames, masks = floor_to_bytes(rendered.image), rendered.hole_mask
    with (
        saying_why_not(f"--output: {args.output}"),
        staged_folder(args.output, replaces=("frame_*.png", "mask_*.png")) as stage,
    ):
        write_render(stage, frames, masks)
    print(
        f"{args.output}: {len(frames)} frames of {cameras.height} x {cameras.width} (height x width), "
        f"{100 * float(masks.mean()):.1f} % holes"
    )
    return 0


def draw(source: Source, cameras: Cameras, args: argparse.Namespace) -> RenderedFrames:
    """Draw the photo's points into every camera."""
    from ..geometry.point_cloud import depth_to_points
    from ..geometry.render import render_points
    from .progress import progress_bar

    points = depth_to_points(
        source.image,
        source.depth,
        source.K,
        source.w2c,
        edge_threshold=args.edge_threshold,
        edge_mode=args.edge_mode,
        far_contraction=args.far_contraction,
    )
    with progress_bar(f"render {points.num_points:,} points") as progress:
        return render_points(
            points, cameras, radius=args.radius, points_per_pixel=args.points_per_pixel, progress=progress
        )


def floor_to_bytes(image: Tensor) -> Tensor:
    """Cut 0..1 to steps of 1/255, downwards, as the released pipeline writes its renders."""
    return (image * 255).floor().clamp(0, 255) / 255


def write_render(folder: Path, frames: Tensor, masks: Tensor) -> None:
    from ..formats.images import write_png
    from ..formats.video import write_mp4

    for number, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
        write_png(folder / f"frame_{number:04d}.png", frame)
        write_png(folder / f"mask_{number:04d}.png", mask)
    write_mp4(folder / "render.mp4", frames, fps=FRAMES_PER_SECOND)
