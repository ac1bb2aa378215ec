"""A node id that never was, registered through the pack's own code as if a node had been renamed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from comfy_api.latest import io

FILE = Path(__file__).resolve().parents[3] / "nodes" / "replacements.py"


async def register_renamed_node() -> None:
    """WorldStereoDev_OldSigmas(number, start, push) -> nothing, sigmas; now WorldStereo_MakeSigmas."""
    spec = importlib.util.spec_from_file_location("worldstereo_replacements_under_test", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    renamed = io.NodeReplace(
        new_node_id="WorldStereo_MakeSigmas",
        old_node_id="WorldStereoDev_OldSigmas",
        old_widget_ids=["number", "start", "push"],
        input_mapping=[
            {"new_id": "schedule", "set_value": "few-step (DMD)"},
            {"new_id": "steps", "old_id": "number"},
            {"new_id": "shift", "old_id": "push"},
            {"new_id": "start", "old_id": "start"},
        ],
        output_mapping=[{"new_idx": 0, "old_idx": 1}],
    )
    await module.register_replacements((renamed,))
