"""Looks at the node classes as ComfyUI loads them; run under ComfyUI's Python."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import sys
from functools import cache
from pathlib import Path
from typing import Any

PACK = Path(__file__).resolve().parents[3]


@cache
def pack_nodes() -> tuple[Any, ...]:
    """The node classes, from the pack imported by file spec under a path-like name."""
    import utils.install_util  # noqa: F401 (old versions would take comfy/utils.py for ComfyUI's utils)

    name = str(PACK).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(
        name, PACK / "__init__.py", submodule_search_locations=[str(PACK)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    extension = asyncio.run(module.comfy_entrypoint())
    return tuple(asyncio.run(extension.get_node_list()))


def schemas() -> dict[str, dict[str, Any]]:
    """What the tests need of every schema, by node id."""
    return {node.GET_SCHEMA().node_id: _facts(node) for node in pack_nodes()}


def _facts(node: Any) -> dict[str, Any]:
    schema = node.GET_SCHEMA()
    parameters = {
        name: None if parameter.default is inspect.Parameter.empty else {"default": parameter.default}
        for name, parameter in inspect.signature(node.execute).parameters.items()
    }
    inputs = [
        {
            "id": entry.id,
            "type": entry.get_io_type(),
            "optional": entry.optional,
            "tooltip": entry.tooltip,
            "has_default": getattr(entry, "default", None) is not None,
            "default": getattr(entry, "default", None),
        }
        for entry in schema.inputs
    ]
    outputs = [
        {"id": entry.id, "type": entry.get_io_type(), "tooltip": entry.tooltip} for entry in schema.outputs
    ]
    return {
        "display_name": schema.display_name,
        "category": schema.category,
        "description": schema.description,
        "search_aliases": schema.search_aliases,
        "inputs": inputs,
        "outputs": outputs,
        "parameters": parameters,
    }


def nodes_leave_their_inputs_alone() -> list[str]:
    """Run every node that takes a memory or trajectory on one shared memory; name what changed in it."""
    import torch

    nodes = {node.GET_SCHEMA().node_id.removeprefix("WorldStereo_"): node for node in pack_nodes()}
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 32, 48, 3, generator=generator)
    geometry = {
        "depth": 2 + torch.rand(1, 32, 48, generator=generator),
        "mask": torch.ones(1, 32, 48, dtype=torch.bool),
        "intrinsics": torch.tensor([[[0.8, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]]]),
    }
    memory = nodes["CreateMemory"].execute(image, geometry, edge_threshold=0.0)[0]
    trajectory = nodes["BuildTrajectory"].execute("orbit right", frames=5, memory=memory)[0]
    shared = {"image": image, "geometry": geometry, "memory": memory, "trajectory": trajectory}
    before = _tensors(shared)

    render = nodes["RenderMemory"].execute(memory, trajectory, radius=0.03, first_frame=image)
    nodes["RetrieveReferences"].execute(memory, trajectory, frames=3)
    nodes["RetrieveReferences"].execute(memory, trajectory, frames=3, method="visible points")
    nodes["WarpViews"].execute(memory, trajectory, radius=0.03)
    nodes["MatchViews"].execute(memory, style="colour map")
    clip_geometry = {**geometry, "depth": geometry["depth"].expand(5, 32, 48)}
    del clip_geometry["mask"]
    grown = nodes["UpdateMemory"].execute(memory, render[0], trajectory, 2, "", clip_geometry)[0]
    assert len(grown.views) == 3 and len(memory.views) == 1
    nodes["InspectMemory"].execute(memory)
    for colours in ("from pictures", "by clip", "by confidence"):
        nodes["ExportPointCloud"].execute(memory, "Z up", colours)
    nodes["ExportWorld"].execute(memory, "three.js", "checks/world", trajectory=trajectory, images=image)
    nodes["BuildTrajectory"].execute("dolly in", frames=3, memory=memory, continue_from=trajectory)
    mask = torch.zeros(1, 32, 48)
    mask[:, 8:16, 8:24] = 1
    shared |= {"grown": grown, "mask": mask}
    before |= _tensors({"grown": grown, "mask": mask})
    edits = {
        "CropMemory": {"right": 0.1},
        "CropToView": {"trajectory": trajectory, "far": 1.2},
        "DeleteUnderMask": {"mask": mask, "trajectory": trajectory},
        "RemoveClip": {"clip": 1},
        "TransformMemory": {"yaw_deg": 20.0, "scale": 2.0, "trajectory": trajectory},
        "RecolourMemory": {"reference": image, "strength": 0.5},
    }
    for name, inputs in edits.items():
        after = nodes[name].execute(grown, **inputs)[0]
        assert after is not grown and len(after.history) == len(grown.history) + 1, name
        nodes["CompareMemories"].execute(grown, after)
    nodes["MergeMemories"].execute(grown, memory, merge_within=0.01)
    nodes["PickView"].execute(grown, -1)
    nodes["DrawCoverage"].execute(grown, trajectory)
    nodes["RenderControls"].execute(grown, trajectory, low_threshold=40, high_threshold=80)
    nodes["CarryMask"].execute(grown, mask, trajectory, trajectory, radius=0.03)

    after = _tensors(shared)
    return [name for name, (copy, _) in before.items() if not torch.equal(copy, after[name][1])]


def trajectories() -> dict[str, Any]:
    """Facts about trajectories that the builder makes with and without a memory."""
    import torch

    nodes = {node.GET_SCHEMA().node_id.removeprefix("WorldStereo_"): node for node in pack_nodes()}
    build = nodes["BuildTrajectory"].execute
    alone = build("dolly in", distance=0.5, frames=3, fov_deg=90.0)[0]
    geometry = {"depth": torch.full((1, 32, 48), 4.0)}
    image = torch.rand(1, 32, 48, 3, generator=torch.Generator().manual_seed(0))
    memory = nodes["CreateMemory"].execute(image, geometry, fov_deg=60.0)[0]
    scaled = build("dolly in", distance=0.5, frames=3, memory=memory)[0]
    in_units = build("dolly in", distance=0.5, frames=3, memory=memory, unit="scene units")[0]
    next_one = build("pan left", frames=3, memory=memory, continue_from=scaled, width=96, height=64)[0]
    return {
        "alone_size": [alone.height, alone.width],
        "alone_focal": float(alone.K[0, 0, 0]),
        "alone_travel": float(alone.cameras.centers[-1, 2]),
        "scaled_travel": float(scaled.cameras.centers[-1, 2]),
        "unit_travel": float(in_units.cameras.centers[-1, 2]),
        "continues": torch.equal(next_one.w2c[0], scaled.w2c[-1]),
        "resized": [next_one.height, next_one.width, float(next_one.K[0, 0, 2])],
    }


def sizes() -> dict[str, Any]:
    """Fit Image at two scales, and the render at the size of a first frame of another size."""
    import torch

    nodes = {node.__name__: node for node in pack_nodes()}
    picture = torch.rand(1, 90, 120, 3, generator=torch.Generator().manual_seed(0))
    small, large = (nodes["FitImage"].execute(picture, "720x512", scale=scale)[0] for scale in (0.25, 0.375))
    geometry = {"depth": torch.full(large.shape[:3], 4.0)}
    memory = nodes["CreateMemory"].execute(large, geometry, fov_deg=60.0)[0]
    track = nodes["BuildTrajectory"].execute("truck right", frames=2, memory=memory)[0]
    render = nodes["RenderMemory"].execute(memory, track, first_frame=small, size="first frame")
    errors = []
    for first in (None, picture[:, :, :80]):
        try:
            nodes["RenderMemory"].execute(memory, track, first_frame=first, size="first frame")
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
    return {
        "small": list(small.shape),
        "large": list(large.shape),
        "render": list(render[0].shape),
        "holes": list(render[1].shape),
        "first": float((render[0][0] - small[0]).abs().max()),
        "errors": errors,
    }


def _tensors(value: Any, name: str = "") -> dict[str, tuple[Any, Any]]:
    """Every tensor inside a value by its place: a copy, and the tensor itself."""
    import dataclasses

    import torch

    if isinstance(value, torch.Tensor):
        return {name: (value.clone(), value)}
    if dataclasses.is_dataclass(value):
        parts = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif isinstance(value, dict):
        parts = value
    elif isinstance(value, (list, tuple)):
        parts = dict(enumerate(value))
    else:
        return {}
    found: dict[str, tuple[Any, Any]] = {}
    for key, part in parts.items():
        found |= _tensors(part, f"{name}.{key}")
    return found
