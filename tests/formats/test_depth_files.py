"""Depth files: each format read back, and every kind of file that is no depth refused by name."""

from __future__ import annotations

import builtins
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.formats.depth_files import read_depth
from worldstereo_core.formats.exr import find_depth_channel

H, W = 5, 7
DEPTH = np.linspace(0.5, 9.0, H * W, dtype=np.float32).reshape(H, W)


def write_exr(path: Path, channels: dict[str, np.ndarray]) -> None:
    exr = pytest.importorskip("OpenEXR")
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    exr.File(header, {name: np.ascontiguousarray(values) for name, values in channels.items()}).write(
        str(path)
    )


def test_npz_carries_depth_and_cameras(tmp_path: Path) -> None:
    K, w2c = np.diag([3.0, 4, 1]), np.eye(4)
    np.savez(tmp_path / "d.npz", depth=DEPTH.astype(np.float64), K=K, w2c=w2c, note="ignored")
    file = read_depth(tmp_path / "d.npz")
    assert torch.equal(file.depth, torch.from_numpy(DEPTH)) and file.depth.dtype == torch.float32
    assert file.K is not None and file.K.tolist() == K.tolist()
    assert file.w2c is not None and file.w2c.shape == (4, 4)


def test_npz_with_depth_alone_has_no_cameras(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "d.npz", depth=DEPTH[None])
    file = read_depth(tmp_path / "d.npz")
    assert file.depth.shape == (H, W) and file.K is None and file.w2c is None


def test_npy_keeps_holes_as_they_are(tmp_path: Path) -> None:
    values = DEPTH.copy()
    values[0, 0], values[1, 1] = np.inf, np.nan
    np.save(tmp_path / "d.npy", values[..., None])
    depth = read_depth(tmp_path / "d.npy").depth
    assert depth[0, 0] == torch.inf and depth[1, 1].isnan() and depth[2, 2] == values[2, 2]


def test_16_bit_png_counts_in_steps_and_zero_is_no_data(tmp_path: Path) -> None:
    steps = (DEPTH * 1000).astype(np.uint16)
    steps[0, 0] = 0
    Image.fromarray(steps).save(tmp_path / "d.PNG")
    metres = read_depth(tmp_path / "d.PNG").depth
    assert metres[0, 0] == 0
    assert metres[4, 6].item() == pytest.approx(9.0, abs=1e-3)
    assert_close(read_depth(tmp_path / "d.PNG", png_scale=0.01).depth, metres * 10)


@pytest.mark.parametrize(
    "channels",
    [
        {"Z": DEPTH},
        {"Y": DEPTH},
        {"V": DEPTH},
        {"depth": DEPTH},
        {"anything": DEPTH},
        {"R": DEPTH, "G": DEPTH, "B": DEPTH},
        {"R": DEPTH, "G": DEPTH, "B": DEPTH, "A": DEPTH * 0 + 1},
        {"R": DEPTH * 0, "G": DEPTH * 0, "B": DEPTH * 0, "Z": DEPTH},
        {"ViewLayer.Depth.Z": DEPTH, "ViewLayer.Normal.X": DEPTH * 0, "ViewLayer.Normal.Y": DEPTH * 0}
        | {"ViewLayer.Normal.Z": DEPTH * 0, "ViewLayer.Combined.R": DEPTH * 0, "ViewLayer.Mist.Z": DEPTH * 0},
        {"depth.V": DEPTH, "R": DEPTH * 0, "G": DEPTH, "B": DEPTH},
    ],
    ids=lambda channels: "+".join(channels),
)
def test_the_depth_channel_of_an_exr_is_found(tmp_path: Path, channels: dict[str, np.ndarray]) -> None:
    write_exr(tmp_path / "d.exr", channels)
    assert torch.equal(read_depth(tmp_path / "d.exr").depth, torch.from_numpy(DEPTH))


def test_half_precision_exr_is_read(tmp_path: Path) -> None:
    write_exr(tmp_path / "d.exr", {"Z": DEPTH.astype(np.float16)})
    depth = read_depth(tmp_path / "d.exr").depth
    assert depth.dtype == torch.float32
    assert_close(depth, torch.from_numpy(DEPTH), atol=5e-3, rtol=0)


def test_a_channel_may_be_named(tmp_path: Path) -> None:
    write_exr(tmp_path / "d.exr", {"near.Z": DEPTH * 2, "far.Z": DEPTH})
    assert torch.equal(read_depth(tmp_path / "d.exr", channel="far.Z").depth, torch.from_numpy(DEPTH))
    with pytest.raises(WorldStereoError, match=r"no channel 'Q', only \['far.Z', 'near.Z'\]"):
        read_depth(tmp_path / "d.exr", channel="Q")


def test_an_exr_whose_depth_is_not_certain_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorldStereoError, match=r"several channels may be depth \(\['far.Z', 'near.Z'\]\)"):
        find_depth_channel(tmp_path, {"near.Z": DEPTH, "far.Z": DEPTH})
    with pytest.raises(WorldStereoError, match="no channel is called Z or depth"):
        find_depth_channel(tmp_path, {"R": DEPTH, "G": DEPTH * 2, "B": DEPTH})
    with pytest.raises(WorldStereoError, match="no channel is called Z or depth"):
        find_depth_channel(tmp_path, {"N.X": DEPTH, "N.Y": DEPTH, "N.Z": DEPTH})


def test_without_openexr_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d.exr").write_bytes(b"")
    original = builtins.__import__

    def without(name: str, *args: object, **kwargs: object) -> object:
        if name == "OpenEXR":
            raise ImportError(name)
        return original(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(WorldStereoError, match="pip install OpenEXR"):
        read_depth(tmp_path / "d.exr")


def test_damaged_files_are_refused_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", depth=DEPTH)
    Image.fromarray((DEPTH * 1000).astype(np.uint16)).save(tmp_path / "d.png")
    np.save(tmp_path / "d.npy", DEPTH)
    write_exr(tmp_path / "d.exr", {"Z": DEPTH})
    for name in ("d.npz", "d.png", "d.npy", "d.exr"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        with pytest.raises(WorldStereoError, match=name.replace(".", r"\.")):
            read_depth(path)


def header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue()


def test_files_made_to_fill_the_memory_are_not_read(tmp_path: Path) -> None:
    huge = header((200_000, 200_000))
    (tmp_path / "bomb.npy").write_bytes(huge)
    for key, shape in (("depth", (200_000, 200_000)), ("K", (2**40,))):
        with zipfile.ZipFile(tmp_path / f"{key}.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("depth.npy", header((5, 7)) + DEPTH.tobytes())
            archive.writestr(f"{key}.npy", header(shape) + bytes(10_000_000))
    write_exr(tmp_path / "bomb.exr", {"Z": DEPTH})
    content = (tmp_path / "bomb.exr").read_bytes()
    at = content.index(b"dataWindow") + len(b"dataWindow\0box2i\0") + 4
    content = content[: at + 8] + struct.pack("<2i", 2**30, 2**30) + content[at + 16 :]
    (tmp_path / "bomb.exr").write_bytes(content)
    for name in ("bomb.npy", "depth.npz", "K.npz", "bomb.exr"):
        with pytest.raises(WorldStereoError, match=f"{name} says it holds .* expected at most"):
            read_depth(tmp_path / name)


def test_a_picture_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.ones((H, W), np.uint16)).save(tmp_path / "d.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(WorldStereoError, match=r"d\.png cannot be read as PNG"):
        read_depth(tmp_path / "d.png")


def test_paths_inside_an_archive_lead_nowhere(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("../depth.npy", header((5, 7)) + DEPTH.tobytes())
    with pytest.raises(WorldStereoError, match=r"has the keys \['../depth'\]"):
        read_depth(tmp_path / "d.npz")
    assert sorted(path.name for path in tmp_path.parent.glob("depth*")) == []


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", depth=np.array([{}], dtype=object))
    np.save(tmp_path / "d.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in ("d.npz", "d.npy"):
        with pytest.raises(WorldStereoError, match="Python objects"):
            read_depth(tmp_path / name)


def test_files_that_are_no_depth_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "keys.npz", disparity=DEPTH)
    np.savez(tmp_path / "matrix.npz", depth=DEPTH, K=np.eye(4))
    np.save(tmp_path / "stack.npy", np.stack([DEPTH] * 3))
    np.save(tmp_path / "empty.npy", DEPTH * 0)
    Image.fromarray((DEPTH * 20).astype(np.uint8)).save(tmp_path / "grey.png")
    (tmp_path / "d.tiff").write_bytes(b"II")
    expectations = {
        "keys.npz": (WorldStereoError, r"has the keys \['disparity'\], expected 'depth'"),
        "matrix.npz": (ShapeError, r"K in .* has shape \[4, 4\]"),
        "stack.npy": (ShapeError, r"shape \[3, 5, 7\]"),
        "empty.npy": (WorldStereoError, "has data"),
        "grey.png": (WorldStereoError, "mode 'L', expected 16-bit grey"),
        "d.tiff": (WorldStereoError, "suffix '.tiff', expected one of .exr"),
        "missing.exr": (WorldStereoError, "does not exist"),
    }
    for name, (kind, message) in expectations.items():
        with pytest.raises(kind, match=message):
            read_depth(tmp_path / name)
