"""The templates, one module each: ``describe(graph)`` wires it, ``thumbnail(scene)`` draws its picture.

A module's name is the template's file name. Another template is one more module here; then run
scripts/build_workflows.py and scripts/draw_thumbnails.py.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def templates() -> dict[str, ModuleType]:
    """Every template module by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}
