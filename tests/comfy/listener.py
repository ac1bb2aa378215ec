"""Hears what a ComfyUI server tells its frontend: a websocket client of the standard library."""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import time
import urllib.error
import urllib.parse
import uuid
from typing import Any

from PIL import Image

from worldstereo_core.commands.comfy_server import SubmitError

TEXT, BINARY, PREVIEW_WITH_METADATA = 1, 2, 4


class Listener:
    """One client's messages; use as a context manager and submit prompts with `submit`."""

    def __init__(self, server: Any):
        self.server, self.client_id = server, uuid.uuid4().hex
        host, port = urllib.parse.urlparse(server.url).netloc.split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=120)
        self._stream = self._socket.makefile("rb")
        request = (
            f"GET /ws?clientId={self.client_id} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: d29ybGRzdGVyZW8gdGVzdA==\r\n\r\n"
        )
        self._socket.sendall(request.encode())
        while self._stream.readline() != b"\r\n":
            pass
        # As the frontend: previews then come with the node they belong to.
        features = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
        self._send(json.dumps(features).encode())

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()
        self._socket.close()

    def submit(self, prompt: dict[str, Any], **extra: Any) -> str:
        body = {"prompt": prompt, "client_id": self.client_id, "extra_data": extra}
        try:
            return self.server.post("/prompt", body)["prompt_id"]
        except urllib.error.HTTPError as error:
            raise SubmitError(json.loads(error.read())) from None

    def messages(self, timeout: float = 120):
        """Yield (kind, data, seconds): JSON messages by type, previews as ("preview", (node, image))."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            opcode, payload = self._frame()
            now = time.monotonic()
            if opcode == TEXT:
                message = json.loads(payload)
                yield message["type"], message["data"], now
            elif opcode == BINARY and struct.unpack(">I", payload[:4])[0] == PREVIEW_WITH_METADATA:
                length = struct.unpack(">I", payload[4:8])[0]
                metadata = json.loads(payload[8 : 8 + length])
                yield "preview", (metadata["node_id"], Image.open(io.BytesIO(payload[8 + length :]))), now
        raise TimeoutError(f"the server was silent for {timeout:.0f} s")

    def run(self, prompt: dict[str, Any], **extra: Any) -> list[tuple[str, Any]]:
        """Submit a prompt and return everything that was said until it ended."""
        prompt_id = self.submit(prompt, **extra)
        heard = []
        for kind, data, _ in self.messages():
            heard.append((kind, data))
            if kind in ("execution_success", "execution_error", "execution_interrupted"):
                assert data["prompt_id"] == prompt_id
                return heard
        raise AssertionError

    def _frame(self) -> tuple[int, bytes]:
        first, second = self._stream.read(2)
        length = second & 127
        if length > 125:
            length = int.from_bytes(self._stream.read(2 if length == 126 else 8), "big")
        payload = self._stream.read(length)
        if not first & 128:  # a message in several frames
            return first & 15, payload + self._frame()[1]
        return first & 15, payload

    def _send(self, payload: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        head = bytes([128 | TEXT, 128 | len(payload)]) if len(payload) < 126 else None
        assert head is not None, "short messages only"
        self._socket.sendall(head + mask + masked)
