"""generate: clips, a point cloud and a memory from one photo."""

from __future__ import annotations

import argparse
from pathlib import Path

from .render import add_easing, add_png_scale, add_render_options

LAYOUT = """\
FOLDER may be ComfyUI's models folder, or a folder with
  model.safetensors + config.json   the WorldStereo file (or worldstereo/<name>.safetensors, or
                                    worldstereo/<name>/model.safetensors + config.json)
  backbone.safetensors              Wan 2.1 I2V 14B 480P (or diffusion_models/*.safetensors); not needed when
                                    the WorldStereo file is complete, as memory-dmd is
  vae.safetensors                   wan_2.1_vae.safetensors (or vae/*.safetensors)
  text_encoder/ tokenizer/          of the diffusers repository Wan2.1-I2V-14B-480P-Diffusers, for --prompt
  image_encoder/                    likewise, CLIP vision
  null_context.safetensors          stands in for the encoders (small models): text_embeds, image_embeds,
                                    negative_embeds"""

DESCRIPTION = f"""\
Generate one clip per camera path from a photo and its depth, clip after clip in one growing memory, and write
  clip_01.mp4 …        the key frames at 16 per second (21 in a released clip)
  world.ply            the memory's points
  memory.safetensors   points and views, for export or for ComfyUI
Every file is whole: after an error or an interrupt the clips finished so far remain, with the memory up to
them.

{LAYOUT}"""

EPILOG = """\
Paths, in the order given: --trajectory "orbit right:30" turns 30 degrees; --trajectory "dolly in:0.4" travels
0.4 median depths; --camera takes a camera.json in the world of the photo's camera (81 poses become 21);
--path takes waypoints as the ComfyUI nodes and their editor write them, in the same world and its units.
Presets: static, dolly in/out, truck left/right, pedestal up/down, pan left/right, tilt up/down,
roll left/right, orbit left/right/up/down, spiral, zoom in/out.

--frame-depth DIR: depth of generated frames, DIR/clip_01/frame_0003.npz (or .npy, .exr, .png) for frame 3 of
clip 1. Only the frames that the memory keeps are needed (of 21: 3, 6, 9, 12, 14, 16, 18 and 20). Without
it, and for later clips that have no folder there yet, the memory gains reference views and no points.

example:
  python -m worldstereo_core generate --model models --image photo.png --depth depth.npz \\
      --trajectory "orbit right:30" --trajectory "orbit left:30" --prompt "a living room" --output out"""


class _AddPath(argparse.Action):
    """Collects --trajectory, --camera and --path in one list, in the order given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        paths = [*(namespace.paths or []), ((option_string or "").lstrip("-"), values)]
        namespace.paths = paths


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "generate",
        help="clips, points and a memory from a photo, its depth and camera paths",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--image", type=Path, required=True, help="the photo")
    parser.add_argument(
        "--depth", type=Path, required=True, help="its depth: NPZ (depth, K, w2c), NPY, EXR or 16-bit PNG"
    )
    parser.add_argument("--fov", type=float, help="horizontal field of view in degrees, where no file has K")
    parser.add_argument("--model", type=Path, required=True, metavar="FOLDER", help="see above")
    for part in ("worldstereo", "backbone", "vae"):
        parser.add_argument(f"--{part}", type=Path, metavar="FILE", help="in place of the one in FOLDER")
    parser.add_argument(
        "--trajectory", action=_AddPath, dest="paths", metavar="PRESET[:AMOUNT]", help="a camera move; repeat"
    )
    parser.add_argument(
        "--camera",
        action=_AddPath,
        dest="paths",
        metavar="CAMERA.JSON",
        help="a camera path from a file; repeat",
    )
    parser.add_argument(
        "--path",
        action=_AddPath,
        dest="paths",
        metavar="PATH.JSON",
        help="a camera path with waypoints (render --help); repeat",
    )
    add_easing(parser)
    parser.add_argument(
        "--frame-depth", type=Path, metavar="DIR", help="depth of generated frames, see below"
    )
    parser.add_argument(
        "--align-frame-depth",
        action="store_true",
        help="that depth comes from an estimator: scale it to the memory (median ratio, reported)",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the results")
    parser.add_argument("--prompt", default="", help="what the world shows")
    parser.add_argument("--negative-prompt", help="what it should not show; used when guidance is above 1")
    parser.add_argument(
        "--text-embeds", type=Path, metavar="FILE", help="safetensors with text_embeds [1, n, 4096]"
    )
    parser.add_argument(
        "--image-embeds", type=Path, metavar="FILE", help="safetensors with image_embeds [1, 257, 1280]"
    )
    parser.add_argument(
        "--size", metavar="HxW", help="picture size; default: the model's size nearest in shape"
    )
    parser.add_argument(
        "--scales",
        metavar="SHARE,...,1",
        help="sizes to make the clip at one after the other, as shares of --size, each guided by the one "
        "before: 0.5,1 is half the size first (1)",
    )
    parser.add_argument(
        "--start-level",
        type=float,
        help="noise that the enlarged clip is mixed with before the next size goes on: 1 forgets it, 0 keeps "
        "it as it is (0.85)",
    )
    parser.add_argument("--frames", type=int, help="key frames per clip (21)")
    parser.add_argument(
        "--steps", type=int, help="denoising steps (the file's own: 4 for memory-dmd, else 40)"
    )
    parser.add_argument("--guidance", type=float, help="guidance (1 for memory-dmd, else 5)")
    parser.add_argument("--seed", type=int, default=1024, help="of the noise (1024)")
    parser.add_argument("--references", type=int, default=8, help="most reference views per clip (8)")
    parser.add_argument(
        "--parts",
        metavar="PART=STRENGTH,…",
        help="strengths of the optional control parts that the WorldStereo file has, e.g. "
        "modulation=1,geometry=0.5; 0 turns one off (each 1)",
    )
    parser.add_argument(
        "--clip-preprocessing",
        choices=("standard", "official"),
        default="standard",
        help="official leaves pixels unscaled, as the released pipelines do (standard)",
    )
    parser.add_argument("--device", help="cuda, cpu or mps (cuda where there is one, else cpu)")
    parser.add_argument("--dtype", choices=("bf16", "fp16", "fp32"), help="bf16 on a GPU, fp32 on the CPU")
    add_png_scale(parser)
    add_render_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from .generate_run import generate

    return generate(args)
