"""What ComfyUI knows about the prompt that runs: whether it still does, and which widgets feed a socket."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

MAX_WIDGET_TEXT = 2000


def still_running() -> Callable[[], bool]:
    """A question that stays true until the prompt that runs now has ended, well or badly."""
    import server

    instance = getattr(server.PromptServer, "instance", None)
    if instance is None:  # nodes called without a server, as in tests
        return lambda: False
    prompt_id, queue = getattr(instance, "last_prompt_id", None), instance.prompt_queue

    def is_running() -> bool:
        with queue.mutex:
            return any(item[1] == prompt_id for item in queue.currently_running.values())

    return is_running


def widgets_behind(
    prompt: Mapping[str, Any] | None, node: str | None, sockets: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """Every widget value that feeds some sockets of a node, found by following the links up.

    Contents of models and prompts cannot be compared over a restart; the graph that made them can.

    Args:
        prompt: the API prompt; None gives nothing.
        node: id of the node, also of one that an expansion made (``id.0.0.3``).
        sockets: input names.

    Returns:
        Per socket that is linked: ``<node class>.<input>`` -> value. Of several nodes of a class the later
            ones
        get a number. Ids do not matter, nor does where the nodes stand.
    """
    root = (prompt or {}).get((node or "").split(".")[0])
    if prompt is None or root is None:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for socket in sockets:
        link = root["inputs"].get(socket)
        if _is_link(link):
            found[socket] = _collect(prompt, link)
    return found


def _collect(prompt: Mapping[str, Any], link: list[Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    seen: set[str] = set()
    counts: dict[str, int] = {}
    pending = [link[0]]
    while pending:
        id = pending.pop()
        node = prompt.get(id)
        if node is None or id in seen:
            continue
        seen.add(id)
        kind = node["class_type"]
        counts[kind] = counts.get(kind, 0) + 1
        label = kind if counts[kind] == 1 else f"{kind} {counts[kind]}"
        links = []
        for name, value in sorted(node["inputs"].items()):
            if _is_link(value):
                links.append(value[0])
            elif isinstance(value, (str, int, float, bool)):
                values[f"{label}.{name}"] = _cut(value) if isinstance(value, str) else value
        pending += reversed(links)
    return values


def _cut(text: str) -> str:
    """The text, or its beginning and a digest of the whole."""
    if len(text) <= MAX_WIDGET_TEXT:
        return text
    return f"{text[:MAX_WIDGET_TEXT]}... ({hashlib.sha256(text.encode()).hexdigest()[:12]})"


def _is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)
