"""Attention in which each of the clip's tokens sees the whole clip, but only chosen reference tokens.

Three ways that give the same numbers: a dense mask (slow, obvious), gathered keys tile by tile (any device,
no compiler), and FlexAttention over blocks (GPU). Reference tokens as queries are not restricted and not
handled here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..checks import ShapeError, WorldStereoError
from ..memory.token_correspondence import TokenCorrespondences
from .backbone import TokenGrid

# Tokens down and across that share one gather: their reference tokens overlap, so few are fetched in vain.
TILE = (10, 16)
FLEX_BLOCK = 128
# Numbers of keys copied at once; bounds the extra memory of the gathered way.
COPY_LIMIT = 2**26


@dataclass(frozen=True, eq=False)
class Tile:
    """Main tokens that lie together, and the reference tokens any of them sees.

    Attributes:
        queries: [q] int64 main tokens.
        keys: [k] int64 reference tokens, ascending.
        allowed: [q, k] bool.
    """

    queries: Tensor
    keys: Tensor
    allowed: Tensor


@dataclass(frozen=True, eq=False)
class ReferenceAccess:
    """Which reference tokens each main token sees; every main token lies in one tile.

    Attributes:
        tiles: cover the main tokens.
        num_main, num_reference: tokens of the clip and of its references.
    """

    tiles: tuple[Tile, ...]
    num_main: int
    num_reference: int

    def to(self, device: torch.device | str) -> ReferenceAccess:
        tiles = tuple(
            Tile(tile.queries.to(device), tile.keys.to(device), tile.allowed.to(device))
            for tile in self.tiles
        )
        return replace(self, tiles=tiles)

    def dense(self) -> Tensor:
        """[num_main, num_main + num_reference] bool, True = seen. The slow, obvious form."""
        device = self.tiles[0].queries.device
        mask = torch.zeros(self.num_main, self.num_main + self.num_reference, dtype=torch.bool, device=device)
        mask[:, : self.num_main] = True
        for tile in self.tiles:
            mask[tile.queries[:, None], tile.keys + self.num_main] = tile.allowed
        return mask

    @property
    def share(self) -> float:
        """Share of all pairs of a main and a reference token that is seen."""
        seen = sum(int(tile.allowed.sum()) for tile in self.tiles)
        return seen / (self.num_main * self.num_reference)

    @cached_property
    def bits(self) -> Tensor:
        """[num_main, ceil(num_reference / 32)] int32: bit r % 32 of word r // 32 says whether r is seen."""
        device = self.tiles[0].queries.device
        words = -(-self.num_reference // 32)
        packed = torch.zeros(self.num_main, words, dtype=torch.int64, device=device)
        weights = 2 ** torch.arange(32, device=device)
        for tile in self.tiles:
            row = torch.zeros(len(tile.queries), words * 32, dtype=torch.bool, device=device)
            row[:, tile.keys] = tile.allowed
            packed[tile.queries] = (row.unflatten(1, (words, 32)) * weights).sum(dim=-1)
        return torch.where(packed >= 2**31, packed - 2**32, packed).to(torch.int32)

    @cached_property
    def block_mask(self) -> Any:
        """The same as FlexAttention's BlockMask for main queries over all keys."""
        from torch.nn.attention.flex_attention import BlockMask

        main, bits = self.num_main, self.bits

        def is_seen(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            reference = torch.clamp(key - main, min=0)
            return (key < main) | (((bits[query, reference // 32] >> (reference % 32)) & 1) == 1)

        some, every = self._blocks()
        partial = some & ~every
        return BlockMask.from_kv_blocks(
            *_block_lists(partial),
            *_block_lists(every),
            BLOCK_SIZE=FLEX_BLOCK,
            mask_mod=is_seen,
            seq_lengths=(main, main + self.num_reference),
        )

    def _blocks(self) -> tuple[Tensor, Tensor]:
        """[query blocks, key blocks] bool each: some pair is seen, and every pair is seen."""
        shifts = torch.arange(32, device=self.bits.device)
        length = self.num_main + self.num_reference
        padding = -length % FLEX_BLOCK
        some, every = [], []
        for start in range(0, self.num_main, FLEX_BLOCK):
            words = self.bits[start : start + FLEX_BLOCK]
            seen = ((words[..., None] >> shifts) & 1).flatten(1)[:, : self.num_reference].bool()
            seen = functional.pad(seen, (self.num_main, 0), value=True)
            seen = functional.pad(seen, (0, padding, 0, FLEX_BLOCK - len(words)), value=False)
            seen = seen.unflatten(1, (-1, FLEX_BLOCK))
            some.append(seen.any(dim=2).any(dim=0))
            every.append(seen.all(dim=2).all(dim=0))
        return torch.stack(some), torch.stack(every)


def _block_lists(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Counts [1, 1, rows] and indices [1, 1, rows, columns] of the True blocks, those first."""
    flags = blocks.to(torch.int32)
    order = torch.argsort(flags, dim=1, descending=True, stable=True).to(torch.int32)
    return flags.sum(dim=1, dtype=torch.int32)[None, None], order.contiguous()[None, None]


def reference_access(
    tokens: TokenCorrespondences, grid: TokenGrid, radius: int, tile: tuple[int, int] = TILE
) -> ReferenceAccess:
    """Let each main token see the reference tokens of the same surface, and those around them.

    A token whose surface no reference shows sees no reference.

    Args:
        tokens: pairs of the same surface, found with radius 0.
        grid: of the clip; references have its rows and columns.
        radius: reference tokens at most this many rows and columns away from a pair's are seen too.
        tile: rows and columns of tokens that share one gather.

    Raises: WorldStereoError for a negative radius, ShapeError if the pairs belong to another grid.
    """
    if radius < 0:
        raise WorldStereoError(f"reference_radius: got {radius}, expected 0 or more tokens (-1 = off).")
    per_frame = grid.rows * grid.columns
    if tokens.num_targets != grid.num_tokens or tokens.num_references % per_frame:
        raise ShapeError(
            f"condition: its correspondences belong to {tokens.num_targets} clip and "
            f"{tokens.num_references} reference tokens, the clip has {grid.frames} x {grid.rows} x "
            f"{grid.columns}. Encode the control "
            "again for this size and frame count."
        )
    number = torch.arange(per_frame).reshape(grid.rows, grid.columns)
    places = [
        number[row : row + tile[0], column : column + tile[1]].flatten()
        for row in range(0, grid.rows, tile[0])
        for column in range(0, grid.columns, tile[1])
    ]
    tiles = []
    starts = torch.arange(grid.frames + 1) * per_frame
    ends = torch.searchsorted(tokens.target.cpu().contiguous(), starts).tolist()
    for frame in range(grid.frames):
        pairs = slice(ends[frame], ends[frame + 1])
        seen = torch.zeros(per_frame, tokens.num_references, dtype=torch.bool)
        seen[tokens.target[pairs].cpu() - frame * per_frame, tokens.reference[pairs].cpu()] = True
        seen = _widened(seen, grid, radius)
        for place in places:
            allowed = seen[place]
            keys = allowed.any(dim=0).nonzero()[:, 0]
            tiles.append(Tile(place + frame * per_frame, keys, allowed[:, keys]))
    return ReferenceAccess(tuple(tiles), grid.num_tokens, tokens.num_references)


def _widened(seen: Tensor, grid: TokenGrid, radius: int) -> Tensor:
    """[tokens, references] bool, each reference token widened to the square around it."""
    if radius == 0:
        return seen
    pictures = seen.unflatten(1, (-1, grid.rows, grid.columns))
    return _spread(_spread(pictures, radius, 2), radius, 3).flatten(1)


def _spread(seen: Tensor, radius: int, axis: int) -> Tensor:
    """True wherever it was True at most ``radius`` places away along an axis."""
    size, reach = seen.shape[axis], 0
    radius = min(radius, size - 1)
    while reach < radius:
        # A shift by at most reach + 1 leaves no gap, at borders either, so the reach doubles every time.
        step = min(reach + 1, radius - reach)
        before, seen = seen, seen.clone()
        seen.narrow(axis, step, size - step).logical_or_(before.narrow(axis, 0, size - step))
        seen.narrow(axis, 0, size - step).logical_or_(before.narrow(axis, step, size - step))
        reach += step
    return seen


Restricted = Callable[[Tensor, Tensor, Tensor, ReferenceAccess, float], Tensor]
"""(q [B, heads, num_main, d], k and v [B, heads, num_main + num_reference, d], access, bias) -> like q."""


def masked_attention(
    query: Tensor, key: Tensor, value: Tensor, access: ReferenceAccess, bias: float = 0.0
) -> Tensor:
    """The reference: one dense mask. ``bias`` is added to the logits of reference keys."""
    seen = access.dense()
    mask = torch.zeros(seen.shape, dtype=query.dtype, device=query.device)
    mask[:, access.num_main :] = bias
    return functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask.masked_fill(~seen, -torch.inf)
    )


def gathered_attention(
    query: Tensor, key: Tensor, value: Tensor, access: ReferenceAccess, bias: float = 0.0
) -> Tensor:
    """Tile by tile: the clip's keys, and behind them the reference keys that the tile sees."""
    out = torch.empty_like(query)
    longest = access.num_main + max(len(tile.keys) for tile in access.tiles)
    most = max(len(tile.queries) for tile in access.tiles)
    mask = query.new_zeros(most, longest)
    for heads in _head_groups(query, longest):
        keys, values = (_room_behind(part[:, heads, : access.num_main], longest) for part in (key, value))
        for tile in access.tiles:
            end = access.num_main + len(tile.keys)
            keys[:, :, access.num_main : end] = key[:, heads][:, :, tile.keys + access.num_main]
            values[:, :, access.num_main : end] = value[:, heads][:, :, tile.keys + access.num_main]
            rows = mask[: len(tile.queries), :end]
            rows[:, access.num_main :] = torch.where(tile.allowed, bias, -torch.inf)
            out[:, heads, tile.queries] = functional.scaled_dot_product_attention(
                query[:, heads][:, :, tile.queries], keys[:, :, :end], values[:, :, :end], attn_mask=rows
            )
    return out


def _head_groups(query: Tensor, length: int) -> Iterator[slice]:
    batch, heads, _, width = query.shape
    group = max(1, COPY_LIMIT // (batch * length * width))
    for start in range(0, heads, group):
        yield slice(start, start + group)


def _room_behind(part: Tensor, length: int) -> Tensor:
    """A copy of [B, heads, L, d] with space for more keys."""
    room = part.new_empty(*part.shape[:2], length, part.shape[3])
    room[:, :, : part.shape[2]] = part
    return room


def flex_attention(
    query: Tensor, key: Tensor, value: Tensor, access: ReferenceAccess, bias: float = 0.0
) -> Tensor:
    """FlexAttention: blocks that no pair needs are skipped."""
    main = access.num_main

    def biased(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return torch.where(key < main, score, score + bias)

    kernel = _compiled_flex() if query.device.type == "cuda" else _plain_flex()
    return kernel(query, key, value, score_mod=biased if bias else None, block_mask=access.block_mask)


def _plain_flex() -> Callable[..., Tensor]:
    from torch.nn.attention import flex_attention as module

    return module.flex_attention  # type: ignore[return-value]


@cache
def _compiled_flex() -> Callable[..., Tensor]:
    return torch.compile(_plain_flex(), dynamic=False)


def best_way(device: torch.device) -> Restricted:
    """FlexAttention where it can be compiled (CUDA with Triton), else gathered keys."""
    if device.type == "cuda" and importlib.util.find_spec("triton") is not None:
        return flex_attention
    return gathered_attention
