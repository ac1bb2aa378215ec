"""Find a ComfyUI checkout and make its libraries importable outside its server."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ...checks import WorldStereoError


def find_comfyui() -> tuple[Path, Path] | None:
    """Locate ComfyUI and the Python that runs it, without importing either.

    The checkout is ``$COMFYUI_PATH``, else ``~/ComfyUI``; its Python is ``$COMFYUI_PYTHON``, else the
    checkout's own ``.venv`` or ``venv``, else this interpreter when it already runs from that checkout.

    Returns:
        (checkout folder, Python executable), or None when either is missing.
    """
    path = Path(os.environ.get("COMFYUI_PATH") or "~/ComfyUI").expanduser()
    if not (path / "comfy" / "model_patcher.py").is_file():
        return None
    python = find_python(path)
    return None if python is None else (path, python)


def find_python(path: Path) -> Path | None:
    """The Python that runs the ComfyUI checkout at `path`, or None."""
    named = os.environ.get("COMFYUI_PYTHON")
    if named:
        python = Path(named).expanduser()
        return python if python.is_file() else None
    for folder in (".venv", "venv"):
        for program in ("bin/python", "Scripts/python.exe"):
            # Not resolved: a virtual environment is recognised by the path of its link.
            if (path / folder / program).is_file():
                return path / folder / program
    return Path(sys.executable) if "comfy.model_management" in sys.modules else None


def why_not_found() -> str:
    """One sentence for skipped tests and refused commands: what is missing and how to name it."""
    path = Path(os.environ.get("COMFYUI_PATH") or "~/ComfyUI").expanduser()
    if not (path / "comfy" / "model_patcher.py").is_file():
        return f"no ComfyUI checkout at {path}; set COMFYUI_PATH to one"
    return f"no Python found for the ComfyUI at {path} (looked for .venv and venv); set COMFYUI_PYTHON to it"


def prepare() -> None:
    """Make ``comfy`` importable in this process, on the CPU when there is no CUDA device.

    A no-op inside a running ComfyUI. Must come before the first import of ``comfy.model_management``, which
    chooses the device once and for all.

    Raises: WorldStereoError if no checkout is found.
    """
    if "comfy.model_management" in sys.modules:
        return
    found = find_comfyui()
    if found is None:
        raise WorldStereoError(f"--adapter comfy: {why_not_found()}.")
    path = str(found[0])
    if path not in sys.path:
        # In front, since ComfyUI's own packages (comfy, utils, nodes) have names that others use too.
        sys.path.insert(0, path)
    import torch
    from comfy.cli_args import args  # parses nothing unless ComfyUI's main asked for it

    if not torch.cuda.is_available():
        args.cpu = True
