"""One bad number in a file that was good, in every format: an error that names file, frame and field."""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.formats.cameras.registry import BY_NAME, read_camera_file, write_trajectory
from worldstereo_core.geometry.cameras import Cameras, fov_to_K
from worldstereo_core.geometry.trajectory import Trajectory

Spoil = Callable[[bytes], bytes]


def good() -> Trajectory:
    """Three cameras at 0.75, 1.5 and 2.25 to the right, not turned: numbers that files show as they are."""
    w2c = torch.eye(4).repeat(3, 1, 1)
    w2c[:, 0, 3] = -0.75 * torch.arange(1, 4)
    K = fov_to_K(0.9, 48, 80).expand(3, 3, 3).contiguous()
    return Trajectory(Cameras(w2c, K, 48, 80), fps=24.0)


def swap(old: str | bytes, new: str | bytes) -> Spoil:
    """Replace the first place of some bytes, which has to be there."""
    old, new = (part.encode() if isinstance(part, str) else part for part in (old, new))

    def spoil(content: bytes) -> bytes:
        assert old in content, content[:3000]
        return content.replace(old, new, 1)

    return spoil


def put(at: int, new: bytes) -> Spoil:
    return lambda content: content[:at] + new + content[at + len(new) :]


def without_turn(content: bytes) -> bytes:
    """The last 16 bytes of a GLB of ours are the last frame's quaternion."""
    return content[:-16] + bytes(16)


# Of COLMAP's images.bin: the count, the first image's number, its quaternion, its translation.
QUATERNION, TRANSLATION = 8 + 4, 8 + 4 + 32
FLOAT, NAN = struct.pack("<f", 1.5), struct.pack("<f", float("nan"))

CASES: dict[str, tuple[str, Spoil, str]] = {
    "NaN in camera.json": ("camera_json", swap("-1.5", "NaN"), "world-to-camera matrix of frame 1 holds nan"),
    "NaN in nerfstudio": ("nerfstudio", swap("1.5", "NaN"), "transform_matrix of frame 1 holds nan"),
    "NaN in LOAD3D_CAMERA": ("load3d", swap('"x": 1.5', '"x": NaN'), "position of frame 1 holds nan"),
    "NaN in .chan": ("chan", swap("2 1.5", "2 nan"), "line of frame 1 holds nan"),
    "NaN in After Effects": ("after_effects", swap("\t190", "\tnan"), "osition .*nan"),
    "NaN in CSV": ("csv", swap(",1.5,", ",nan,"), "position of frame 1 holds nan"),
    "NaN in glTF": ("gltf", swap(FLOAT, NAN), "frame 1|holds nan"),
    "NaN in COLMAP": ("colmap", put(TRANSLATION, struct.pack("<d", float("nan"))), "frame 0 holds nan"),
    "NaN in USD": ("usd", swap("(1.5,", "(nan,"), "frame 1 holds nan"),
    "no length in COLMAP": ("colmap", put(QUATERNION, bytes(32)), "quaternion of frame 0 has length 0"),
    "no length in glTF": ("gltf", without_turn, "has length 0"),
    "no length in CSV": ("csv", swap("1.0,0.0,0.0,0.0", "0,0,0,0"), "quaternion of frame 0 has length 0"),
    "mirror in camera.json": ("camera_json", swap("1.0,\n        0.0", "-1.0,\n        0.0"), "mirrored"),
    "mirror in USD": ("usd", swap("( (1.0, 0.0", "( (-1.0, 0.0"), "of frame 0 is mirrored"),
    "no zoom in After Effects": ("after_effects", swap("Camera Options\tZoom", "Other\tThing"), "oom"),
    "no lens in .chan": ("chan", lambda content: b"\n".join(
        line.rpartition(b" ")[0] for line in content.splitlines()), "line 1 has no vfov"),
    "no lens in COLMAP": ("colmap", put(8 + 4 + 32 + 24, struct.pack("<i", 7)), "has the camera 7"),
    "time back in After Effects": ("after_effects", swap("\t2\t265", "\t1\t265"), "1 and the next at 1"),
    "time back in CSV": ("csv", swap("2,0.083", "2,0.003"), "time of frame 2 is"),
    "time back in .chan": ("chan", swap("3 2.25", "1 2.25"), "frame of frame 2 is 1 after 2"),
    "another version of USD": ("usd", swap("#usda 1.0", "#usda 9.0"), "usd"),
    "another version of After Effects": ("after_effects", swap("8.0", "3.0"), "version 3.0, expected 8.0"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_bad_number_is_named(tmp_path: Path, case: str):
    name, spoil, words = CASES[case]
    if name == "usd" and importlib.util.find_spec("pxr") is None:
        pytest.skip("usd-core is not installed")
    form = BY_NAME[name]
    path = tmp_path / ("model" if form.is_folder else f"shot{form.suffixes[0]}")
    write_trajectory(path, good(), name)
    read_camera_file(path, format=name, size=(48, 80))  # it was good
    file = path / "images.bin" if form.is_folder else path
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(WorldStereoError, match=words) as caught:
        read_camera_file(path, format=name, size=(48, 80))
    assert str(caught.value).startswith((file.name, path.name))
