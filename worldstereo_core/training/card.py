"""The card beside trained weights: what trained them, on what, where and for how long."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import __version__
from ..atomic import replace_when_done
from .config import TrainConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

# A run writes its card into export/, and files as deep as export/worldstereo/NAME/model.safetensors.
CARD_LEVELS = 3


def write_card(
    path: Path,
    config: TrainConfig,
    step: int,
    seen: int,
    seconds: float,
    figures: dict[str, float],
    accelerator: Accelerator,
) -> None:
    """Write ``card.json``; the sizes and SHA-256 of the files beside it are in it.

    A run whose settings name a file to start from carries the card beside that file, so that the whole way
    of the weights is told.
    """
    card = {
        "stage": config.stage,
        "licence": config.licence,
        "seed": config.seed,
        "steps": step,
        "samples_seen": seen,
        "minutes": round(seconds / 60, 1),
        "machine": describe_machine(accelerator),
        "versions": {
            "worldstereo_core": __version__,
            "torch": torch.__version__,
            "accelerate": importlib.metadata.version("accelerate"),
            "python": platform.python_version(),
        },
        "held_out": {name: round(value, 4) for name, value in figures.items()},
        "config": config.to_dict(),
        "started_from": _earlier_cards(config.settings),
        "files": {
            str(file.relative_to(path.parent)): {
                "bytes": file.stat().st_size,
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            }
            for file in sorted(path.parent.rglob("*"))
            if file.is_file() and file != path
        },
    }
    with replace_when_done(path) as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def _earlier_cards(settings: Any) -> dict[str, Any] | list[dict[str, Any] | str] | str | None:
    """The card of the weights that a run began with; a list if they came from several runs."""
    networks = getattr(settings, "networks", None)
    files = [getattr(settings, "start_from", None)]
    files += [getattr(networks, name, None) for name in ("backbone", "worldstereo")]
    found: list[dict[str, Any] | str] = []
    for file in files:
        card = _earlier_card(file) if file is not None else None
        if card is not None and card not in found:
            found.append(card)
    return found if len(found) > 1 else found[0] if found else None


def _earlier_card(file: str) -> dict[str, Any] | str:
    for folder in list(Path(file).parents)[:CARD_LEVELS]:
        if (card := folder / "card.json").is_file():
            return json.loads(card.read_text(encoding="utf-8"))
    return Path(file).name


def describe_machine(accelerator: Accelerator) -> str:
    """Device, number of processes and system, in words."""
    if accelerator.device.type == "cuda":
        device = torch.cuda.get_device_name(accelerator.device)
    else:
        device = f"{accelerator.device.type}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
        device += f", {_processor()}"
    return f"{accelerator.num_processes} x {device}, {platform.system()} {platform.machine()}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
