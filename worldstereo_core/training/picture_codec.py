"""A Wan VAE that codes key frames many at a time: what encodes the clips of a training run."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..checks import CheckpointError, ShapeError, WorldStereoError, check_shape
from ..model.conditioning import Progress
from ..model.latents import denormalise_latents, normalise_latents
from ..model.weight_files import read_weights
from .picture_vae import PictureVAE, wan_to_picture_state
from .stages.vae import read_picture_state

CHUNK = 32


class PictureCodec:
    """Key frames to normalised latents and back; the same numbers as ``KeyframeVAE`` gives one by one.

    Args:
        vae: the single-picture part of a Wan VAE, its latents with Wan's mean and deviation as in files.
    """

    def __init__(self, vae: PictureVAE):
        # The layout that CPU convolutions like: half as fast again.
        self.vae = vae.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def from_file(cls, path: str | Path) -> PictureCodec:
        """Read a Wan 2.1 VAE file of any width.

        Raises: WorldStereoError or CheckpointError if there is none or it is no such VAE.
        """
        if not Path(path).is_file():
            raise WorldStereoError(
                f"clips.vae: {path} does not exist. Train a VAE first (stage vae) or name "
                "wan_2.1_vae.safetensors."
            )
        last_norm = wan_to_picture_state(read_weights(path)[0]).get("decoder.head.0.gamma")
        if last_norm is None:
            raise CheckpointError(f"clips.vae: {path} is no Wan 2.1 VAE. Choose wan_2.1_vae.safetensors.")
        vae = PictureVAE(last_norm.shape[0])
        vae.load_state_dict(read_picture_state(vae, str(path)))
        return cls(vae)

    def to(self, device: torch.device | str) -> PictureCodec:
        self.vae.to(device)
        return self

    @property
    def device(self) -> torch.device:
        return self.vae.conv1.weight.device

    @torch.no_grad()
    def encode_keyframes(self, images: Tensor, progress: Progress | None = None) -> Tensor:
        """[T, 3, H, W] 0..1 -> [1, 16, T, h, w], normalised, on the codec's device."""
        check_shape("image", images, ("T", 3, "*", "*"))
        parts = [self.vae.encode(self._laid_out(part) * 2 - 1)[0] for part in images.float().split(CHUNK)]
        if progress is not None:
            progress(len(images), len(images))
        return normalise_latents(torch.cat(parts).transpose(0, 1)[None])

    def encode_video(self, frames: Tensor) -> Tensor:
        """One frame only: this is the part of the VAE that sees no time.

        Raises: ShapeError for more.
        """
        if len(frames) != 1:
            raise ShapeError(
                f"video: got {len(frames)} frames; a key-frame VAE codes pictures alone. Use a control file "
                'whose latent_cond_mode is "first_frame_only", or the whole VAE.'
            )
        return self.encode_keyframes(frames)

    @torch.no_grad()
    def decode_keyframes(self, latents: Tensor, progress: Progress | None = None) -> Tensor:
        """[1, 16, T, h, w] -> [T, 3, 8 h, 8 w] float32, 0..1."""
        raw = denormalise_latents(latents.to(self.device, torch.float32))[0].transpose(0, 1)
        parts = [(self.vae.decode(self._laid_out(part)) * 0.5 + 0.5).clamp(0, 1) for part in raw.split(CHUNK)]
        if progress is not None:
            progress(latents.shape[2], latents.shape[2])
        return torch.cat(parts)

    def _laid_out(self, pictures: Tensor) -> Tensor:
        return pictures.to(self.device).contiguous(memory_format=torch.channels_last)
