"""A WorldStereo file on any MODEL: storage forms, LoRA orders, taking it off again, and what is refused."""

from __future__ import annotations

import sys

import pytest

FORMS = ["bf16", "fp16", "fp8 cast", "float8_e4m3fn", "int8_tensorwise", "nvfp4", "Q8_0"]
# The oldest ComfyUI runs those that its loading treats each in a way of its own.
CASES = [
    *(("current", form) for form in FORMS),
    *(("floor", form) for form in ("fp8 cast", "float8_e4m3fn", "Q8_0")),
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """One folder for all: the files written there are the same for every test."""
    return str(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def check(run_in_comfy, tiny_weights, folder):
    def call(function: str, **arguments):
        if arguments.get("form") == "Q8_0" and run_in_comfy("weights_checks.py", "gguf_pack") is None:
            pytest.skip("no GGUF loader pack; set COMFYUI_GGUF_PATH to one")
        return run_in_comfy(
            "weights_checks.py", function, weights=str(tiny_weights), folder=folder, **arguments
        )

    return call


@pytest.mark.parametrize(("comfyui", "form"), CASES, indirect=["comfyui"])
def test_every_form_stays_within_its_own_noise(check, form):
    for row in check("matrix", form=form):
        assert 0 < row["noise"] < row["without overlay"], row
        # Twice the noise of the same weights stored in this form; leaving anything out is far above.
        assert row["error"] <= 2 * row["noise"], row
        assert row["error"] < row["without overlay"] / 2, row
        assert row["error"] < row["without lora"], row
        assert row["orders differ by"] == 0, row


@pytest.mark.parametrize("form", ["bf16", "fp8 cast", "float8_e4m3fn", "Q8_0"])
def test_taking_the_weights_off_restores_every_bit(check, form):
    result = check("unpatched", form=form)
    assert result["changed"] > 0.1 and result["tensors"] > 100
    assert result["again"] == 0 and result["altered"] == []


def test_on_a_float32_model_it_equals_the_loaders_merge(check):
    assert check("equals_the_loader") == 0


def test_the_report_says_what_was_replaced(check):
    report = check("report")
    assert "This is a WorldStereo memory model" in report and "(an overlay for Wan 2.1)" in report
    assert "33 of its tensors are replaced by the file's own" in report
    assert "self_attn, modulation, norm3 of blocks" in report and "; head" in report


def test_control_only_changes_no_weight(check):
    assert "no weight of it is changed" in check("report", control_only=True)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("complete", r"CheckpointError: worldstereo: complete\.safetensors is complete.*control only"),
        ("shape", r"CheckpointError: model: blocks\.0\.self_attn\.q\.bias has shape \[256\], .* has \[3\]"),
        ("wan 2.2", r"CheckpointError: model: this is Wan 2\.2 image to video.*fine-tuned inside Wan 2\.1"),
        ("text to video", r"CheckpointError: model: its input has 16 channels \(text-to-video\)"),
        (
            "backbone",
            r"CheckpointError: worldstereo: backbone\.safetensors: no control branch.*backbone alone",
        ),
        (
            "twice",
            r"WorldStereoError: model: the weights of overlay-memory/model\.safetensors are applied to it",
        ),
    ],
)
def test_what_does_not_fit_is_refused(check, tmp_path, change, text):
    with pytest.raises(RuntimeError, match=f"^{text}"):
        check("apply_refused", change=change)


@pytest.mark.parametrize("comfyui", ["current"], indirect=True)
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("cancelled", "InterruptedSaving: cancelled"),
        ("full", "WorldStereoError: filename_prefix: m.safetensors: there is no room for"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="file sizes cannot be limited here")
def test_a_merged_model_that_cannot_be_saved_leaves_nothing(check, how, said):
    result = check("saving_fails", how=how)
    assert result["said"].startswith(said) and result["left"] == []
