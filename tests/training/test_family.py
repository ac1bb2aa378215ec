"""Small models in the released formats: first weights, null context, files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("diffusers")

from worldstereo_core.adapters.diffusers.backbone import controlled_forward, pad_text
from worldstereo_core.adapters.diffusers.loader import load_worldstereo
from worldstereo_core.checks import WorldStereoError
from worldstereo_core.model.condition import ControlCondition
from worldstereo_core.model.weight_files import read_weights
from worldstereo_core.schedule import DMDSchedule
from worldstereo_core.training import family
from worldstereo_core.training.networks import Networks, NetworkSettings, load_networks

FRAMES, HEIGHT, COLUMNS, REFERENCES = 3, 4, 6, 2


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make_condition() -> ControlCondition:
    return ControlCondition(
        render_latents=random(1, 1, 16, FRAMES, HEIGHT, COLUMNS),
        hole_mask=(random(2, 1, 1, FRAMES, 8 * HEIGHT, 8 * COLUMNS) > 0).float(),
        rays=random(3, 1, 6, FRAMES, 8 * HEIGHT, 8 * COLUMNS),
        reference_latents=random(4, 1, 16, REFERENCES, HEIGHT, COLUMNS),
        reference_index=torch.tensor([0, 1]),
        camera_tokens=random(5, 1, FRAMES, 7),
        reference_camera_tokens=random(6, 1, REFERENCES, 7),
    )


def shaken(networks: Networks) -> Networks:
    """With weights that training has moved: no layer is zero any more, but for those that stay so."""
    generator = torch.Generator().manual_seed(7)
    for module in networks.modules().values():
        for name, parameter in module.named_parameters():
            if family.is_used_with_null_context(name):
                parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    return networks


@pytest.fixture(scope="module")
def networks() -> Networks:
    made = load_networks(NetworkSettings(size="nano"), 0)
    family.add_camera_embedding(made.control, 0)
    return shaken(made)


@pytest.fixture(scope="module")
def folder(networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("family")
    family.write_backbone(folder / "backbone.safetensors", networks.backbone)
    family.write_worldstereo(folder / "worldstereo-camera", networks.control, "camera")
    names = {f"blocks.0.attn1.to_{letter}.weight" for letter in "qk"}
    family.write_worldstereo(
        folder / "worldstereo-memory",
        networks.control,
        "memory",
        backbone=networks.backbone,
        backbone_names=names,
    )
    family.write_worldstereo(
        folder / "worldstereo-memory-dmd",
        networks.control,
        "memory-dmd",
        dmd=DMDSchedule(4, 200.0, shift=3.0),
        backbone=networks.backbone,
    )
    family.write_null_context(folder)
    return folder


def velocity(networks: Networks, condition: ControlCondition | None) -> Tensor:
    clip = random(8, 1, 16, FRAMES, HEIGHT, COLUMNS), random(9, 1, 20, FRAMES, HEIGHT, COLUMNS)
    return networks.velocity(*clip, condition, torch.tensor([600.0]))


def test_a_new_model_answers_nothing_and_its_control_adds_nothing():
    networks = load_networks(NetworkSettings(size="nano"), 0)
    family.add_camera_embedding(networks.control, 0)
    assert velocity(networks, None).abs().max() == 0  # the head is zero
    torch.nn.init.normal_(networks.backbone.transformer.proj_out.weight)
    bare = make_condition()
    without_references = ControlCondition(bare.render_latents, bare.hole_mask, bare.rays)
    torch.testing.assert_close(
        velocity(networks, without_references), velocity(networks, None), rtol=0, atol=0
    )


def test_one_token_of_context_stands_for_all_of_them(networks: Networks):
    networks_text = family.null_context()
    single = velocity(networks, make_condition())
    transformer = family.make_backbone(family.FAMILY["nano"], 0).transformer  # with diffusers' own attention
    transformer.load_state_dict(networks.backbone.transformer.state_dict())
    clip = torch.cat(
        [random(8, 1, 16, FRAMES, HEIGHT, COLUMNS), random(9, 1, 20, FRAMES, HEIGHT, COLUMNS)], 1
    )
    whole = controlled_forward(
        type(networks.backbone)(transformer),
        networks.control,
        make_condition(),
        clip,
        torch.tensor([600.0]),
        pad_text(networks_text["text_embeds"]),
        networks_text["image_embeds"].expand(1, 257, -1),
    )
    torch.testing.assert_close(single, whole, rtol=1e-4, atol=1e-5)


def test_any_prompt_means_the_same(networks: Networks):
    embedder = networks.backbone.transformer.condition_embedder.text_embedder
    torch.testing.assert_close(embedder(random(0, 1, 3, 4096)), embedder(torch.zeros(1, 3, 4096)))
    assert embedder(torch.zeros(1, 1, 4096)).abs().max() > 0.1


def test_the_files_load_as_released_ones_do(networks: Networks, folder: Path):
    for variant, is_complete in (("camera", False), ("memory", False), ("memory-dmd", True)):
        loaded = load_worldstereo(
            None if is_complete else folder / "backbone.safetensors", folder / f"worldstereo-{variant}"
        )
        checkpoint = loaded.checkpoint
        assert checkpoint.config.variant == variant and checkpoint.is_complete == is_complete
        assert checkpoint.unknown_keys == () and checkpoint.config.buckets == ((64, 96),)
        assert checkpoint.config.latent_condition_mode == "first_frame_only"
    assert checkpoint.config.dmd == DMDSchedule(4, 200.0, shift=3.0)
    for name, parameter in networks.backbone.transformer.state_dict().items():
        read = loaded.backbone.transformer.state_dict()[name]
        torch.testing.assert_close(read, parameter, rtol=1e-3, atol=1e-4)


def test_matrices_that_stay_zero_take_one_byte_a_number(folder: Path):
    tensors = read_weights(folder / "backbone.safetensors")[0]
    small = {key for key, tensor in tensors.items() if tensor.dtype == torch.float8_e4m3fn}
    assert "text_embedding.0.weight" in small and "blocks.1.cross_attn.k_img.weight" in small
    assert all(not tensors[key].float().any() for key in small)
    assert not any("self_attn" in key or key.endswith("cross_attn.v.weight") for key in small)


def test_config_says_what_the_sizes_are(folder: Path):
    values = json.loads((folder / "worldstereo-camera" / "config.json").read_text())
    assert values["controlnet_cfg"]["dim"] == family.FAMILY["nano"].control_width
    assert values["controlnet_cfg"]["main_camera_embedding"] is False and "dmd_steps" not in values


def test_gradient_checkpointing_gives_the_same_gradients(networks: Networks):
    def gradients(recomputes: bool) -> list[Tensor]:
        parameters = [p for module in networks.modules().values() for p in module.parameters()]
        for parameter in parameters:
            parameter.requires_grad_(True)
            parameter.grad = None
        velocity(networks.recomputing(recomputes), make_condition()).square().mean().backward()
        return [torch.zeros(()) if p.grad is None else p.grad.clone() for p in parameters]

    plain, recomputed = gradients(False), gradients(True)
    assert sum(float(gradient.abs().sum()) for gradient in plain) > 0
    torch.testing.assert_close(recomputed, plain, rtol=1e-5, atol=1e-8)


def test_the_shipped_size_keeps_its_budget():
    backbone = family.make_backbone(family.FAMILY["small"], 0)
    control = family.make_control(family.FAMILY["small"].control_sizes(), backbone, 0)
    tensors = [*family.backbone_tensors(backbone).values(), *family.control_tensors(control).values()]
    assert sum(tensor.numel() * tensor.element_size() for tensor in tensors) < 21e6


def test_an_unknown_size_is_refused_by_name():
    with pytest.raises(WorldStereoError, match=r"size: got 'huge', expected one of nano, small"):
        NetworkSettings(size="huge")


def test_an_overlay_without_its_backbone_is_refused(folder: Path):
    with pytest.raises(WorldStereoError, match=r"networks\.backbone: none given, but .* is an overlay"):
        load_networks(NetworkSettings(worldstereo=str(folder / "worldstereo-memory")), 0)


def test_training_goes_on_from_files(networks: Networks, folder: Path):
    settings = NetworkSettings(
        backbone=str(folder / "backbone.safetensors"), worldstereo=str(folder / "worldstereo-memory")
    )
    read = load_networks(settings, 1)
    torch.testing.assert_close(
        velocity(read, make_condition()), velocity(networks, make_condition()), rtol=0.02, atol=0.02
    )
