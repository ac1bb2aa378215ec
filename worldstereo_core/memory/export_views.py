"""The stereo bank as a folder that multi-view reconstruction reads, named as the released code names it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..atomic import replace_when_done
from .view import View

PANORAMA_FOLDER = "pano_bank"


@dataclass(frozen=True)
class ReconstructionFolder:
    """Contents of the folder, before anything is written.

    Attributes:
        image_names: file of each view below the folder, in bank order.
        cameras: contents of ``cameras.json``; matrices are camera-to-world, K in pixels of the source image.
        name_map: contents of ``name_map.json``: bank name to rank among the sorted camera ids.
    """

    image_names: tuple[str, ...]
    cameras: dict[str, Any]
    name_map: dict[str, str]

    @property
    def files(self) -> list[str]:
        return sorted(["cameras.json", "name_map.json", *self.image_names])


def camera_id(name: str) -> str:
    """File-safe id of a bank view: ``"pano-<key>"`` for an initial view, else its name joined by hyphens."""
    parts = name.split("/")
    if PANORAMA_FOLDER in parts:
        return f"pano-{parts[-1]}"
    return "-".join(parts)


def describe_reconstruction_folder(views: Sequence[View], scene: str) -> ReconstructionFolder:
    """Name the files and list the cameras of a bank.

    Args:
        views: the bank in order; names as ``order.view_name`` makes them.
        scene: name of the scene, under which the name map lists the initial views.
    """
    ids = [camera_id(view.name) for view in views]
    rank = {name: f"{position:04d}" for position, name in enumerate(sorted(ids))}
    names = [
        f"{scene}/{PANORAMA_FOLDER}/{view.name.rsplit('/', 1)[-1]}"
        if PANORAMA_FOLDER in view.name.split("/")
        else view.name
        for view in views
    ]
    c2w = [torch.linalg.inv(view.w2c) for view in views]
    return ReconstructionFolder(
        image_names=tuple(f"images/{name}.png" for name in ids),
        cameras={
            "num_cameras": len(views),
            "extrinsics": [
                {"camera_id": name, "matrix": matrix.tolist()} for name, matrix in zip(ids, c2w, strict=True)
            ],
            "intrinsics": [
                {"camera_id": name, "matrix": view.K.tolist()} for name, view in zip(ids, views, strict=True)
            ],
        },
        name_map={name: rank[identity] for name, identity in zip(names, ids, strict=True)},
    )


def write_reconstruction_folder(folder: Path, views: Sequence[View], scene: str) -> ReconstructionFolder:
    """Write images, cameras and name map below ``folder``; each file appears whole or not at all."""
    from PIL import Image

    contents = describe_reconstruction_folder(views, scene)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name, view in zip(contents.image_names, views, strict=True):
        picture = Image.fromarray(view.image.permute(1, 2, 0).cpu().numpy())
        with replace_when_done(folder / name) as part:
            picture.save(part, format="PNG")
    for name, data in (("cameras.json", contents.cameras), ("name_map.json", contents.name_map)):
        with replace_when_done(folder / name) as part:
            part.write_text(json.dumps(data, indent=2), encoding="utf-8")
    return contents
