"""The released samplers inside ComfyUI's sampling."""

from __future__ import annotations

import pytest


def test_every_step_equals_the_golden_trajectories(run_in_comfy, golden_dir):
    results = run_in_comfy("sampler_checks.py", "golden_unipc", golden=str(golden_dir))
    assert results
    for name, result in results.items():
        assert result["error"] < 1e-4, name
        assert result["timesteps"] < 1e-3, name
        assert result["sigmas"] < 1e-6, name
        assert result["unchanged"], name


def test_exact_timesteps_can_be_chosen(run_in_comfy):
    assert max(run_in_comfy("sampler_checks.py", "exact_timesteps")) < 1e-3


def test_a_start_on_content_is_kept(run_in_comfy):
    assert run_in_comfy("sampler_checks.py", "start_on_content") == 0.0


def test_unipc_runs_in_a_guider_and_leaves_the_sigmas_alone(run_in_comfy, tiny_weights):
    result = run_in_comfy("sampler_checks.py", "unipc_through_core", weights=str(tiny_weights))
    assert result == {"steps": [0, 1, 2, 3], "unchanged": True, "finite": True, "difference": 0.0}


def test_unipc_refuses_sigmas_that_start_at_one(run_in_comfy, tiny_weights):
    with pytest.raises(RuntimeError, match=r"WorldStereoError: sigmas: .*flow UniPC schedule"):
        run_in_comfy("sampler_checks.py", "unipc_on_dmd_sigmas", weights=str(tiny_weights))


def test_euler_on_the_dmd_table_tells_the_model_fractional_timesteps(run_in_comfy, tiny_weights):
    result = run_in_comfy("sampler_checks.py", "dmd_with_euler", weights=str(tiny_weights))
    assert result["timesteps"] < 1e-3
    assert result["finite"] and result["control"] == 3
