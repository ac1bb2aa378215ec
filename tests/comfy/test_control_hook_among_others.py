"""The control hook beside patches and nodes of others: both act, in either order."""

from __future__ import annotations

import pytest

MAIN_TOKENS = 5 * 4 * 6  # 5 frames of 8 x 12 latents in patches of 2 x 2
REFERENCE_TOKENS = 2 * 4 * 6


@pytest.fixture
def check(run_in_comfy, tiny_weights):
    def call(function: str, **arguments):
        return run_in_comfy("foreign_checks.py", function, weights=str(tiny_weights), **arguments)

    return call


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


@pytest.mark.slow
@pytest.mark.parametrize("comfyui", ["current"], indirect=True)
@pytest.mark.parametrize("is_per_block", [True, False])
def test_torch_compile_does_not_change_the_result(check, is_per_block):
    result = check("compiled", is_per_block=is_per_block)
    assert result["difference"] < 1e-3
    assert result["range"] > 1e-2
