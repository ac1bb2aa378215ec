"""The file that the browser's path editor is tested against holds what Python makes today."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).resolve().parents[1] / "data"


def assert_same(made: Any, kept: Any, where: str) -> None:
    if isinstance(kept, dict):
        assert set(made) == set(kept), where
        for key in kept:
            assert_same(made[key], kept[key], f"{where}.{key}")
    elif isinstance(kept, list):
        assert len(made) == len(kept), where
        for number, (a, b) in enumerate(zip(made, kept, strict=True)):
            assert_same(a, b, f"{where}[{number}]")
    elif isinstance(kept, float):
        assert made == pytest.approx(kept, abs=2e-5), where
    else:
        assert made == kept, where


def test_the_editors_golden_file_holds_what_python_makes_today():
    spec = importlib.util.spec_from_file_location("make_editor_golden", DATA / "make_editor_golden.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kept = json.loads((DATA / "editor_golden.json").read_text(encoding="utf-8"))
    assert_same(module.content(), kept, "golden")
