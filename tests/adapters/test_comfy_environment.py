"""Finding a ComfyUI, and importing its adapter where there is none."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from worldstereo_core.adapters.comfy import environment

MODULES = sorted(
    path.stem for path in Path(environment.__file__).parent.glob("*.py") if path.stem != "__init__"
)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder that looks like a ComfyUI checkout, named by COMFYUI_PATH."""
    (tmp_path / "comfy").mkdir()
    (tmp_path / "comfy" / "model_patcher.py").touch()
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    monkeypatch.delenv("COMFYUI_PYTHON", raising=False)
    return tmp_path


def make_python(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_no_checkout_is_found_in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    assert environment.find_comfyui() is None
    assert str(tmp_path) in environment.why_not_found()


def test_a_checkout_without_python_is_not_found(checkout):
    assert environment.find_comfyui() is None
    assert "COMFYUI_PYTHON" in environment.why_not_found()


@pytest.mark.parametrize("place", [".venv/bin/python", "venv/bin/python", ".venv/Scripts/python.exe"])
def test_the_checkouts_own_environment_is_found(checkout, place):
    python = make_python(checkout / place)
    assert environment.find_comfyui() == (checkout, python)


def test_a_named_python_wins(checkout, tmp_path_factory, monkeypatch):
    make_python(checkout / ".venv" / "bin" / "python")
    named = make_python(tmp_path_factory.mktemp("other") / "bin" / "python")
    monkeypatch.setenv("COMFYUI_PYTHON", str(named))
    assert environment.find_comfyui() == (checkout, named)


@pytest.mark.parametrize("module", MODULES)
def test_the_adapters_modules_import_without_comfyui(module):
    imported = importlib.import_module(f"worldstereo_core.adapters.comfy.{module}")
    assert imported.__doc__
