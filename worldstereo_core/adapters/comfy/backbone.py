"""ComfyUI's Wan model seen through the Backbone protocol, and what may be joined to it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...checks import CheckpointError, WorldStereoError
from ...model.backbone import TokenGrid
from ...model.config import WorldStereoConfig

MODEL_CHANNELS = 36  # noisy latent 16, mask 4, image latent 16


class ComfyBackbone:
    """A WanModel during one model call.

    Args:
        model: ComfyUI's WanModel.
        dtype: the computing dtype, that of the model's input.
        device: the computing device.
        transformer_options: of this call; rope options in it apply to references too.
    """

    def __init__(
        self,
        model: Any,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        transformer_options: dict[str, Any] | None = None,
    ):
        self.model, self.dtype, self.device = model, dtype, device
        self.transformer_options = transformer_options or {}
        self.width: int = model.dim
        self.num_blocks = len(model.blocks)
        self.patch_size: tuple[int, int, int] = tuple(model.patch_size)

    def embed_time(self, timesteps: Tensor) -> Tensor:
        from comfy.ldm.wan.model import sinusoidal_embedding_1d

        sinusoid = sinusoidal_embedding_1d(self.model.freq_dim, timesteps.flatten())
        return self.model.time_embedding(sinusoid.to(self.dtype))

    def embed_patches(self, latents: Tensor) -> Tensor:
        # In float32 as the model does for its own input.
        return self.model.patch_embedding(latents.float()).to(self.dtype).flatten(2).transpose(1, 2)

    def embed_positions(self, grid: TokenGrid) -> Tensor:
        # Positions in float32: bfloat16 cannot tell those above 256 apart.
        frames, rows, columns = self.patch_size
        return self.model.rope_encode(
            grid.frames * frames,
            grid.rows * rows,
            grid.columns * columns,
            device=self.device,
            dtype=torch.float32,
            transformer_options=self.transformer_options,
        )


def unwrap(model: Any) -> Any:
    """The Wan model itself, also when torch.compile wraps it."""
    return getattr(model, "_orig_mod", model)


def check_wan_model(model: Any, config: WorldStereoConfig) -> None:
    """Check that a MODEL's network is a Wan image-to-video model that this control was trained for.

    Raises: CheckpointError that says which model to load instead.
    """
    from comfy.ldm.wan.model import WanModel

    control = config.control
    wanted = (
        f"Load a Wan 2.1 image-to-video model of width {control.output_width} (14B for the released files)."
    )
    if not isinstance(model, WanModel):
        raise CheckpointError(f"model: got a {type(model).__name__}, expected a Wan video model. {wanted}")
    # By class: caching nodes replace these on the instance, and that is fine.
    if any(
        getattr(type(model), name) is not getattr(WanModel, name) for name in ("_forward", "forward_orig")
    ):
        raise CheckpointError(
            f"model: got the Wan variant {type(model).__name__}, whose forward pass differs from plain Wan "
            f"image-to-video. {wanted}"
        )
    if model.in_dim != MODEL_CHANNELS:
        kind = {16: "text-to-video", 48: "Wan 2.2 5B or Fun Control", 32: "Fun Camera"}.get(
            model.in_dim, "other"
        )
        raise CheckpointError(
            f"model: its input has {model.in_dim} channels ({kind}), expected {MODEL_CHANNELS} "
            f"(image-to-video). {wanted}"
        )
    if model.dim != control.output_width or model.dim != control.time_width:
        raise CheckpointError(
            f"model: its width is {model.dim}, the WorldStereo control was trained for "
            f"{control.output_width}. {wanted}"
        )
    if len(model.blocks) < control.num_blocks:
        raise CheckpointError(
            f"model: it has {len(model.blocks)} blocks, fewer than the {control.num_blocks} of the "
            "WorldStereo "
            f"control. {wanted}"
        )


def check_call(model: Any, timesteps: Tensor, options: dict[str, Any], extra: dict[str, Any]) -> None:
    """Refuse model calls whose tokens are laid out in a way that references cannot join.

    Args:
        model: ComfyUI's WanModel.
        timesteps: what the model is called with; [B] or [B, 1].
        options: the call's transformer_options.
        extra: the call's other conditioning.

    Raises: WorldStereoError.
    """
    if timesteps.ndim > 1 and timesteps.shape[1] != 1:
        raise WorldStereoError(
            f"model: got one timestep per frame ({list(timesteps.shape)}), expected one per sample. "
            "WorldStereo cannot be used with another noise level for each frame (diffusion forcing). Remove "
            "the node that asks for it; to keep parts of a clip, set a noise mask on the latent."
        )
    if options.get("context_window") is not None:
        raise WorldStereoError(
            "model: context windows cut the clip into pieces, but the control was encoded for the whole "
            "clip. Remove the context window node; longer paths are made of several clips with a memory "
            "update between."
        )
    if extra.get("context_latents") is not None or extra.get("time_dim_concat") is not None:
        raise WorldStereoError(
            "conditioning: it carries extra in-context latents, which WorldStereo's references cannot be "
            "joined with. Remove the node that adds them."
        )
    if getattr(model, "ref_conv", None) is not None and extra.get("reference_latent") is not None:
        raise WorldStereoError(
            "conditioning: it carries a reference latent for a Fun reference model, which adds a frame in "
            "front of the clip. Remove the reference latent; WorldStereo brings its own references."
        )
