"""The stages of training, by the name a configuration gives: module of this folder, class."""

from __future__ import annotations

import difflib
from importlib import import_module

from ...checks import WorldStereoError
from ..stage import Stage

STAGES: dict[str, tuple[str, str]] = {
    "vae": ("vae", "VAEStage"),
    "backbone": ("backbone", "BackboneStage"),
    "control": ("control", "ControlStage"),
    "adapters": ("adapters", "AdapterStage"),
    "memory": ("memory", "MemoryStage"),
    "parts": ("parts", "PartsStage"),
    "joint": ("joint", "JointStage"),
    "distil": ("distil", "DistilStage"),
}


def stage_class(name: object) -> type[Stage]:
    """The class of a stage; its module is imported only now, for stages need different libraries.

    Raises: WorldStereoError if there is no stage of that name.
    """
    if not isinstance(name, str) or name not in STAGES:
        near = difflib.get_close_matches(str(name), STAGES, 1)
        hint = f"Did you mean {near[0]}?" if near else f"Choose one of {', '.join(STAGES)}."
        raise WorldStereoError(f"stage: got {name!r}, which is no stage. {hint}")
    module, class_name = STAGES[name]
    return getattr(import_module(f".{module}", __package__), class_name)
