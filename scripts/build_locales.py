"""Write locales/*/nodeDefs.json: English from the node schemas, Chinese and Japanese from locales/*/nodes/.

    python scripts/build_locales.py              write the files
    python scripts/build_locales.py --check      fail if a file would change or a translation lacks something
    python scripts/build_locales.py --skeleton   add what translations lack, in English, to be translated

A new node needs locales/zh/nodes/<ID>.json and locales/ja/nodes/<ID>.json: display_name, description, and a
pair [name, tooltip] per input and output; an input that a dynamic combo's choice adds is "combo.input".
Needs a ComfyUI checkout, or a saved /object_info (--schemas).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

LOCALES = ROOT / "locales"
TRANSLATED = ("zh", "ja")
PREFIX = "WorldStereo_"
# A text as long as this that equals the English one was not translated.
SENTENCE = 30


def english(schemas: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Texts of every node as in locales/<language>/nodes, from a server's /object_info."""
    return {name: _texts(schema) for name, schema in sorted(schemas.items()) if name.startswith(PREFIX)}


def _texts(schema: Mapping[str, Any]) -> dict[str, Any]:
    inputs = {}
    for section in ("required", "optional"):
        for name, spec in schema["input"].get(section, {}).items():
            options = spec[1] if len(spec) > 1 else {}
            inputs[name] = [options.get("display_name") or name, options.get("tooltip") or ""]
            if spec[0] == "COMFY_DYNAMICCOMBO_V3":
                inputs.update({f"{name}.{sub}": pair for sub, pair in _choice_texts(options["options"])})
    tooltips = schema.get("output_tooltips") or [""] * len(schema["output_name"])
    return {
        "display_name": schema["display_name"],
        "description": schema["description"],
        "inputs": inputs,
        "outputs": [[name, tip or ""] for name, tip in zip(schema["output_name"], tooltips, strict=True)],
    }


def _choice_texts(choices: list[Mapping[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """Name and texts of every input that only some choices of a dynamic combo have."""
    labels: dict[str, str] = {}
    tooltips: dict[str, dict[str, str]] = {}
    for choice in choices:
        for section in ("required", "optional"):
            for name, spec in choice["inputs"].get(section, {}).items():
                labels.setdefault(name, spec[1].get("display_name") or name)
                tooltips.setdefault(name, {})[choice["key"]] = spec[1].get("tooltip") or ""
    for name, by_choice in tooltips.items():
        several = len(set(by_choice.values())) > 1
        parts = [f"{choice}: {text}" if several else text for choice, text in by_choice.items()]
        yield name, [labels[name], " ".join(dict.fromkeys(parts))]


def node_defs(texts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Texts as the frontend reads them (nodeDefs.json)."""
    return {
        node: {
            "display_name": entry["display_name"],
            "description": entry["description"],
            # The frontend looks up "combo.input" as "combo_input".
            "inputs": {name.replace(".", "_"): _named(pair) for name, pair in entry["inputs"].items()},
            "outputs": {str(slot): _named(pair) for slot, pair in enumerate(entry["outputs"])},
        }
        for node, entry in texts.items()
    }


def _named(pair: list[str]) -> dict[str, str]:
    return {"name": pair[0], "tooltip": pair[1]}


def translations(language: str) -> dict[str, dict[str, Any]]:
    """Texts of every translated node."""
    folder = LOCALES / language / "nodes"
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def faults(language: str, texts: Mapping[str, Any], source: Mapping[str, Any]) -> Iterator[str]:
    """What a language lacks, has too much, or has left in English."""
    for node in sorted(source.keys() ^ texts.keys()):
        what = "is not translated" if node in source else "does not exist"
        yield f"{language}: {node} {what}"
    for node in sorted(source.keys() & texts.keys()):
        there, here = source[node], texts[node]
        for name in sorted(there["inputs"].keys() ^ here["inputs"].keys()):
            what = "is not translated" if name in there["inputs"] else "does not exist"
            yield f"{language}: {node}.{name} {what}"
        if len(there["outputs"]) != len(here["outputs"]):
            yield f"{language}: {node} has {len(there['outputs'])} outputs, {len(here['outputs'])} translated"
        for place, text in _all_texts(here):
            if not text.strip():
                yield f"{language}: {node}.{place} is empty"
            elif len(text) >= SENTENCE and text == dict(_all_texts(there)).get(place):
                yield f"{language}: {node}.{place} is still English"


def _all_texts(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "display_name", entry["display_name"]
    yield "description", entry["description"]
    pairs = [
        *entry["inputs"].items(),
        *((f"outputs[{slot}]", pair) for slot, pair in enumerate(entry["outputs"])),
    ]
    for place, (name, tooltip) in pairs:
        yield f"{place} (name)", name
        yield f"{place} (tooltip)", tooltip


def with_skeleton(texts: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Translations filled up with English where they lack something, and without what no longer exists."""
    filled = {}
    for node, there in source.items():
        here = texts.get(node, there)
        own = here["outputs"]
        filled[node] = {
            **here,
            "inputs": {name: here["inputs"].get(name, pair) for name, pair in there["inputs"].items()},
            "outputs": [own[slot] if slot < len(own) else pair for slot, pair in enumerate(there["outputs"])],
        }
    return filled


def to_text(entry: Mapping[str, Any]) -> str:
    """A node's translation, a pair per line."""

    def quoted(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    inputs = ",\n".join(f"  {quoted(name)}: {quoted(pair)}" for name, pair in entry["inputs"].items())
    outputs = ",\n".join(f"  {quoted(pair)}" for pair in entry["outputs"])
    return (
        f'{{\n "display_name": {quoted(entry["display_name"])},\n "description": '
        f'{quoted(entry["description"])},\n "inputs": {{\n{inputs}\n }},\n "outputs": [\n{outputs}\n ]\n}}\n'
    )


def build(schemas: Mapping[str, Any]) -> dict[str, str]:
    """Text of every nodeDefs.json by its path in the repository."""
    found = {"en": english(schemas), **{language: translations(language) for language in TRANSLATED}}
    return {
        f"locales/{language}/nodeDefs.json": json.dumps(node_defs(texts), indent=1, ensure_ascii=False) + "\n"
        for language, texts in found.items()
    }


def main() -> int:
    from scripts.build_workflows import read_schemas

    parser = argparse.ArgumentParser(description="Write locales/*/nodeDefs.json.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if something is missing")
    parser.add_argument("--skeleton", action="store_true", help="add what translations lack, in English")
    parser.add_argument("--schemas", type=Path, help="a saved /object_info instead of a server")
    arguments = parser.parse_args()
    schemas = json.loads(arguments.schemas.read_text("utf-8")) if arguments.schemas else read_schemas()
    source = english(schemas)
    if arguments.skeleton:
        for language in TRANSLATED:
            folder = LOCALES / language / "nodes"
            for node, entry in with_skeleton(translations(language), source).items():
                (folder / f"{node}.json").write_text(to_text(entry), encoding="utf-8")
    wrong = [fault for name in TRANSLATED for fault in faults(name, translations(name), source)]
    for name, text in build(schemas).items():
        path = ROOT / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            if arguments.check:
                wrong.append(f"{name} differs from what this script writes")
            else:
                path.write_text(text, encoding="utf-8")
    sys.stdout.write("\n".join(wrong) + "\n" if wrong else "complete\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
