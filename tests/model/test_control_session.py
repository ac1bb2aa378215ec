"""What a session does to the tokens of one model call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

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
from worldstereo_core.checks import ShapeError
from worldstereo_core.model.attention import attention
from worldstereo_core.model.condition import ControlCondition
from worldstereo_core.model.control_session import ControlSession, ControlStrength
from worldstereo_core.model.world_control import WorldStereoControl

PER_FRAME = GRID.rows * GRID.columns


def start(
    condition: ControlCondition | None = None,
    control: WorldStereoControl | None = None,
    batch: int = 1,
    backbone: LinearBackbone | None = None,
    **options: Any,
) -> ControlSession:
    torch.manual_seed(3)
    return ControlSession(
        make_control() if control is None else control,
        make_condition() if condition is None else condition,
        LinearBackbone() if backbone is None else backbone,
        make_latents(batch),
        torch.full((batch,), 500.0),
        GRID,
        attention=attention,
        **options,
    )


@torch.no_grad()
def run(session: ControlSession, main: Tensor, num_blocks: int = 4) -> Tensor:
    """A backbone whose blocks do nothing."""
    for index in range(num_blocks):
        main = session.split(index, session.join(index, main))
    return main


@torch.no_grad()
def residuals(session: ControlSession) -> list[Tensor]:
    zeros = torch.zeros(session.latents.shape[0], GRID.num_tokens, WIDTH)
    session.join(0, zeros)
    joined = torch.zeros(session.latents.shape[0], GRID.num_tokens + session.num_reference, WIDTH)
    return [session.split(index, joined) for index in range(4)]


def test_strength_stages_are_thirds_of_the_blocks():
    strength = ControlStrength(overall=2, early=3, middle=5, late=7)
    assert [strength.for_block(i, 4) for i in range(4)] == [6, 6, 10, 14]
    assert [strength.for_block(i, 3) for i in range(3)] == [6, 10, 14]
    assert ControlStrength().for_block(19, 20) == 1


def test_nothing_is_computed_before_the_first_block():
    backbone = LinearBackbone()
    session = start(backbone=backbone)
    assert session.num_main == GRID.num_tokens and session.num_reference == 2 * PER_FRAME
    assert backbone.calls == []


def test_join_appends_references_after_the_clips_tokens():
    session = start()
    main = torch.zeros(1, GRID.num_tokens, WIDTH)
    with torch.no_grad():
        joined = session.join(0, main)
    assert joined.shape == (1, GRID.num_tokens + 2 * PER_FRAME, WIDTH)


def test_camera_tokens_are_added_once_before_the_first_block():
    control, condition = make_control(), make_condition()
    assert control.camera_embedding is not None and condition.camera_tokens is not None
    session = start(condition, control)
    main = torch.zeros(1, GRID.num_tokens, WIDTH)
    with torch.no_grad():
        first = session.join(0, main)[:, : GRID.num_tokens]
        embedded = control.camera_embedding(condition.camera_tokens).repeat_interleave(PER_FRAME, dim=1)
        torch.testing.assert_close(first, embedded)
        torch.testing.assert_close(session.join(1, main)[:, : GRID.num_tokens], main)


def test_without_camera_tokens_references_are_the_bare_patches():
    condition = replace(make_condition(), camera_tokens=None, reference_camera_tokens=None)
    session = start(condition)
    main = torch.zeros(1, GRID.num_tokens, WIDTH)
    with torch.no_grad():
        joined = session.join(0, main)
        latents = condition.reference_latents
        assert latents is not None
        known = torch.ones(1, 4, *latents.shape[2:])
        patches = session.backbone.embed_patches(torch.cat([latents, known, latents], dim=1))
    torch.testing.assert_close(joined[:, GRID.num_tokens :], patches)


def test_updated_references_feed_the_next_block_and_others_are_fed_again():
    main = torch.zeros(1, GRID.num_tokens, WIDTH)
    for updates in (True, False):
        session = start(update_reference=updates)
        with torch.no_grad():
            first = session.join(0, main)
            session.split(0, first + 1)
            second = session.join(1, main)
        expected = first[:, GRID.num_tokens :] + (1 if updates else 0)
        torch.testing.assert_close(second[:, GRID.num_tokens :], expected)


def test_residuals_go_to_the_clips_tokens_of_the_first_blocks_only():
    parts = residuals(start())
    assert all(bool(part.any()) for part in parts[:3])
    torch.testing.assert_close(parts[3], torch.zeros_like(parts[3]))
    assert parts[0].shape == (1, GRID.num_tokens, WIDTH)


def test_strength_scales_each_stage():
    plain = residuals(start())
    scaled = residuals(start(strength=ControlStrength(2, 1, 0, 0.5)))
    torch.testing.assert_close(scaled[0], 2 * plain[0])
    torch.testing.assert_close(scaled[1], torch.zeros_like(plain[1]))
    torch.testing.assert_close(scaled[2], plain[2])


def test_strength_0_runs_no_control_block():
    ran: list[int] = []
    control = make_control()
    for block in control.controlnet.controlnet_blocks:
        block.register_forward_hook(lambda *_: ran.append(1))
    backbone = LinearBackbone()
    run(start(control=control, backbone=backbone, strength=ControlStrength(0)), torch.zeros(1, 18, WIDTH))
    assert ran == [] and "time" not in backbone.calls
    run(start(control=control, strength=ControlStrength(late=0)), torch.zeros(1, 18, WIDTH))
    assert len(ran) == 2


def test_render_latents_take_the_place_of_the_image_latents():
    seen: list[Tensor] = []
    control = make_control()
    control.controlnet.controlnet_patch_embedding.register_forward_pre_hook(
        lambda m, args: seen.append(args[0])
    )
    session = start(control=control)
    residuals(session)
    torch.testing.assert_close(seen[0][:, :20], session.latents[:, :20])
    torch.testing.assert_close(seen[0][:, 20:], session.condition.render_latents)


def test_control_of_the_first_samples_is_repeated_over_the_batch():
    seen: list[int] = []
    control = make_control()
    control.controlnet.controlnet_blocks[0].register_forward_pre_hook(
        lambda m, args: seen.append(len(args[0]))
    )
    parts = residuals(start(control=control, batch=4, control_batch=2))
    assert seen == [2] and parts[0].shape[0] == 4
    torch.testing.assert_close(parts[0][:2], parts[0][2:])
    with pytest.raises(ShapeError, match="control batch 3 does not divide"):
        start(batch=4, control_batch=3)


def test_one_condition_serves_a_batch_and_batches_stay_apart():
    main = torch.zeros(2, GRID.num_tokens, WIDTH)
    both = run(start(make_condition(batch=2), batch=2), main)
    single = start(make_condition(batch=1), batch=2)
    assert run(single, main).shape == both.shape
    assert not torch.allclose(both[0], both[1])


def test_rope_grows_by_the_references():
    session = start()
    rope = session.backbone.embed_positions(GRID)
    joined = session.joined_positions(rope)
    assert [part.shape[1] for part in joined] == [GRID.num_tokens + 2 * PER_FRAME] * 2
    torch.testing.assert_close(joined[0][:, : GRID.num_tokens], rope[0])


def test_without_references_tokens_and_rope_pass_unchanged():
    session = start(make_condition(references=False), make_control(camera_tokens=None))
    main = torch.randn(1, GRID.num_tokens, WIDTH)
    rope = session.backbone.embed_positions(GRID)
    assert session.num_reference == 0
    assert session.join(0, main) is main
    assert session.joined_positions(rope) is rope


def test_half_precision_follows_the_latents():
    control, backbone = make_control().bfloat16(), LinearBackbone()
    backbone.patch.bfloat16()
    session = ControlSession(
        control,
        make_condition(),
        backbone,
        make_latents().bfloat16(),
        torch.tensor([500]),
        GRID,
        attention=attention,
    )
    result = run(session, torch.zeros(1, GRID.num_tokens, WIDTH, dtype=torch.bfloat16))
    assert result.dtype is torch.bfloat16 and bool(result.isfinite().all())


def test_video_rate_masks_are_taken_by_a_kernel_of_4():
    control = make_control(mask_kernel=4)
    parts = residuals(start(make_condition(mask_frames=4 * (FRAMES - 1) + 1), control))
    assert bool(parts[0].any())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"render_latents": torch.zeros(1, 16, FRAMES, 6, 6)}, "encoded for 3 key frames of 48x48"),
        ({"render_latents": torch.zeros(1, 16, 5, HEIGHT, COLUMNS)}, "encoded for 5 key frames"),
        ({"hole_mask": torch.zeros(1, 1, 9, 32, 48), "rays": None}, "takes 3 mask frames for 3 key frames"),
        ({"hole_mask": torch.zeros(1, 1, 3, 16, 48)}, "condition hole mask"),
        ({"rays": torch.zeros(1, 6, 2, 32, 48)}, "condition rays"),
        ({"reference_latents": torch.zeros(1, 16, 2, 8, 8)}, "reference latents"),
        ({"reference_latents": torch.zeros(1, 16, 0, HEIGHT, COLUMNS)}, "got 0 reference frames"),
        ({"reference_index": torch.tensor([0, 2])}, "lie outside"),
        ({"reference_index": None}, "slots of none"),
        ({"camera_tokens": torch.zeros(1, 2, 7)}, "camera tokens"),
        ({"reference_camera_tokens": torch.zeros(1, 1, 7)}, "reference camera tokens"),
    ],
)
def test_conditions_of_another_clip_are_refused(change: dict[str, Any], message: str):
    with pytest.raises(ShapeError, match=message):
        start(replace(make_condition(), **change))


def test_batches_that_do_not_fit_and_other_backbones_are_refused():
    with pytest.raises(ShapeError, match="batch of 2 does not divide the latents' batch 3"):
        start(make_condition(batch=2), batch=3)
    with pytest.raises(ShapeError, match="got 16 channels, expected 36"):
        ControlSession(
            make_control(),
            make_condition(),
            LinearBackbone(),
            make_latents()[:, :16],
            torch.tensor([1.0]),
            GRID,
            attention=attention,
        )
