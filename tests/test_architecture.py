"""Who may import whom, and what an import may need."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "worldstereo_core"

# Each part may import itself and the parts named here. The command line stands above the adapters.
ALLOWED: dict[str, set[str]] = {
    "checks": set(),
    "geometry": {"checks"},
    "sizes": {"checks", "geometry"},
    "schedule": {"checks"},
    "unipc": {"checks", "schedule"},
    "formats": {"checks", "geometry"},
    "memory": {"checks", "geometry", "sizes"},
    "model": {"checks", "geometry", "memory", "schedule", "sizes", "unipc"},
}
ALLOWED["adapters"] = {*ALLOWED, "formats"}
ALLOWED["commands"] = {*ALLOWED, "adapters", "__init__"}
ALLOWED["__main__"] = {*ALLOWED, "commands", "__init__"}
ALLOWED["__init__"] = set()

COMFY_MODULES = {
    *("comfy", "comfy_api", "comfy_extras", "comfy_execution"),
    *("folder_paths", "server", "nodes", "node_helpers"),
}


def python_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*.py")) if "__pycache__" not in path.parts]


def imported_modules(path: Path) -> list[tuple[int, str]]:
    """Absolute dotted names of everything a file imports, relative imports resolved."""
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = [*base, *(node.module.split(".") if node.module else [])]
            # "from . import x" names the module x itself.
            names = [alias.name for alias in node.names] if node.level and not node.module else [None]
            found += [(node.lineno, ".".join([*module, *([name] if name else [])])) for name in names]
    return found


@pytest.mark.parametrize("path", python_files(CORE), ids=lambda path: str(path.relative_to(CORE)))
def test_core_imports_follow_the_dependency_direction(path: Path):
    part = path.relative_to(CORE).with_suffix("").parts[0]
    assert part in ALLOWED, f"{part}: say in this test what it may import"
    for line, name in imported_modules(path):
        pieces = name.split(".")
        if pieces[0] == "worldstereo_core":
            target = pieces[1] if len(pieces) > 1 else "__init__"
            target = target if (CORE / target).is_dir() or (CORE / f"{target}.py").exists() else "__init__"
            assert target == part or target in ALLOWED[part], (
                f"{path}:{line}: {part} must not import {target}"
            )


@pytest.mark.parametrize("path", python_files(CORE), ids=lambda path: str(path.relative_to(CORE)))
def test_libraries_of_a_backbone_stay_in_their_adapter(path: Path):
    place = path.relative_to(CORE).parts[:2]
    for line, name in imported_modules(path):
        library = name.split(".")[0]
        if library in COMFY_MODULES:
            assert place == ("adapters", "comfy"), f"{path}:{line} imports {name}"
        if library == "diffusers":
            assert place == ("adapters", "diffusers"), f"{path}:{line} imports {name}"


@pytest.mark.parametrize("path", python_files(CORE) + python_files(ROOT / "nodes"), ids=str)
def test_our_own_modules_are_imported_relatively(path: Path):
    # ComfyUI loads the pack under a name of its own choosing, and has a module "nodes" itself.
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            assert (node.module or "").split(".")[0] != "worldstereo_core", f"{path}:{node.lineno}"


def test_adapters_do_not_import_one_another():
    for adapter, other in (("comfy", "diffusers"), ("diffusers", "comfy")):
        for path in python_files(CORE / "adapters" / adapter):
            for line, name in imported_modules(path):
                assert not name.startswith(f"worldstereo_core.adapters.{other}"), (
                    f"{path}:{line} imports {name}"
                )


def run_python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, worldstereo_core; print(sorted({'torch', 'diffusers', 'comfy'} & set(sys.modules)))"
    result = run_python(code)
    assert result.returncode == 0 and result.stdout.strip() == "[]", result.stdout + result.stderr


def test_core_imports_without_comfyui_gpu_diffusers_or_network():
    # Every module but the adapters, with the absent libraries blocked and sockets and CUDA forbidden.
    code = """
import importlib, pkgutil, socket, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"comfy", "folder_paths", "server", "nodes", "diffusers", "transformers"}:
            raise ImportError(name + " is blocked in this test")
sys.meta_path.insert(0, Blocked())
def refuse(*args, **kwargs): raise RuntimeError("no network here")
socket.socket.connect = refuse
import torch
torch.cuda.init = torch._C._cuda_init = refuse
import worldstereo_core
count = 0
for module in pkgutil.walk_packages(worldstereo_core.__path__, "worldstereo_core."):
    if ".adapters.comfy" in module.name or ".adapters.diffusers" in module.name or "__main__" in module.name:
        continue
    importlib.import_module(module.name)
    count += 1
print(count)
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 30


def test_help_needs_no_torch():
    code = """
import sys
sys.modules["torch"] = None
import worldstereo_core.__main__ as command
command.main(["--help"])
"""
    result = run_python(code)
    assert result.returncode == 0 and "render" in result.stdout, result.stderr
