"""The attention callable for use without ComfyUI."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def attention(query: Tensor, key: Tensor, value: Tensor, num_heads: int) -> Tensor:
    """Softmax attention of [B, L, width] queries over [B, S, width] keys and values, scaled as usual."""

    def heads(tensor: Tensor) -> Tensor:
        return tensor.unflatten(2, (num_heads, -1)).transpose(1, 2)

    joined = functional.scaled_dot_product_attention(heads(query), heads(key), heads(value))
    return joined.transpose(1, 2).flatten(2)
