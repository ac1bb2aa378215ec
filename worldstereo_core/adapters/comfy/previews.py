"""Previews while a clip is sampled: all key frames side by side.

Core's previews show the first latent frame of a video, which here is the start picture and never changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ...sizes import select_keyframes
from .needed_api import HELPFUL, missing_names

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_FRAMES = 24
GAP = 1  # pixels between frames; previews made from latents have one pixel per latent cell
PAPER = (24, 26, 30)

Callback = Callable[[int, Tensor, Tensor, int], Any]  # step, denoised latent, noisy latent, steps in all


def show_key_frames(model: Any, callback: Callback) -> Callback:
    """A sampler callback that also shows the denoised clip as a sheet of key frames.

    The preview method is the user's; with previews off, or drawn by another pack, the callback stays as it
    is.

    Args:
        model: the MODEL that samples.
        callback: the sampler node's own; it gets everything as before.
    """
    import comfy.utils
    import latent_preview
    from PIL import Image

    if missing_names("latent_preview", HELPFUL["latent_preview"][0]):
        return callback
    previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)
    if previewer is None:
        return callback

    def report(step: int, denoised: Tensor, noisy: Tensor, total_steps: int) -> Any:
        # Made first and sent right after the callback's own preview, which is then never seen.
        frames = [
            previewer.decode_latent_to_preview(denoised[:1, :, frame : frame + 1])
            for frame in select_keyframes(denoised.shape[2], MAX_FRAMES)
        ]
        result = callback(step, denoised, noisy, total_steps)
        # Packs that send previews of their own return something else than a picture here.
        if all(isinstance(frame, Image.Image) for frame in frames):
            preview = ("JPEG", draw_sheet(frames), latent_preview.MAX_PREVIEW_RESOLUTION)
            comfy.utils.ProgressBar(total_steps).update_absolute(step + 1, total_steps, preview)
        return result

    return report


def draw_sheet(frames: list[Image]) -> Image:
    """Paste equal pictures into rows, first frame top left, as near to a square as they go."""
    from PIL import Image

    width, height = frames[0].width + GAP, frames[0].height + GAP

    def longer_side(columns: int) -> int:
        return max(columns * width, -(-len(frames) // columns) * height)

    columns = min(range(1, len(frames) + 1), key=longer_side)
    rows = -(-len(frames) // columns)
    sheet = Image.new("RGB", (columns * width - GAP, rows * height - GAP), PAPER)
    for index, frame in enumerate(frames):
        sheet.paste(frame, (index % columns * width, index // columns * height))
    return sheet
