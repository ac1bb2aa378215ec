"""What a batch is shown: signals, references, their slots, masks and cameras."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.model.tiny_session import make_sizes
from tests.training.clip_tensors import COLUMNS, HEIGHT, encoded_clips
from worldstereo_core.checks import WorldStereoError
from worldstereo_core.model.conditioning import camera_tokens
from worldstereo_core.model.config import WorldStereoConfig
from worldstereo_core.training.clip_batch import (
    ReferenceSettings,
    Signal,
    SignalWeights,
    make_condition,
    plain_references,
)

MEMORY = WorldStereoConfig(make_sizes(), 7, "memory")
CAMERA = WorldStereoConfig(make_sizes(), None, "camera")


def shown(signal: Signal, references: ReferenceSettings | None = None, config=MEMORY, seed=0, **clips):
    generator = torch.Generator().manual_seed(seed)
    return make_condition(
        {**encoded_clips(frames=5), **clips}, config, signal, references or plain_references(4), generator
    )


def test_nothing_is_shown_to_the_bare_backbone():
    assert shown("none") is None


def test_camera_alone_shows_rays_and_an_empty_render():
    clips = encoded_clips(frames=5)
    condition = shown("camera", config=CAMERA)
    assert condition is not None and condition.reference_latents is None
    assert condition.rays is not None and condition.rays.shape == (2, 6, 5, 8 * HEIGHT, 8 * COLUMNS)
    torch.testing.assert_close(condition.render_latents[:, :, 0], clips["render_latents"][:, :, 0])
    grey = clips["image_condition"][:, 4:, 1]
    torch.testing.assert_close(condition.render_latents[:, :, 3], grey)
    assert bool((condition.hole_mask[:, :, 1:] == 1).all())


def test_global_memory_shows_the_render_and_the_first_frame_as_reference():
    clips = encoded_clips(frames=5)
    condition = shown("global")
    assert condition is not None and condition.reference_latents is not None
    torch.testing.assert_close(condition.render_latents, clips["render_latents"])
    torch.testing.assert_close(condition.reference_latents, clips["clean"][:, :, :1])
    assert condition.reference_index is not None and condition.reference_index.tolist() == [0]


def test_references_stand_in_the_slots_of_the_frames_that_match_them():
    clips = encoded_clips(frames=5)
    matches = torch.tensor([[2, 0, 3, 1], [1, 1, 0, 2]])
    condition = shown("both", bank_matches=matches)
    assert condition is not None and condition.reference_latents is not None
    slots = condition.reference_index
    assert slots is not None and slots.tolist() == sorted(set(slots.tolist())) and int(slots.max()) <= 3
    for clip in range(2):
        expected = clips["bank_latents"][clip, matches[clip, slots]].transpose(0, 1)
        torch.testing.assert_close(condition.reference_latents[clip], expected)
        w2c = clips["bank_w2c"][clip, matches[clip, slots]]
        assert condition.reference_camera_tokens is not None
        torch.testing.assert_close(
            condition.reference_camera_tokens[clip], camera_tokens(clips["w2c"][clip], w2c)[1][0]
        )


def test_a_shuffled_view_keeps_its_camera():
    clips = encoded_clips(frames=5)
    matches = torch.tensor([[0, 1, 2, 3]] * 2)
    settings = replace(plain_references(4), shuffled=1.0)
    moved = 0
    for seed in range(6):
        condition = shown("both", settings, seed=seed, bank_matches=matches)
        assert condition is not None and condition.reference_latents is not None
        assert condition.reference_camera_tokens is not None and condition.reference_index is not None
        tokens = camera_tokens(clips["w2c"][0], clips["bank_w2c"][0])[1][0]
        for place, slot in enumerate(condition.reference_index.tolist()):
            latent = condition.reference_latents[0, :, place]
            [view] = [v for v in range(4) if torch.equal(clips["bank_latents"][0, v], latent)]
            torch.testing.assert_close(condition.reference_camera_tokens[0, place], tokens[view])
            moved += view != slot
    assert moved > 0


def test_a_masked_view_loses_one_rectangle_to_the_grey_picture():
    clips = encoded_clips(frames=5)
    plain = shown("both")
    masked = shown("both", replace(plain_references(4), masked=1.0, largest_mask=1.0))
    assert plain is not None and masked is not None and masked.reference_latents is not None
    assert plain.reference_latents is not None
    changed = (masked.reference_latents != plain.reference_latents).all(1)  # [B, V, h, w]
    assert 0 < changed.float().mean() < 1
    grey = clips["image_condition"][:, 4:, 1:2].expand_as(plain.reference_latents)
    hidden = changed[:, None].expand_as(grey)
    torch.testing.assert_close(masked.reference_latents[hidden], grey[hidden])
    rows, columns = changed[0, 0].any(1).sum(), changed[0, 0].any(0).sum()
    assert int(changed[0, 0].sum()) == int(rows * columns)


def test_views_come_in_any_number_and_sometimes_without_cameras():
    counts = {shown("stereo", seed=seed).reference_latents.shape[2] for seed in range(20)}  # type: ignore[union-attr]
    assert counts == {1, 2, 3, 4}
    blind = shown("both", replace(plain_references(2), without_cameras=1.0))
    assert blind is not None and blind.camera_tokens is None and blind.reference_latents is not None


def test_the_same_generator_shows_the_same():
    first, second = shown("both", ReferenceSettings(), seed=3), shown("both", ReferenceSettings(), seed=3)
    assert first is not None and second is not None
    torch.testing.assert_close(first.reference_latents, second.reference_latents)


def test_signals_are_drawn_as_often_as_weighted():
    generator = torch.Generator().manual_seed(0)
    weights = SignalWeights(camera=1, both=3)
    drawn = [weights.draw(generator) for _ in range(400)]
    assert set(drawn) == {"camera", "both"} and 260 < drawn.count("both") < 340


def test_bad_settings_are_named():
    with pytest.raises(WorldStereoError, match=r"signals: expected weights"):
        SignalWeights()
    with pytest.raises(WorldStereoError, match=r"masked: got 2, expected a share"):
        ReferenceSettings(masked=2)
