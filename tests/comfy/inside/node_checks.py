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
