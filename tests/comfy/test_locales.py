"""Every node in every language: complete, served, and no older than the schemas."""

from __future__ import annotations

import copy
import json
import urllib.request

import pytest

from scripts.build_locales import (
    LOCALES,
    TRANSLATED,
    build,
    english,
    faults,
    node_defs,
    translations,
    with_skeleton,
)
from tests.template_files import ROOT

current = pytest.mark.parametrize("comfyui", ["current"], indirect=True)
DOCS = ROOT / "web" / "dist" / "docs"


@pytest.fixture
def schemas(comfy_server):
    return comfy_server.object_info()


@current
@pytest.mark.parametrize("language", TRANSLATED)
def test_every_node_input_and_output_is_translated(schemas, language):
    # scripts/build_locales.py --skeleton writes what is missing, to be translated.
    assert list(faults(language, translations(language), english(schemas))) == []


@current
def test_the_files_are_what_the_script_writes(schemas):
    written = {name: (ROOT / name).read_text(encoding="utf-8") for name in build(schemas)}
    assert build(schemas) == written


@current
def test_the_check_sees_gaps_strays_and_english(schemas):
    source = english(schemas)
    complete = translations("zh")
    assert list(faults("zh", complete, source)) == []
    broken = copy.deepcopy(complete)
    del broken["WorldStereo_LoadMemory"]
    del broken["WorldStereo_FitImage"]["inputs"]["fit"]
    broken["WorldStereo_FitImage"]["inputs"]["fitness"] = ["a", "b"]
    broken["WorldStereo_LoadDepth"]["description"] = source["WorldStereo_LoadDepth"]["description"]
    broken["WorldStereo_LoadDepth"]["outputs"].pop()
    broken["WorldStereo_MakeSigmas"]["inputs"]["steps"] = ["", "x"]
    assert list(faults("zh", broken, source)) == [
        "zh: WorldStereo_LoadMemory is not translated",
        "zh: WorldStereo_FitImage.fit is not translated",
        "zh: WorldStereo_FitImage.fitness does not exist",
        "zh: WorldStereo_LoadDepth has 2 outputs, 1 translated",
        "zh: WorldStereo_LoadDepth.description is still English",
        "zh: WorldStereo_MakeSigmas.steps (name) is empty",
    ]
    filled = with_skeleton(broken, source)
    assert filled["WorldStereo_FitImage"]["inputs"].keys() == source["WorldStereo_FitImage"]["inputs"].keys()
    assert filled["WorldStereo_LoadMemory"] == source["WorldStereo_LoadMemory"]
    assert filled["WorldStereo_SaveMemory"] == complete["WorldStereo_SaveMemory"]


def test_inputs_of_a_dynamic_combo_have_texts_under_the_key_the_frontend_looks_up():
    def option(key, **inputs):
        return {"key": key, "inputs": {"required": inputs}}

    options = [
        option("shift", x=["FLOAT", {"tooltip": "Metres."}], on=["BOOLEAN", {"tooltip": "Do it."}]),
        option("turn", x=["FLOAT", {"tooltip": "Degrees.", "display_name": "angle"}]),
        option("lift", on=["BOOLEAN", {"tooltip": "Do it."}]),
    ]
    combo = ["COMFY_DYNAMICCOMBO_V3", {"tooltip": "How.", "options": options}]
    schema = {
        "display_name": "Move",
        "description": "Moves.",
        "input": {"required": {"how": combo}},
        "output_name": ["out"],
        "output_tooltips": ["The result."],
    }
    texts = english({"WorldStereo_Move": schema})
    assert texts["WorldStereo_Move"]["inputs"] == {
        "how": ["how", "How."],
        "how.x": ["x", "shift: Metres. turn: Degrees."],
        "how.on": ["on", "Do it."],
    }
    found = node_defs(texts)["WorldStereo_Move"]["inputs"]
    assert list(found) == ["how", "how_x", "how_on"]
    assert found["how_on"] == {"name": "on", "tooltip": "Do it."}


def test_the_languages_name_the_same_categories_and_sockets():
    mains = {path.parent.name: json.loads(path.read_text("utf-8")) for path in LOCALES.glob("*/main.json")}
    assert set(mains) == {"en", *TRANSLATED}
    keys = {language: {key: set(value) for key, value in main.items()} for language, main in mains.items()}
    assert keys["zh"] == keys["ja"] == keys["en"]


@current
def test_the_server_hands_the_texts_to_the_frontend(comfy_server):
    served = comfy_server.get("/i18n")
    for language in ("en", *TRANSLATED):
        written = json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))
        assert written.items() <= served[language]["nodeDefs"].items()
        assert "WORLDSTEREO_MEMORY" in served[language]["dataTypes"]


@current
def test_every_node_has_a_chinese_help_page_and_it_is_served(comfy_server):
    nodes = {path.stem for path in DOCS.glob("*.md")}
    names = {node: entry["display_name"] for node, entry in translations("zh").items()}
    assert {path.parent.name for path in DOCS.glob("*/zh.md")} == nodes
    for node in sorted(nodes):
        address = f"{comfy_server.url}/extensions/ComfyUI-WorldStereo/docs/{node}/zh.md"
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert answer.read().decode().startswith(f"# {names[node]}\n"), node
