"""A smaller clip as the start of a larger one, in ComfyUI's latents and noise levels."""

from __future__ import annotations

from torch import Tensor

from ...checks import ShapeError, check_shape
from ...model.conditioning import Progress
from ...model.latents import LATENT_CHANNELS, PIXELS_PER_CELL, denormalise_latents, normalise_latents
from ...model.scales import enlarged_start
from ...schedule import first_step
from .vae import ComfyKeyframeVAE


def enlarge_clip(
    vae: ComfyKeyframeVAE,
    samples: Tensor,
    larger: Tensor,
    sigmas: Tensor,
    start_level: float,
    first_frame: Tensor | None = None,
    progress: Progress | None = None,
) -> tuple[Tensor, Tensor]:
    """What core's samplers need to go on from a sampled clip at a larger size.

    They mix noise in themselves, sigma * noise + (1 - sigma) * latent with the first of the sigmas.

    Args:
        vae: decodes the clip and encodes the enlarged pictures, each alone.
        samples: [1, 16, T, h, w] LATENT samples of the smaller clip, as the VAE makes them.
        larger: [1, 16, T, H, W] the empty clip of the larger size; given back where the smaller clip has no
            say.
        sigmas: [n + 1] descending, of the whole schedule.
        start_level: as in ``first_step``.
        first_frame: [3, 8 H, 8 W], 0..1, in place of the clip's frame 0.
        progress: called with (done, total) pictures, those decoded before those encoded.

    Returns:
        LATENT samples [1, 16, T, H, W], and the sigmas from the start level on.

    Raises: ShapeError if frames differ or the clip is not the smaller one; WorldStereoError for a level below
        all steps.
    """
    hint = "Connect the sampled latent of a WorldStereo clip."
    count = check_shape("latent", samples, (1, LATENT_CHANNELS, "T", "*", "*"), hint)["T"]
    check_shape(
        "larger",
        larger,
        (1, LATENT_CHANNELS, "*", "*", "*"),
        "Connect the latent of WorldStereo Image to Key Frames.",
    )
    if larger.shape[2] != count:
        raise ShapeError(
            f"larger: it has {larger.shape[2]} key frames, and latent {count}. Set frames to the same number "
            "on both WorldStereo Image to Key Frames."
        )
    height, width = (cells * PIXELS_PER_CELL for cells in larger.shape[-2:])
    rows, columns = (cells * PIXELS_PER_CELL for cells in samples.shape[-2:])
    if height < rows or width < columns:
        raise ShapeError(
            f"larger: it is {height}x{width} (height x width), smaller than latent, {rows}x{columns}. "
            "Connect the smaller clip to latent and the empty latent of the larger size to larger."
        )
    step = first_step(sigmas, start_level)
    # Some of core's samplers write into the noise levels.
    tail = sigmas[step:].clone()
    if step == 0 and len(tail) > 1:
        return larger, tail

    def after(done: int, total: int) -> None:
        if progress is not None:
            progress(count + done, 2 * count)

    def before(done: int, total: int) -> None:
        if progress is not None:
            progress(done, 2 * count)

    frames = vae.decode_keyframes(normalise_latents(samples), before)
    start = enlarged_start(vae, frames, height, width, first_frame, after)
    return denormalise_latents(start).to(larger), tail
