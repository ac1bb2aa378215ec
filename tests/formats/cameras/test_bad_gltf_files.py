"""glTF files that are damaged or dishonest, or that point out of their folder."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from worldstereo_core.checks import PathError
from worldstereo_core.formats.cameras.registry import read_camera_file

SIZE = (48, 80)


def refused(path: Path, message: str) -> None:
    with pytest.raises(PathError, match=message) as caught:
        read_camera_file(path, size=SIZE)
    assert path.name in str(caught.value)


def save(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


MOVE = {
    "samplers": [{"input": 0, "output": 0}],
    "channels": [{"sampler": 0, "target": {"node": 0, "path": "translation"}}],
}


def glb(content: object, binary: bytes = b"", version: int = 2) -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text
    body += struct.pack("<II", len(binary), 0x004E4942) + binary if binary else b""
    return struct.pack("<4sII", b"glTF", version, 12 + len(body)) + body


def gltf_content(**changes) -> dict:
    lens = {"type": "perspective", "perspective": {"yfov": 1.0, "znear": 0.1}}
    return {"asset": {"version": "2.0"}, "nodes": [{"camera": 0}], "cameras": [lens], **changes}


@pytest.mark.parametrize(
    "uri",
    ["../../secret.bin", "/etc/passwd", "C:\\secret.bin", "http://a.b/c", "a/../../b", "file:///etc/passwd"],
)
def test_gltf_never_leaves_its_folder(tmp_path: Path, uri: str):
    (tmp_path.parent / "secret.bin").write_bytes(b"\0" * 100)
    content = gltf_content(
        buffers=[{"byteLength": 100, "uri": uri}],
        bufferViews=[{"buffer": 0, "byteLength": 100}],
        accessors=[
            {"bufferView": 0, "componentType": 5126, "count": 1, "type": kind} for kind in ("SCALAR", "VEC3")
        ],
        animations=[MOVE],
    )
    refused(save(tmp_path / "a.gltf", content), r"buffers\[0\]\.uri names .*expected a file in the folder")


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path):
    outside, inside = tmp_path / "outside.bin", tmp_path / "inside"
    outside.write_bytes(b"\0" * 100)
    inside.mkdir()
    (inside / "data.bin").symlink_to(outside)
    content = gltf_content(
        buffers=[{"byteLength": 100, "uri": "data.bin"}],
        bufferViews=[{"buffer": 0, "byteLength": 100}],
        accessors=[{"bufferView": 0, "componentType": 5126, "count": 1, "type": "SCALAR"}],
        animations=[MOVE],
    )
    refused(save(inside / "a.gltf", content), "expected a file in the folder")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes": []}, "no node has a camera"),
        ({"nodes": [{"camera": 7}]}, r"cameras\[7\] is missing"),
        ({"nodes": [{"camera": 0, "children": [0]}]}, "its own parent"),
        ({"nodes": [{"camera": 0, "rotation": [0, 0, 0, 0]}]}, "has length 0"),
        ({"nodes": [{"camera": 0, "scale": [1, 1, -1]}]}, "is mirrored"),
        ({"nodes": [{"camera": 0, "matrix": [1] * 15}]}, "expected 16 numbers"),
        ({"cameras": [{"type": "orthographic", "orthographic": {}}]}, "expected 'perspective'"),
        ({"cameras": [{"type": "perspective", "perspective": {"yfov": 4}}]}, "yfov leaves"),
        ({"cameras": [{"type": "perspective", "perspective": {}}]}, "perspective.yfov is None"),
        ({"nodes": 5}, "is damaged"),
    ],
)
def test_gltf_that_lies(tmp_path: Path, changes: dict, message: str):
    (tmp_path / "a.glb").write_bytes(glb(gltf_content(**changes)))
    refused(tmp_path / "a.glb", message)


@pytest.mark.parametrize(
    ("accessor", "message"),
    [
        ({"count": 2**40}, "but its buffer has"),
        ({"count": -1}, "no whole numbers"),
        ({"byteOffset": 2**62}, "but its buffer has"),
        ({"componentType": 5}, "expected plain SCALAR numbers"),
        ({"sparse": {}}, "expected plain SCALAR numbers"),
    ],
)
def test_gltf_accessors_stay_in_their_buffer(tmp_path: Path, accessor: dict, message: str):
    content = gltf_content(
        buffers=[{"byteLength": 8}],
        bufferViews=[{"buffer": 0, "byteLength": 8}],
        accessors=[{"bufferView": 0, "componentType": 5126, "count": 2, "type": "SCALAR", **accessor}],
        animations=[MOVE],
    )
    (tmp_path / "a.glb").write_bytes(glb(content, struct.pack("<2f", 0, 1)))
    refused(tmp_path / "a.glb", message)


def test_gltf_key_times_that_do_not_grow(tmp_path: Path):
    content = gltf_content(
        buffers=[{"byteLength": 8}],
        bufferViews=[{"buffer": 0, "byteLength": 8}],
        accessors=[{"bufferView": 0, "componentType": 5126, "count": 2, "type": "SCALAR"}],
        animations=[MOVE],
    )
    (tmp_path / "a.glb").write_bytes(glb(content, struct.pack("<2f", 1, 0)))
    refused(tmp_path / "a.glb", "key times of an animation do not grow")


@pytest.mark.parametrize("bomb", ["[" * 200_000, '{"a":' * 200_000])
def test_deeply_nested_json_inside_a_glb(tmp_path: Path, bomb: str):
    (tmp_path / "bomb.glb").write_bytes(glb(bomb.encode()))
    refused(tmp_path / "bomb.glb", "nested too deeply|is not JSON")


def test_versions_that_are_not_2(tmp_path: Path):
    (tmp_path / "a.glb").write_bytes(glb(gltf_content(), version=1))
    refused(tmp_path / "a.glb", "is GLB version 1, expected 2")
    (tmp_path / "a.glb").write_bytes(glb(gltf_content(asset={"version": "1.0"})))
    refused(tmp_path / "a.glb", r"asset\.version is '1\.0', expected 2\.0")
