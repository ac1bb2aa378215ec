"""ComfyUI's VAE as a key-frame VAE: every picture coded alone, latents in the model's normalisation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...checks import ShapeError, WorldStereoError, check_shape
from ...model.conditioning import Progress, image_condition_latents, with_first_latent
from ...model.config import LatentConditionMode
from ...model.latents import LATENT_CHANNELS, carry_change, denormalise_latents, normalise_latents
from ...sizes import check_multiple_of_16, select_keyframes

TILE, OVERLAP = 512, 64  # pixels


class ComfyKeyframeVAE:
    """The VAE protocol of ``model.conditioning`` over ComfyUI's VAE.

    Long jobs report to ComfyUI's progress bar unless another progress is given, and stop at an interrupt
    between pictures.

    Args:
        vae: from VAELoader.
        is_tiled: code in tiles of 512 pixels. Without it ComfyUI turns to tiles by itself when memory runs
            out.

    Raises: WorldStereoError if it is not a Wan 2.1 VAE.
    """

    def __init__(self, vae: Any, is_tiled: bool = False):
        check_wan_vae(vae)
        self.vae, self.is_tiled = vae, is_tiled

    def encode_keyframes(self, images: Tensor, progress: Progress | None = None) -> Tensor:
        """[T, 3, H, W] 0..1 -> [1, 16, T, h, w], every picture alone."""
        report = _reporter(progress, len(images))
        latents = []
        for index in range(len(images)):
            # ComfyUI takes a batch of pictures for a video, so they go in one at a time.
            latents.append(self._encode(images[index : index + 1]))
            report(index + 1)
        return normalise_latents(torch.cat(latents, dim=2))

    def encode_video(self, frames: Tensor) -> Tensor:
        """[4 k + 1, 3, H, W] 0..1 -> [1, 16, k + 1, h, w], as one video."""
        return normalise_latents(self._encode(frames))

    def decode_keyframes(self, latents: Tensor, progress: Progress | None = None) -> Tensor:
        """[1, 16, T, h, w] -> [T, 3, H, W] 0..1, every latent frame alone."""
        batch = keyframes_to_batch(denormalise_latents(latents))
        report = _reporter(progress, len(batch))
        images = []
        for index in range(len(batch)):
            images.append(self._decode(batch[index : index + 1]))
            report(index + 1)
        return torch.cat(images)

    def _encode(self, frames: Tensor) -> Tensor:
        pixels = frames.movedim(1, -1)
        if self.is_tiled:
            latents = self.vae.encode_tiled(pixels, tile_x=TILE, tile_y=TILE, overlap=OVERLAP)
        else:
            latents = self.vae.encode(pixels)
        return latents.float()

    def _decode(self, latents: Tensor) -> Tensor:
        if self.is_tiled:
            pixels = self.vae.decode_tiled(latents, tile_x=TILE // 8, tile_y=TILE // 8, overlap=OVERLAP // 8)
        else:
            pixels = self.vae.decode(latents)
        # [1, 1, H, W, 3] or [1, H, W, 3]
        return pixels.reshape(-1, *pixels.shape[-3:]).movedim(-1, 1).float()


def first_frame_conditioning(
    vae: ComfyKeyframeVAE,
    image: Tensor,
    num_frames: int,
    mode: LatentConditionMode,
    start_latent: Tensor | None = None,
) -> dict[str, Tensor]:
    """Values that both CONDITIONINGs of an image-to-video model carry.

    Args:
        vae: encodes the picture.
        image: [3, H, W], 0..1; sides multiples of 16.
        num_frames: key frames of the clip.
        mode: as in ``image_condition``.
        start_latent: [16, h, w] the VAE's own latent of the picture, taken instead of what it encodes to.

    Returns:
        ``concat_latent_image`` [1, 16, num_frames, h, w] as the VAE makes them, which ComfyUI normalises, and
        ``concat_mask`` [1, 1, num_frames, h, w], 0 = known, which ComfyUI inverts.
    """
    latents = image_condition_latents(vae, image, num_frames, mode)
    if start_latent is not None:
        latents = with_first_latent(latents, start_latent)
    mask = torch.ones_like(latents[:, :1])
    mask[:, :, 0] = 0
    return {"concat_latent_image": denormalise_latents(latents), "concat_mask": mask}


def keyframes_to_start_from(
    vae: ComfyKeyframeVAE, images: Tensor, num_frames: int, progress: Progress | None = None
) -> Tensor:
    """LATENT samples of given pictures, for sampling that starts from them instead of from pure noise.

    Args:
        vae: encodes the pictures, each alone.
        images: [T, 3, H, W] 0..1; sides multiples of 16. One picture stands for every frame, more than
            num_frames are sampled down evenly from first to last.
        num_frames: key frames of the clip.
        progress: called with (done, total) pictures.

    Returns:
        [1, 16, num_frames, h, w] as the VAE makes them.

    Raises: ShapeError for too few pictures or sides that do not fit.
    """
    sizes = check_shape("images", images, ("T", 3, "H", "W"), "Wire the pictures of a clip.")
    check_multiple_of_16("images", sizes["H"], sizes["W"])
    if 1 < sizes["T"] < num_frames:
        raise ShapeError(
            f"images: got {sizes['T']} pictures for {num_frames} key frames, expected one picture or at "
            f"least {num_frames}. Set frames to {sizes['T']} or fewer, here and on WorldStereo Image to Key "
            "Frames, or wire a longer clip."
        )
    chosen = images if sizes["T"] == 1 else images[select_keyframes(sizes["T"], num_frames)]
    return denormalise_latents(vae.encode_keyframes(chosen, progress)).expand(-1, -1, num_frames, -1, -1)


def follow_pictures(vae: ComfyKeyframeVAE, samples: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Latents of pictures after a small change of theirs.

    Args:
        samples: [1, 16, T, h, w] as LATENT carries them, of ``before``.
        before, after: [T, 3, H, W], 0..1.
    """
    count = len(before)
    check_shape("latent", samples, (1, LATENT_CHANNELS, count, "*", "*"), "Wire the clip's own latent.")
    encoded = denormalise_latents(vae.encode_keyframes(torch.cat([before, after])))
    return carry_change(samples, encoded[:, :, :count], encoded[:, :, count:])


def empty_keyframes(num_frames: int, height: int, width: int) -> Tensor:
    """[1, 16, num_frames, height / 8, width / 8] zeros, the LATENT samples to start from; size in pixels."""
    import comfy.model_management as management

    shape = (1, LATENT_CHANNELS, num_frames, height // 8, width // 8)
    return torch.zeros(shape, device=management.intermediate_device())


def keyframes_to_batch(samples: Tensor) -> Tensor:
    """[b, 16, T, h, w] -> [b * T, 16, 1, h, w]: one latent per picture, which core's VAE Decode decodes
    alone."""
    hint = "Connect the sampled latent of a WorldStereo clip."
    check_shape("latent", samples, ("*", LATENT_CHANNELS, "*", "*", "*"), hint)
    return samples.movedim(2, 1).flatten(0, 1).unsqueeze(2)


def check_wan_vae(vae: Any) -> None:
    """Check that a VAE is Wan 2.1's.

    Raises: WorldStereoError.
    """
    import comfy.ldm.wan.vae

    # VAELoader makes a VAE without a network of a file it does not know.
    network = getattr(vae, "first_stage_model", None)
    if isinstance(network, comfy.ldm.wan.vae.WanVAE):
        return
    channels = getattr(vae, "latent_channels", "an unknown number of")
    name = "no network" if network is None else f"{type(network).__module__}.{type(network).__name__}"
    hint = " (this is the Wan 2.2 VAE)" if channels == 48 else ""
    raise WorldStereoError(
        f"vae: got {name} with {channels} latent channels{hint}, expected the Wan 2.1 VAE with "
        f"{LATENT_CHANNELS}. Load wan_2.1_vae.safetensors."
    )


def _reporter(progress: Progress | None, total: int) -> Any:
    import comfy.model_management as management
    import comfy.utils

    report = progress or comfy.utils.ProgressBar(total).update_absolute

    def step(done: int) -> None:
        management.throw_exception_if_processing_interrupted()
        report(done, total)

    return step
