"""Buckets, key frames and the frames that go back into the memory."""

from __future__ import annotations

import pytest

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.sizes import (
    RESOLUTION_BUCKETS,
    check_multiple_of_16,
    latent_frames,
    nearest_bucket,
    sample_align_frames,
    scaled_sizes,
    select_keyframes,
)


def test_bucket_has_the_nearest_aspect():
    assert nearest_bucket(720, 1280) == (480, 768)
    assert nearest_bucket(1280, 720) == (768, 480)
    assert nearest_bucket(512, 512) == (608, 608)


def test_the_first_bucket_wins_a_tie():
    assert nearest_bucket(300, 300, [(200, 400), (300, 200), (150, 100)]) == (200, 400)


def test_buckets_of_the_checkpoint_replace_the_built_in_ones():
    assert nearest_bucket(480, 832, [[480, 832], [832, 480]]) == (480, 832)


def test_every_built_in_bucket_fits_the_patches():
    for height, width in RESOLUTION_BUCKETS:
        check_multiple_of_16("bucket", height, width)


def test_a_size_that_does_not_fit_is_refused_with_one_that_does():
    with pytest.raises(ShapeError, match=r"image: got height 500, width 768.*496x768"):
        check_multiple_of_16("image", 500, 768)


def test_81_poses_give_every_fourth():
    assert select_keyframes(81) == list(range(0, 81, 4))


def test_positions_between_frames_are_rounded_down():
    # 33 frames in 20 steps of 1.6: 0, 1.6, 3.2, 4.8, 6.4 ...
    assert select_keyframes(33)[:5] == [0, 1, 3, 4, 6]
    assert select_keyframes(33)[-1] == 32


def test_fewer_frames_than_wanted_are_all_kept():
    assert select_keyframes(5) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("num_frames", [22, 50, 165, 329, 1000])
def test_keyframes_rise_from_first_to_last(num_frames: int):
    chosen = select_keyframes(num_frames)
    assert len(set(chosen)) == 21 and chosen == sorted(chosen)
    assert (chosen[0], chosen[-1]) == (0, num_frames - 1)


def test_kept_frames_take_larger_steps_first_and_end_with_the_last():
    assert sample_align_frames(21, 8) == [3, 6, 9, 12, 14, 16, 18, 20]
    assert sample_align_frames(21, 1) == [20]
    assert sample_align_frames(9, 8) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(("num_frames", "count"), [(8, 8), (21, 0), (1, 1)])
def test_keeping_more_frames_than_there_are_is_refused(num_frames: int, count: int):
    with pytest.raises(WorldStereoError, match="keep_frames"):
        sample_align_frames(num_frames, count)


def test_the_video_vae_makes_21_latents_of_81_frames():
    assert [latent_frames(count) for count in (1, 4, 5, 81)] == [1, 1, 2, 21]


def test_scales_give_sizes_in_multiples_of_16_that_rise_to_the_whole():
    assert scaled_sizes(512, 720, (1.0,)) == [(512, 720)]
    # 360 columns are 22.5 times 16; Python rounds to the even 22.
    assert scaled_sizes(512, 720, (0.25, 0.5, 1.0)) == [(128, 176), (256, 352), (512, 720)]


@pytest.mark.parametrize("scales", [(), (0.5,), (1.0, 0.5), (0.5, 0.5, 1.0), (0.0, 1.0), (0.5, 1.0, 2.0)])
def test_scales_that_do_not_rise_to_1_are_refused(scales: tuple[float, ...]):
    with pytest.raises(WorldStereoError, match=r"scales: got .*rise to 1"):
        scaled_sizes(480, 768, scales)


def test_two_scales_of_one_size_are_refused():
    with pytest.raises(
        WorldStereoError, match=r"scales: 0\.95 of 64x96 .* is 64x96, the size that comes next"
    ):
        scaled_sizes(64, 96, (0.5, 0.95, 1.0))
