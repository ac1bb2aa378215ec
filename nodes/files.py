"""Files that nodes read and write: the model folder, input and output listings, numbered names."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui

from ..worldstereo_core.checks import WorldStereoError
from ..worldstereo_core.world.manifest import MANIFEST

# Characters that Windows refuses in file names; a name should work wherever the folder is copied to.
FORBIDDEN = '<>:"|?*'
DEVICES = {
    "CON",
    "PRN",
    "AUX",
    "NUL",
    *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10)),
}


def model_path(folder: str, name: str, input_name: str) -> Path:
    """Path of a file chosen from one of ComfyUI's model folders.

    Raises: WorldStereoError if it is gone.
    """
    path = folder_paths.get_full_path(folder, name)
    if path is None:
        raise WorldStereoError(
            f'{input_name}: there is no file "{name}" in models/{folder}. Put it there, press R to refresh '
            "the list, and choose it again."
        )
    return Path(path)


def list_files(extensions: tuple[str, ...]) -> list[str]:
    """Names for a file input: what lies in the input folder, then the output folder as ``name [output]``."""
    names = []
    places = ((folder_paths.get_input_directory(), ""), (folder_paths.get_output_directory(), " [output]"))
    for folder, annotation in places:
        if not os.path.isdir(folder):
            continue
        found, _ = folder_paths.recursive_search(folder, [".git"])
        names += [
            name.replace(os.sep, "/") + annotation
            for name in sorted(found)
            if name.lower().endswith(extensions)
        ]
    return names


def input_path(name: str, input_name: str) -> Path:
    """Path of a file named by a file input; only files below input, output and temp are given out.

    Raises: WorldStereoError if the name leads elsewhere or there is no such file.
    """
    bare, folder = folder_paths.annotated_filepath(name)
    base = Path(folder or folder_paths.get_input_directory()).resolve()
    path = (base / bare.strip()).resolve()
    if base not in path.parents:
        raise WorldStereoError(
            f'{input_name}: "{name}" lies outside ComfyUI\'s input, output and temp folders. '
            "Copy the file into the input folder and choose it there."
        )
    if not path.is_file():
        raise WorldStereoError(
            f'{input_name}: there is no file "{name}" in {base}. Copy it there, press R to refresh the list, '
            "and choose it again."
        )
    return path


def check_input_file(name: str, input_name: str) -> bool | str:
    """Answer for ``validate_inputs``: True, or the sentence shown on the node before anything runs."""
    try:
        input_path(name, input_name)
    except WorldStereoError as error:
        return str(error)
    return True


def fingerprint(name: str, input_name: str) -> tuple[str, int, int]:
    """What tells a changed file from the one read before: path, size, time of change."""
    path = input_path(name, input_name)
    state = path.stat()
    return str(path), state.st_size, state.st_mtime_ns


def output_path(filename_prefix: str, suffix: str) -> tuple[Path, str]:
    """The next free numbered file in the output folder.

    Returns:
        The path, and its name as file inputs take it, e.g. ``worldstereo/memory_00001_.json [output]``.

    Raises: WorldStereoError if the prefix is no file name or leads outside the output folder.
    """
    base = os.path.basename(os.path.normpath(filename_prefix))
    is_clean = set(filename_prefix).isdisjoint(FORBIDDEN) and filename_prefix.isprintable()
    if base in ("", ".", "..") or not is_clean:
        raise WorldStereoError(
            f'filename_prefix: "{filename_prefix}" is no name for a file, expected one without {FORBIDDEN} '
            "and line breaks. Give a name like worldstereo/memory."
        )
    try:
        folder, name, counter, _, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory()
        )
    except OSError as error:
        raise WorldStereoError(
            f'filename_prefix: the folder of "{filename_prefix}" below the output folder cannot be made '
            f"({error.strerror}). Allow it, or give another name."
        ) from error
    except Exception as error:  # ComfyUI raises a bare Exception for a prefix outside the folder
        raise WorldStereoError(
            f'filename_prefix: "{filename_prefix}" leads outside the output folder. '
            "Give a name like worldstereo/memory."
        ) from error
    path = Path(folder) / f"{name}_{counter:05}_{suffix}"
    while path.exists():
        counter += 1
        path = Path(folder) / f"{name}_{counter:05}_{suffix}"
    relative = path.relative_to(folder_paths.get_output_directory()).as_posix()
    return path, f"{relative} [output]"


def saved_result(path: Path) -> ui.SavedResult:
    """The entry that shows a file of the output folder on a node and to API users."""
    folder = path.parent.relative_to(folder_paths.get_output_directory()).as_posix()
    return ui.SavedResult(path.name, "" if folder == "." else folder, io.FolderType.output)


def world_folder(name: str) -> Path:
    """Where a world of this name is, or would be, below the output folder.

    Raises: WorldStereoError if the name is none for a folder or leads outside the output folder.
    """
    parts = name.strip().replace("\\", "/").split("/")
    is_clean = set(name).isdisjoint(FORBIDDEN) and name.isprintable()
    # Windows drops dots and spaces at the end of names, and has devices in the place of some.
    if not is_clean or any(
        part != part.strip(" .") or not part or part.split(".")[0].upper() in DEVICES for part in parts
    ):
        raise WorldStereoError(
            f'name: "{name}" is no name for a folder, expected words without {FORBIDDEN} and line breaks, '
            "with / for folders in between. Give a name like worldstereo/my_world."
        )
    base = Path(folder_paths.get_output_directory()).resolve()
    folder = base.joinpath(*parts)
    # Links inside the output folder must not lead out of it either.
    if base not in folder.resolve().parents:
        raise WorldStereoError(
            f'name: "{name}" leads outside ComfyUI\'s output folder. Give a name like worldstereo/my_world.'
        )
    return folder


def check_world_name(name: str) -> bool | str:
    """Answer for ``validate_inputs``: True, or the sentence shown on the node before anything runs."""
    try:
        world_folder(name)
    except WorldStereoError as error:
        return str(error)
    return True


def world_fingerprint(name: str) -> object:
    """What tells a world that has changed on the disk from the one read before."""
    try:
        state = (world_folder(name) / MANIFEST).stat()
    except (WorldStereoError, OSError):
        return "none"
    return state.st_mtime_ns, state.st_size
