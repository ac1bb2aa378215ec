"""The headless ComfyUI server of the tests: the command's launcher with the development nodes linked in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldstereo_core.commands import comfy_server
from worldstereo_core.commands.comfy_server import Run, SubmitError

__all__ = ["ComfyInstall", "ComfyServer", "Run", "SubmitError"]

PACK = "ComfyUI-WorldStereo"
DEV_NODES = "worldstereo_devnodes"


@dataclass(frozen=True)
class ComfyInstall:
    """One ComfyUI checkout under test."""

    name: str  # "current" or "floor"
    path: Path
    python: Path


class ComfyServer(comfy_server.ComfyServer):
    """A server that loads this repository and the development nodes, and nothing else."""

    def __init__(
        self, install: ComfyInstall, base: Path, repository: Path, arguments: tuple[str, ...] = ()
    ) -> None:
        self.install = install
        packs = {PACK: repository, DEV_NODES: repository / "tests" / "comfy" / "devnodes"}
        super().__init__(install.path, install.python, base, packs, arguments)

    def run_expecting_error(self, prompt: dict[str, Any], timeout: float = 180) -> dict[str, Any]:
        """Queue a prompt in which a node must raise; returns the execution_error message."""
        result = self.wait(self.submit(prompt), timeout)
        assert result.error is not None, f"the prompt was expected to fail, but gave {result.outputs}"
        assert self.is_alive()
        return result.error
