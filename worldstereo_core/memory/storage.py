"""A geometric memory as one safetensors file: every number bit by bit, written whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ..checks import WorldStereoError, check_shape
from ..geometry.point_cloud import Evidence, PointCloud
from ..tensor_writer import write_tensors
from .memory import GeometricMemory
from .view import View

FORMAT = "worldstereo-memory"
VERSION = 2
_PICKLE_STARTS = (b"PK\x03\x04", b"\x80")

Facts: TypeAlias = dict[str, Any]
Tensors: TypeAlias = dict[str, Tensor]


def _from_version_1(facts: Facts, tensors: Tensors) -> tuple[Facts, Tensors]:
    """Version 2 may hold the evidence of fused points, which is optional; all else is the same."""
    return facts, tensors


# What brings a file of each older version to the next one. A new version adds its row here, and to
# tests/data/memories a file that the version before wrote.
_MIGRATIONS: dict[int, Callable[[Facts, Tensors], tuple[Facts, Tensors]]] = {1: _from_version_1}

_ADVICE = "Choose a file written by Save Geometric Memory, or save the memory again."


def save_memory(
    path: str | Path, memory: GeometricMemory, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write a memory to one file.

    Args:
        path: where to; an existing file is replaced only once the new one is complete. Missing folders are
            made.
        progress: called with (done, total) in MiB; may raise to stop.

    Raises: OSError if the folder cannot be written or the disk is full, see ``saying_why_not``.
    """
    tensors: Tensors = {
        "points.xyz": memory.points.xyz,
        "points.rgb": memory.points.rgb,
        "points.confidence": memory.points.confidence,
        "points.clip": memory.points.clip,
    }
    if memory.points.normal is not None:
        tensors["points.normal"] = memory.points.normal
    if memory.points.evidence is not None:
        tensors["points.weight"] = memory.points.evidence.weight
        tensors["points.seen"] = memory.points.evidence.seen
        tensors["points.missed"] = memory.points.evidence.missed
    if memory.views:
        tensors["views.w2c"] = torch.stack([view.w2c for view in memory.views])
        tensors["views.K"] = torch.stack([view.K for view in memory.views])
    for index, view in enumerate(memory.views):
        tensors[f"views.{index:06d}.image"] = view.image
        if view.depth is not None:
            tensors[f"views.{index:06d}.depth"] = view.depth
        if view.latent is not None:
            tensors[f"views.{index:06d}.latent"] = view.latent
    facts = {
        "views": [{"name": view.name, "clip": view.clip} for view in memory.views],
        "median_depth": memory.median_depth,
        # JSON has no infinity.
        "far_limit": None if math.isinf(memory.far_limit) else memory.far_limit,
        "history": list(memory.history),
    }
    metadata = {"format": FORMAT, "version": str(VERSION), "memory": json.dumps(facts)}
    write_tensors(path, tensors, metadata, progress=progress)


def load_memory(path: str | Path) -> GeometricMemory:
    """Read a memory that ``save_memory`` wrote, in this version or an older one, onto the CPU.

    The tensors are the file itself, mapped into memory: numbers are read when they are first used, and
    nothing is copied. Saving anew to the same name leaves a loaded memory as it is, since the name then
    means another file. Do not change a file in place while its memory is in use.

    Raises: WorldStereoError if the file is missing, damaged, of another kind or of a newer version.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    _check_kind(path)
    try:
        with safe_open(path, framework="pt") as file:
            version, facts = _read_facts(path, file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise WorldStereoError(
            f"memory file {path.name}: got {path.stat().st_size} bytes that are not a complete safetensors "
            f"file ({error}); expected a saved geometric memory. The file is damaged or was cut off while "
            f"copying. {_ADVICE}"
        ) from error
    try:
        for older in range(version, VERSION):
            facts, tensors = _MIGRATIONS[older](facts, tensors)
        return _assemble(facts, tensors)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise WorldStereoError(
            f"memory file {path.name}: its contents do not fit together ({reason}). The file was edited or "
            f"damaged. {_ADVICE}"
        ) from error


def _check_kind(path: Path) -> None:
    if not path.is_file():
        raise WorldStereoError(
            f"memory file: there is no file {path}. Check the name and the folder, or save a memory first."
        )
    with path.open("rb") as file:
        start = file.read(9)
    # A safetensors file starts with its header's length, whose first byte may be any, then the brace.
    if start.startswith(_PICKLE_STARTS) and start[8:] != b"{":
        raise WorldStereoError(
            f"memory file {path.name}: got a zip archive or pickled PyTorch file, expected safetensors. "
            f"Pickled files can run code when opened and are never read here. {_ADVICE}"
        )


def _read_facts(path: Path, metadata: dict[str, str]) -> tuple[int, Facts]:
    """The file's version and its description."""
    found = metadata.get("format")
    if found != FORMAT:
        raise WorldStereoError(
            f'memory file {path.name}: got a safetensors file of format "{found}", expected "{FORMAT}". '
            f"It looks like another kind of file, such as a model. {_ADVICE}"
        )
    version = metadata.get("version", "")
    if not version.isdigit() or not 1 <= int(version) <= VERSION:
        raise WorldStereoError(
            f"memory file {path.name}: got format version {version or 'missing'}, expected at most {VERSION}"
            ". It was written by a newer WorldStereo: update this one."
        )
    try:
        return int(version), json.loads(metadata["memory"])
    except (KeyError, ValueError) as error:
        raise WorldStereoError(
            f"memory file {path.name}: its description is missing or not JSON ({error}). {_ADVICE}"
        ) from error


def _read_evidence(tensors: Tensors) -> Evidence | None:
    """Of fused points; files before version 2, and clouds that were never fused, have none."""
    if "points.seen" not in tensors:
        return None
    return Evidence(tensors["points.weight"], tensors["points.seen"], tensors["points.missed"])


def _assemble(facts: Facts, tensors: Tensors) -> GeometricMemory:
    points = PointCloud(
        xyz=tensors["points.xyz"],
        rgb=tensors["points.rgb"],
        confidence=tensors["points.confidence"],
        clip=tensors["points.clip"],
        normal=tensors.get("points.normal"),
        evidence=_read_evidence(tensors),
    )
    count = len(facts["views"])
    if count:
        check_shape("views.w2c", tensors["views.w2c"], (count, 4, 4))
        check_shape("views.K", tensors["views.K"], (count, 3, 3))
    views = tuple(
        View(
            image=tensors[f"views.{index:06d}.image"],
            w2c=tensors["views.w2c"][index],
            K=tensors["views.K"][index],
            name=str(view["name"]),
            clip=int(view["clip"]),
            depth=tensors.get(f"views.{index:06d}.depth"),
            latent=tensors.get(f"views.{index:06d}.latent"),
        )
        for index, view in enumerate(facts["views"])
    )
    for view in views:
        check_shape(f"image of view {view.name}", view.image, (3, "H", "W"))
        if view.depth is not None:
            check_shape(f"depth of view {view.name}", view.depth, (view.height, view.width))
        if view.latent is not None:
            check_shape(f"latent of view {view.name}", view.latent, (16, view.height // 8, view.width // 8))
    far_limit, median_depth = facts["far_limit"], float(facts["median_depth"])
    if not (median_depth > 0 and math.isfinite(median_depth)):
        raise ValueError(f"median depth {median_depth}")
    return GeometricMemory(
        points=points,
        views=views,
        median_depth=median_depth,
        far_limit=math.inf if far_limit is None else float(far_limit),
        history=tuple(facts["history"]),
    )
