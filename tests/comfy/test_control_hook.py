"""The control hook on a real ComfyUI model, alone and when something goes wrong."""

from __future__ import annotations

import pytest


@pytest.fixture
def check(run_in_comfy, tiny_weights):
    def call(function: str, **arguments):
        return run_in_comfy("hook_checks.py", function, weights=str(tiny_weights), **arguments)

    return call


@pytest.mark.parametrize("variant", ["camera", "memory"])
def test_control_changes_the_result(check, variant):
    assert check("control_changes_the_result", variant=variant) > 0.1


def test_switched_off_control_equals_the_bare_model(check):
    assert set(check("switched_off").values()) == {0.0}


def test_overall_strength_equals_equal_stages(check):
    result = check("stage_strength")
    assert result["same"] == 0.0
    assert result["other"] > 1e-3


@pytest.mark.parametrize(("start", "end", "steps"), [(0.0, 1.0, 3), (0.0, 0.5, 2), (0.5, 1.0, 1)])
def test_control_acts_in_its_part_of_the_sampling(check, start, end, steps):
    # Wan's shift of 8: half way is sigma 0.889, between the second step (0.9) and the third (0.6).
    assert check("percent_range", start=start, end=end) == steps


def test_cond_and_uncond_in_one_batch_equal_two_calls(check):
    result = check("batching")
    assert result["difference"] < 1e-4 * max(result["largest"], 1)
    assert result["control calls"] == 3


def test_a_batch_of_latents_equals_the_single_run(check):
    assert max(check("two_latents").values()) < 1e-3


def test_a_negative_without_the_start_image_gets_its_own_control(check):
    assert check("negative_without_start_image") == 2


def test_a_second_apply_is_refused(check):
    with pytest.raises(RuntimeError, match="WorldStereoError: model: a WorldStereo control is applied"):
        check("apply_twice")


def test_unloading_all_models_does_not_change_the_next_run(check):
    assert check("repeat_after_unload") == 0.0


def test_an_interrupt_stops_sampling_and_leaves_no_trace(check):
    assert check("interrupt") == {"stopped": True, "difference": 0.0}


def test_a_condition_of_another_size_is_refused_before_any_work(check):
    result = check("wrong_size")
    assert "64x128" in result["text"] and "64x96" in result["text"]
    assert result["loaded"] == 0 and result["calls"] == 0


def test_a_condition_of_another_frame_count_is_refused(check):
    with pytest.raises(RuntimeError, match=r"ShapeError: .*5 key frames.*latents have 6"):
        check("wrong_frames")


def test_a_memory_control_without_references_is_refused(check):
    with pytest.raises(RuntimeError, match=r"WorldStereoError: condition: .*zero references"):
        check("missing_references")


def test_a_camera_control_ignores_references(check):
    assert check("references_on_a_camera_control") == 0.0


def test_per_frame_timesteps_are_refused(check):
    with pytest.raises(RuntimeError, match=r"WorldStereoError: .*one timestep per frame"):
        check("per_frame_timesteps")


def test_the_control_is_loaded_and_unloaded_with_the_model(check):
    result = check("loaded_models")
    assert result["classes"] == ["WAN21", "WorldStereoControl"]
    assert result["left"] == 0


def test_the_hook_offers_its_model_and_drops_its_copies_after_sampling(check):
    result = check("loaded_models")
    assert result["models"] == ["WorldStereoControl"]
    assert result["to"]
    assert result["during"] == [1]
    assert result["cleaned"] == [1], "cleanup comes once per sampling"
    assert result["after"] == 0


def test_two_controls_on_clones_of_one_model_do_not_meet(check):
    result = check("two_hooks_on_clones")
    assert result["weak"] == result["strong"] == result["base"] == 0.0
    assert result["effect"] > 1e-2


def test_any_frame_count_and_size_of_the_backbone_is_sampled(check):
    assert check("sizes") == {"2x8x12": True, "7x12x8": True, "4x10x14": True, "3x2x2": True}


def test_this_comfyui_has_everything_that_is_needed(run_in_comfy):
    run_in_comfy("hook_checks.py", "all_api")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("comfy.patcher_extension", "WrappersMP.OUTER_SAMPLE"),
        ("comfy.model_patcher", "CoreModelPatcher"),
        ("comfy.ldm.wan.model", "sinusoidal_embedding_1d"),
    ],
)
def test_a_comfyui_that_lacks_a_name_is_told_so_in_one_sentence(run_in_comfy, module, name):
    text = run_in_comfy("hook_checks.py", "missing_api", module=module, name=name)
    assert f"lacks {module}.{name}" in text
    assert "0.26.0 or newer" in text and "Update ComfyUI" in text


def test_bfloat16_weights_run(check):
    result = check("bfloat16")
    assert result["finite"] and result["stored"] == "torch.bfloat16"
    assert result["relative"] < 0.05


def test_fp8_weights_run(check):
    assert check("fp8") == {"finite": True, "dtype": "torch.float8_e4m3fn"}


def test_reference_strength_is_a_bias_on_reference_keys(check):
    result = check("reference_strength")
    assert result["explicit"] < 1e-3
    assert result["effect"] > 10 * result["explicit"]
    assert result["nearly none"] < 1e-3
    assert result["nearly full"] < 1e-3


def test_reference_attention_is_kept_to_the_same_surface(check):
    """With radius 1 and strength 0.3 the sampled latent equals that of an explicit dense mask to 2e-3 of
    latents of about 4; seeing everything equals the released way."""
    result = check("reference_radius")
    assert result["explicit"] < 1e-3
    assert result["effect"] > 1e-2
    assert result["everything"] < 1e-3
    assert result["off"] == 0.0
    assert result["none is little"] > 1e-2
    assert result["counted"] == 0.0
    # Other nodes' kernels still compute what the references see; the clip is computed by torch.
    assert result["reference queries seen by an override"] == 3 * 4
    assert result["joined queries seen by an override"] == 0
    assert "reference_radius: got 2, but the condition" in result["refused"]
    assert "Wire the memory into Encode Control" in result["refused"]
