"""The text and picture encoders beside Wan in its diffusers repository, through transformers."""

from __future__ import annotations

import html
from pathlib import Path

import torch
from torch import Tensor

from ...checks import WorldStereoError
from ...model.clip_preprocess import clip_pixels
from .backbone import TEXT_TOKENS


def clean_prompt(text: str) -> str:
    """Tidy a prompt as Wan's own pipelines do: broken Unicode repaired, entities resolved, spaces joined."""
    import ftfy

    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())


@torch.no_grad()
def encode_text(
    prompts: list[str], text_encoder: Path, tokenizer: Path, *, device: torch.device | str, dtype: torch.dtype
) -> list[Tensor]:
    """Encode prompts with UMT5.

    Args:
        prompts: any number; a long one is cut after 512 tokens.
        text_encoder, tokenizer: folders of the diffusers repository.
        device, dtype: where and how the encoder runs.

    Returns:
        Per prompt [1, n, 4096] float32 on the CPU, without padding.
    """
    from transformers import AutoTokenizer, UMT5EncoderModel

    words = AutoTokenizer.from_pretrained(str(tokenizer))
    encoder = UMT5EncoderModel.from_pretrained(str(text_encoder), dtype=dtype).to(device).eval()
    embeds = []
    for prompt in prompts:
        tokens = words(
            clean_prompt(prompt),
            padding="max_length",
            max_length=TEXT_TOKENS,
            truncation=True,
            return_attention_mask=True,
            return_tensors="pt",
        )
        mask = tokens.attention_mask.to(device)
        states = encoder(tokens.input_ids.to(device), mask).last_hidden_state
        embeds.append(states[:, : int(mask.sum())].float().cpu())
    return embeds


class ClipVision:
    """CLIP's picture encoder.

    Args:
        folder: ``image_encoder`` of the diffusers repository.
        is_rescaled: preprocessing, see ``clip_pixels``.
    """

    def __init__(
        self, folder: Path, *, device: torch.device | str, dtype: torch.dtype, is_rescaled: bool = True
    ):
        from transformers import CLIPVisionModel

        self.model = CLIPVisionModel.from_pretrained(str(folder), dtype=dtype).to(device).eval()
        self.is_rescaled = is_rescaled

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        """[3, H, W] in 0..1 -> [1, 257, 1280] float32 on the CPU, the penultimate hidden state."""
        pixels = clip_pixels(image, is_rescaled=self.is_rescaled).to(self.model.device, self.model.dtype)
        states = self.model(pixel_values=pixels, output_hidden_states=True).hidden_states
        if states is None or len(states) < 2:
            raise WorldStereoError("image_encoder: it gave no hidden states. Use CLIP vision of Wan 2.1 I2V.")
        return states[-2].float().cpu()
