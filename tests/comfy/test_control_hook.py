"""The control hook on a real ComfyUI model: alone, beside other nodes' patches, and when something goes
wrong."""

from __future__ import annotations

import pytest

MAIN_TOKENS = 5 * 4 * 6  # 5 frames of 8 x 12 latents in patches of 2 x 2
REFERENCE_TOKENS = 2 * 4 * 6


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


def test_an_exception_in_another_patch_leaves_the_model_clean(check):
    assert check("failing_patch") == {"raised": True, "clean": True, "difference": 0.0}


def test_patches_of_other_nodes_see_main_tokens_only(check):
    result = check("foreign_patches")
    assert result["difference"] == 0.0
    assert result["seen"]["attn1"] == result["seen"]["attn2"] == [MAIN_TOKENS]
    assert result["seen"]["replace"] == [MAIN_TOKENS + REFERENCE_TOKENS]


def test_an_attention_override_is_used_everywhere(check):
    result = check("attention_override")
    assert result["difference"] == 0.0
    assert result["joined"] == 3 * 4  # self-attention of every block and step
    assert result["main"] == 3 * (4 * 2 + 3)  # text and image cross-attention, and the control blocks


def test_a_cross_attention_patch_works_before_and_after(check):
    result = check("cross_attention_object_patch")
    assert result["order"] == 0.0
    assert result["effect"] > 1e-3
    assert result["tokens"] == [MAIN_TOKENS]


def test_skip_layer_guidance_works_before_and_after(check):
    result = check("skip_layer_guidance")
    assert result["order"] == 0.0
    assert result["effect"] > 1e-3


def test_easy_cache_skips_the_control_of_skipped_steps(check):
    result = check("easy_cache")
    assert result["finite"]
    assert 0 < result["before"] == result["after"] < result["steps"]


def test_a_lora_works_before_and_after(check):
    result = check("lora")
    assert result["order"] == 0.0
    assert result["effect"] > 1e-3


def test_context_windows_are_refused(check):
    with pytest.raises(RuntimeError, match=r"WorldStereoError: .*context window"):
        check("context_windows")


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


def test_memory_for_reference_tokens_is_reserved(check):
    result = check("memory_estimate")
    assert result["control"] == pytest.approx(result["bare"] * 7 / 5)


def test_the_control_is_loaded_with_the_model(check):
    result = check("loaded_models")
    assert result["classes"] == ["WAN21", "WorldStereoControl"]
    assert result["copies"] == 0


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


@pytest.mark.slow
@pytest.mark.parametrize("comfyui", ["current"], indirect=True)
@pytest.mark.parametrize("is_per_block", [True, False])
def test_torch_compile_does_not_change_the_result(check, is_per_block):
    result = check("compiled", is_per_block=is_per_block)
    assert result["difference"] < 1e-3
    assert result["range"] > 1e-2


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
