"""Attention of the clip's tokens to the reference tokens that show the same surface, and to no others."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class CorrespondenceAttention(nn.Module):
    """One head over sparse pairs of tokens; what it adds starts at exactly 0.

    Args:
        width: channels of a token.
        inner_width: channels that queries, keys and values are compared in.
    """

    def __init__(self, width: int, inner_width: int, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        self.to_q = operations.Linear(width, inner_width, **factory)
        # A bias of keys would shift all logits of a query alike.
        self.to_k = operations.Linear(width, inner_width, bias=False, **factory)
        self.to_v = operations.Linear(width, inner_width, **factory)
        self.to_out = operations.Linear(inner_width, width, bias=False, **factory)
        nn.init.zeros_(self.to_out.weight)

    def forward(self, main: Tensor, reference: Tensor, target: Tensor, source: Tensor) -> Tensor:
        """What every main token takes from its reference tokens; exactly 0 for tokens without any.

        Args:
            main: [B, n, D]. reference: [B, m, D].
            target, source: [P] int64 main token and reference token of each pair.

        Returns:
            [B, n, D].
        """
        # The backbone's activations are not normed between blocks.
        main, reference = (functional.layer_norm(part, part.shape[-1:]) for part in (main, reference))
        query = self.to_q(main).index_select(1, target)
        key, value = (layer(reference).index_select(1, source) for layer in (self.to_k, self.to_v))
        score = (query.float() * key.float()).sum(-1) / math.sqrt(query.shape[-1])  # [B, P]
        rows = target.expand_as(score)
        shape = (main.shape[0], main.shape[1])
        highest = score.new_full(shape, -torch.inf).scatter_reduce(1, rows, score.detach(), "amax")
        weight = (score - highest.gather(1, rows)).exp()
        total = score.new_zeros(shape).scatter_add(1, rows, weight)
        weight = (weight / total.gather(1, rows)).to(value.dtype)
        taken = value.new_zeros(*shape, value.shape[-1]).index_add(1, target, weight[..., None] * value)
        return self.to_out(taken)
