"""WorldStereo on diffusers' Wan transformer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("diffusers")

from worldstereo_core.adapters.diffusers.backbone import (
    WanBackbone,
    controlled_forward,
    pad_text,
)
from worldstereo_core.adapters.diffusers.loader import load_worldstereo
from worldstereo_core.adapters.diffusers.transformer import load_wan_transformer, set_dtype
from worldstereo_core.checks import CheckpointError, ShapeError
from worldstereo_core.model.backbone import TokenGrid
from worldstereo_core.model.checkpoint import merge_backbone
from worldstereo_core.model.condition import ControlCondition
from worldstereo_core.model.control_session import ControlStrength
from worldstereo_core.model.key_names import wan_to_diffusers_key
from worldstereo_core.model.tiny import TinyModels, tiny_backbone_tensors, write_tiny_models, write_weights
from worldstereo_core.model.weight_files import read_weights

FRAMES, HEIGHT, COLUMNS, REFERENCES = 3, 4, 6, 2


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    return write_tiny_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def loaded(models: TinyModels):
    return load_worldstereo(models.backbone, models.memory)


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def condition() -> ControlCondition:
    return ControlCondition(
        render_latents=random(1, 1, 16, FRAMES, HEIGHT, COLUMNS),
        hole_mask=(random(2, 1, 1, FRAMES, 8 * HEIGHT, 8 * COLUMNS) > 0).float(),
        rays=random(3, 1, 6, FRAMES, 8 * HEIGHT, 8 * COLUMNS),
        reference_latents=random(4, 1, 16, REFERENCES, HEIGHT, COLUMNS),
        reference_index=torch.tensor([0, 1]),
        camera_tokens=random(5, 1, FRAMES, 7),
        reference_camera_tokens=random(6, 1, REFERENCES, 7),
    )


def inputs(batch: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        random(7, batch, 36, FRAMES, HEIGHT, COLUMNS),
        torch.full((batch,), 500.0),
        pad_text(random(8, batch, 5, 4096)),
        random(9, batch, 257, 1280),
    )


def bare(backbone: WanBackbone, batch: int = 1) -> Tensor:
    return controlled_forward(backbone, None, None, *inputs(batch))


def test_sizes_are_read_from_the_shapes(loaded):
    backbone = loaded.backbone
    assert (backbone.width, backbone.num_blocks, backbone.patch_size) == (256, 4, (1, 2, 2))
    assert backbone.in_channels == 36 and backbone.is_image_to_video
    assert backbone.transformer.config.num_attention_heads == 2
    assert backbone.transformer.config.ffn_dim == 512


def test_embeddings_are_the_transformers_own(loaded):
    backbone = loaded.backbone
    latents = random(0, 2, 36, FRAMES, HEIGHT, COLUMNS)
    assert backbone.grid(latents) == TokenGrid(3, 2, 3)
    assert backbone.embed_patches(latents).shape == (2, 18, 256)
    assert backbone.embed_time(torch.tensor([1.0, 999.0])).shape == (2, 256)
    cosine, _ = backbone.embed_positions(TokenGrid(3, 2, 3))
    torch.testing.assert_close(cosine, backbone.transformer.rope(latents)[0])


def test_a_grid_of_odd_latents_is_refused(loaded):
    with pytest.raises(ShapeError, match="multiples of 16"):
        loaded.backbone.grid(torch.zeros(1, 36, 3, 5, 6))


def test_control_changes_the_prediction_and_strength_0_without_references_does_not(loaded, condition):
    plain = bare(loaded.backbone)
    controlled = controlled_forward(loaded.backbone, loaded.control, condition, *inputs())
    assert controlled.shape == plain.shape == (1, 16, FRAMES, HEIGHT, COLUMNS)
    assert float((controlled - plain).abs().max()) > 0.1
    alone = ControlCondition(condition.render_latents, condition.hole_mask, condition.rays)
    off = controlled_forward(
        loaded.backbone, loaded.control, alone, *inputs(), strength=ControlStrength(overall=0)
    )
    torch.testing.assert_close(off, plain)


def test_the_transformer_is_left_as_it_was_also_after_an_error(loaded, condition):
    backbone = loaded.backbone
    before = bare(backbone)
    processors = [block.attn2.processor for block in backbone.transformer.blocks]

    class Stop(Exception):
        pass

    def stop(name: str, tensor: Tensor) -> None:
        if name == "block2.hidden":
            raise Stop

    with pytest.raises(Stop):
        controlled_forward(backbone, loaded.control, condition, *inputs(), probe=stop)
    assert [block.attn2.processor for block in backbone.transformer.blocks] == processors
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in backbone.transformer.blocks)
    torch.testing.assert_close(bare(backbone), before)


def test_order_of_references_does_not_matter(loaded, condition):
    swapped = replace(
        condition,
        reference_latents=condition.reference_latents.flip(2),
        reference_index=condition.reference_index.flip(0),
        reference_camera_tokens=condition.reference_camera_tokens.flip(1),
    )
    first, second = (
        controlled_forward(loaded.backbone, loaded.control, each, *inputs()) for each in (condition, swapped)
    )
    torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-4)


def test_slots_and_updates_of_references_matter(loaded, condition):
    results = [
        controlled_forward(loaded.backbone, loaded.control, each, *inputs(), update_reference=update)
        for each, update in (
            (condition, True),
            (condition, False),
            (replace(condition, reference_index=torch.tensor([1, 0])), True),
        )
    ]
    assert float((results[0] - results[1]).abs().max()) > 1e-3
    assert float((results[0] - results[2]).abs().max()) > 1e-3


def test_conditional_and_unconditional_in_one_batch_equal_two_calls(loaded, condition):
    latents, timesteps, text, image = inputs()
    other_text = pad_text(random(10, 1, 9, 4096))
    singles = [
        controlled_forward(loaded.backbone, loaded.control, condition, latents, timesteps, each, image)
        for each in (text, other_text)
    ]
    both = controlled_forward(
        loaded.backbone,
        loaded.control,
        condition,
        latents.repeat(2, 1, 1, 1, 1),
        timesteps.repeat(2),
        torch.cat([text, other_text]),
        image.repeat(2, 1, 1),
        control_batch=1,
    )
    torch.testing.assert_close(both, torch.cat(singles), atol=1e-4, rtol=1e-4)


def test_bfloat16_stays_near_float32(models, loaded, condition):
    half = load_worldstereo(models.backbone, models.memory, dtype=torch.bfloat16)
    assert half.backbone.dtype is torch.bfloat16
    result = controlled_forward(half.backbone, half.control, condition, *inputs())
    assert result.dtype is torch.bfloat16
    exact = controlled_forward(loaded.backbone, loaded.control, condition, *inputs())
    assert float((result.float() - exact).abs().mean() / exact.abs().mean()) < 0.03


def test_normalisations_and_time_embedding_stay_in_float32(models):
    model = load_wan_transformer(models.backbone, dtype=torch.bfloat16)
    kinds = {name: parameter.dtype for name, parameter in model.named_parameters()}
    assert kinds["blocks.0.norm2.weight"] is torch.float32
    assert kinds["blocks.0.scale_shift_table"] is torch.float32
    assert kinds["condition_embedder.time_embedder.linear_1.weight"] is torch.float32
    assert kinds["blocks.0.attn1.norm_q.weight"] is torch.bfloat16
    assert kinds["condition_embedder.time_proj.weight"] is torch.bfloat16
    set_dtype(model, None)
    assert {name: parameter.dtype for name, parameter in model.named_parameters()} == kinds


def test_diffusers_names_and_prefixes_give_the_same_model(models, tmp_path: Path):
    tensors = read_weights(models.backbone)[0]
    renamed = {str(wan_to_diffusers_key(key)): value for key, value in tensors.items()}
    prefixed = {f"model.diffusion_model.{key}": value for key, value in tensors.items()}
    expected = load_wan_transformer(models.backbone).state_dict()
    for other in (renamed, prefixed):
        torch.testing.assert_close(load_wan_transformer(other).state_dict(), expected)


def test_complete_file_needs_no_backbone(models, loaded, condition, tmp_path: Path):
    checkpoint = loaded.checkpoint
    merged = merge_backbone(read_weights(models.backbone)[0], checkpoint)
    whole = tmp_path / "whole.safetensors"
    write_weights(whole, {**merged, **checkpoint.control_state})
    alone = load_worldstereo(None, whole)
    assert alone.checkpoint.is_complete
    first, second = (
        controlled_forward(each.backbone, each.control, condition, *inputs()) for each in (alone, loaded)
    )
    torch.testing.assert_close(first, second)


def test_overlay_without_a_backbone_is_refused(models):
    with pytest.raises(CheckpointError, match=r"backbone: none given, but .* is an overlay"):
        load_worldstereo(None, models.camera)


def other_backbones() -> dict[str, dict[str, Tensor]]:
    i2v = tiny_backbone_tensors(0)
    t2v = {key: value for key, value in i2v.items() if "img" not in key}
    t2v["patch_embedding.weight"] = torch.zeros(256, 16, 1, 2, 2)
    fewer = {key: value for key, value in i2v.items() if not key.startswith(("blocks.2", "blocks.3"))}
    small_5b = t2v | {"patch_embedding.weight": torch.zeros(3072, 48, 1, 2, 2)}
    return {"t2v": t2v, "5b": small_5b, "fewer": fewer, "other": {"double_blocks.0.weight": torch.ones(1)}}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("t2v", "text-to-video"),
        ("5b", "Wan 2.2 5B"),
        ("fewer", "2 blocks"),
        ("other", "no Wan transformer"),
    ],
)
def test_other_backbones_are_refused(models, tmp_path: Path, kind: str, message: str):
    path = tmp_path / "other.safetensors"
    write_weights(path, other_backbones()[kind])
    with pytest.raises(CheckpointError, match=f"backbone: .*{message}"):
        load_worldstereo(path, models.camera)


def test_incomplete_transformer_names_what_is_missing():
    tensors = tiny_backbone_tensors(0)
    del tensors["blocks.1.ffn.2.bias"]
    with pytest.raises(CheckpointError, match=r"1 tensors missing \(blocks\.1\.ffn\.net\.2\.bias\)"):
        load_wan_transformer(tensors)
    with pytest.raises(CheckpointError, match="not a Wan transformer"):
        load_wan_transformer({"x": torch.ones(1)})


def test_text_is_padded_to_512_and_longer_text_refused():
    padded = pad_text(torch.ones(1, 3, 4096))
    assert padded.shape == (1, 512, 4096) and float(padded.sum()) == 3 * 4096
    with pytest.raises(ShapeError, match="got 513 tokens"):
        pad_text(torch.ones(1, 513, 1))
