"""Saving and loading: every number bit by bit, and errors that say what the file is."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.geometry.point_cloud import Evidence, PointCloud
from worldstereo_core.memory import storage
from worldstereo_core.memory.memory import GeometricMemory
from worldstereo_core.memory.storage import load_memory, save_memory
from worldstereo_core.memory.view import View

OLD_FILES = Path(__file__).resolve().parents[1] / "data" / "memories"


def random_memory(num_points: int = 50, has_normals: bool = False) -> GeometricMemory:
    generator = torch.Generator().manual_seed(0)

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    clips = torch.arange(num_points, dtype=torch.int32) % 3
    points = PointCloud(
        rand(num_points, 3),
        rand(num_points, 3),
        rand(num_points),
        clips,
        rand(num_points, 3) if has_normals else None,
    )
    frames = torch.randint(0, 256, (2, 3, 8, 10), generator=generator).to(torch.uint8)
    wide = torch.randint(0, 256, (3, 6, 12), generator=generator).to(torch.uint8)
    cameras, intrinsics = rand(3, 4, 4), rand(3, 3, 3)
    views = (
        View(frames[0], cameras[0], intrinsics[0], "image", 0, rand(8, 10)),
        View(frames[1], cameras[1], intrinsics[1], "clip_01/0003", 1),
        View(wide, cameras[2], intrinsics[2], "clip 2 – ü/0003", 2, rand(6, 12)),
    )
    return GeometricMemory(points, views, 2.718281828459045, ("made.", "grown."), 21.7)


def assert_same(first: GeometricMemory, second: GeometricMemory) -> None:
    for name in ("xyz", "rgb", "confidence", "clip", "normal"):
        one, two = getattr(first.points, name), getattr(second.points, name)
        assert (one is None and two is None) or (one.dtype == two.dtype and torch.equal(one, two))
    assert len(first.views) == len(second.views)
    for one, two in zip(first.views, second.views, strict=True):
        assert (one.name, one.clip) == (two.name, two.clip)
        for name in ("image", "w2c", "K", "depth"):
            a, b = getattr(one, name), getattr(two, name)
            assert (a is None and b is None) or (a.dtype == b.dtype and torch.equal(a, b))
    assert (first.median_depth, first.far_limit, first.history) == (
        second.median_depth,
        second.far_limit,
        second.history,
    )


@pytest.mark.parametrize("has_normals", [False, True])
def test_a_round_trip_keeps_every_bit(tmp_path: Path, has_normals: bool):
    memory = random_memory(has_normals=has_normals)
    save_memory(tmp_path / "world.safetensors", memory)
    assert_same(memory, load_memory(tmp_path / "world.safetensors"))


def test_views_may_hold_the_very_same_picture(tmp_path: Path):
    memory = random_memory()
    first, second = memory.views[:2]
    twice = replace(memory, views=(first, replace(second, image=first.image, depth=first.depth), first))
    save_memory(tmp_path / "world.safetensors", twice)
    assert_same(twice, load_memory(tmp_path / "world.safetensors"))


def test_what_was_loaded_can_be_saved_again(tmp_path: Path):
    save_memory(tmp_path / "one.safetensors", random_memory())
    save_memory(tmp_path / "two.safetensors", load_memory(tmp_path / "one.safetensors"))
    assert_same(random_memory(), load_memory(tmp_path / "two.safetensors"))


def test_a_memory_without_views_points_or_far_limit_survives(tmp_path: Path):
    memory = replace(random_memory(num_points=0), views=(), far_limit=math.inf)
    save_memory(tmp_path / "empty.safetensors", memory)
    assert_same(memory, load_memory(tmp_path / "empty.safetensors"))


def test_folders_are_made_and_nothing_else_is_left_behind(tmp_path: Path):
    save_memory(tmp_path / "new" / "deep" / "world.safetensors", random_memory())
    assert [path.name for path in (tmp_path / "new" / "deep").iterdir()] == ["world.safetensors"]


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "world.safetensors"
    save_memory(path, random_memory())
    before = path.read_bytes()

    def fail(source: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_memory(path, random_memory(num_points=7))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["world.safetensors"]


def test_a_million_points_are_saved_and_loaded_quickly(tmp_path: Path):
    memory = random_memory(num_points=1_000_000)
    start = time.perf_counter()
    save_memory(tmp_path / "world.safetensors", memory)
    loaded = load_memory(tmp_path / "world.safetensors")
    assert time.perf_counter() - start < 5
    assert torch.equal(loaded.points.xyz, memory.points.xyz)


def test_a_file_of_version_1_still_opens():
    memory = load_memory(OLD_FILES / "version_1.safetensors")
    assert [view.name for view in memory.views] == ["image", "clip_01/0001", "clip_01/0002"]
    assert [view.clip for view in memory.views] == [0, 1, 1]
    assert memory.median_depth == 2.75 and memory.far_limit == 22.0 and len(memory.history) == 2
    assert memory.points.evidence is None and memory.points.normal is None
    # The picture's own points: z = 2 + row / 4, red = row / 8, no point at its first pixel.
    first = memory.points.select(memory.points.clip == 0)
    rows = torch.arange(6.0).repeat_interleave(8)[1:]
    torch.testing.assert_close(first.xyz[:, 2], 2 + rows / 4, rtol=0, atol=0)
    torch.testing.assert_close(first.rgb[:, 0], rows / 8, rtol=0, atol=0)
    columns = torch.arange(8.0).repeat(6)[1:]
    torch.testing.assert_close(first.xyz[:, 0], (columns + 0.5 - 4) / 8 * (2 + rows / 4))
    assert int((memory.points.clip == 1).sum()) == 58


def test_an_old_file_saved_again_is_of_the_present_version(tmp_path: Path):
    old = load_memory(OLD_FILES / "version_1.safetensors")
    save_memory(tmp_path / "new.safetensors", old)
    with safe_open(tmp_path / "new.safetensors", framework="pt") as file:
        assert file.metadata()["version"] == str(storage.VERSION)
    assert_same(old, load_memory(tmp_path / "new.safetensors"))


def test_every_older_version_has_a_migration_and_a_file():
    older = set(range(1, storage.VERSION))
    assert set(storage._MIGRATIONS) == older
    assert {path.name for path in OLD_FILES.iterdir()} == {f"version_{n}.safetensors" for n in older}


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux to see what is mapped")
def test_loading_maps_the_file_and_copies_nothing(tmp_path: Path):
    path = tmp_path / "world.safetensors"
    save_memory(path, random_memory(num_points=10_000))
    memory = load_memory(path)
    start = memory.points.xyz.untyped_storage().data_ptr()
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    bounds = [entry[0].split("-") for entry in maps if entry[-1] == str(path)]
    assert any(int(low, 16) <= start < int(high, 16) for low, high in bounds)


@pytest.mark.skipif(os.name == "nt", reason="Windows does not replace files that are mapped")
def test_saving_over_the_file_of_a_loaded_memory_leaves_that_memory(tmp_path: Path):
    path = tmp_path / "world.safetensors"
    save_memory(path, random_memory())
    loaded = load_memory(path)
    save_memory(path, replace(random_memory(num_points=7), views=()))
    assert_same(random_memory(), loaded)


def test_a_median_depth_that_is_no_length_is_refused(tmp_path: Path):
    save_memory(tmp_path / "bad.safetensors", replace(random_memory(), median_depth=math.nan))
    with pytest.raises(WorldStereoError, match=r"do not fit together \(median depth nan\)"):
        load_memory(tmp_path / "bad.safetensors")


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(WorldStereoError, match=r"there is no file .*nothing\.safetensors"):
        load_memory(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.3, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: float):
    path = tmp_path / "world.safetensors"
    save_memory(path, random_memory())
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(WorldStereoError, match="damaged or was cut off"):
        load_memory(path)


def test_a_model_file_is_refused(tmp_path: Path):
    save_file({"blocks.0.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(WorldStereoError, match='format "None", expected "worldstereo-memory"'):
        load_memory(tmp_path / "model.safetensors")


def test_what_fused_points_rest_on_survives(tmp_path: Path):
    memory = random_memory()
    count = memory.points.num_points
    evidence = Evidence(torch.rand(count), torch.arange(count).int(), torch.ones(count).int())
    save_memory(
        tmp_path / "fused.safetensors", replace(memory, points=replace(memory.points, evidence=evidence))
    )
    loaded = load_memory(tmp_path / "fused.safetensors").points.evidence
    assert loaded is not None
    for name in ("weight", "seen", "missed"):
        assert torch.equal(getattr(loaded, name), getattr(evidence, name))


def test_version_1_had_no_fused_points(tmp_path: Path):
    memory = random_memory()
    path = tmp_path / "old.safetensors"
    save_memory(path, memory)
    with safe_open(path, framework="pt") as file:
        metadata = {**file.metadata(), "version": "1"}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    save_file(tensors, path, metadata)
    loaded = load_memory(path)
    assert loaded.points.evidence is None and torch.equal(loaded.points.xyz, memory.points.xyz)


def test_a_newer_version_is_refused(tmp_path: Path):
    metadata = {"format": "worldstereo-memory", "version": "3", "memory": "{}"}
    save_file({"points.xyz": torch.zeros(1, 3)}, tmp_path / "new.safetensors", metadata)
    with pytest.raises(WorldStereoError, match="got format version 3, expected at most 2"):
        load_memory(tmp_path / "new.safetensors")


def test_a_pickled_file_is_refused_unread(tmp_path: Path):
    torch.save({"points": torch.zeros(3)}, tmp_path / "world.pt")
    with pytest.raises(WorldStereoError, match="pickled PyTorch file, expected safetensors"):
        load_memory(tmp_path / "world.pt")


def test_contents_that_do_not_fit_together_are_refused(tmp_path: Path):
    facts = {"views": [{"name": "image", "clip": 0}], "median_depth": 1.0, "far_limit": None, "history": []}
    metadata = {"format": "worldstereo-memory", "version": "1", "memory": json.dumps(facts)}
    points = {
        "points.xyz": torch.zeros(4, 3),
        "points.rgb": torch.zeros(4, 3),
        "points.confidence": torch.zeros(4),
        "points.clip": torch.zeros(4, dtype=torch.int32),
    }
    save_file(points, tmp_path / "lacking.safetensors", metadata)
    with pytest.raises(WorldStereoError, match=r"do not fit together.*views\.w2c. is missing"):
        load_memory(tmp_path / "lacking.safetensors")
    points["points.rgb"] = torch.zeros(3, 3)
    save_file(points, tmp_path / "uneven.safetensors", metadata)
    with pytest.raises(WorldStereoError, match=r"do not fit together.*point colours"):
        load_memory(tmp_path / "uneven.safetensors")


def test_a_view_whose_depth_has_another_size_is_refused(tmp_path: Path):
    memory = random_memory()
    crooked = replace(memory.views[0], depth=torch.zeros(3, 3))
    save_memory(tmp_path / "crooked.safetensors", replace(memory, views=(crooked, *memory.views[1:])))
    with pytest.raises(WorldStereoError, match=r"do not fit together.*depth of view image"):
        load_memory(tmp_path / "crooked.safetensors")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_saved_memory_has_the_permissions_of_any_new_file(tmp_path: Path):
    (tmp_path / "any").touch()
    save_memory(tmp_path / "memory.safetensors", random_memory())
    assert (tmp_path / "memory.safetensors").stat().st_mode == (tmp_path / "any").stat().st_mode
