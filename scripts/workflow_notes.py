"""Model files of the templates, with where they come from, and the words on their notes."""

from __future__ import annotations

WAN = "https://huggingface.co/Comfy-Org/Wan_2.1_ComfyUI_repackaged"
RELEASED = "https://huggingface.co/hanshanxue/WorldStereo"


def _file(name: str, directory: str, repository: str, path: str) -> dict[str, str]:
    return {"name": name, "url": f"{repository}/resolve/main/{path}", "directory": directory}


def _wan(name: str, directory: str) -> dict[str, str]:
    return _file(name, directory, WAN, f"split_files/{directory}/{name}")


BACKBONE = _wan("wan2.1_i2v_480p_14B_fp16.safetensors", "diffusion_models")
BACKBONE_FP8 = _wan("wan2.1_i2v_480p_14B_fp8_e4m3fn.safetensors", "diffusion_models")
TEXT_ENCODER = _wan("umt5_xxl_fp8_e4m3fn_scaled.safetensors", "text_encoders")
CLIP_VISION = _wan("clip_vision_h.safetensors", "clip_vision")
VAE = _wan("wan_2.1_vae.safetensors", "vae")
MOGE = _file(
    "moge_2_vitl_normal_fp16.safetensors",
    "geometry_estimation",
    "https://huggingface.co/Comfy-Org/MoGe",
    "geometry_estimation/moge_2_vitl_normal_fp16.safetensors",
)
INTERPOLATION = _file(
    "film_net_fp16.safetensors",
    "frame_interpolation",
    "https://huggingface.co/Comfy-Org/frame_interpolation",
    "frame_interpolation/film_net_fp16.safetensors",
)
# Every released file is called model.safetensors; flat names of our choice keep them apart.
WORLDSTEREO = {
    variant: _file(
        f"worldstereo_{variant.replace('-', '_')}.safetensors",
        "worldstereo",
        RELEASED,
        f"worldstereo-{variant}/model.safetensors",
    )
    for variant in ("camera", "memory", "memory-dmd")
}

CLIP_LENGTH = (
    "**A clip is 21 key frames at 16 frames per second: 1.3 seconds.** The group "
    "*Off: longer, smoother video* fills in frames: click its title, then Ctrl+B to switch it on."
)

_STEPS = """\
1. Put the model files in place (note below).
2. Choose **Your picture**. Any size; it is cropped to a size the model knows.
3. Choose the **camera move**: a preset and how far.
4. Look before you pay: select *What the camera sees* and press the play button above it. That takes \
seconds. Grey is what the model will make up; less grey, better clip.
5. Run."""

ONE_CLIP = f"""\
# One clip from one picture

A picture becomes a point cloud, a camera moves through it, and the model turns the render into a clip in \
4 steps.

{_STEPS}

{CLIP_LENGTH}
"""

TWO_CLIPS = f"""\
# Two clips that agree, and a point cloud

Clip 1 moves right. Its frames and their depth go into the memory, so that clip 2, which moves back to the \
left from where clip 1 ended, finds the same room. The memory is saved at the end, and as a PLY file.

{_STEPS}

{CLIP_LENGTH}

A third clip is one more copy of groups 5 and 6.
"""

CAMERA_VARIANT = f"""\
# Camera file on stock Wan 2.1, 40 steps

The camera file holds only the control branch and is laid over Wan 2.1 I2V 480P. Slower than the 4-step \
file: 40 steps, each twice (CFG 5). It has no memory of other views, and LoRAs for Wan 2.1 I2V fit.

{_STEPS}

{CLIP_LENGTH}
"""

INTERPOLATION_TEXT = """\
Off at first (bypassed). Click this group's title, then **Ctrl+B**, to switch it on.

It puts 3 new frames between key frames: 21 become 81, 5 seconds at 16 frames per second. For the same \
length, only smoother, set **fps** to 64.
"""


def files_text(variant: str) -> str:
    """The manual steps: one line per file, its folder and its address."""
    own = WORLDSTEREO[variant]
    folder = f"worldstereo-{variant}"
    lines = ["ComfyUI offers the files it misses. By hand, below **ComfyUI/models/**:", ""]
    lines += [
        f"**worldstereo/{own['name']}**",
        f"[{folder}/model.safetensors]({own['url']}) — rename it after the download.",
        f"Put [config.json]({RELEASED}/resolve/main/{folder}/config.json) beside it as "
        f"**{own['name'].removesuffix('.safetensors')}.json**; without it the loader assumes the usual "
        "settings and says which.",
        "",
    ]
    files = [TEXT_ENCODER, CLIP_VISION, VAE, MOGE, INTERPOLATION]
    for file in [BACKBONE, *files] if variant == "camera" else files:
        extra = " (only for the smoother video)" if file is INTERPOLATION else ""
        lines += [f"**{file['directory']}/** [{file['name']}]({file['url']}){extra}", ""]
    if variant == "camera":
        lines.append(f"Short of memory: [{BACKBONE_FP8['name']}]({BACKBONE_FP8['url']}).")
    else:
        lines.append(
            "The file brings its own backbone, so *backbone* stays *none*. Short of memory: set "
            "*weight_dtype* to fp8_e4m3fn."
        )
    return "\n".join(lines) + "\n"
