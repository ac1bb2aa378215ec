"""The harness itself: the worker answers, the server boots with development nodes and tiny models."""

from __future__ import annotations


def test_worker_runs_comfyui_on_the_cpu(run_in_comfy):
    facts = run_in_comfy("harness_checks.py", "facts")
    assert facts["device"] == "cpu" and facts["inference_mode"]


def test_worker_reports_an_exception_and_goes_on(run_in_comfy):
    import pytest

    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        run_in_comfy("harness_checks.py", "fail")
    assert run_in_comfy("harness_checks.py", "facts")["inference_mode"]


def test_server_lists_development_nodes_and_tiny_models(comfy_server):
    assert comfy_server.object_info("WorldStereoDev_Text")["name"] == "WorldStereoDev_Text"
    assert "tiny_wan_i2v.safetensors" in str(comfy_server.object_info("UNETLoader")["input"])


def test_server_reports_a_refused_prompt_and_stays_alive(comfy_server):
    import pytest

    prompt = {
        "1": {
            "class_type": "UNETLoader",
            "inputs": {"unet_name": "absent.safetensors", "weight_dtype": "default"},
        }
    }
    with pytest.raises(RuntimeError, match=r"absent|not in list|no_outputs|prompt_no_outputs"):
        comfy_server.submit(prompt)
    assert comfy_server.is_alive()
