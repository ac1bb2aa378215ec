"""Checks of the weights that come with the pack, run under ComfyUI's Python."""

from __future__ import annotations

from pathlib import Path

import folder_paths

from worldstereo_core.adapters.comfy.loader import register_model_folder


def where_files_are_found(names: dict[str, str]) -> dict[str, tuple[str, bool]]:
    """By kind of model: the path of a file, and whether ComfyUI's own folder is searched before."""
    register_model_folder()
    found = {}
    for kind, name in names.items():
        path = Path(folder_paths.get_full_path_or_raise(kind, name))
        folders = [Path(folder).resolve() for folder in folder_paths.get_folder_paths(kind)]
        own = (Path(folder_paths.models_dir) / kind).resolve()
        found[kind] = str(path), folders.index(own) < folders.index(path.parent.resolve())
    return found
