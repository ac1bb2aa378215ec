"""What the registry and Windows ask of the sources: metadata, what ships, characters, devices and layers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# As comfy-test's SYNTAX level: devices and layers come from ComfyUI.
FORBIDDEN = re.compile(
    r"\.cuda\s*\(|\.to\s*\(\s*([\"']cuda|torch\.device)|torch(\.cuda)?\.amp|torch\.autocast"
    r"|(?<![\w.])(torch\.)?nn\.(Linear|Conv[123]d|ConvTranspose[12]d|LayerNorm|GroupNorm|Embedding)\s*\("
)
# Left out by .comfyignore and not needed by any node.
UNSHIPPED = ("tests", "scripts", "benchmarks")


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_sources_hold_only_characters_of_windows_code_page_1252():
    wrong = []
    for path in tracked("*.py"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                line.encode("cp1252")
            except UnicodeEncodeError as error:
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line[error.start]!r}")
    assert wrong == []


def test_sources_leave_devices_and_layers_to_comfyui():
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked("*.py")
        if path != Path(__file__) and path.relative_to(ROOT).parts[0] not in ("scripts", "benchmarks")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FORBIDDEN.search(line) and not line.strip().startswith("#")
    ]
    assert wrong == []


def test_only_the_entry_is_served_as_a_script():
    # ComfyUI's frontend imports every .js below the web directory at start.
    assert [path.name for path in (ROOT / "web" / "dist").rglob("*.js")] == ["worldstereo.js"]


def test_what_ships_is_complete_and_nothing_of_it_is_ignored():
    ignored = (ROOT / ".comfyignore").read_text(encoding="utf-8").split()
    needed = ("nodes", "worldstereo_core", "web/dist", "locales", "subgraphs", "workflows", "weights")
    needed += ("__init__.py",)
    assert all((ROOT / name).exists() for name in needed)
    assert not [name for name in needed if f"{name}/" in ignored or name in ignored]
    assert {f"{name}/" for name in UNSHIPPED} <= set(ignored)
    assert tracked("web/dist/worldstereo.js") and tracked("web/dist/docs/*.md")
    weights = tracked("weights/*")
    assert weights and sum(path.stat().st_size for path in weights) <= 30e6


def test_the_registry_finds_what_it_asks_for():
    tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    sys.path.insert(0, str(ROOT))
    from scripts import workflow_files
    from scripts.workflow_files import ModelFile

    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    comfy = data["tool"]["comfy"]
    assert comfy["PublisherId"] and comfy["DisplayName"] and comfy["requires-comfyui"] == ">=0.26.0"
    assert comfy["includes"] == ["web/dist/"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", data["project"]["version"])
    listed = {entry["location"]: entry["model_url"] for entry in comfy["Models"]}
    files = [value for value in vars(workflow_files).values() if isinstance(value, ModelFile)]
    assert listed == {f"{file.directory}/{file.name}": file.url for file in files}
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    requirements = [line for line in lines if line and not line.startswith("#")]
    assert data["project"]["dependencies"] == requirements
