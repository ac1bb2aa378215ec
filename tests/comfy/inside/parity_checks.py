"""Golden results recomputed under ComfyUI's Python through the verify families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from worldstereo_core.commands.verify.runner import verify_one


def verify_golden(folder: str, name: str) -> dict[str, Any]:
    verdict = verify_one(Path(folder), name, "comfy")
    failures = [
        f"{check.name}: {check.error:g} ({check.note})" for check in verdict.checks if not check.passed
    ]
    return {"passed": verdict.passed, "checks": len(verdict.checks), "failures": failures}


def pipeline_timesteps(folder: str, name: str) -> dict[str, Any]:
    """What the network is told in a whole pipeline, against the manifest's list."""
    from worldstereo_core.adapters.comfy import verify
    from worldstereo_core.commands.verify.golden import read_golden

    golden = read_golden(Path(folder), name)
    told: list[float] = []

    class Recorder(verify._Recorder):
        def wrap_model(self, executor: Any, x: Any, timestep: Any, *args: Any, **kwargs: Any) -> Any:
            told.extend(timestep.flatten().tolist())
            return super().wrap_model(executor, x, timestep, *args, **kwargs)

    original, verify._Recorder = verify._Recorder, Recorder
    try:
        verify.pipeline(golden)
    finally:
        verify._Recorder = original
    expected = golden.manifest["model_timesteps"]
    return {"told": told, "expected": expected}
