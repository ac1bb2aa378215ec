"""Where sampling starts: pure noise, given pictures, and how much of them stays; early looks."""

from __future__ import annotations

import pytest


@pytest.fixture
def check(run_in_comfy, tiny_weights):
    def call(function: str, **arguments):
        return run_in_comfy("start_checks.py", function, weights=str(tiny_weights), **arguments)

    return call


def test_pictures_become_key_frame_latents_one_by_one(check):
    result = check("start_latents")
    assert result["shape"] == [1, 16, 5, 8, 12]
    assert result["alone"] < 1e-4
    assert result["repeated"] < 1e-4
    assert result["sampled down"] < 1e-5


def test_too_few_pictures_to_start_from_are_refused(check):
    with pytest.raises(RuntimeError, match=r"ShapeError: images: got 2 pictures for 5 key frames"):
        check("too_few_pictures")


def test_pictures_of_a_size_that_is_no_multiple_of_16_are_refused(check):
    with pytest.raises(RuntimeError, match=r"ShapeError: images: got height 64, width 88.*Resize to 64x"):
        check("odd_size")


@pytest.mark.parametrize("kind", ["dmd", "unipc"])
@pytest.mark.parametrize("denoise", [0.05, 0.6])
def test_sampling_starts_from_the_mixture_by_hand(check, kind, denoise):
    result = check("first_input", kind=kind, denoise=denoise)
    assert result["sigma"] == pytest.approx(3 * denoise / (1 + 2 * denoise), abs=2e-3)
    assert result["difference"] < 1e-4


def test_a_small_denoise_stays_close_to_the_start(check):
    near, far = (check("first_input", kind="dmd", denoise=denoise) for denoise in (0.01, 0.6))
    assert near["moved"] < 0.1 * near["largest"]
    assert far["moved"] > 5 * near["moved"]


def test_no_denoise_returns_the_start(check):
    assert check("no_denoise") == 0.0


def test_full_denoise_forgets_the_start(check):
    assert check("full_denoise") < 1e-5


@pytest.mark.parametrize("kind", ["dmd", "unipc"])
def test_at_full_noise_a_smaller_clip_has_no_say_to_the_last_bit(check, kind):
    result = check("enlarged", level=1.0, kind=kind)
    assert result["plain"] == 0.0
    assert result["tail"] == result["sigmas"]
    assert result["progress"] is None, "no picture was coded"


def test_without_noise_the_enlarged_pictures_are_the_result(check):
    result = check("enlarged", level=0.0)
    assert result["start"] < 1e-4
    assert result["kept"] < 1e-5 and result["tail"] == [0.0], "rounding of the latents' normalisation"


def test_between_the_steps_go_on_from_the_level(check):
    # Steps of few-step at 1000, 625 and 250 of 1000, shifted by 5: the second is 0.8929.
    result = check("enlarged", level=0.9)
    assert result["tail"] == result["sigmas"][1:]
    assert result["tail"][0] == pytest.approx(5 * 0.625 / (1 + 4 * 0.625))
    assert result["start"] < 1e-4 and result["kept"] > 0.01 and result["plain"] > 0.01
    assert result["progress"] == [10, 10]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("frames", r"ShapeError: larger: it has 3 key frames, and latent 5"),
        ("sizes", r"ShapeError: larger: it is 64x48 .*, smaller than latent, 64x96"),
    ],
)
def test_clips_that_cannot_be_enlarged_are_refused(check, case, message):
    with pytest.raises(RuntimeError, match=message):
        check("enlarged_wrong", case=case)


def test_early_looks_sample_the_same_clip_in_fewer_steps_or_smaller(check):
    result = check("early_looks")
    assert result["full"] == 0.0
    assert result["half"] == [1, 16, 5, 4, 6]
    assert result["finite"] and result["untouched"] == 0.0
    assert result["one step"] == [1.0, 0.0]
    # 1000 and 500 of 1000, shifted by 5.
    assert result["two steps"] == pytest.approx([1000.0, 2500 / 3])


def test_an_early_look_without_control_is_refused(check):
    with pytest.raises(RuntimeError, match=r"WorldStereoError: model: no WorldStereo control is applied"):
        check("early_look_without_control")


def test_a_smaller_condition_is_the_mean_of_what_it_covers(check):
    result = check("smaller")
    assert result["size"] == [32, 48]
    assert result["latent"] < 1e-6
    assert result["holes"] == [0.0, 1.0]
    assert result["rays"] == [1, 6, 5, 32, 48]
    assert result["surfaces"], "they belong to the other token grid"


def test_memory_is_reserved_for_control_and_references(check):
    result = check("reserved")
    frame = result["bare"] / 5
    assert (
        result["bare"] + result["by hand"] <= result["control"] <= result["bare"] + result["by hand"] + frame
    )
    # Two references cost two frames, and the clip's tokens once more beside them.
    assert result["references"] >= result["control"] + 2 * frame
