"""Forward passes, key-frame VAE and whole pipelines through ComfyUI against the released code's results."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def names(folder: Path) -> list[str]:
    """Goldens of a folder that involve a backbone or a VAE."""
    found = [
        path.stem for prefix in ("g3", "g4", "g10_vae", "g10_pipe") for path in folder.glob(f"{prefix}*.json")
    ]
    return sorted(found)


def assert_passes(run_in_comfy, folder: Path, name: str) -> None:
    result = run_in_comfy("parity_checks.py", "verify_golden", folder=str(folder), name=name)
    assert result["checks"] > 0
    assert result["passed"], result["failures"]


@pytest.mark.parametrize("name", names(ROOT / "tests" / "data" / "golden"))
def test_the_committed_golden_is_reproduced(run_in_comfy, golden_dir, name):
    assert_passes(run_in_comfy, golden_dir, name)


@pytest.mark.shared
def test_every_shared_golden_is_reproduced(run_in_comfy, shared_golden):
    found = names(shared_golden)
    assert found
    for name in found:
        assert_passes(run_in_comfy, shared_golden, name)


def test_a_pipeline_tells_the_model_the_released_timesteps(run_in_comfy, golden_dir):
    result = run_in_comfy(
        "parity_checks.py", "pipeline_timesteps", folder=str(golden_dir), name="g10_pipe_memory"
    )
    assert result["told"] == pytest.approx(result["expected"], abs=1e-3)
