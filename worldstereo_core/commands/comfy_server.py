"""A headless ComfyUI server on a folder of its own: start it, queue prompts, fetch files, stop it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Run:
    """What the server kept of one finished prompt."""

    prompt_id: str
    outputs: dict[str, Any]  # node id -> {"images": [...], "text": [...], ...}
    error: dict[str, Any] | None  # node_id, node_type, exception_type, exception_message, ...
    interrupted: bool
    cached: list[str] = field(default_factory=list)  # node ids whose results came from the cache

    def files(self, node_id: str) -> list[dict[str, str]]:
        """All files a node's UI output lists, whatever it calls them (images, 3d, video, ...)."""
        lists = [value for value in self.outputs.get(node_id, {}).values() if isinstance(value, list)]
        return [item for items in lists for item in items if isinstance(item, dict) and "filename" in item]


class SubmitError(RuntimeError):
    """The server refused a prompt; `node_errors` says why per node."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(json.dumps(answer, indent=1))
        self.node_errors: dict[str, Any] = answer.get("node_errors") or {}


class NodeError(RuntimeError):
    """A node raised while a prompt ran."""


class ServerDied(RuntimeError):
    """The server ended or did not answer; the text holds the end of its log."""


class ComfyServer:
    """One running server.

    Attributes:
        base: its base folder: models/, custom_nodes/, input/, output/, temp/, user/.
        url: http address without a trailing slash.
    """

    def __init__(
        self,
        checkout: Path,
        python: Path,
        base: Path,
        custom_nodes: Mapping[str, Path],
        arguments: tuple[str, ...] = (),
    ) -> None:
        """Start the server; `wait_until_up` waits for it.

        Args:
            checkout: folder of the ComfyUI to run. It is not written to.
            python: the Python that runs it.
            base: made when missing.
            custom_nodes: folder name -> folder that is linked into custom_nodes; no others are loaded.
            arguments: added to ComfyUI's command line.
        """
        self.base = base
        self.log_file = base / "server.log"
        for folder in ("models", "custom_nodes", "input", "output", "temp", "user"):
            (base / folder).mkdir(parents=True, exist_ok=True)
        for name, source in custom_nodes.items():
            target = base / "custom_nodes" / name
            if not target.exists():
                target.symlink_to(source, target_is_directory=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [str(python), "main.py", "--cpu", "--port", str(port), "--base-directory", str(base)]
        command += ["--disable-all-custom-nodes", "--whitelist-custom-nodes", *custom_nodes]
        command += ["--disable-api-nodes", "--database-url", "sqlite:///:memory:", "--disable-auto-launch"]
        self._log = self.log_file.open("w")
        self._process = subprocess.Popen(
            [*command, *arguments],
            cwd=checkout,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def wait_until_up(self, timeout: float = 180) -> None:
        """Wait for the first answer. Raises ServerDied if none comes."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise ServerDied(f"ComfyUI stopped while starting:\n{self.log()[-4000:]}")
            try:
                self.get("/system_stats")
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.2)
        raise ServerDied(f"ComfyUI did not answer within {timeout:.0f} s:\n{self.log()[-4000:]}")

    def stop(self) -> None:
        """End the server; safe to call twice."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(20)
        self._log.close()

    @property
    def process_id(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def get(self, path: str, timeout: float = 30) -> Any:
        """GET a JSON resource."""
        with urllib.request.urlopen(self.url + path, timeout=timeout) as answer:
            return json.loads(answer.read())

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST JSON and return the JSON answer, or None for an empty one."""
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def object_info(self, node_id: str | None = None) -> dict[str, Any]:
        """Schemas of all nodes, or of one (an empty dict when the server lacks it)."""
        if node_id is None:
            return self.get("/object_info")
        return self.get(f"/object_info/{node_id}").get(node_id, {})

    def upload(self, path: Path, name: str | None = None) -> str:
        """Upload an image to the input folder as the frontend does; returns its name for LoadImage."""
        boundary = uuid.uuid4().hex
        name = name or path.name
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        request = urllib.request.Request(
            self.url + "/upload/image", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())["name"]

    def put_input(self, path: Path, name: str | None = None) -> str:
        """Copy a file of any kind into the input folder; returns its name."""
        shutil.copyfile(path, self.base / "input" / (name or path.name))
        return name or path.name

    def submit(self, prompt: dict[str, Any]) -> str:
        """Queue an API prompt and return its id. Raises SubmitError when validation fails."""
        try:
            return self.post("/prompt", {"prompt": prompt, "client_id": uuid.uuid4().hex})["prompt_id"]
        except urllib.error.HTTPError as error:
            raise SubmitError(json.loads(error.read())) from None

    def wait(self, prompt_id: str, timeout: float = 180, waiting: Callable[[], None] | None = None) -> Run:
        """Wait for a prompt to finish, well or badly; `waiting` is called about ten times a second."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            entry = self.get(f"/history/{prompt_id}").get(prompt_id)
            if entry is not None:
                messages = {kind: detail for kind, detail in entry["status"]["messages"]}
                return Run(
                    prompt_id,
                    entry["outputs"],
                    messages.get("execution_error"),
                    "execution_interrupted" in messages,
                    messages.get("execution_cached", {}).get("nodes", []),
                )
            if not self.is_alive():
                raise ServerDied(f"ComfyUI died while running a prompt:\n{self.log()[-4000:]}")
            if waiting is not None:
                waiting()
            time.sleep(0.1)
        raise TimeoutError(f"prompt {prompt_id} did not finish within {timeout:.0f} s:\n{self.log()[-4000:]}")

    def run(
        self, prompt: dict[str, Any], timeout: float = 180, waiting: Callable[[], None] | None = None
    ) -> Run:
        """Queue a prompt and wait. Raises NodeError with the traceback if a node raised."""
        result = self.wait(self.submit(prompt), timeout, waiting)
        if result.error is not None:
            raise NodeError(
                "{node_type} raised {exception_type}: {exception_message}\n".format(**result.error)
                + "".join(result.error.get("traceback", []))
            )
        return result

    def interrupt(self, prompt_id: str) -> None:
        self.post("/interrupt", {"prompt_id": prompt_id})

    def free(self) -> None:
        """Unload all models and forget cached results at the next prompt."""
        self.post("/free", {"unload_models": True, "free_memory": True})

    def view(self, file: dict[str, str]) -> bytes:
        """The bytes of one output file as listed by `Run.files`."""
        query = urllib.parse.urlencode({key: file.get(key, "") for key in ("filename", "subfolder", "type")})
        with urllib.request.urlopen(f"{self.url}/view?{query}", timeout=30) as answer:
            return answer.read()
