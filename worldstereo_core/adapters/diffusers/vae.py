"""Wan 2.1's VAE from diffusers, coding key frames one picture at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...checks import CheckpointError, ShapeError, check_shape
from ...model.latents import LATENT_CHANNELS, denormalise_latents, normalise_latents
from ...model.vae_key_names import wan_to_diffusers_vae_key
from ...model.weight_files import read_weights
from ...sizes import check_multiple_of_16
from .transformer import check_fits

Progress = Callable[[int, int], None]


class KeyframeVAE:
    """Encodes and decodes pictures; latents are normalised (the model's own) float32.

    Args:
        vae: an ``AutoencoderKLWan``.
    """

    def __init__(self, vae: Any):
        self.vae = vae.eval()

    @classmethod
    def from_file(
        cls,
        source: str | Path | Mapping[str, Tensor],
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> KeyframeVAE:
        """Build the VAE from a file or tensors under ComfyUI's or diffusers' names; its width is detected.

        Raises: CheckpointError if it is not a Wan 2.1 VAE.
        """
        from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

        if isinstance(source, Mapping):
            name, tensors = "VAE", source
        else:
            name, tensors = str(source), read_weights(source)[0]
        state = {wan_to_diffusers_vae_key(key) or key: tensor for key, tensor in tensors.items()}
        last_norm, latent_conv = state.get("decoder.norm_out.gamma"), state.get("post_quant_conv.weight")
        if last_norm is None or latent_conv is None:
            raise CheckpointError(
                f"{name}: not a Wan 2.1 VAE: its decoder was not found among {len(state)} tensors. "
                "Choose wan_2.1_vae.safetensors."
            )
        if latent_conv.shape[0] != LATENT_CHANNELS:
            raise CheckpointError(
                f"{name}: a VAE of {latent_conv.shape[0]} latent channels, expected {LATENT_CHANNELS}. This "
                "is probably Wan 2.2's; choose wan_2.1_vae.safetensors."
            )
        with torch.device("meta"):
            vae = AutoencoderKLWan(base_dim=last_norm.shape[0], z_dim=LATENT_CHANNELS)
        check_fits(name, state, vae.state_dict(), "Choose wan_2.1_vae.safetensors.")
        vae.load_state_dict({k: v.to(device, dtype) for k, v in state.items()}, strict=True, assign=True)
        return cls(vae)

    @property
    def dtype(self) -> torch.dtype:
        return self.vae.post_quant_conv.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.vae.post_quant_conv.weight.device

    def encode_keyframes(self, images: Tensor, progress: Progress | None = None) -> Tensor:
        """Encode every picture alone, without its neighbours in time.

        Args:
            images: [T, 3, H, W], 0..1; H and W multiples of 16.
            progress: called with (done, total) after each picture.

        Returns:
            [1, 16, T, H / 8, W / 8].
        """
        _check_pictures(images)
        encoded = []
        for index, image in enumerate(images):
            encoded.append(self._encode(image[None]))
            if progress is not None:
                progress(index + 1, len(images))
        return torch.cat(encoded, dim=2)

    def encode_video(self, frames: Tensor) -> Tensor:
        """Encode [4 k + 1, 3, H, W] pictures, 0..1, as one video -> [1, 16, k + 1, H / 8, W / 8].

        Raises: ShapeError for another number of frames: the encoder would drop the last ones.
        """
        _check_pictures(frames)
        if len(frames) % 4 != 1:
            raise ShapeError(
                f"video: got {len(frames)} frames, expected 4 k + 1 (1, 5, 9, ...). Resample the trajectory."
            )
        return self._encode(frames)

    def decode_keyframes(self, latents: Tensor, progress: Progress | None = None) -> Tensor:
        """Decode every latent frame alone.

        Args:
            latents: [1, 16, T, h, w].
            progress: called with (done, total) after each picture.

        Returns:
            [T, 3, 8 h, 8 w] float32, 0..1.
        """
        check_shape("latents", latents, (1, LATENT_CHANNELS, "*", "*", "*"), "Decode one clip at a time.")
        pictures = []
        for index in range(latents.shape[2]):
            pictures.append(self._decode(latents[:, :, index : index + 1]))
            if progress is not None:
                progress(index + 1, latents.shape[2])
        return torch.cat(pictures)

    @torch.no_grad()
    def _encode(self, frames: Tensor) -> Tensor:
        pixels = (frames * 2 - 1).movedim(0, 1)[None].to(self.device, self.dtype)
        return normalise_latents(self.vae.encode(pixels).latent_dist.mode().float())

    @torch.no_grad()
    def _decode(self, latents: Tensor) -> Tensor:
        raw = denormalise_latents(latents.to(self.device, torch.float32)).to(self.dtype)
        pixels = self.vae.decode(raw, return_dict=False)[0].float()
        return (pixels[0].movedim(1, 0) * 0.5 + 0.5).clamp(0, 1)


def _check_pictures(pictures: Tensor) -> None:
    sizes = check_shape("image", pictures, ("T", 3, "H", "W"), "Wire RGB pictures.")
    check_multiple_of_16("image", sizes["H"], sizes["W"])
