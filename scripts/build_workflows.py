"""Write workflows/ and subgraphs/ from scripts/templates and the node schemas of a real ComfyUI.

    python scripts/build_workflows.py            write the files
    python scripts/build_workflows.py --check    fail if a file differs from what would be written

Needs a ComfyUI checkout (COMFYUI_PATH, else ~/ComfyUI); its server is started on a folder of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.blueprint import NAME as BLUEPRINT  # noqa: E402
from scripts.blueprint import blueprint  # noqa: E402
from scripts.smoke_workflow import NAME as SMOKE  # noqa: E402
from scripts.smoke_workflow import describe as describe_smoke  # noqa: E402
from scripts.templates import templates  # noqa: E402
from scripts.workflow_graph import Graph  # noqa: E402


def template_file(name: str) -> str:
    """File of a template; the frontend takes <name>.app.json for an app."""
    return f"{name.removesuffix('_app')}.app.json" if name.endswith("_app") else f"{name}.json"


def build(schemas: Mapping[str, Any]) -> dict[str, str]:
    """Text of every template and blueprint by path in the repository, from a server's /object_info."""
    texts = {}
    for name, module in templates().items():
        graph = Graph(schemas, name)
        module.describe(graph)
        texts[f"workflows/{template_file(name)}"] = to_text(graph.to_json())
    smoke = Graph(schemas, SMOKE)
    describe_smoke(smoke)
    texts[f"workflows/tests/{SMOKE}.json"] = to_text(smoke.to_json())
    texts[f"subgraphs/{BLUEPRINT}.json"] = to_text(blueprint(schemas))
    return texts


def to_text(workflow: dict[str, Any]) -> str:
    return json.dumps(workflow, indent=1, ensure_ascii=False) + "\n"


def read_schemas() -> dict[str, Any]:
    """/object_info of a ComfyUI that is started for it, with this pack and no models."""
    from worldstereo_core.adapters.comfy.environment import find_comfyui, why_not_found
    from worldstereo_core.commands.comfy_server import ComfyServer

    found = find_comfyui()
    if found is None:
        raise SystemExit(why_not_found())
    with tempfile.TemporaryDirectory(prefix="worldstereo-workflows-") as folder:
        server = ComfyServer(*found, Path(folder), {"ComfyUI-WorldStereo": ROOT})
        try:
            server.wait_until_up()
            return server.object_info()
        finally:
            server.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the templates in workflows/.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a file would change")
    parser.add_argument("--schemas", type=Path, help="a saved /object_info instead of a server")
    arguments = parser.parse_args()
    schemas = json.loads(arguments.schemas.read_text()) if arguments.schemas else read_schemas()
    changed = []
    for name, text in build(schemas).items():
        path = ROOT / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            changed.append(name)
            if not arguments.check:
                path.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{'differ' if arguments.check else 'written'}: {', '.join(changed) or 'none'}\n")
    return 1 if changed and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
