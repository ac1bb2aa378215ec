"""Which weights learn in which stage, and what the stages write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("accelerate")

from tests.training.clip_tensors import encoded_clips
from worldstereo_core.adapters.diffusers.loader import load_worldstereo
from worldstereo_core.checks import CheckpointError, WorldStereoError
from worldstereo_core.model.tiny import write_tiny_models, write_weights
from worldstereo_core.model.weight_files import read_weights
from worldstereo_core.schedule import DMDSchedule
from worldstereo_core.training.clip_batch import SignalWeights
from worldstereo_core.training.config import LoopConfig
from worldstereo_core.training.encoded_clips import ClipSettings
from worldstereo_core.training.family import (
    FAMILY,
    is_used_with_null_context,
    make_backbone,
    write_backbone,
)
from worldstereo_core.training.gradients import gradients_of
from worldstereo_core.training.memory_estimate import describe_memory
from worldstereo_core.training.networks import NetworkSettings, load_networks
from worldstereo_core.training.stages import stage_class
from worldstereo_core.training.stages.distil import StepSettings, with_own_views


def make_stage(name: str, **changes: Any) -> Any:
    kind: Any = stage_class(name)
    networks = changes.pop("networks", NetworkSettings(size="nano"))
    return kind(kind.Settings(ClipSettings(vae="none"), networks, **changes), 0)


def learned(stage: Any, group: str, **loss: Any) -> set[str]:
    return gradients_of(stage, group, encoded_clips(), torch.Generator().manual_seed(0))


ATTENTION = {f"to_{p}.{q}" for p in ("q", "k", "v", "out.0") for q in ("weight", "bias")}
ATTENTION |= {"norm_q.weight", "norm_k.weight"}


def test_the_backbone_stage_trains_all_of_the_backbone_that_a_null_context_reaches():
    stage = make_stage("backbone")
    names = [name for name, _ in stage.modules["backbone"].named_parameters()]
    expected = {f"backbone.{name}" for name in names if is_used_with_null_context(name)}
    assert learned(stage, "backbone") == expected
    rest = {name for name in names if not is_used_with_null_context(name)}
    assert {"blocks.0.attn2.to_q.weight", "condition_embedder.text_embedder.linear_1.weight"} <= rest
    assert all(any(p in name for p in ("attn2", "norm2", "condition_embedder")) for name in rest)


def test_the_control_stage_trains_the_control_branch_alone():
    stage = make_stage("control")
    control = {f"control.{name}" for name, _ in stage.modules["control"].named_parameters()}
    assert learned(stage, "control") == {n for n in control if n.startswith("control.controlnet.")}


def test_the_adapter_stage_trains_low_rank_matrices_of_self_attention_alone():
    expected = {
        f"backbone.blocks.{block}.attn1.{layer}.lora_{letter}.default.weight"
        for block in range(2)
        for layer in ("to_q", "to_v")
        for letter in "AB"
    }
    assert learned(make_stage("adapters", layers=("to_q", "to_v"), rank=2), "adapters") == expected


@pytest.mark.parametrize("trains_control", [True, False])
def test_the_memory_stage_trains_camera_tokens_and_the_self_attention_asked_for(trains_control: bool):
    settings = {"trains_control": trains_control, "attention_blocks": (1,), "signals": SignalWeights(both=1)}
    stage = make_stage("memory", **settings)
    control = {f"control.{name}" for name, _ in stage.modules["control"].named_parameters()}
    expected = {n for n in control if trains_control or n.startswith("control.camera_embedding.")}
    expected |= {f"backbone.blocks.1.attn1.{part}" for part in ATTENTION}
    assert learned(stage, "memory") == expected


def test_joint_training_trains_everything():
    stage = make_stage("joint", signals=SignalWeights(both=1))
    names = [name for name, _ in stage.modules["backbone"].named_parameters()]
    expected = {f"backbone.{name}" for name in names if is_used_with_null_context(name)}
    expected |= {f"control.{name}" for name, _ in stage.modules["control"].named_parameters()}
    assert learned(stage, "joint") == expected
    bare = make_stage("joint", signals=SignalWeights(none=1))
    assert not any(name.startswith("control.") for name in learned(bare, "joint"))


def test_distillation_trains_the_fake_score_and_the_generator_in_turn_and_never_the_teacher():
    stage = make_stage("distil", signals=SignalWeights(both=1))
    names = [name for name, _ in stage.modules["backbone"].named_parameters()]
    used = {f"backbone.{name}" for name in names if is_used_with_null_context(name)}
    used |= {f"control.{name}" for name, _ in stage.modules["control"].named_parameters()}
    assert learned(stage, "generator") == used
    assert learned(stage, "fake") == {f"fake_{name}" for name in used}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A user's own files: a Wan backbone that reads text and pictures, and a released control branch."""
    folder = tmp_path_factory.mktemp("tiny")
    models = write_tiny_models(folder)
    context = {"text_embeds": torch.randn(1, 5, 4096), "image_embeds": torch.randn(1, 257, 1280)}
    write_weights(folder / "context.safetensors", context)
    return {
        "backbone": str(models.backbone),
        "camera": str(models.camera.parent),
        "memory": str(models.memory.parent),
        "context": str(folder / "context.safetensors"),
    }


@pytest.mark.parametrize(
    ("name", "worldstereo"),
    [("control", None), ("control", "camera"), ("adapters", "camera"), ("memory", "camera")],
)
def test_stages_start_from_a_full_backbone_and_a_released_control(
    tiny: dict[str, str], name: str, worldstereo: str | None
):
    networks = NetworkSettings(
        size="nano",
        backbone=tiny["backbone"],
        worldstereo=None if worldstereo is None else tiny[worldstereo],
        context=tiny["context"],
        frozen_precision="bf16",
    )
    stage = make_stage(name, networks=networks)
    got = learned(stage, name)
    assert got == set(stage.groups[0].parameters)
    dtypes = {
        parameter.dtype
        for prefix, module in stage.modules.items()
        for key, parameter in module.named_parameters()
        if f"{prefix}.{key}" in got
    }
    assert dtypes == {torch.float32}
    assert stage.networks.backbone.transformer.patch_embedding.weight.dtype == torch.bfloat16
    line = describe_memory(stage, LoopConfig(steps=1), 1)
    assert line.startswith(f"{name}: ") and "weights learn" in line and "frozen networks" in line


def test_the_exported_control_and_memory_load_onto_the_backbone(tiny: dict[str, str], tmp_path: Path):
    networks = NetworkSettings(backbone=tiny["backbone"], worldstereo=tiny["memory"], context=tiny["context"])
    stage = make_stage("memory", networks=networks, attention_blocks=(1,))
    [weights, config] = stage.export(tmp_path)
    assert (weights.name, config.name) == ("model.safetensors", "config.json")
    loaded = load_worldstereo(tiny["backbone"], weights.parent)
    assert loaded.checkpoint.config.variant == "memory"
    keys = loaded.checkpoint.backbone_state
    assert keys and all(key.startswith("blocks.1.self_attn.") for key in keys)
    [weights, _] = make_stage("control", networks=networks).export(tmp_path)
    assert load_worldstereo(tiny["backbone"], weights.parent).checkpoint.config.variant == "camera"


def test_the_exported_lora_is_the_trained_change(tmp_path: Path):
    stage = make_stage("adapters", rank=2, alpha=6.0)
    layer = stage.networks.backbone.transformer.blocks[1].attn1.to_q
    for parameter in stage.groups[0].parameters.values():
        torch.nn.init.normal_(parameter)
    [path] = stage.export(tmp_path)
    tensors = read_weights(path)[0]
    name = "diffusion_model.blocks.1.self_attn.q"
    down, up = tensors[f"{name}.lora_A.weight"].float(), tensors[f"{name}.lora_B.weight"].float()
    change = float(tensors[f"{name}.alpha"]) / len(down) * up @ down
    tokens = torch.randn(3, 256)
    expected = layer.base_layer(tokens) + tokens @ change.T
    torch.testing.assert_close(layer(tokens), expected, rtol=2e-3, atol=2e-3 * float(expected.abs().max()))
    assert len(tensors) == 2 * 4 * 3  # blocks, layers, (A, B, alpha)


def test_the_student_is_written_as_a_complete_file_with_its_steps(tmp_path: Path):
    stage = make_stage("distil", steps=StepSettings(num_steps=3, shift=2.0))
    weights = stage.export(tmp_path)[0]
    loaded = load_worldstereo(None, weights.parent)
    assert loaded.checkpoint.is_complete and loaded.checkpoint.config.schedule == DMDSchedule(3, shift=2.0)


def test_own_views_are_generated_frames_with_their_own_cameras():
    clips, generator = encoded_clips(frames=5), torch.Generator().manual_seed(0)
    drawn = torch.randn_like(clips["clean"])
    batch = with_own_views(clips, drawn, generator)
    frames = torch.arange(1, 5)
    assert bool((batch["bank_matches"][0] != frames).all())
    view = int(batch["bank_matches"][1, 2])
    torch.testing.assert_close(batch["bank_latents"][1, view], drawn[1, :, view])
    torch.testing.assert_close(batch["bank_w2c"][1, view], clips["w2c"][1, view])


def test_gradient_checkpointing_trains_the_same_weights():
    stage = make_stage("joint", signals=SignalWeights(both=1))
    expected = learned(stage, "joint")
    stage.set_gradient_checkpointing(True)
    assert learned(stage, "joint") == expected


def test_files_that_do_not_belong_together_are_refused(tiny: dict[str, str], tmp_path: Path):
    write_backbone(tmp_path / "small.safetensors", make_backbone(FAMILY["nano"], 0))
    networks = NetworkSettings(backbone=str(tmp_path / "small.safetensors"), worldstereo=tiny["memory"])
    with pytest.raises(CheckpointError, match=r"backbone: .*2 blocks"):
        load_networks(networks, 0)
    with pytest.raises(WorldStereoError, match=r"networks\.worldstereo: nowhere does not exist"):
        load_networks(NetworkSettings(backbone=tiny["backbone"], worldstereo="nowhere"), 0)
    with pytest.raises(WorldStereoError, match=r"networks\.context: .* has no tensor text_embeds"):
        files = {"backbone": tiny["backbone"], "worldstereo": tiny["camera"], "context": tiny["backbone"]}
        load_networks(NetworkSettings(**files), 0)
    with pytest.raises(WorldStereoError, match=r"networks\.size: small: got 5 control blocks, .* 4\."):
        load_networks(NetworkSettings(backbone=tiny["backbone"]), 0)
    with pytest.raises(
        WorldStereoError, match=r"attention_blocks: got \[7\], the backbone has blocks 0\.\.1"
    ):
        make_stage("memory", attention_blocks=(7,))
    with pytest.raises(WorldStereoError, match=r"layers: got to_x, expected some of to_q"):
        make_stage("adapters", layers=("to_x",))
