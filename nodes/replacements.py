"""Renamed nodes: saved workflows and API prompts that hold an old id go on running."""

from __future__ import annotations

from comfy_api.latest import ComfyAPI, io

# One entry per renamed node, kept for ever; tests/data/node_contract.json says which ids were promised. Map
# required inputs only: ComfyUI looks each of them up in the old node, and an optional one may be absent.
REPLACEMENTS: tuple[io.NodeReplace, ...] = ()


async def register_replacements(table: tuple[io.NodeReplace, ...] = REPLACEMENTS) -> None:
    """Tell ComfyUI which of our nodes stands for which older one."""
    api = ComfyAPI()
    for replacement in table:
        await api.node_replacement.register(replacement)
