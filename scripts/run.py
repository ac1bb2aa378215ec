#!/usr/bin/env python3
"""Set up a virtual environment once, then run the demo or the tests in it.

    python3 scripts/run.py demo      the example scene, results in outputs/demo/
    python3 scripts/run.py test      every test this machine can run, in a process per core (up to 4);
                                     further arguments go to pytest (-n 0: in one process)
    python3 scripts/run.py setup     only the environment

Works on Linux, macOS and Windows with Python 3.10 or newer; no GPU, no ComfyUI. The environment is .venv in
the repository (WORLDSTEREO_VENV names another folder). A torch that the running Python already has is used as
it is; otherwise the CPU build is installed. Everything comes from package registries.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = Path(os.environ.get("WORLDSTEREO_VENV") or ROOT / ".venv").absolute()
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
TESTED_TORCH = "2.13.0"
OLDEST_TORCH = (2, 5)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


class SetupError(Exception):
    """The environment cannot be made; the text says what to do."""


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in ("demo", "test", "setup"):
        print(__doc__)
        return 2
    if sys.version_info < (3, 10):
        print(f"error: this is Python {platform.python_version()}; WorldStereo needs 3.10 or newer.")
        return 2
    try:
        make_environment()
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    arguments = sys.argv[2:]
    command = {
        "demo": ["worldstereo_core", "demo"],
        "test": ["pytest", *share_of_tests(arguments)],
    }.get(sys.argv[1])
    if command is None:
        print(f"ready: {PYTHON}")
        return 0
    return subprocess.run([str(PYTHON), "-m", *command, *arguments], cwd=ROOT, check=False).returncode


def share_of_tests(arguments: list[str]) -> list[str]:
    """Options that share the tests among processes; an -n among the arguments, which follow, goes before."""
    without = any("no:xdist" in argument for argument in arguments)
    return [] if without else ["-n", "auto"]  # tests/conftest.py says how many


def make_environment() -> None:
    """Create and fill the environment, unless the same requirements were installed before."""
    # The torch found now is part of the key: an environment made before it came is made anew on top.
    torch_folder = find_torch()
    requirements = (ROOT / "pyproject.toml").read_bytes() + (ROOT / "requirements.txt").read_bytes()
    key = hashlib.sha256(requirements + f"{sys.version}{torch_folder}".encode()).hexdigest()
    marker = VENV / "worldstereo-installed"
    if PYTHON.exists() and marker.exists() and marker.read_text() == key:
        return
    if not PYTHON.exists():
        print(f"making {VENV}", flush=True)
        call([sys.executable, "-m", "venv", str(VENV)], "On Debian or Ubuntu: apt install python3-venv.")
    if torch_folder is not None:
        print(f"using the torch in {torch_folder}", flush=True)
        # A path file, not --system-site-packages: that would miss the torch of an active environment.
        ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
        site_packages = Path(subprocess.check_output([str(PYTHON), "-c", ask], text=True).strip())
        (site_packages / "existing-torch.pth").write_text(f"{torch_folder}\n")
    else:
        install_torch()
    print("installing what is left", flush=True)
    pip(["install", "-qq", "--editable", f"{ROOT}[headless,test]"])
    marker.write_text(key)


def find_torch() -> Path | None:
    """The folder of the running Python's torch, if it is new enough and not the environment's own."""
    specification = importlib.util.find_spec("torch")
    if specification is None or specification.origin is None:
        return None
    folder = Path(specification.origin).parents[1]
    if VENV in folder.parents:
        return None
    version = importlib.metadata.version("torch")
    numbers = tuple(int(part) for part in version.split("+")[0].split(".")[:2])
    if numbers < OLDEST_TORCH:
        print(f"the torch {version} in {folder} is older than {OLDEST_TORCH[0]}.{OLDEST_TORCH[1]}: not used")
        return None
    return folder


def install_torch() -> None:
    """Install torch's CPU build; on Linux the registry's own torch brings gigabytes of CUDA libraries."""
    print("installing torch (CPU build)", flush=True)
    if sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64"):
        quick = ["install", "-qq", "--retries", "1", "--timeout", "30"]
        if pip([*quick, f"torch=={TESTED_TORCH}+cpu"], may_fail=True):
            return
        if pip([*quick, "--index-url", CPU_INDEX, "torch"], may_fail=True):
            return
        print("no CPU build found; taking the registry's torch, which is larger", flush=True)
    pip(["install", "-qq", "torch"])


def pip(arguments: list[str], may_fail: bool = False) -> bool:
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", *arguments]
    if not may_fail:
        call(command, "Check the network and the package index settings of pip.")
        return True
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


def call(command: list[str], advice: str) -> None:
    code = subprocess.run(command, check=False).returncode
    if code != 0:
        raise SetupError(f"'{' '.join(command)}' ended with code {code}. {advice}")


if __name__ == "__main__":
    sys.exit(main())
