"""A workflow saved with an older version loads and runs: frozen contract, frozen workflows, renamed nodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.freeze_contract import CONTRACTS, node_contract
from tests.template_files import SMALL, write_inputs
from worldstereo_core.commands.comfy_prompt import workflow_to_prompt
from worldstereo_core.commands.comfy_stand_ins import shrink_workflow
from worldstereo_core.commands.template_weights import write_template_weights

OLD = Path(__file__).resolve().parents[1] / "workflows"
OLD_WORKFLOWS = sorted(OLD.glob("v*/*.json"))


def option_names(entry: dict[str, Any]) -> set[str]:
    """Choices of an input; those that bring inputs of their own are known by their key."""
    return {option["key"] if isinstance(option, dict) else option for option in entry.get("options", ())}


def breaks(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Changes of a node that would break a workflow saved before them."""
    found = []
    kept = new["inputs"][: len(old["inputs"])]
    if [entry["name"] for entry in kept] != [entry["name"] for entry in old["inputs"]]:
        found.append("inputs were renamed, removed or moved: widget values are saved by position")
    for before, after in zip(old["inputs"], kept, strict=False):
        name = before["name"]
        if not set(before["type"].split(",")) <= set(after["type"].split(",")):
            found.append(f"{name}: type {before['type']} became {after['type']}")
        if before["optional"] and not after["optional"]:
            found.append(f"{name}: was optional")
        if before.get("default") != after.get("default"):
            found.append(f"{name}: default {before.get('default')!r} became {after.get('default')!r}")
        gone = option_names(before) - option_names(after if "options" in after else before)
        if gone:
            found.append(f"{name}: lost {sorted(gone)}")
    found += [
        f"{entry['name']}: new and required"
        for entry in new["inputs"][len(old["inputs"]) :]
        if not entry["optional"]
    ]
    if new["outputs"][: len(old["outputs"])] != old["outputs"]:
        found.append(f"outputs {old['outputs']} became {new['outputs']}")
    return found


def test_no_node_changed_so_that_a_saved_workflow_breaks(comfy_server):
    offered = comfy_server.object_info()
    replaced = comfy_server.get("/node_replacements")
    versions = sorted(CONTRACTS.glob("*.json"))
    assert {path.stem for path in versions} >= {"0.1.0", "0.2.0"}
    for path in versions:
        for name, old in json.loads(path.read_text(encoding="utf-8")).items():
            if name in offered:
                assert breaks(old, node_contract(offered[name])) == [], (path.stem, name)
            else:
                assert replaced[name], f"{name} of {path.stem} is gone and nothing stands for it"


def node(*names: str, outputs: tuple[str, ...] = ("IMAGE",), **changes: Any) -> dict[str, Any]:
    inputs = [{"name": name, "type": "INT", "optional": False, "default": 1} for name in names]
    inputs[-1].update(changes)
    return {"inputs": inputs, "outputs": list(outputs)}


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (node("b", "a"), "moved"),
        (node("a"), "removed"),
        (node("a", "b", type="FLOAT"), "b: type INT became FLOAT"),
        (node("a", "b", default=2), "b: default 1 became 2"),
        (node("a", "b", "c"), "c: new and required"),
        (node("a", "b", outputs=("MASK", "IMAGE")), "outputs"),
    ],
)
def test_the_check_sees_what_breaks_a_workflow(new, reason):
    (found,) = breaks(node("a", "b"), new)
    assert reason in found


def test_the_check_allows_what_keeps_old_workflows_running():
    assert breaks(node("a", "b"), node("a", "b", "c", optional=True, outputs=("IMAGE", "MASK"))) == []
    assert breaks(node("a", "b"), node("a", "b", type="INT,FLOAT")) == []


@pytest.mark.parametrize("path", OLD_WORKFLOWS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_workflow_saved_with_an_older_version_still_runs(comfy_server, path):
    write_template_weights(comfy_server.base / "models")
    write_inputs(comfy_server.base)
    schemas = comfy_server.object_info()
    workflow = shrink_workflow(json.loads(path.read_text(encoding="utf-8")), schemas, SMALL)
    run = comfy_server.run(workflow_to_prompt(workflow, schemas))
    videos = [node["id"] for node in workflow["nodes"] if node["type"] == "SaveVideo" and not node["mode"]]
    assert videos and all(run.files(str(id)) for id in videos)


def test_a_prompt_with_the_id_of_a_renamed_node_runs_with_its_values(comfy_server):
    def sigmas(kind: str, slot: int, **inputs: Any) -> str:
        prompt = {
            # The server copies _meta of a node that it replaces.
            "1": {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}},
            "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", slot]}, "_meta": {"title": "show"}},
        }
        return comfy_server.run(prompt).outputs["2"]["text"][0]

    new = sigmas("WorldStereo_MakeSigmas", 0, schedule="few-step (DMD)", steps=3, shift=7.0, start=400)
    assert sigmas("WorldStereoDev_OldSigmas", 1, number=3, start=400, push=7.0) == new
    assert sigmas("WorldStereoDev_OldSigmas", 1, number=4, start=400, push=7.0) != new
    assert "WorldStereoDev_OldSigmas" in comfy_server.get("/node_replacements")
