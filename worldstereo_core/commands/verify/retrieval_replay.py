"""The scenes of a retrieval golden walked through again, with the bank growing as it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...geometry.cameras import Cameras
from ...geometry.point_cloud import PointCloud
from ...memory.memory import GeometricMemory, View
from ...memory.order import decimate_cameras, trajectory_shortcuts, view_name
from ...memory.retrieval import References, retrieve_references
from ...sizes import sample_align_frames
from .golden import Golden, GoldenError


@dataclass(frozen=True)
class Step:
    """One replayed trajectory of a scene.

    Attributes:
        prefix: of its tensors' names.
        entry: what the manifest says about it.
        bank_size: views in the bank when it was replayed.
        references: what our retrieval returned.
        found: the views that the selector had to choose from; empty when it was not needed.
        new_views: the views that entered the bank afterwards.
    """

    prefix: str
    entry: dict[str, Any]
    bank_size: int
    references: References
    found: Sequence[View]
    new_views: Sequence[View]


def find_scenes(golden: Golden) -> dict[str, str]:
    """Manifest key of each scene to its tensors' prefix, which abbreviates the words of the key."""
    prefixes = {name.split(".bank0.")[0] for name in golden.tensors if ".bank0." in name}
    scenes: dict[str, str] = {}
    for scene, content in golden.manifest.items():
        if not (isinstance(content, dict) and "steps" in content):
            continue
        fitting = [prefix for prefix in prefixes if _abbreviates(prefix, scene)]
        # A key that its prefix does not abbreviate is known by the size of its bank and its trajectories.
        fitting = fitting or [
            prefix
            for prefix in sorted(prefixes - set(scenes.values()))
            if len(golden.tensors[f"{prefix}.bank0.w2c"]) == content["initial_size"]
            and f"{prefix}.s{len(content['steps']) - 1:02d}.target_w2c" in golden.tensors
        ]
        if not fitting:
            raise GoldenError(f"{golden.name}: no tensors <prefix>.bank0.* belong to the scene {scene!r}.")
        scenes[scene] = max(fitting, key=len)
    return scenes


def _abbreviates(prefix: str, scene: str) -> bool:
    parts, words = prefix.split("_"), scene.split("_")
    return len(parts) == len(words) and all(map(str.startswith, words, parts))


def _view(w2c: Tensor, K: Tensor, name: str, scene: dict[str, Any]) -> View:
    # Pictures are not stored with the golden and only their size counts here: one byte, spread over the size.
    size = (3, scene["image_height"], scene["image_width"])
    return View(torch.zeros((), dtype=torch.uint8).expand(size), w2c, K, name)


def initial_memory(golden: Golden, scene: dict[str, Any], prefix: str) -> GeometricMemory:
    nothing = PointCloud(
        torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0), torch.zeros(0, dtype=torch.int32)
    )
    cameras = zip(
        golden.input(f"{prefix}.bank0.w2c"),
        golden.input(f"{prefix}.bank0.K"),
        scene["initial_fnames"],
        strict=True,
    )
    return GeometricMemory(nothing, tuple(_view(w2c, K, name, scene) for w2c, K, name in cameras), 1.0)


def replay(golden: Golden, scene: dict[str, Any], prefix: str) -> Iterator[Step]:
    """Walk through a scene's trajectories; the bank grows by each one's frames."""
    memory = initial_memory(golden, scene, prefix)
    for number, entry in enumerate(scene["steps"]):
        step_prefix = f"{prefix}.s{number:02d}"
        cameras = Cameras(
            golden.input(f"{step_prefix}.target_w2c"),
            golden.input(f"{step_prefix}.target_K"),
            scene["image_height"],
            scene["image_width"],
        )
        targets = decimate_cameras(cameras, scene["nframe"])
        names = [view.name for view in memory.views]
        found: list[View] = []
        references = retrieve_references(
            memory,
            targets,
            scene["max_reference"],
            feature_extractor=_stored(golden, f"{step_prefix}.sel.features", found),
            quality=_stored(golden, f"{step_prefix}.sel.quality"),
            shortcuts=trajectory_shortcuts(names, entry["view"], entry["traj"], targets.num_frames),
        )
        frames = sample_align_frames(targets.num_frames, scene["align_nframe"])
        added = [
            _view(targets.w2c[frame], targets.K[frame], view_name(entry["view"], entry["traj"], frame), scene)
            for frame in frames
        ]
        yield Step(step_prefix, entry, len(names), references, found, added)
        memory = replace(memory, views=(*memory.views, *added))


def _stored(golden: Golden, name: str, seen: list[View] | None = None) -> Callable[[Sequence[View]], Tensor]:
    """A hook of the selector that answers with stored rows and notes which views it was asked about."""

    def answer(views: Sequence[View]) -> Tensor:
        if name not in golden.tensors:
            raise GoldenError(
                f"{golden.name}: our retrieval found too many views, the golden's did not ({name})."
            )
        if seen is not None:
            seen.extend(views)
        return golden.tensors[name]

    return answer
