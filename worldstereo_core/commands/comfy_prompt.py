"""From a workflow as the ComfyUI frontend saves it to a prompt as its API takes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..checks import WorldStereoError

Prompt = dict[str, dict[str, Any]]

WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3", "LOAD_3D"}
UPLOADS = ("image_upload", "video_upload", "audio_upload", "file_upload")
ALWAYS, MUTED, BYPASSED = 0, 2, 4
# What the frontend's 3D viewer sends before it has shown anything.
EMPTY_VIEWPORT = {"camera_info": None, "model_3d_info": []}


def is_widget(spec: list[Any]) -> bool:
    """Whether an input of /object_info is set on the node itself rather than wired."""
    kind, options = spec[0], spec[1] if len(spec) > 1 else {}
    if options.get("forceInput"):
        return False
    return isinstance(kind, list) or kind in WIDGET_TYPES


def widget_inputs(schema: Mapping[str, Any], values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Widgets of a node with their values, in the order in which the frontend saves them.

    Args:
        schema: the node's entry of /object_info.
        values: by widget name; the rest keeps the schema's default.

    Returns:
        (name, value) pairs. Widgets that the frontend adds (what happens to a seed after each run, upload
        buttons) have names that no input has: ``<name>.control`` and ``<name>.upload``.
    """
    found: list[tuple[str, Any]] = []
    for section in ("required", "optional"):
        for name, spec in schema["input"].get(section, {}).items():
            if is_widget(spec):
                found += _widgets(name, spec, values)
    return found


def _widgets(name: str, spec: list[Any], values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    kind, options = spec[0], spec[1] if len(spec) > 1 else {}
    value = values.get(name, _default(kind, options))
    yield name, value
    if kind == "COMFY_DYNAMICCOMBO_V3":
        chosen = next((option for option in options["options"] if option["key"] == value), None)
        for section in ("required", "optional"):
            for inner, inner_spec in (chosen or {}).get("inputs", {}).get(section, {}).items():
                yield from _widgets(f"{name}.{inner}", inner_spec, values)
    if options.get("control_after_generate"):
        yield f"{name}.control", values.get(f"{name}.control", "fixed")
    if any(options.get(key) for key in UPLOADS):
        yield f"{name}.upload", "image"


def _default(kind: Any, options: Mapping[str, Any]) -> Any:
    if "default" in options:
        return options["default"]
    if kind == "COMFY_DYNAMICCOMBO_V3":
        return options["options"][0]["key"]
    choices = kind if isinstance(kind, list) else options.get("options")
    if choices:
        return choices[0]
    return {"INT": 0, "FLOAT": 0.0, "BOOLEAN": False, "LOAD_3D": ""}.get(
        kind if isinstance(kind, str) else "", ""
    )


def workflow_to_prompt(workflow: Mapping[str, Any], schemas: Mapping[str, Any]) -> Prompt:
    """Convert a saved workflow without subgraphs into an API prompt.

    Bypassed nodes hand on an input of their output's type; muted ones and notes are left out.

    Args:
        workflow: the saved JSON.
        schemas: /object_info of the server that will run the prompt.

    Raises: WorldStereoError naming a node type that the server lacks.
    """
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = {link[0]: link for link in workflow["links"]}
    prompt: Prompt = {}
    for node in workflow["nodes"]:
        if node["mode"] != ALWAYS or node["type"] in ("Note", "MarkdownNote"):
            continue
        schema = schemas.get(node["type"])
        if schema is None:
            raise WorldStereoError(
                f"node {node['id']}: this ComfyUI has no node {node['type']}. Update ComfyUI, or look in its "
                "log for why the pack that brings the node was not loaded."
            )
        inputs = _saved_values(node, schema)
        for socket in node["inputs"]:
            source = _source(socket.get("link"), nodes, links)
            if source is not None:
                inputs[socket["name"]] = source
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def _saved_values(node: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    saved = iter(node.get("widgets_values") or [])
    inputs: dict[str, Any] = {}
    # Two passes for dynamic combos: which widgets follow depends on the value just read.
    while True:
        widgets = widget_inputs(schema, inputs)
        unread = [name for name, _ in widgets if name not in inputs]
        if not unread:
            break
        inputs[unread[0]] = next(saved, dict(widgets)[unread[0]])
    specs = {name: spec for section in schema["input"].values() for name, spec in section.items()}
    for name in list(inputs):
        if name.endswith((".control", ".upload")):
            del inputs[name]
        elif name in specs and specs[name][0] == "LOAD_3D":
            inputs[name] = EMPTY_VIEWPORT
    return inputs


def _source(link_id: int | None, nodes: Mapping[int, Any], links: Mapping[int, Any]) -> list[Any] | None:
    """Where a link comes from as [node id, slot], seen through bypassed nodes; None when cut."""
    while link_id is not None:
        _, origin, slot, _, _, _ = links[link_id]
        node = nodes[origin]
        if node["mode"] == ALWAYS:
            return [str(origin), slot]
        if node["mode"] != BYPASSED:
            return None
        wanted = node["outputs"][slot]["type"]
        link_id = next((socket["link"] for socket in node["inputs"] if socket["type"] == wanted), None)
    return None
