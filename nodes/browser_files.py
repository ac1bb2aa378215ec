"""Files that the 3D nodes leave in the temp folder for the browser, and the entries that name them."""

from __future__ import annotations

from pathlib import Path

import folder_paths
from torch import Tensor

from ..worldstereo_core.atomic import write_by_content
from ..worldstereo_core.formats.display_cloud import write_display_cloud
from ..worldstereo_core.formats.images import image_to_png
from ..worldstereo_core.memory.memory import GeometricMemory


def cloud_entry(memory: GeometricMemory, confidence: bool = False, clip: bool = False) -> dict[str, str]:
    """A display cloud of the memory's points."""
    return _entry(write_display_cloud(_folder(), memory.points, confidence=confidence, clip=clip))


def picture_entries(pictures: Tensor, name: str) -> list[dict[str, str]]:
    """Pictures [T, 3, H, W], one file each; ``name`` tells what they are."""
    return [
        _entry(write_by_content(_folder(), f"worldstereo_{name}_", ".png", image_to_png(name, picture)))
        for picture in pictures
    ]


def _folder() -> Path:
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _entry(path: Path) -> dict[str, str]:
    return {"filename": path.name, "subfolder": "", "type": "temp"}
