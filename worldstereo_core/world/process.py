"""Telling one process from another, also after its number was given to a new one."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from typing import Any

from ..checks import WorldStereoError


@dataclass(frozen=True)
class ProcessIdentity:
    """A process on a machine.

    Attributes:
        started: when it began, seconds since the machine started on Linux, since 1970 elsewhere; None where
            the system does not say.
        boot: which start of the machine that was, on Linux: a server that starts with its machine tends to
            get the same number at the same second every time.
    """

    host: str
    pid: int
    started: float | None
    boot: str | None = None

    @classmethod
    def current(cls) -> ProcessIdentity:
        pid = os.getpid()
        return cls(platform.node(), pid, _start_time(pid), _boot())

    @classmethod
    def from_json(cls, content: Any) -> ProcessIdentity:
        """Raises: WorldStereoError if it is no description of a process."""
        try:
            started, boot = content["started"], content.get("boot")
            return cls(
                str(content["host"]),
                int(content["pid"]),
                None if started is None else float(started),
                None if boot is None else str(boot),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise WorldStereoError(f"process: {content!r} does not describe one ({error}).") from error

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def is_running(self) -> bool | None:
        """Whether it still runs; None if that cannot be known from here."""
        if self.host != platform.node() or self.started is None:
            return None
        if self.boot != _boot():
            return False
        started = _start_time(self.pid)
        # Clocks of some systems are derived anew on every question: tolerate a second.
        return started is not None and abs(started - self.started) < 1.0


def _boot() -> str | None:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return None


def _start_time(pid: int) -> float | None:
    """Start of a process, as ``started``; None if it does not run."""
    if os.path.isdir("/proc/self"):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                # The name in brackets may hold anything; what counts comes after it.
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            return None
        if fields[0] == "Z":  # ended, and only waiting to be noticed by its parent
            return None
        return int(fields[19]) / os.sysconf("SC_CLK_TCK")
    try:
        import psutil  # comes with ComfyUI
    except ModuleNotFoundError:
        return None
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None
