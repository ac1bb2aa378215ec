"""Recompute every golden of a folder through the public code and print one line for each."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType

from torch import Tensor

from ...atomic import replace_when_done
from ...checks import WorldStereoError
from ..outcome import CannotRun
from .checks import Check, compare_all, failed
from .golden import FAMILIES, Golden, GoldenError, family_number, find_goldens, read_golden

ADAPTERS = ("diffusers", "comfy")


@dataclass(frozen=True)
class Verdict:
    """The outcome of one golden."""

    name: str
    checks: list[Check]
    seconds: float
    computed: dict[str, Tensor] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)

    def line(self) -> str:
        worst = max(self.checks, key=lambda check: check.severity)
        failures = sum(not check.passed for check in self.checks)
        detail = f"{worst.name}: {worst.note}" if worst.note else worst.name
        if failures > 1:
            detail += f" (and {failures - 1} more of {len(self.checks)} checks)"
        return (
            f"{self.name:<30} error {worst.error:<9.2e} bound {worst.bound:<8.1e} "
            f"{'PASS' if self.passed else 'FAIL'}  {detail}"
        )


def verify(folder: Path, adapter: str = "diffusers", dump: Path | None = None) -> int:
    """Verify a folder of goldens, printing as it goes.

    Args:
        folder: manifests, tensors and ``weights/``.
        adapter: which backbone library recomputes whole models.
        dump: where to write ``<golden>.safetensors`` with what was computed, or None.

    Returns:
        0 if every golden passed, 1 if one failed.

    Raises: CannotRun if there is no such folder, no golden in it, or the adapter's library is not installed.
    """
    if not folder.is_dir():
        raise CannotRun(f"DIR: {folder} is not a folder. Give the folder that holds the golden .json files.")
    names = find_goldens(folder)
    if not names:
        raise CannotRun(f"DIR: no golden in {folder}. Expected manifests named g1_….json to g11_….json.")
    if dump is not None:
        _prepare_dump(dump, folder)
    if adapter == "comfy":
        done = _run_under_comfyui(folder, dump)
        if done is not None:
            return done
    elif importlib.util.find_spec("diffusers") is None:
        raise CannotRun("--adapter diffusers: diffusers is not installed: pip install '.[headless]'")

    start = time.perf_counter()
    verdicts = []
    present = {family_number(name) for name in names}
    for family in sorted(present | set(FAMILIES), key=lambda number: number or 0):
        if family not in present:
            print(f"{f'g{family}_':<30} absent", flush=True)
        for name in [name for name in names if family_number(name) == family]:
            verdict = verify_one(folder, name, adapter)
            print(verdict.line(), flush=True)
            verdicts.append(verdict)
            if dump is not None:
                _dump(dump / f"{name}.safetensors", verdict)
    failures = [verdict.name for verdict in verdicts if not verdict.passed]
    print(
        f"{len(verdicts) - len(failures)} of {len(verdicts)} goldens passed with the {adapter} adapter "
        f"in {time.perf_counter() - start:.0f} s" + (f"; FAILED: {', '.join(failures)}" if failures else "")
    )
    return 1 if failures else 0


def verify_one(folder: Path, name: str, adapter: str) -> Verdict:
    """Verify one golden; whatever goes wrong inside becomes a failed check, so that the others still run."""
    start = time.perf_counter()
    computed: dict[str, Tensor] = {}
    try:
        golden = read_golden(folder, name)
        family = load_family(golden)
        if not golden.checks:  # facts alone would pass with every tensor unseen
            raise GoldenError(f"{name}: nothing checked: its manifest has no checks.")
        outputs = [key for key in golden.names if not is_input(key, golden, family)]
        results = family.compute(golden, adapter)
        computed = {key: results[key] for key in outputs if key in results}
        expected = {key: golden.tensors[key] for key in outputs if key in golden.tensors}
        checks = compare_all(computed, expected, golden.checks)
        if lacking := golden.lacking:
            note = f"the tensors file lacks {len(lacking)} of the listed tensors: {', '.join(lacking[:5])}"
            checks.append(failed("listed tensors", note))
        if hasattr(family, "facts"):
            checks += family.facts(golden, adapter)
        if not checks:
            checks = [failed("nothing checked", "no output tensor matches a bound of the manifest")]
    except Exception as error:  # the boundary of one golden: the error is the verdict
        if os.environ.get("WORLDSTEREO_TRACEBACK"):
            import traceback

            traceback.print_exc()
        text = " ".join(str(error).split())
        kind = "" if isinstance(error, WorldStereoError) else f"{type(error).__name__}: "
        checks = [failed("could not compute", kind + text)]
    return Verdict(name, checks, time.perf_counter() - start, computed)


def load_family(golden: Golden) -> ModuleType:
    if golden.family not in FAMILIES:
        raise GoldenError(f"{golden.name}: unknown family; names begin with g1_ to g{FAMILIES[-1]}_.")
    return importlib.import_module(f"{__package__}.family_g{golden.family}")


def is_input(name: str, golden: Golden, family: ModuleType) -> bool:
    """Whether a tensor of the golden's own file is given rather than computed."""
    if name in golden.manifest.get("own_inputs", []):
        return True
    if any(fnmatchcase(name, glob) for glob in getattr(family, "INPUT_GLOBS", ())):
        return True
    decide: Callable[[str, Golden], bool] | None = getattr(family, "is_input", None)
    return decide is not None and decide(name, golden)


def _prepare_dump(dump: Path, folder: Path) -> None:
    """Make the dump folder. Raises: CannotRun if it cannot be written or would overwrite the goldens."""
    if dump.resolve() == folder.resolve():
        raise CannotRun(f"--dump: {dump} holds the goldens themselves. Give another folder.")
    try:
        dump.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotRun(f"--dump: {dump} cannot be made ({error.strerror}). Give another folder.") from error
    if not os.access(dump, os.W_OK):
        raise CannotRun(f"--dump: {dump} cannot be written to. Give another folder.")


def _dump(path: Path, verdict: Verdict) -> None:
    """Write what was computed, whole or not at all; a golden that computed nothing leaves no stale file."""
    from safetensors.torch import save_file

    if not verdict.computed:
        path.unlink(missing_ok=True)
        return
    # Clones: safetensors refuses tensors that share memory.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in verdict.computed.items()}
    with replace_when_done(path) as temporary:
        save_file(tensors, temporary)


def _run_under_comfyui(folder: Path, dump: Path | None) -> int | None:
    """Run the same command under ComfyUI's Python; None when this process already is that Python."""
    from ...adapters.comfy.environment import find_comfyui, prepare, why_not_found

    found = find_comfyui()
    if found is None:
        raise CannotRun(f"--adapter comfy: {why_not_found()}.")
    python = found[1]
    if os.environ.get("WORLDSTEREO_INSIDE_COMFYUI") or Path(sys.executable) == python:
        prepare()
        return None
    package_parent = Path(__file__).resolve().parents[3]
    paths = [str(package_parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "WORLDSTEREO_INSIDE_COMFYUI": "1",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }
    command = [str(python), "-m", "worldstereo_core", "verify", str(folder.resolve()), "--adapter", "comfy"]
    if dump is not None:
        command += ["--dump", str(dump.resolve())]
    code = subprocess.run(command, env=environment, check=False).returncode
    if code not in (0, 1):
        raise CannotRun(f"--adapter comfy: {python} ended with code {code}; its message stands above.")
    return code
