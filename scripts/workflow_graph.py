"""Write a graph in the ComfyUI frontend's workflow format from a short description.

Sockets, widgets and their order come from a server's /object_info, so a description names inputs only.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worldstereo_core.commands.comfy_prompt import is_widget, widget_inputs

from .workflow_files import ModelFile

PACK = {"cnr_id": "comfyui-worldstereo", "ver": "0.2.0"}
CORE = {"cnr_id": "comfy-core"}
NOTES = ("MarkdownNote", "Note")  # drawn by the frontend, unknown to the server
BYPASSED = 4

# Pixels of the classic renderer: what the frontend itself computes for a node.
TITLE, SLOT, WIDGET = 30, 20, 24
GAP = 56  # Nodes 2.0 draws some nodes up to 48 taller
GROUP_MARGIN, GROUP_TITLE = 20, 40
# Room for what a node says about its last run (web/dist/worldstereo.js), pixels.
TEXT_ROOM = 60
LONG_TEXT_ROOM = {
    "WorldStereo_LoadModel": 140,
    "WorldStereo_ApplyWeights": 140,
    "WorldStereo_UpdateMemory": 120,
    "WorldStereo_LoadTrajectory": 120,
}


@dataclass(frozen=True)
class Output:
    """One output slot of a node, to be wired into inputs."""

    node: Node
    slot: int
    type: str


@dataclass(eq=False)
class Node:
    """One node; `inputs` holds links by input name, `values` widget values by name."""

    id: int
    type: str
    schema: Mapping[str, Any]
    inputs: dict[str, Output]
    values: dict[str, Any]
    title: str | None = None
    mode: int = 0
    models: tuple[ModelFile, ...] = ()
    width: int = 320
    height: int | None = None
    color: tuple[str, str] | None = None
    pos: tuple[int, int] = (0, 0)
    links_out: dict[int, list[int]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Output:
        slot = self.schema["output_name"].index(name)
        return Output(self, slot, self.schema["output"][slot])

    @property
    def sockets(self) -> list[tuple[str, str, bool]]:
        """(name, type, is optional) of the inputs that have no widget."""
        found = []
        for section in ("required", "optional"):
            for name, spec in self.schema["input"].get(section, {}).items():
                if spec[0] == "COMFY_AUTOGROW_V3":
                    found += self._growing_sockets(name, spec[1]["template"])
                elif not is_widget(spec):
                    found.append((name, spec[0], section == "optional"))
        return found

    def _growing_sockets(self, name: str, template: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
        """Sockets of an input that grows: the wired ones and, as the frontend adds it, a free one."""
        ((_, spec),) = template["input"]["required"].items()
        wired = sum(key.startswith(f"{name}.") for key in self.inputs)
        return [
            (f"{name}.{template['prefix']}{slot}", spec[0], slot >= template["min"])
            for slot in range(min(wired + 1, template["max"]))
        ]

    def size(self) -> tuple[int, int]:
        """Width and height without the title bar."""
        if self.height is not None:
            return self.width, self.height
        widgets = len(widget_inputs(self.schema, self.values))
        height = SLOT * max(len(self.sockets), len(self.schema.get("output", ()))) + 6
        return self.width, height + (WIDGET * widgets + 8 if widgets else 0) + self._text_room()

    def _text_room(self) -> int:
        speaks = self.type.startswith("WorldStereo_") and self.schema.get("output_node")
        return LONG_TEXT_ROOM.get(self.type, TEXT_ROOM if speaks else 0)


@dataclass(frozen=True)
class Box:
    """A group's rectangle, [left, right) x [top, bottom)."""

    left: int
    top: int
    right: int
    bottom: int


class Graph:
    """A workflow under construction."""

    def __init__(self, schemas: Mapping[str, Any], name: str) -> None:
        self.schemas = schemas
        self.name = name
        self.nodes: list[Node] = []
        self.groups: list[dict[str, Any]] = []
        self.app: dict[str, Any] | None = None
        self._late_notes: list[tuple[Node, Callable[[tuple[ModelFile, ...]], str]]] = []

    def add(self, type: str, /, *, title: str | None = None, width: int = 320, **settings: Any) -> Node:
        """Add a node.

        Args:
            settings: input name -> `Output` of another node (a link) or a widget value; what is not named
                keeps its default. `mode`, `models`, `height` and `color` are those of `Node`.
        """
        own = {key: settings.pop(key) for key in ("mode", "models", "height", "color") if key in settings}
        schema = self.schemas[type]
        known = {name for section in ("required", "optional") for name in schema["input"].get(section, {})}
        unknown = {key for key in settings if key.partition(".")[0] not in known}
        if unknown:
            raise KeyError(f"{type} has no input {sorted(unknown)}; it has {sorted(known)}")
        links = {key: value for key, value in settings.items() if isinstance(value, Output)}
        values = {key: value for key, value in settings.items() if key not in links}
        node = Node(len(self.nodes) + 1, type, schema, links, values, title, width=width, **own)
        self._check_links(node)
        self.nodes.append(node)
        return node

    def note(
        self, text: str | Callable[[tuple[ModelFile, ...]], str], *, title: str, width: int, height: int
    ) -> Node:
        """Add a Markdown note; a callable makes its text from the model files of the finished graph."""
        schema = {"input": {"required": {"text": ["STRING", {"default": "", "multiline": True}]}}}
        node = Node(len(self.nodes) + 1, "MarkdownNote", schema, {}, {}, title)
        node.width, node.height, node.color = width, height, ("#432", "#653")
        self.nodes.append(node)
        if callable(text):
            self._late_notes.append((node, text))
        else:
            node.values["text"] = text
        return node

    def show_as_app(
        self, inputs: Sequence[tuple[Node, str, dict[str, Any]]], outputs: Sequence[Node]
    ) -> None:
        """Open the workflow as an app.

        Args:
            inputs: (node, name of its widget, settings such as ``height``) from the top down.
            outputs: nodes whose results are shown.
        """
        for node, name, _ in inputs:
            if name not in dict(widget_inputs(node.schema, node.values)):
                raise KeyError(f"{node.type} has no widget {name}")
        self.app = {
            "inputs": [[node.id, name, *([settings] if settings else [])] for node, name, settings in inputs],
            "outputs": [node.id for node in outputs],
        }

    def model_files(self) -> tuple[ModelFile, ...]:
        """Every model file of the graph, once, in the order of the nodes."""
        return tuple(dict.fromkeys(file for node in self.nodes for file in node.models))

    def group(self, title: str, left: int, top: int, columns: Sequence[Sequence[Node]], color: str) -> Box:
        """Place nodes in columns side by side, each from the top down, and draw a group around them.

        Returns:
            The group's rectangle.
        """
        x, bottom = left + GROUP_MARGIN, top
        for column in columns:
            y = top + GROUP_TITLE
            for node in column:
                node.pos = (x, y + TITLE)
                y += TITLE + node.size()[1] + GAP
            bottom = max(bottom, y)
            x += max(node.size()[0] for node in column) + GAP
        box = Box(left, top, x - GAP + GROUP_MARGIN, bottom)
        bounding = [box.left, box.top, box.right - box.left, box.bottom - box.top]
        self.groups.append(
            {
                "id": len(self.groups) + 1,
                "title": title,
                "bounding": bounding,
                "color": color,
                "font_size": 24,
                "flags": {},
            }
        )
        return box

    def align(self, boxes: Sequence[Box], *, right: bool = False) -> int:
        """Make groups end on one line, at the bottom or at the right; gives that line."""
        edge = max(box.right if right else box.bottom for box in boxes)
        for box in boxes:
            bounding = next(
                group["bounding"]
                for group in self.groups
                if tuple(group["bounding"][:2]) == (box.left, box.top)
            )
            bounding[2 if right else 3] = edge - bounding[0 if right else 1]
        return edge

    def _check_links(self, node: Node) -> None:
        types = {name: kind for name, kind, _ in node.sockets}
        for name, output in node.inputs.items():
            if output.type not in str(types[name]).split(",") and "*" not in (types[name], output.type):
                raise TypeError(f"{node.type}.{name} takes {types[name]}, not {output.type}")

    def to_json(self) -> dict[str, Any]:
        """The workflow as the frontend saves it (version 0.4)."""
        for note, text in self._late_notes:
            note.values["text"] = text(self.model_files())
        links: list[list[Any]] = []
        nodes = []
        for node in self.nodes:
            for slot, (name, kind, _) in enumerate(node.sockets):
                output = node.inputs.get(name)
                if output is not None:
                    link = len(links) + 1
                    links.append([link, output.node.id, output.slot, node.id, slot, kind_of(output, kind)])
                    output.node.links_out.setdefault(output.slot, []).append(link)
        by_target = {(link[3], link[4]): link[0] for link in links}
        for order, node in enumerate(self.nodes):
            nodes.append(self._node_json(node, order, by_target))
        extra: dict[str, Any] = {"ds": {"scale": 0.6, "offset": [40, 80]}}
        if self.app is not None:
            extra |= {"linearMode": True, "linearData": self.app}
        return {
            # The same name always gives the same id, so that a rebuild changes nothing.
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"comfyui-worldstereo/{self.name}")),
            "revision": 0,
            "last_node_id": len(nodes),
            "last_link_id": len(links),
            "nodes": nodes,
            "links": links,
            "groups": self.groups,
            "config": {},
            "extra": extra,
            "version": 0.4,
        }

    def _node_json(self, node: Node, order: int, by_target: dict[tuple[int, int], int]) -> dict[str, Any]:
        inputs: list[dict[str, Any]] = []
        for slot, (name, kind, optional) in enumerate(node.sockets):
            entry = {"name": name, "type": kind, "link": by_target.get((node.id, slot))}
            if "." in name:
                entry["label"] = name.partition(".")[2]
            inputs.append({**entry, "shape": 7} if optional else entry)
        widgets = widget_inputs(node.schema, node.values)
        outputs = [
            {"name": name, "type": kind, "links": node.links_out.get(slot)}
            for slot, (name, kind) in enumerate(
                zip(node.schema.get("output_name", ()), node.schema.get("output", ()), strict=True)
            )
        ]
        properties: dict[str, Any] = {}
        if node.type not in NOTES:
            properties = {
                "Node name for S&R": node.type,
                **(PACK if node.type.startswith("WorldStereo_") else CORE),
            }
        if node.models:
            properties["models"] = [file.entry() for file in node.models]
        result: dict[str, Any] = {
            "id": node.id,
            "type": node.type,
            "pos": list(node.pos),
            "size": list(node.size()),
            "flags": {},
            "order": order,
            "mode": node.mode,
            "inputs": inputs,
            "outputs": outputs,
            "properties": properties,
            "widgets_values": [value for _, value in widgets],
        }
        if node.title:
            result["title"] = node.title
        if node.color:
            result["color"], result["bgcolor"] = node.color
        return result


def kind_of(output: Output, kind: str) -> str:
    """The type of a link: that of its output, unless the output takes anything."""
    return kind if output.type == "*" else output.type
