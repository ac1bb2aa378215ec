"""What a command can end with besides success."""

from __future__ import annotations

from ..checks import WorldStereoError


class CannotRun(WorldStereoError):
    """The command could not start its work: a file, a folder or a library is missing. Exit code 2."""
