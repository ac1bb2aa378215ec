"""Who may import whom, and that the core needs neither ComfyUI nor diffusers nor a GPU."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "worldstereo_core"

# Arrows point from later to earlier lines; units on one line do not import one another.
LEVELS = (
    ("checks",),
    ("atomic", "in_order"),
    ("tensor_writer",),
    ("geometry",),
    ("sizes",),
    ("formats", "memory", "schedule", "unipc"),
    ("model", "world"),
    ("adapters.comfy", "adapters.diffusers"),
    ("training",),
    ("commands", "nodes"),
    ("__main__",),
    ("root",),
)
LEVEL = {unit: level for level, units in enumerate(LEVELS) for unit in units}
COMFYUI = {
    "app",
    "comfy",
    "comfy_api",
    "comfy_api_nodes",
    "comfy_execution",
    "comfy_extras",
    "execution",
    "folder_paths",
    "latent_preview",
    "node_helpers",
    "nodes",
    "server",
}
HEAVY = {"OpenEXR", "av", "cv2", "diffusers", "scipy", "transformers"}


def python_files() -> list[Path]:
    return [ROOT / "__init__.py", *sorted(CORE.rglob("*.py")), *sorted((ROOT / "nodes").rglob("*.py"))]


def module_of(path: Path) -> tuple[str, ...]:
    """Dotted parts from the repository root; a package's __init__ keeps its own name for relative imports."""
    return path.relative_to(ROOT).with_suffix("").parts


def unit_of(parts: tuple[str, ...]) -> str | None:
    """The unit of LEVELS that a module belongs to; None for package files that hold nothing."""
    if parts == ("__init__",):
        return "root"
    if parts[0] == "nodes":
        return "nodes"
    inside = [part for part in parts[1:] if part != "__init__"]
    if not inside or inside == ["adapters"]:
        return None
    return ".".join(inside[:2]) if inside[0] == "adapters" else inside[0]


def imports(path: Path) -> Iterator[tuple[ast.stmt, tuple[str, ...], bool]]:
    """Every import anywhere in a file: the statement, the imported module's parts, whether it is ours."""
    for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield statement, tuple(alias.name.split(".")), False
        elif isinstance(statement, ast.ImportFrom):
            named = tuple(statement.module.split(".")) if statement.module else ()
            if not statement.level:
                yield statement, named, False
                continue
            package = module_of(path)[: -statement.level]
            for alias in statement.names:
                # `from .memory import update` may name a module; `from .checks import X` a thing inside one.
                inner = (*package, *named, alias.name)
                exists = ROOT.joinpath(*inner).with_suffix(".py").is_file() or ROOT.joinpath(*inner).is_dir()
                yield statement, inner if exists else (*package, *named), True


def where(path: Path, statement: ast.stmt) -> str:
    return f"{path.relative_to(ROOT)}:{statement.lineno}"


def test_every_module_has_a_level():
    units = {unit_of(module_of(path)) for path in python_files()} - {None}
    assert units <= LEVEL.keys(), f"new units without a level: {sorted(units - LEVEL.keys())}"


def test_imports_point_down_the_levels():
    wrong = []
    for path in python_files():
        importer = unit_of(module_of(path))
        for statement, parts, is_ours in imports(path):
            imported = unit_of(parts) if is_ours and parts else None
            if importer is None or imported is None or imported == importer:
                continue
            if LEVEL[imported] >= LEVEL[importer]:
                wrong.append(f"{where(path, statement)}: {importer} imports {imported}")
    assert not wrong, "\n".join(wrong)


def test_the_level_check_sees_real_imports():
    seen = {
        (unit_of(module_of(path)), unit_of(parts))
        for path in python_files()
        for _, parts, is_ours in imports(path)
        if is_ours
    }
    assert {("geometry", "checks"), ("model", "geometry"), ("formats", "geometry"), ("root", "nodes")} <= seen


def test_our_own_modules_are_imported_relatively():
    # ComfyUI loads the pack under another name, so absolute imports of ours find another copy or none.
    wrong = [
        where(path, statement)
        for path in python_files()
        for statement, parts, is_ours in imports(path)
        if not is_ours and parts[:1] == ("worldstereo_core",)
    ]
    assert not wrong, "\n".join(wrong)


def test_comfyui_is_imported_by_its_adapter_the_nodes_and_the_root_only():
    wrong = [
        where(path, statement)
        for path in python_files()
        for statement, parts, is_ours in imports(path)
        if not is_ours
        and parts[0] in COMFYUI
        and unit_of(module_of(path)) not in ("adapters.comfy", "nodes", "root")
    ]
    assert not wrong, "\n".join(wrong)


def test_diffusers_is_imported_by_its_adapter_only():
    wrong = [
        where(path, statement)
        for path in python_files()
        for statement, parts, is_ours in imports(path)
        if not is_ours and parts[0] == "diffusers" and unit_of(module_of(path)) != "adapters.diffusers"
    ]
    assert not wrong, "\n".join(wrong)


def test_heavy_libraries_are_imported_where_they_are_used():
    wrong = []
    for path in python_files():
        if unit_of(module_of(path)) == "adapters.diffusers":
            continue
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            names = []
            if isinstance(statement, ast.Import):
                names = [alias.name for alias in statement.names]
            elif isinstance(statement, ast.ImportFrom) and not statement.level:
                names = [statement.module or ""]
            if any(name.split(".")[0] in HEAVY for name in names):
                wrong.append(where(path, statement))
    assert not wrong, "\n".join(wrong)


def test_the_root_imports_nothing_at_module_level():
    # pytest imports it as a package; whatever it imported would then have to be installed.
    body = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8")).body
    assert not [statement for statement in body if isinstance(statement, (ast.Import, ast.ImportFrom))]


def test_nothing_prints_outside_the_commands():
    wrong = []
    for path in python_files():
        if unit_of(module_of(path)) in ("commands", "__main__"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not wrong, "\n".join(wrong)


def test_no_file_has_a_name_that_says_nothing():
    nothing = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not [path.name for path in python_files() if path.stem in nothing]


def test_no_bare_except():
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in python_files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert not wrong, "\n".join(wrong)


BARE_MACHINE = """
import importlib, importlib.abc, logging, os, socket, sys

FORBIDDEN = set({forbidden!r})

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"{{name}} must not be needed here", name=name)

def no_network(*args, **kwargs):
    raise OSError("no network here")

sys.meta_path.insert(0, Refuse())
socket.socket.connect = socket.getaddrinfo = no_network
sys.path.insert(0, {root!r})

import worldstereo_core
assert "torch" not in sys.modules, "import worldstereo_core alone brings torch"

import torch
before = (torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(), torch.initial_seed(),
          len(logging.getLogger().handlers), dict(os.environ), list(sys.path))
for name in {modules!r}:
    try:
        importlib.import_module(name)
    except Exception as error:
        raise SystemExit(f"{{name}}: {{type(error).__name__}}: {{error}}")
after = (torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(), torch.initial_seed(),
         len(logging.getLogger().handlers), dict(os.environ), list(sys.path))
assert before == after, "an import changed global state"
assert not torch.cuda.is_initialized()
loaded = sorted({{name.split(".")[0] for name in sys.modules}} & set({heavy!r}))
assert not loaded, f"imported at module level: {{loaded}}"
"""


def test_core_imports_without_comfyui_diffusers_gpu_or_network(tmp_path: Path):
    modules = []
    for path in sorted(CORE.rglob("*.py")):
        parts = module_of(path)
        if unit_of(parts) not in ("adapters.comfy", "__main__"):
            modules.append(".".join(part for part in parts if part != "__init__"))
    assert len(modules) > 30
    script = BARE_MACHINE.format(
        forbidden=sorted(COMFYUI | {"diffusers", "transformers"}),
        heavy=sorted(HEAVY),
        root=str(ROOT),
        modules=modules,
    )
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from ..memory.memory import View", "memory"),
        ("from ..memory import memory", "memory"),
        ("from .. import sizes", "sizes"),
        ("from ..adapters.comfy import patch", "adapters.comfy"),
    ],
)
def test_relative_imports_are_resolved_to_units(source: str, expected: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: source)
    [(_, parts, is_ours)] = imports(CORE / "geometry" / "cameras.py")
    assert is_ours and unit_of(parts) == expected
