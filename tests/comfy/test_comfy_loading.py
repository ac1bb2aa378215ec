"""Loading onto backbones, the VAE and CLIP vision adapters, and what they refuse."""

from __future__ import annotations

import pytest


@pytest.fixture
def check(run_in_comfy, tiny_weights):
    def call(function: str, **arguments):
        return run_in_comfy("loader_checks.py", function, weights=str(tiny_weights), **arguments)

    return call


def test_an_overlay_replaces_its_own_tensors_only(check):
    result = check("overlay_is_applied")
    assert result["wrong"] == [] and result["overridden"] > 0
    assert result["variant"] == "memory"
    assert f"{result['overridden']} of its" in result["report"]


def test_a_complete_file_needs_no_backbone(check, tmp_path):
    result = check("complete_file", folder=str(tmp_path))
    assert result["alone"] == result["beside"] == 0.0
    assert "not needed" in result["report"]


def test_a_backbone_in_diffusers_names_is_the_same(check, tmp_path):
    assert check("diffusers_named_backbone", folder=str(tmp_path)) == 0.0


def test_a_backbone_with_a_checkpoint_prefix_is_the_same(check, tmp_path):
    assert check("prefixed_backbone", folder=str(tmp_path)) == 0.0


def test_a_scaled_fp8_backbone_takes_the_overlay(check, tmp_path):
    result = check("scaled_fp8_backbone", folder=str(tmp_path))
    assert result["finite"]
    assert result["relative"] < 0.2


def test_loading_again_for_another_patcher_gives_the_same_weights(check):
    assert check("reload") == {"model": 0.0, "control": 0.0}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("none", r"backbone: got none"),
        ("t2v", r"backbone: .*text-to-video"),
        ("5b", r"backbone: .*5B"),
        ("width", r"backbone: got width 384"),
        ("family", r"backbone: backbone\.safetensors: not a Wan model"),
        ("vace", r"backbone: .*this is Wan VACE"),
        ("animate", r"backbone: .*this is Wan Animate"),
        ("wan 2.2", r"backbone: .*no image cross-attention: this is Wan 2\.2 image to video"),
        ("worldstereo", r"backbone: backbone\.safetensors: this is a WorldStereo or Uni3C file"),
        ("incomplete", r"lacks 1 tensors.*blocks\.1\.ffn\.2\.weight"),
        ("truncated backbone", r"backbone: backbone.safetensors: truncated"),
        ("truncated", r"worldstereo: truncated.safetensors: truncated"),
        ("weight_dtype", r"weight_dtype: got 'int4'"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(check, tmp_path, change, text):
    with pytest.raises(RuntimeError, match=f"^CheckpointError: .*{text}"):
        check("load_altered", folder=str(tmp_path), change=change)


def test_a_file_without_config_says_what_it_assumes(check, tmp_path):
    assert "head width 64" in check("without_config", folder=str(tmp_path), variant=None)


def test_a_uni3c_file_gives_a_camera_control_for_video_frames(check, tmp_path):
    result = check("uni3c", folder=str(tmp_path))
    assert (result["kernel"], result["variant"], result["frames"]) == (4, "camera", 9)


def test_control_on_a_model_from_the_core_loader_is_the_same(check):
    assert check("stock_model") == 0.0


def test_a_text_to_video_model_is_refused_by_apply(check, tmp_path):
    with pytest.raises(RuntimeError, match=r"^CheckpointError: model: .*16 channels \(text-to-video\)"):
        check("apply_to_wrong_model", folder=str(tmp_path))


def test_a_wan_variant_with_another_forward_pass_is_refused(check):
    with pytest.raises(RuntimeError, match=r"^CheckpointError: model: got the Wan variant VaceWanModel"):
        check("wan_variant")


def test_another_patch_is_refused_as_control(check):
    with pytest.raises(RuntimeError, match=r"^WorldStereoError: control: got a WAN21"):
        check("apply_wrong_control")


def test_tiles_do_not_change_small_pictures(check):
    result = check("vae_tiles")
    assert result["encode"] < 1e-4 and result["decode"] < 1e-4


def test_core_decode_of_split_key_frames_equals_the_loop(check):
    result = check("vae_core_decode")
    assert result["shape"] == [3, 64, 96, 3]
    assert result["difference"] < 1e-5


def test_every_picture_is_reported(check):
    assert check("vae_progress") == [[1, 3], [2, 3], [3, 3]]


def test_an_interrupt_stops_between_pictures(check):
    assert check("vae_interrupt") == "stopped after [1]"


def test_another_vae_is_refused(check):
    with pytest.raises(
        RuntimeError, match=r"^WorldStereoError: vae: .*48 latent channels \(this is the Wan 2.2"
    ):
        check("wrong_vae")


def test_official_clip_preprocessing_leaves_pixels_at_255(run_in_comfy):
    result = run_in_comfy("loader_checks.py", "clip_preprocessing")
    standard, official = result["largest"]
    assert standard < 10 and official > 100
    assert result["shapes"] == [[1, 5, 1280]] * 2 and result["differs"]


def test_a_clip_of_another_width_is_refused(run_in_comfy):
    with pytest.raises(RuntimeError, match=r"^WorldStereoError: clip_vision: .*64 channels"):
        run_in_comfy("loader_checks.py", "clip_of_another_width")


def test_weights_are_converted_one_by_one_and_a_cancel_stops_between_them(check):
    found = check("converted_one_by_one")
    total = found["seen"][-1][1]
    assert found["seen"] == [[done, total] for done in range(1, total + 1)] and total > 50
    assert found["stopped after"] == [[1, total]]
    assert found["nothing to convert"] == []


def test_on_an_fp8_backbone_default_rounds_nothing_and_fp8_rounds_all(check, tmp_path):
    fp8, exact = "float8_e4m3fn", "bfloat16"
    found = check("kept_dtypes", folder=str(tmp_path), weight_dtype="default")
    assert found == {"overlaid": exact, "base": fp8, "vector": exact, "table": exact, "finite": "True"}
    found = check("kept_dtypes", folder=str(tmp_path), weight_dtype="fp8_e4m3fn")
    assert found == {"overlaid": fp8, "base": fp8, "vector": fp8, "table": fp8, "finite": "True"}
