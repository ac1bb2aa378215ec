"""Fixtures for tests that need a ComfyUI: a worker process for in-process checks, and a real headless server.

How to use them (everything runs from the ordinary pytest process, which needs no ComfyUI itself):

* ``run_in_comfy(file, function, **arguments)`` runs ``function`` of ``tests/comfy/inside/<file>`` under
  ComfyUI's Python, inside ``torch.inference_mode`` and with ``comfy`` importable, and returns what it
  returned (JSON values). An exception there becomes a ``WorkerError`` here, with its text. One worker process
  serves all tests of a version.
* ``comfy_server`` is a running server (see ``server.ComfyServer``): ``run(prompt)``,
  ``run_expecting_error(prompt)``, ``submit``/``wait``/``interrupt``, ``upload``, ``put_input``,
  ``view(file)``, ``object_info(id)``, ``free``, ``base``. The pack is linked in as a custom node, together
  with ``tests/comfy/devnodes`` (stand-ins for text, CLIP vision and MoGe), and tiny models lie in its models
  folder under the names in ``TINY_MODELS``.

Both are parametrised over the checkouts found: "current" (``COMFYUI_PATH``, else ~/ComfyUI) and "floor"
(``COMFYUI_FLOOR_PATH``, else ~/ComfyUI-0.26, run by the same Python unless ``COMFYUI_FLOOR_PYTHON`` names
another). A test that needs one version only says ``@pytest.mark.parametrize("comfyui", ["current"],
indirect=True)``. Without a ComfyUI every test skips itself with the reason.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from worldstereo_core.adapters.comfy.environment import find_comfyui, why_not_found
from worldstereo_core.model.key_names import diffusers_to_wan_key

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]

# What lies in the models folder of the test server: folder -> names as the loaders list them.
TINY_MODELS = {
    "diffusion_models": ["tiny_wan_i2v.safetensors"],
    "vae": ["tiny_wan_vae.safetensors"],
    "worldstereo": [
        "tiny-camera/model.safetensors",
        "tiny-memory/model.safetensors",
        "tiny-memory-dmd/model.safetensors",
        "tiny-memory-dmd-flat.safetensors",
    ],
}


def _load_server_module():
    # By path: with importlib mode test folders are not on sys.path. Dataclasses look their module up by name.
    if "worldstereo_test_server" not in sys.modules:
        spec = importlib.util.spec_from_file_location("worldstereo_test_server", HERE / "server.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    return sys.modules["worldstereo_test_server"]


server_module = _load_server_module()


class WorkerError(RuntimeError):
    """A check raised inside ComfyUI's process; the text starts with the exception's type."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.comfy)


@pytest.fixture(scope="session", params=["current", "floor"])
def comfyui(request: pytest.FixtureRequest):
    """A ComfyInstall; the test runs once per checkout found."""
    found = find_comfyui()
    if found is None:
        pytest.skip(why_not_found())
    path, python = found
    if request.param == "floor":
        path = Path(os.environ.get("COMFYUI_FLOOR_PATH") or "~/ComfyUI-0.26").expanduser()
        if not (path / "comfy" / "model_patcher.py").is_file():
            pytest.skip(f"no ComfyUI 0.26 at {path}; set COMFYUI_FLOOR_PATH to one")
        python = Path(os.environ.get("COMFYUI_FLOOR_PYTHON") or python)
    return server_module.ComfyInstall(request.param, path, python)


@pytest.fixture(scope="session")
def tiny_weights() -> Path:
    """The folder of tiny golden weights: the committed set, else the shared one."""
    shared = Path(os.environ.get("WORLDSTEREO_SHARED") or REPOSITORY.parent / "shared")
    for folder in (REPOSITORY / "tests" / "data" / "golden" / "weights", shared / "golden" / "weights"):
        if (folder / "wan_base_comfy.safetensors").is_file():
            return folder
    pytest.skip("no tiny weights: neither tests/data/golden/weights nor ../shared/golden/weights is here")


def place_tiny_models(weights: Path, models: Path) -> None:
    """Copy the tiny golden weights into a models folder under the names of TINY_MODELS.

    tiny-camera and tiny-memory are overlays for tiny_wan_i2v; tiny-memory-dmd is the memory model completed
    and given the settings of a distilled one; the flat file is its overlay with settings in the metadata.
    """
    from safetensors.torch import load_file, save_file

    for folder in TINY_MODELS:
        (models / folder).mkdir(parents=True, exist_ok=True)
    base = weights / "wan_base_comfy.safetensors"
    shutil.copyfile(base, models / "diffusion_models" / "tiny_wan_i2v.safetensors")
    shutil.copyfile(weights / "tiny_vae_comfy.safetensors", models / "vae" / "tiny_wan_vae.safetensors")
    for variant in ("camera", "memory"):
        target = models / "worldstereo" / f"tiny-{variant}"
        target.mkdir(exist_ok=True)
        for name in ("model.safetensors", "config.json"):
            shutil.copyfile(weights / f"worldstereo-{variant}" / name, target / name)

    memory = weights / "worldstereo-memory"
    overlay = load_file(memory / "model.safetensors")
    settings = json.loads((memory / "config.json").read_text())
    settings.update(dmd_start_steps=250, dmd_end_steps=1000, gen_shift=5.0, dmd_steps=4)
    replaced = {diffusers_to_wan_key(key) for key in overlay}
    kept = {key: value for key, value in load_file(base).items() if key not in replaced}
    target = models / "worldstereo" / "tiny-memory-dmd"
    target.mkdir(exist_ok=True)
    save_file({**kept, **overlay}, target / "model.safetensors")
    (target / "config.json").write_text(json.dumps(settings))
    flat = models / "worldstereo" / "tiny-memory-dmd-flat.safetensors"
    save_file(overlay, flat, metadata={"worldstereo_config": json.dumps(settings)})


class Processes:
    """Long-lived processes of one ComfyUI version at a time, ended when another version is asked for.

    They outlive fixtures, which pytest ends after each test that parametrises `comfyui` with something else.
    """

    def __init__(self) -> None:
        self._version = ""
        self._running: dict[str, Any] = {}
        self._stack = ExitStack()

    def get(self, version: str, kind: str, start: Callable[[], AbstractContextManager[Any]]) -> Any:
        if version != self._version:
            self.end()
            self._version = version
        if kind not in self._running:
            self._running[kind] = self._stack.enter_context(start())
        return self._running[kind]

    def end(self) -> None:
        self._running.clear()
        self._stack.close()


@pytest.fixture(scope="session")
def _processes() -> Iterator[Processes]:
    processes = Processes()
    yield processes
    processes.end()


@contextmanager
def start_worker(comfyui, folder: Path) -> Iterator[Callable[..., Any]]:
    """Run tests/comfy/worker.py under ComfyUI's Python; gives a function that asks it."""
    log = (folder / "worker.log").open("w+")
    environment = {**os.environ, "COMFYUI_PATH": str(comfyui.path), "COMFYUI_PYTHON": str(comfyui.python)}
    process = subprocess.Popen(
        [str(comfyui.python), str(HERE / "worker.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=environment,
        cwd=folder,
    )
    assert process.stdin is not None and process.stdout is not None

    def call(file: str, function: str, **arguments: Any) -> Any:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps({"file": file, "function": function, "arguments": arguments}) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            log.seek(0)
            raise WorkerError(f"the ComfyUI worker died while running {function}:\n{log.read()[-4000:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{answer['error']}\n{answer['traceback']}")
        return answer["result"]

    yield call
    process.stdin.close()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(20)
    log.close()


@contextmanager
def start_server(comfyui, weights: Path, base: Path) -> Iterator[Any]:
    """Run a server with the pack, the development nodes and tiny models."""
    place_tiny_models(weights, base / "models")
    server = server_module.ComfyServer(comfyui, base, REPOSITORY)
    try:
        server.wait_until_up()
        yield server
    finally:
        server.stop()


@pytest.fixture
def run_in_comfy(comfyui, _processes, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """``run_in_comfy("hook_checks.py", "function", **arguments)``: run a check under ComfyUI's Python."""
    folder = tmp_path_factory.mktemp
    return _processes.get(
        comfyui.name, "worker", lambda: start_worker(comfyui, folder(f"comfy_worker_{comfyui.name}"))
    )


@pytest.fixture(scope="session")
def comfy_server(comfyui, _processes, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory):
    """A running headless server with the pack, the development nodes and tiny models."""
    folder = tmp_path_factory.mktemp
    return _processes.get(
        comfyui.name,
        "server",
        lambda: start_server(comfyui, tiny_weights, folder(f"comfy_server_{comfyui.name}")),
    )
