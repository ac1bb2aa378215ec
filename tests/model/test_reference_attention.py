"""Attention restricted to reference tokens of the same surface: three ways, one result."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.memory.token_correspondence import TokenCorrespondences
from worldstereo_core.model import reference_attention as module
from worldstereo_core.model.backbone import TokenGrid
from worldstereo_core.model.reference_attention import (
    ReferenceAccess,
    flex_attention,
    gathered_attention,
    masked_attention,
    reference_access,
)

GRID, REFERENCES = TokenGrid(3, 4, 5), 2
PER_FRAME = GRID.rows * GRID.columns


def pairs(
    count: int, grid: TokenGrid = GRID, references: int = REFERENCES, seed: int = 0
) -> TokenCorrespondences:
    """Random pairs; the first tokens of the clip have none."""
    main, other = grid.num_tokens, references * grid.rows * grid.columns
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randint(6 * other, main * other, (count,), generator=generator).unique()
    return TokenCorrespondences(keys // other, keys % other, main, other)


def tensors(access: ReferenceAccess, batch: int = 2, heads: int = 3, width: int = 8) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    length = access.num_main + access.num_reference
    query, key, value = torch.randn(3, batch, heads, length, width, generator=generator)
    return query[:, :, : access.num_main], key, value


def by_hand(query: Tensor, key: Tensor, value: Tensor, seen: Tensor, main: int, bias: float) -> Tensor:
    logits = query @ key.mT / query.shape[-1] ** 0.5
    logits[..., main:] += bias
    return torch.softmax(logits.masked_fill(~seen, -torch.inf), dim=-1) @ value


def test_one_pair_and_its_square_by_hand():
    one = TokenCorrespondences(
        torch.tensor([7]), torch.tensor([PER_FRAME + 6]), GRID.num_tokens, 2 * PER_FRAME
    )
    seen = reference_access(one, GRID, 0, tile=(2, 3)).dense()[:, GRID.num_tokens :]
    assert seen.nonzero().tolist() == [[7, PER_FRAME + 6]]
    wide = reference_access(one, GRID, 1, tile=(2, 3)).dense()[:, GRID.num_tokens :]
    # Token 6 stands in row 1, column 1: rows 0 to 2, columns 0 to 2 of the second reference.
    square = [PER_FRAME + row * 5 + column for row in range(3) for column in range(3)]
    assert wide.nonzero().tolist() == [[7, token] for token in square]


def test_the_square_is_cut_at_the_border_of_its_picture():
    last = TokenCorrespondences(
        torch.tensor([0]), torch.tensor([PER_FRAME - 1]), GRID.num_tokens, 2 * PER_FRAME
    )
    seen = reference_access(last, GRID, 1).dense()[0, GRID.num_tokens :]
    assert seen.nonzero()[:, 0].tolist() == [13, 14, 18, 19]


@pytest.mark.parametrize("radius", [1, 2, 3, 4, 7, 40])
def test_widening_equals_the_plain_distance(radius: int):
    grid = TokenGrid(1, 9, 14)
    tokens = pairs(60, grid, 2, seed=radius)
    seen = reference_access(tokens, grid, radius).dense()[:, grid.num_tokens :]
    place = torch.arange(2 * 9 * 14)
    picture, row, column = place // 126, place % 126 // 14, place % 14
    apart = torch.maximum((row[:, None] - row).abs(), (column[:, None] - column).abs())
    near = (apart <= radius) & (picture[:, None] == picture)
    assert torch.equal(seen, (tokens.dense().float() @ near.float()) > 0)


@pytest.mark.parametrize("tile", [(1, 1), (2, 3), (9, 9)])
def test_any_tiling_covers_the_same_pairs(tile: tuple[int, int]):
    tokens = pairs(50)
    access = reference_access(tokens, GRID, 0, tile)
    assert torch.equal(access.dense()[:, GRID.num_tokens :], tokens.dense())
    assert access.dense()[:, : GRID.num_tokens].all()
    every = torch.cat([part.queries for part in access.tiles])
    assert torch.equal(every.sort().values, torch.arange(GRID.num_tokens))
    assert access.share == pytest.approx(len(tokens.target) / (60 * 40))


@pytest.mark.parametrize("way", [masked_attention, gathered_attention, flex_attention])
@pytest.mark.parametrize("bias", [0.0, -1.2])
@pytest.mark.parametrize("radius", [0, 1])
def test_every_way_equals_the_softmax_by_hand(way, bias: float, radius: int):
    access = reference_access(pairs(90), GRID, radius, tile=(2, 3))
    query, key, value = tensors(access)
    expected = by_hand(query, key, value, access.dense(), access.num_main, bias)
    assert_close(way(query, key, value, access, bias), expected, atol=1e-5, rtol=0)


def test_without_pairs_the_clip_sees_itself_alone():
    nothing = TokenCorrespondences(torch.zeros(0).long(), torch.zeros(0).long(), 60, 40)
    access = reference_access(nothing, GRID, 3)
    query, key, value = tensors(access)
    alone = torch.nn.functional.scaled_dot_product_attention(query, key[:, :, :60], value[:, :, :60])
    assert_close(gathered_attention(query, key, value, access), alone, atol=1e-6, rtol=0)


def test_a_radius_over_the_whole_picture_of_paired_references_is_full_attention():
    tokens = TokenCorrespondences(
        torch.arange(60).repeat_interleave(2), torch.tensor([3, 20]).repeat(60), 60, 40
    )
    access = reference_access(tokens, GRID, 5)
    query, key, value = tensors(access)
    full = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    assert access.share == 1
    assert_close(gathered_attention(query, key, value, access), full, atol=1e-6, rtol=0)


def test_heads_are_copied_in_groups(monkeypatch: pytest.MonkeyPatch):
    access = reference_access(pairs(90), GRID, 0)
    query, key, value = tensors(access)
    whole = gathered_attention(query, key, value, access)
    monkeypatch.setattr(module, "COPY_LIMIT", 1)
    assert_close(gathered_attention(query, key, value, access), whole, atol=1e-6, rtol=0)


def test_skipped_and_full_blocks_are_those_of_the_dense_mask(monkeypatch: pytest.MonkeyPatch):
    # Neither length is a multiple of the block; one block border lies inside the references.
    monkeypatch.setattr(module, "FLEX_BLOCK", 16)
    access = reference_access(pairs(40), GRID, 0)
    dense = torch.nn.functional.pad(access.dense(), (0, -100 % 16, 0, -60 % 16))
    blocks = dense.unflatten(1, (-1, 16)).unflatten(0, (-1, 16))
    some, every = access._blocks()
    assert torch.equal(some, blocks.any(dim=3).any(dim=1))
    assert torch.equal(every, blocks.all(dim=3).all(dim=1))
    assert not some.all() and every.any()
    mask = access.block_mask
    full = torch.zeros_like(every)
    for row in range(len(full)):
        count = mask.full_kv_num_blocks[0, 0, row]
        full[row, mask.full_kv_indices[0, 0, row, :count].long()] = True
    assert torch.equal(full, every)
    assert mask.kv_num_blocks[0, 0].tolist() == (some & ~every).sum(dim=1).tolist()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler for torch.compile")
def test_compiled_flex_attention_skips_blocks_and_agrees():
    grid = TokenGrid(3, 12, 16)
    access = reference_access(pairs(5, grid), grid, 0)
    assert not access._blocks()[0].all()
    query, key, value = tensors(access, batch=1, heads=2, width=16)
    kernel = module._compiled_flex()
    out = kernel(query, key, value, block_mask=access.block_mask)
    assert_close(out, masked_attention(query, key, value, access), atol=1e-5, rtol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_flex_attention_on_the_gpu_agrees():
    gpu = torch.device("cuda")
    grid = TokenGrid(3, 12, 16)
    access = reference_access(pairs(300, grid), grid, 1).to(gpu)
    query, key, value = (part.to(gpu) for part in tensors(access, heads=2, width=64))
    expected = masked_attention(query, key, value, access, -0.7)
    assert_close(flex_attention(query, key, value, access, -0.7), expected, atol=5e-3, rtol=0)


def test_bits_hold_every_reference_of_a_word():
    tokens = TokenCorrespondences(torch.zeros(40).long(), torch.arange(40), 60, 40)
    bits = reference_access(tokens, GRID, 0).bits
    assert bits.dtype == torch.int32
    assert bits[0].tolist() == [-1, 2**8 - 1] and not bits[1:].any()


def test_pairs_of_another_clip_and_negative_radii_are_refused():
    with pytest.raises(ShapeError, match="belong to 60 clip and 40 reference tokens, the clip has 4 x 4 x 5"):
        reference_access(pairs(9), TokenGrid(4, 4, 5), 0)
    with pytest.raises(WorldStereoError, match="reference_radius: got -2"):
        reference_access(pairs(9), GRID, -2)
