"""Optional parts: nothing to the bit until trained, then a change; files with and without them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.model.test_control_session import residuals, run, start
from tests.model.tiny_session import (
    COLUMNS,
    FRAMES,
    GRID,
    HEIGHT,
    WIDTH,
    LinearBackbone,
    make_condition,
    make_control,
    make_latents,
)
from worldstereo_core.checks import CheckpointError, ShapeError, WorldStereoError
from worldstereo_core.memory.token_correspondence import TokenCorrespondences
from worldstereo_core.model.attention import attention
from worldstereo_core.model.checkpoint import checkpoint_from_tensors
from worldstereo_core.model.condition import ControlCondition
from worldstereo_core.model.control_parts import (
    GEOMETRY_CHANNELS,
    GLOBAL_INPUTS,
    PART_NAMES,
    PICTURE_CHANNELS,
    WARPED_CHANNELS,
    PartSizes,
    PartStage,
    PartStrength,
    add_parts,
    read_strengths,
    strength_of,
)
from worldstereo_core.model.control_session import ControlSession, ControlStrength
from worldstereo_core.model.correspondence_attention import CorrespondenceAttention
from worldstereo_core.model.world_control import WorldStereoControl

ONE_PART = {
    "modulation": PartSizes(modulation=True),
    "global_vector": PartSizes(global_inputs=GLOBAL_INPUTS),
    "pictures": PartSizes(picture_channels=PICTURE_CHANNELS),
    "warped_references": PartSizes(warped_channels=WARPED_CHANNELS),
    "geometry": PartSizes(geometry_channels=GEOMETRY_CHANNELS),
    "attention": PartSizes(attention_width=8),
}

# Main token 0 sees two reference tokens, main token 5 one; the others none.
PAIRS = TokenCorrespondences(torch.tensor([0, 0, 5]), torch.tensor([1, 7, 3]), GRID.num_tokens, 2 * 6)


def full_condition(batch: int = 1, mask_frames: int = FRAMES) -> ControlCondition:
    generator = torch.Generator().manual_seed(5)

    def random(*shape: int) -> Tensor:
        return torch.rand(batch, *shape, generator=generator)

    pixels = (mask_frames, 8 * HEIGHT, 8 * COLUMNS)
    return replace(
        make_condition(batch, mask_frames),
        global_vector=random(GLOBAL_INPUTS),
        pictures=random(PICTURE_CHANNELS, *pixels),
        warped_references=random(WARPED_CHANNELS, FRAMES, HEIGHT, COLUMNS),
        geometry=random(GEOMETRY_CHANNELS, *pixels),
        shared_surfaces=PAIRS,
    )


def train_a_little(control: WorldStereoControl) -> WorldStereoControl:
    """Give every parameter of the parts a value that is not zero."""
    generator = torch.Generator().manual_seed(9)
    assert control.parts is not None
    for parameter in control.parts.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return control


def outcome(control: WorldStereoControl, condition: ControlCondition, batch: int = 1, **options) -> Tensor:
    main = torch.randn(batch, GRID.num_tokens, WIDTH, generator=torch.Generator().manual_seed(4))
    return run(start(condition, control, batch, **options), main)


@pytest.fixture
def control() -> WorldStereoControl:
    return make_control()


@pytest.mark.parametrize("name", PART_NAMES)
def test_a_new_part_changes_nothing_to_the_bit(control: WorldStereoControl, name: str):
    grown = add_parts(control, ONE_PART[name])
    assert grown.config.parts.names == (name,)
    assert torch.equal(outcome(control, full_condition()), outcome(grown, full_condition()))


def test_all_new_parts_together_change_nothing_to_the_bit(control: WorldStereoControl):
    grown = add_parts(control, PartSizes.all())
    assert grown.config.parts.names == PART_NAMES
    assert torch.equal(outcome(control, full_condition()), outcome(grown, full_condition()))


def test_inputs_of_parts_that_a_control_lacks_are_not_looked_at(control: WorldStereoControl):
    odd = replace(full_condition(), pictures=torch.zeros(1, 2, 1, 1, 1), global_vector=torch.zeros(1, 3))
    assert torch.equal(outcome(control, make_condition()), outcome(control, odd))


@pytest.mark.parametrize("name", PART_NAMES)
def test_a_trained_part_acts_and_is_off_at_strength_0_or_without_its_input(control, name: str):
    grown = train_a_little(add_parts(control, ONE_PART[name]))
    plain = outcome(control, full_condition())
    trained = outcome(grown, full_condition())
    assert float((trained - plain).abs().max()) > 1e-3
    off = replace(PartStrength(), **{name: 0.0})
    assert torch.equal(outcome(grown, full_condition(), parts=off), plain)
    half = outcome(grown, full_condition(), parts=replace(PartStrength(), **{name: 0.5}))
    assert not torch.equal(half, trained) and not torch.equal(half, plain)
    if name != "modulation":
        missing = "shared_surfaces" if name == "attention" else name
        without = replace(full_condition(), **{missing: None})
        assert torch.equal(outcome(grown, without), plain)


@pytest.mark.parametrize("name", PART_NAMES)
def test_gradients_reach_exactly_the_part(name: str):
    control = add_parts(make_control().requires_grad_(False), ONE_PART[name])
    train_a_little(control)
    control.requires_grad_(False)
    assert control.parts is not None
    control.parts.requires_grad_(True)
    session = start(full_condition(), control)
    main = torch.randn(1, GRID.num_tokens, WIDTH)
    for index in range(4):
        main = session.split(index, session.join(index, main))
    main.square().sum().backward()
    with_gradient = {key for key, value in control.named_parameters() if value.grad is not None}
    expected = {key for key, _ in control.named_parameters() if key.startswith(f"parts.{name}.")}
    assert with_gradient == expected and expected
    for key, parameter in control.named_parameters():
        if key in expected:
            assert float(parameter.grad.abs().max()) > 0, key


@pytest.mark.parametrize("name", PART_NAMES)
def test_the_first_step_of_training_moves_the_last_layer_alone(name: str):
    # Zero convolutions: what lies before them learns from the second step on.
    control = add_parts(make_control(), ONE_PART[name])
    control.requires_grad_(False)
    control.parts.requires_grad_(True)
    session = start(full_condition(), control)
    main = torch.randn(1, GRID.num_tokens, WIDTH)
    for index in range(4):
        main = session.split(index, session.join(index, main))
    main.square().sum().backward()
    moved = {key for key, p in control.parts.named_parameters() if bool((p.grad != 0).any())}
    last = {
        "modulation": {f"modulation.{i}.{part}" for i in range(3) for part in ("weight", "bias")},
        "global_vector": {"global_vector.2.weight", "global_vector.2.bias"},
        "pictures": {"pictures.out.weight", "pictures.out.bias"},
        "warped_references": {"warped_references.weight", "warped_references.bias"},
        "geometry": {"geometry.out.weight", "geometry.out.bias"},
        "attention": {f"attention.{i}.to_out.weight" for i in range(3)},
    }
    assert moved == last[name]


def test_modulation_scales_what_the_block_gave(control: WorldStereoControl):
    # A bias of 0.5 and no weights: every activation half as large again, before the residual is added.
    grown = add_parts(control, ONE_PART["modulation"])
    for layer in grown.parts.modulation:
        layer.bias.data.fill_(0.5)
    main = torch.randn(1, GRID.num_tokens, WIDTH, generator=torch.Generator().manual_seed(4))
    plain, scaled = start(full_condition(), control), start(full_condition(), grown)
    joined = plain.join(0, main)
    scaled.join(0, main)
    with torch.no_grad():
        residual = plain.split(0, joined) - joined[:, : GRID.num_tokens]
        torch.testing.assert_close(
            scaled.split(0, joined), 1.5 * joined[:, : GRID.num_tokens] + residual, rtol=1e-5, atol=1e-5
        )


def test_a_block_without_control_is_not_modulated(control: WorldStereoControl):
    grown = train_a_little(add_parts(control, ONE_PART["modulation"]))
    off = ControlStrength(overall=0)
    assert torch.equal(
        outcome(grown, full_condition(), strength=off), outcome(control, full_condition(), strength=off)
    )
    # Three control blocks, four of the backbone: the fourth gets neither residual nor scale.
    last = residuals(start(full_condition(), grown))[3]
    assert float(last.abs().max()) == 0


def test_two_samples_share_one_control_of_the_parts_too(control: WorldStereoControl):
    grown = train_a_little(add_parts(control, PartSizes.all()))
    latents = make_latents().repeat(2, 1, 1, 1, 1)
    main = torch.randn(1, GRID.num_tokens, WIDTH).repeat(2, 1, 1)
    backbone = LinearBackbone()

    def of(control_batch: int | None) -> Tensor:
        session = ControlSession(
            grown, full_condition(), backbone, latents, torch.full((2,), 500.0), GRID, attention=attention,
            control_batch=control_batch,
        )  # fmt: skip
        return run(session, main)

    torch.testing.assert_close(of(1), of(None))


def test_parts_with_video_frames_and_a_smaller_picture():
    control = train_a_little(add_parts(make_control(mask_kernel=4), PartSizes.all()))
    condition = full_condition(mask_frames=4 * (FRAMES - 1) + 1)
    assert torch.isfinite(outcome(control, condition)).all()
    small = condition.resized(16, 32)
    assert small.pictures.shape[-2:] == small.geometry.shape[-2:] == (16, 32)
    assert small.warped_references.shape[-2:] == (2, 4)


@pytest.mark.parametrize("name", ["global_vector", "pictures", "warped_references", "geometry"])
def test_an_input_of_another_shape_is_refused(control: WorldStereoControl, name: str):
    grown = add_parts(control, PartSizes.all())
    wrong = getattr(full_condition(), name)[..., :-1]
    with pytest.raises(ShapeError, match=f"condition {name.replace('_', ' ')}"):
        start(replace(full_condition(), **{name: wrong}), grown)


def test_a_file_with_parts_reads_back_and_says_so(control: WorldStereoControl):
    grown = train_a_little(add_parts(control, PartSizes.all()))
    loaded = checkpoint_from_tensors(grown.state_dict(), {"controlnet_cfg": {"num_heads": 2}})
    assert loaded.config.parts == PartSizes.all() and not loaded.unknown_keys
    assert "Optional parts" in loaded.describe() and "warped_references" in loaded.describe()
    again = WorldStereoControl(loaded.config).requires_grad_(False).eval()
    again.load_state_dict(dict(loaded.control_state), strict=True)
    assert torch.equal(outcome(grown, full_condition()), outcome(again, full_condition()))


def test_a_file_without_parts_has_no_trace_of_them(control: WorldStereoControl):
    assert control.parts is None and not [key for key in control.state_dict() if key.startswith("parts.")]
    loaded = checkpoint_from_tensors(control.state_dict(), {"controlnet_cfg": {"num_heads": 2}})
    assert loaded.config.parts == PartSizes() and "Optional parts" not in loaded.describe()


def test_a_file_that_lost_half_a_part_is_refused(control: WorldStereoControl):
    state = add_parts(control, PartSizes.all()).state_dict()
    del state["parts.geometry.out.weight"]
    with pytest.raises(CheckpointError, match=r"1 of \d+ control tensors are missing: parts.geometry.out"):
        checkpoint_from_tensors(state, {"controlnet_cfg": {"num_heads": 2}})
    state = {**control.state_dict(), "parts.global_vector.0.weight": torch.zeros(3)}
    with pytest.raises(CheckpointError, match=r"has shape \[3\], expected 2 axes"):
        checkpoint_from_tensors(state, {"controlnet_cfg": {"num_heads": 2}})


def test_parts_that_are_there_are_kept_when_more_are_added(control: WorldStereoControl):
    first = train_a_little(add_parts(control, ONE_PART["pictures"]))
    second = add_parts(first, ONE_PART["geometry"])
    assert second.config.parts.names == ("pictures", "geometry")
    assert torch.equal(second.parts.pictures.out.weight, first.parts.pictures.out.weight)
    assert torch.equal(outcome(first, full_condition()), outcome(second, full_condition()))
    with pytest.raises(WorldStereoError, match=r"picture_channels: the control has 5, got 4"):
        add_parts(second, PartSizes(picture_channels=4))


def test_stages_become_strengths():
    stages = (PartStage("geometry", 0.5), PartStage("pictures", 2.0, 0.0, 0.4))
    assert strength_of(stages, [True, True]) == PartStrength(geometry=0.5, pictures=2.0)
    assert strength_of(stages, [True, False]) == PartStrength(geometry=0.5, pictures=0.0)
    assert strength_of((), []) == PartStrength()
    with pytest.raises(WorldStereoError, match=r"part: got 'shadows', expected one of modulation"):
        PartStage("shadows")
    with pytest.raises(WorldStereoError, match=r"pictures: got start_percent 0.6 and end_percent 0.5"):
        PartStage("pictures", 1.0, 0.6, 0.5)


def test_parts_are_saved_with_the_rest(control: WorldStereoControl, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    grown = train_a_little(add_parts(control, ONE_PART["global_vector"]))
    save_file(
        {key: value.contiguous() for key, value in grown.state_dict().items()}, tmp_path / "m.safetensors"
    )
    loaded = checkpoint_from_tensors(
        load_file(tmp_path / "m.safetensors"), {"controlnet_cfg": {"num_heads": 2}}
    )
    assert loaded.config.parts.names == ("global_vector",)


def test_sparse_attention_equals_attention_with_a_dense_mask():
    torch.manual_seed(0)
    layer = CorrespondenceAttention(12, 4, torch.nn)
    layer.to_out.weight.data.normal_()
    main, reference = torch.randn(2, 9, 12), torch.randn(2, 7, 12)
    allowed = torch.rand(9, 7, generator=torch.Generator().manual_seed(1)) < 0.4
    allowed[4] = False
    target, source = allowed.nonzero().T
    found = layer(main, reference, target, source)
    normed = [torch.nn.functional.layer_norm(part, (12,)) for part in (main, reference)]
    logits = layer.to_q(normed[0]) @ layer.to_k(normed[1]).mT / 2  # the root of 4 channels
    weights = logits.masked_fill(~allowed, -torch.inf).softmax(-1).nan_to_num(0.0)
    torch.testing.assert_close(found, layer.to_out(weights @ layer.to_v(normed[1])))
    assert bool((found[:, 4] == 0).all())


def test_only_tokens_with_a_shared_surface_are_changed_by_attention():
    control = make_control()
    grown = train_a_little(add_parts(control, ONE_PART["attention"]))
    main = torch.randn(1, GRID.num_tokens, WIDTH)
    changed = []
    with torch.no_grad():
        for one in (control, grown):
            session = start(full_condition(), one)
            changed.append(session.split(0, session.join(0, main)))
    differs = (changed[0] != changed[1]).any(-1)[0].nonzero()[:, 0]
    assert differs.tolist() == [0, 5]


def test_every_sample_of_a_batch_may_have_pairs_of_its_own(control: WorldStereoControl):
    grown = train_a_little(add_parts(control, ONE_PART["attention"]))
    first, second = PAIRS, replace(PAIRS, target=torch.tensor([2, 5]), reference=torch.tensor([4, 0]))
    both = TokenCorrespondences(
        torch.cat([first.target, second.target + PAIRS.num_targets]),
        torch.cat([first.reference, second.reference + PAIRS.num_references]),
        2 * PAIRS.num_targets,
        2 * PAIRS.num_references,
    )
    condition = make_condition(2)
    found = outcome(grown, replace(condition, shared_surfaces=both), 2)
    for sample, pairs in enumerate((first, second)):
        alone = outcome(grown, replace(condition, shared_surfaces=pairs), 2)
        torch.testing.assert_close(found[sample], alone[sample])
    assert not torch.equal(found[1], outcome(grown, replace(condition, shared_surfaces=first), 2)[1])


def test_strengths_are_read_part_by_part():
    names = ("modulation", "geometry")
    found = read_strengths("--parts", "geometry=0.5, modulation=0", names, "file")
    assert found == PartStrength(modulation=0.0, geometry=0.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("attention=1", "file has no part 'attention'; it has modulation, geometry"),
        ("", "has no part ''"),
        ("geometry", "expected PART=STRENGTH"),
        ("geometry=much", "expected PART=STRENGTH"),
        ("geometry=nan", "expected PART=STRENGTH"),
        ("geometry=1,geometry=2", "given twice"),
    ],
)
def test_strengths_that_cannot_be_meant_are_refused(text: str, words: str):
    with pytest.raises(WorldStereoError, match=words):
        read_strengths("--parts", text, ("modulation", "geometry"), "file")
