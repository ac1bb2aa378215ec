"""Which weights learn in which stage, and what the stages write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("accelerate")

from tests.training.clip_tensors import encoded_clips

from worldstereo_core.training.clip_batch import SignalWeights
from worldstereo_core.training.clips import ClipSettings
from worldstereo_core.training.diffusion import DiffusionSettings
from worldstereo_core.training.family import is_used_with_null_context
from worldstereo_core.training.loop import gradients_of
from worldstereo_core.training.networks import NetworkSettings
from worldstereo_core.training.stages import stage_class


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
