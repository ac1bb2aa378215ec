"""A context of one text token and one picture token, which stands for any number of equal ones."""

from __future__ import annotations

from typing import Any

from torch import Tensor


class SingleTokens:
    """Cross-attention to one picture token and one text token.

    Softmax over equal keys is an even mean of equal values: 257 and 512 copies of the two tokens give the
    same answer, far more slowly. Queries, keys and their norms have no say in it.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,  # [B, L, D]
        encoder_hidden_states: Tensor,  # [B, 2, D]: picture, text
        attention_mask: Tensor | None = None,
        rotary_emb: Any = None,
    ) -> Tensor:
        picture, text = encoder_hidden_states.split(1, dim=1)
        answer = attn.to_out[0](attn.to_v(text) + attn.add_v_proj(picture))
        return answer.expand_as(hidden_states)


def take_single_tokens(transformer: Any) -> None:
    """Let a Wan I2V transformer take text [B, 1, 4096] and picture [B, 1, 1280] embeddings from now on."""
    for block in transformer.blocks:
        block.attn2.processor = SingleTokens()
