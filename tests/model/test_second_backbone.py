"""The backbone protocol on a transformer that is nothing like Wan, against a plain dense computation.

Its blocks run attention and feed-forward in parallel, queries share one key and value head, its rope is one
complex table turning the two halves of a head, its patches are 4 x 2, and time comes in at another width.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import Linear

from tests.model.tiny_session import make_control
from worldstereo_core.model.attention import attention
from worldstereo_core.model.backbone import TokenGrid
from worldstereo_core.model.condition import ControlCondition
from worldstereo_core.model.control_session import ControlSession
from worldstereo_core.model.rope import grid_rope
from worldstereo_core.model.world_control import WorldStereoControl

WIDTH, HEADS, HEAD, TIME, BLOCKS = 30, 3, 10, 12, 5
FRAMES, HEIGHT, COLUMNS = 3, 8, 6  # of the latent
PATCH = (1, 4, 2)
GRID = TokenGrid(FRAMES, HEIGHT // 4, COLUMNS // 2)
SLOTS = (1, 0)  # of the references, out of order


class ParallelBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.RMSNorm(WIDTH)
        self.query, self.key_value = Linear(WIDTH, WIDTH), Linear(WIDTH, 2 * HEAD)
        self.out = Linear(WIDTH, WIDTH)
        self.up, self.down = Linear(WIDTH, 40), Linear(40, WIDTH)
        self.text = Linear(7, WIDTH)
        self.modulation = Linear(TIME, WIDTH)

    def forward(self, x: Tensor, rope: Tensor, time: Tensor, text: Tensor, num_text_readers: int) -> Tensor:
        normed = self.norm(x) + self.modulation(time)[:, None]
        query = turn(self.query(normed).unflatten(2, (HEADS, HEAD)), rope)
        key, value = self.key_value(normed).unflatten(2, (2, HEAD)).unbind(2)
        key = turn(key[:, :, None], rope)
        weights = (query.transpose(1, 2) @ key.permute(0, 2, 3, 1) / math.sqrt(HEAD)).softmax(-1)
        mixed = (weights @ value[:, None]).transpose(1, 2).flatten(2)
        read = nn.functional.pad(
            self.text(text)[:, None].expand(-1, num_text_readers, -1),
            (0, 0, 0, x.shape[1] - num_text_readers),
        )
        return x + self.out(mixed) + self.down(torch.relu(self.up(normed))) + read


def turn(heads: Tensor, rope: Tensor) -> Tensor:
    """Rotate [B, L, heads, HEAD] by complex [1, L, 1, HEAD / 2]; a pair is channel i and i + HEAD / 2."""
    turned = torch.complex(*heads.chunk(2, dim=-1)) * rope
    return torch.cat([turned.real, turned.imag], dim=-1)


def angles(frame: float, row: float, column: float) -> Tensor:
    return torch.tensor([frame, row, column, frame * 0.1, column * 0.3])


class ParallelBackbone(nn.Module):
    width, num_blocks, patch_size = WIDTH, BLOCKS, PATCH

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.patch = Linear(36 * 8, WIDTH)
        self.time = Linear(1, TIME)
        self.blocks = nn.ModuleList([ParallelBlock() for _ in range(BLOCKS)])

    def embed_time(self, timesteps: Tensor) -> Tensor:
        return torch.tanh(self.time(timesteps.float()[:, None] / 1000))

    def embed_patches(self, latents: Tensor) -> Tensor:
        cut = latents.unfold(3, 4, 4).unfold(4, 2, 2)  # [B, 36, F, rows, columns, 4, 2]
        return self.patch(cut.permute(0, 2, 3, 4, 1, 5, 6).flatten(4).flatten(1, 3))

    def embed_positions(self, grid: TokenGrid) -> Tensor:
        places = [
            angles(t, r, c) for t in range(grid.frames) for r in range(grid.rows) for c in range(grid.columns)
        ]
        turns = torch.stack(places)[None, :, None]
        return torch.polar(torch.ones_like(turns), turns)


def make_inputs() -> tuple[ControlCondition, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(6)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    pixels = (FRAMES, 8 * HEIGHT, 8 * COLUMNS)
    condition = ControlCondition(
        render_latents=random(1, 16, FRAMES, HEIGHT, COLUMNS),
        hole_mask=(random(1, 1, *pixels) > 0).float(),
        rays=random(1, 6, *pixels),
        reference_latents=random(1, 16, len(SLOTS), HEIGHT, COLUMNS),
        reference_index=torch.tensor(SLOTS),
        camera_tokens=random(1, FRAMES, 7),
        reference_camera_tokens=random(1, len(SLOTS), 7),
    )
    return condition, random(1, 36, FRAMES, HEIGHT, COLUMNS), random(1, 7)


def joined_forward(backbone: ParallelBackbone, control: WorldStereoControl, update_reference: bool) -> Tensor:
    """The way an adapter runs it."""
    condition, latents, text = make_inputs()
    timesteps = torch.tensor([400.0])
    session = ControlSession(
        control, condition, backbone, latents, timesteps, GRID,
        attention=attention, update_reference=update_reference,
    )  # fmt: skip
    tokens, time = backbone.embed_patches(latents), backbone.embed_time(timesteps)
    rope = session.joined_positions(backbone.embed_positions(GRID))
    assert isinstance(rope, Tensor)
    for index, block in enumerate(backbone.blocks):
        joined = block(session.join(index, tokens), rope, time, text, session.num_main)
        tokens = session.split(index, joined)
    return tokens


def dense_forward(backbone: ParallelBackbone, control: WorldStereoControl, update_reference: bool) -> Tensor:
    """The same from the description, one token at a time."""
    condition, latents, text = make_inputs()
    timesteps = torch.tensor([400.0])
    time, per_frame = backbone.embed_time(timesteps), GRID.rows * GRID.columns
    references = condition.reference_latents
    embedding, branch = control.camera_embedding, control.controlnet
    assert references is not None and embedding is not None and condition.rays is not None
    assert condition.camera_tokens is not None and condition.reference_camera_tokens is not None

    main = backbone.embed_patches(latents)[0]
    known = torch.ones(1, 4, len(SLOTS), HEIGHT, COLUMNS)
    glued = backbone.embed_patches(torch.cat([references, known, references], dim=1))[0]
    cameras, others = embedding(condition.camera_tokens)[0], embedding(condition.reference_camera_tokens)[0]
    tokens = [token + cameras[place // per_frame] for place, token in enumerate(main)]
    glued = [token + others[place // per_frame] for place, token in enumerate(glued)]
    rest = [(r, c) for r in range(GRID.rows) for c in range(GRID.columns)]
    places = [angles(t, r, c) for t in range(FRAMES) for r, c in rest]
    places += [angles(slot + 1, r, c + GRID.columns) for slot in SLOTS for r, c in rest]

    guide = branch.embed_patches(torch.cat([latents[:, :20], condition.render_latents], dim=1))
    guide = branch.proj_in(guide + branch.embed_mask(condition.hole_mask, condition.rays))
    control_rope = grid_rope(GRID, branch.sizes.width // branch.sizes.num_heads)
    first = glued
    for index, block in enumerate(backbone.blocks):
        sequence = torch.stack([*tokens, *(glued if update_reference else first)])
        normed = block.norm(sequence) + block.modulation(time)
        keys, values = block.key_value(normed).split(HEAD, dim=1)
        turned = torch.stack([rotated(key, turns) for key, turns in zip(keys, places, strict=True)])
        made = []
        for place, token in enumerate(sequence):
            mixed = []
            for head in range(HEADS):
                query = block.query(normed[place])[head * HEAD : (head + 1) * HEAD]
                scores = turned @ rotated(query, places[place]) / math.sqrt(HEAD)
                mixed.append(scores.softmax(0) @ values)
            new = token + block.out(torch.cat(mixed)) + block.down(torch.relu(block.up(normed[place])))
            made.append(new + block.text(text[0]) if place < GRID.num_tokens else new)
        tokens, glued = made[: GRID.num_tokens], made[GRID.num_tokens :]
        if index < branch.sizes.num_blocks:
            guide, residual = branch.run_block(index, guide, time, control_rope, attention)
            tokens = [token + addend for token, addend in zip(tokens, residual[0], strict=True)]
    return torch.stack(tokens)[None]


def rotated(head: Tensor, turns: Tensor) -> Tensor:
    a, b = head[: HEAD // 2], head[HEAD // 2 :]
    return torch.cat([a * turns.cos() - b * turns.sin(), a * turns.sin() + b * turns.cos()])


@pytest.mark.parametrize("update_reference", [True, False])
def test_another_architecture_gives_the_dense_result(update_reference: bool):
    backbone = ParallelBackbone()
    control = make_control(output_width=WIDTH, time_width=TIME, patch_size=PATCH)
    with torch.no_grad():
        dense = dense_forward(backbone, control, update_reference)
        torch.testing.assert_close(
            joined_forward(backbone, control, update_reference), dense, rtol=1e-4, atol=1e-4
        )
        other = dense_forward(backbone, control, not update_reference)
    assert float((dense - other).abs().max()) > 1e-2, "the setting must matter for the comparison to tell"
