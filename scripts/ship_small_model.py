"""Take a trained student into weights/small, with the card that tells how it was made.

    python scripts/ship_small_model.py outputs/train/small_distil/export

The export folder is that of stage `distil`; the card's paths are cut to what says something elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

SMALL = Path(__file__).resolve().parents[1] / "weights" / "small"
NAME = "small_worldstereo_memory_dmd"
FILES = {
    "worldstereo-memory-dmd/model.safetensors": f"worldstereo/{NAME}.safetensors",
    "worldstereo-memory-dmd/config.json": f"worldstereo/{NAME}.json",
    "null_context.safetensors": "null_context.safetensors",
}
MOST_BYTES = 30_000_000
KEPT_PARTS = 3  # of a path: the run, export, the file


def ship(export: Path) -> int:
    """Copy the files and write the card; gives the bytes of everything in weights/small."""
    card = json.loads((export / "card.json").read_text(encoding="utf-8"))
    for source, target in FILES.items():
        shutil.copyfile(export / source, SMALL / target)
    card = shortened(card)
    card["files"] = {name: described(SMALL / name) for name in FILES.values()}
    (SMALL / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    total = sum(path.stat().st_size for path in SMALL.rglob("*") if path.is_file())
    assert total <= MOST_BYTES, f"weights/small has {total:,} bytes, more than {MOST_BYTES:,}"
    return total


def described(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def shortened(value: Any) -> Any:
    """The same with absolute paths cut to their last parts."""
    if isinstance(value, dict):
        return {key: shortened(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shortened(inner) for inner in value]
    if isinstance(value, str) and Path(value).is_absolute():
        return "/".join(Path(value).parts[-KEPT_PARTS:])
    return value


if __name__ == "__main__":
    print(f"{SMALL}: {ship(Path(sys.argv[1])):,} bytes")
