"""The facts about Wan's VAE that reused latents rest on; run under ComfyUI's Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import comfy.sd
import comfy.utils
import torch
from node_checks import pack_nodes

from worldstereo_core.adapters.comfy.vae import ComfyKeyframeVAE, first_frame_conditioning, follow_pictures
from worldstereo_core.model.latents import denormalise_latents

FRAMES, HEIGHT, WIDTH = 3, 32, 48


def _vae(weights: str) -> ComfyKeyframeVAE:
    state = comfy.utils.load_torch_file(str(Path(weights) / "tiny_vae_comfy.safetensors"))
    return ComfyKeyframeVAE(comfy.sd.VAE(sd=state))


def _pictures(seed: int) -> torch.Tensor:
    return torch.rand(FRAMES, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))


def first_latent_frame(weights: str) -> dict[str, float]:
    """How far the first latent frame of a start picture's video is from the picture encoded alone."""
    vae, picture = _vae(weights), _pictures(0)[0]
    alone = denormalise_latents(vae.encode_keyframes(picture[None]))
    values = first_frame_conditioning(vae, picture, FRAMES, "full_vae")["concat_latent_image"]
    given = first_frame_conditioning(vae, picture, FRAMES, "full_vae", 2 * alone[0, :, 0])[
        "concat_latent_image"
    ]
    return {
        "difference": float((values[:, :, :1] - alone).abs().max()),
        "spread": float(alone.std()),
        "given": float((given[:, :, :1] - 2 * alone).abs().max()),
        "rest": float((given[:, :, 1:] - values[:, :, 1:]).abs().max()),
    }


def followed_latents(weights: str) -> dict[str, float]:
    """Latents follow a change of their pictures, and stay where there is none."""
    vae, before = _vae(weights), _pictures(1)
    samples = torch.randn(1, 16, FRAMES, HEIGHT // 8, WIDTH // 8, generator=torch.Generator().manual_seed(2))
    after = (before * 0.9).clamp(0, 1)
    expected = denormalise_latents(vae.encode_keyframes(after) - vae.encode_keyframes(before))
    offset = denormalise_latents(torch.zeros_like(expected))
    followed = follow_pictures(vae, samples, before, after)
    return {
        "same": float((follow_pictures(vae, samples, before, before) - samples).abs().max()),
        "moved": float((followed - samples).abs().mean()),
        "error": float((followed - samples - (expected - offset)).abs().max()),
    }


def anchored_colours(weights: str) -> dict[str, Any]:
    """The node on a clip that is darker than the memory's render of it."""
    node = next(node for node in pack_nodes() if node.GET_SCHEMA().node_id == "WorldStereo_AnchorColours")
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(FRAMES, 3, 4, 6, generator=generator) * 0.6 + 0.3
    render = torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bilinear").movedim(1, -1)
    clip, holes = render * 0.9, torch.zeros(FRAMES, HEIGHT, WIDTH)
    latent = {"samples": torch.zeros(1, 16, FRAMES, HEIGHT // 8, WIDTH // 8)}
    images, _, changed = node.execute(clip, render, holes, 1.0, latent, _vae(weights).vae).args
    many = node.execute(clip, render.repeat_interleave(2, 0), holes.repeat_interleave(2, 0)).args[0]
    try:
        node.execute(clip, render, holes, 1.0, latent)
        refused = ""
    except ValueError as error:
        refused = str(error)
    return {
        "error_before": float((clip - render)[1:].abs().mean()),
        "error_after": float((images - render)[1:].abs().mean()),
        "latent_moved": float((changed["samples"] - latent["samples"]).abs().mean()),
        "refused": refused,
        "fewer": len(many),
        "frames": FRAMES,
    }
