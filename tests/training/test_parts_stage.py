"""The stage that trains optional parts: which weights learn, what is written, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("accelerate")

from tests.training.clip_tensors import encoded_clips, part_tensors
from worldstereo_core.adapters.diffusers.loader import load_worldstereo
from worldstereo_core.checks import WorldStereoError
from worldstereo_core.model.checkpoint import load_checkpoint
from worldstereo_core.model.control_parts import PART_NAMES
from worldstereo_core.model.weight_files import read_weights
from worldstereo_core.training.clip_batch import SignalWeights
from worldstereo_core.training.encoded_clips import ClipSettings
from worldstereo_core.training.family import (
    family_size,
    make_backbone,
    make_control,
    write_backbone,
    write_worldstereo,
)
from worldstereo_core.training.gradients import gradients_of
from worldstereo_core.training.networks import NetworkSettings
from worldstereo_core.training.stages.parts import PartsStage, PartsStageSettings


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> NetworkSettings:
    """A backbone and a control that passes on what reaches it, as trained ones do."""
    folder = tmp_path_factory.mktemp("trained")
    size = family_size("nano")
    backbone = make_backbone(size, 0)
    control = make_control(size.control_sizes(), backbone, 1)
    generator = torch.Generator().manual_seed(2)
    outward = [*control.controlnet.proj_out.parameters(), *backbone.transformer.proj_out.parameters()]
    with torch.no_grad():
        for parameter in outward:
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    write_backbone(folder / "backbone.safetensors", backbone)
    for variant in ("memory", "camera"):
        write_worldstereo(folder / variant, control, variant)
    return NetworkSettings(
        "nano", str(folder / "backbone.safetensors"), str(folder / "memory"), buckets=(32, 48)
    )


def make_stage(networks: NetworkSettings, *parts: str, **changes: Any) -> PartsStage:
    return PartsStage(PartsStageSettings(ClipSettings(vae="none"), networks, parts=parts, **changes), 0)


def learned(stage: PartsStage) -> set[str]:
    batch = {**encoded_clips(), **part_tensors(names=stage.networks.control.config.parts.names)}
    return gradients_of(stage, "parts", batch, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", PART_NAMES)
def test_exactly_one_part_learns(trained: NetworkSettings, name: str):
    stage = make_stage(trained, name)
    own = {n for n, _ in stage.networks.control.named_parameters() if n.startswith(f"parts.{name}.")}
    assert own and learned(stage) == {f"control.{n}" for n in own} == set(stage.groups[0].parameters)
    assert stage.networks.control.config.parts.names == (name,)


def test_a_part_of_the_file_stays_while_another_one_learns(trained: NetworkSettings, tmp_path: Path):
    first = make_stage(trained, "modulation")
    for parameter in first.groups[0].parameters.values():
        torch.nn.init.constant_(parameter, 0.25)
    weights, _ = first.export(tmp_path)
    second = make_stage(replace(trained, worldstereo=str(weights.parent)), "geometry", "attention")
    assert {name.split(".")[2] for name in learned(second)} == {"geometry", "attention"}
    weights, _ = second.export(tmp_path / "second")
    checkpoint = load_checkpoint(weights.parent)
    assert checkpoint.config.parts.names == ("modulation", "geometry", "attention")
    assert bool((checkpoint.control_state["parts.modulation.0.weight"] == 0.25).all())


def test_the_export_is_the_file_it_started_from_and_the_parts(trained: NetworkSettings, tmp_path: Path):
    stage = make_stage(trained, "warped_references")
    weights, config = stage.export(tmp_path)
    assert weights.parent.name == "worldstereo-memory-parts"
    before, after = (
        read_weights(Path(trained.worldstereo or "") / "model.safetensors")[0],
        read_weights(weights)[0],
    )
    added = set(after) - set(before)
    assert added == {"parts.warped_references.weight", "parts.warped_references.bias"}
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert json.loads(config.read_text())["variant"] == "memory"
    start = load_checkpoint(trained.worldstereo or "")
    loaded = load_worldstereo(trained.backbone, weights.parent)
    assert loaded.checkpoint.config == replace(start.config, parts=stage.networks.control.config.parts)


def test_the_gain_is_nothing_before_training_and_something_after(trained: NetworkSettings):
    stage = make_stage(trained, "geometry")
    stage._held_out = {**encoded_clips(), **part_tensors(names=("geometry",))}
    figures = stage.validate(torch.Generator())
    assert figures["held_out_gain"] == 0 == figures["held_out_gain_error"]
    for parameter in stage.groups[0].parameters.values():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    figures = stage.validate(torch.Generator())
    gain = figures["held_out_without_parts"] - figures["held_out_both"]
    assert figures["held_out_gain"] == pytest.approx(gain, abs=1e-6) != 0
    assert figures["held_out_gain_error"] > 0


def test_edges_and_semantic_pictures_are_left_out_as_often_as_asked(trained: NetworkSettings):
    batch = {**encoded_clips(), **part_tensors(names=("pictures",))}
    shown = {}
    for edges, semantic in ((0.0, 1.0), (1.0, 0.0)):
        stage = make_stage(trained, "pictures", edges=edges, semantic=semantic)
        pictures = stage._with_some_pictures(batch, torch.Generator().manual_seed(0))["pictures"]
        shown[edges] = pictures.flatten(2).abs().sum(dim=(0, 2)) > 0
    assert shown[0.0].tolist() == [True, False, True, True, True]
    assert shown[1.0].tolist() == [True, True, False, False, False]


REFUSED = {
    "no part": ((), {}, "parts: got none"),
    "an unknown part": (("depth",), {}, "parts: got depth"),
    "another signal": (("geometry",), {"signals": SignalWeights(camera=0.5, both=0.5)}, "signals"),
    "a share above 1": (("pictures",), {"edges": 1.5}, "edges"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_make_no_sense_are_refused(trained: NetworkSettings, case: str):
    parts, changes, words = REFUSED[case]
    with pytest.raises(WorldStereoError, match=words):
        make_stage(trained, *parts, **changes)


def test_parts_need_a_trained_control_that_can_feed_them(trained: NetworkSettings):
    with pytest.raises(WorldStereoError, match=r"networks\.worldstereo: none given"):
        make_stage(replace(trained, worldstereo=None), "geometry")
    camera = replace(trained, worldstereo=str(Path(trained.worldstereo or "").parent / "camera"))
    with pytest.raises(WorldStereoError, match="attention take reference views"):
        make_stage(camera, "geometry", "attention")
    assert learned(make_stage(camera, "geometry"))
