"""Freeze what saved workflows rely on, ids, inputs and outputs, in tests/data/node_contract/<version>.json.

    python scripts/freeze_contract.py

Run it for a release, after the tests: from then on tests/comfy/test_contract.py fails on every change that
would break a workflow saved with that release. Needs a ComfyUI checkout.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

CONTRACTS = ROOT / "tests" / "data" / "node_contract"


def contract(schemas: Mapping[str, Any]) -> dict[str, Any]:
    """What saved workflows rely on, by node id, from a server's /object_info."""
    return {
        name: node_contract(schema)
        for name, schema in sorted(schemas.items())
        if name.startswith("WorldStereo_")
    }


def node_contract(schema: Mapping[str, Any]) -> dict[str, Any]:
    inputs = []
    for section in ("required", "optional"):
        for name, (kind, *rest) in schema["input"].get(section, {}).items():
            options = rest[0] if rest else {}
            entry: dict[str, Any] = {"name": name, "type": "COMBO" if isinstance(kind, list) else kind}
            entry["optional"] = section == "optional"
            if "default" in options:
                entry["default"] = options["default"]
            choices = kind if isinstance(kind, list) else options.get("options")
            # Names of files differ from machine to machine and promise nothing.
            if choices and name not in FILE_INPUTS:
                entry["options"] = list(choices)
            inputs.append(entry)
    return {"inputs": inputs, "outputs": list(schema["output"])}


FILE_INPUTS = ("file", "backbone", "worldstereo")


def main() -> None:
    from scripts.build_workflows import read_schemas
    from worldstereo_core import __version__

    text = json.dumps(contract(read_schemas()), indent=1, ensure_ascii=False)
    (CONTRACTS / f"{__version__}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
