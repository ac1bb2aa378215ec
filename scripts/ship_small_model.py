"""Take a trained student into weights/small, with the card that tells how it was made.

    python scripts/ship_small_model.py outputs/train/small_distil/export

The export folder is that of stage `distil`. Paths in the card are told from the folder that holds the runs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from worldstereo_core.commands.small_model import FOLDER
from worldstereo_core.model.checkpoint import load_checkpoint

NAME = "small_worldstereo_memory_dmd"
FILES = {
    "worldstereo-memory-dmd/model.safetensors": f"worldstereo/{NAME}.safetensors",
    "worldstereo-memory-dmd/config.json": f"worldstereo/{NAME}.json",
    "null_context.safetensors": "null_context.safetensors",
}
MOST_BYTES = 30_000_000


def ship(export: Path, folder: Path = FOLDER) -> int:
    """Check the export, copy its files and write the card; gives the bytes of everything in the folder.

    Raises: SystemExit, with nothing changed, if it is no complete student or too large.
    """
    missing = [name for name in (*FILES, "card.json") if not (export / name).is_file()]
    if missing:
        raise SystemExit(f"{export}: no {', '.join(missing)}. Name the export folder of stage distil.")
    checkpoint = load_checkpoint(export / "worldstereo-memory-dmd")
    if not checkpoint.is_complete or checkpoint.config.variant != "memory-dmd":
        raise SystemExit(f"{export}: expected a complete memory-dmd file, got {checkpoint.config.variant}.")
    replaced = {*FILES.values(), "card.json"}
    kept = [path for path in folder.rglob("*") if path.is_file()]
    kept = [path for path in kept if path.relative_to(folder).as_posix() not in replaced]
    total = sum(path.stat().st_size for path in (*kept, *(export / name for name in FILES)))
    if total > MOST_BYTES:
        raise SystemExit(
            f"{export}: weights/small would have {total:,} bytes, at most {MOST_BYTES:,} may be."
        )
    card = shorten_paths(json.loads((export / "card.json").read_text(encoding="utf-8")), export.parents[1])
    for source, target in FILES.items():
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(export / source, folder / target)
    card["files"] = {name: describe_file(folder / name) for name in FILES.values()}
    (folder / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return total


def describe_file(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def shorten_paths(value: Any, runs: Path) -> Any:
    """The same with absolute paths told from the folder of the runs, elsewhere by their name alone."""
    if isinstance(value, dict):
        return {key: shorten_paths(inner, runs) for key, inner in value.items()}
    if isinstance(value, list):
        return [shorten_paths(inner, runs) for inner in value]
    if isinstance(value, str) and Path(value).is_absolute():
        path = Path(value)
        return path.relative_to(runs).as_posix() if path.is_relative_to(runs) else path.name
    return value


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    print(f"{FOLDER}: {ship(Path(sys.argv[1]).resolve()):,} bytes")
