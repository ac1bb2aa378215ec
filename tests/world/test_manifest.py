"""A world folder that cannot be used says why, and stays as it is."""

from __future__ import annotations

import json

import pytest

from tests.world.scene import add as add_scene_clip
from tests.world.scene import along, start_memory
from worldstereo_core.checks import WorldStereoError
from worldstereo_core.world.world import create_world, decide, open_world


@pytest.fixture
def world(tmp_path):
    world = create_world(tmp_path / "room", start_memory())
    return add_scene_clip(world, along(0.0, 2.0), slot=1)[0]


def edit(world, **changes) -> bytes:
    path = world.folder / "world.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **changes}), encoding="utf-8")
    return path.read_bytes()


def refused(world, match: str) -> None:
    """Neither reading nor writing works, and no byte changes."""
    path = world.folder / "world.json"
    before = path.read_bytes()
    with pytest.raises(WorldStereoError, match=match):
        open_world(world.folder)
    with pytest.raises(WorldStereoError, match=match):
        decide(world, [1], "accepted")
    with pytest.raises(WorldStereoError, match=match):
        add_scene_clip(world, along(2.0, 4.0))
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in world.folder.iterdir()) == [
        "base.safetensors",
        "clips",
        "world.json",
    ]


def test_a_world_of_a_newer_version_is_refused_and_stays_untouched(world):
    edit(world, version=2)
    refused(
        world, r"world\.json: got format version 2, expected at most 1.*newer WorldStereo and stays untouched"
    )


@pytest.mark.parametrize("version", [None, 0, "1"])
def test_a_version_that_is_none_counts_as_damage(world, version):
    edit(world, version=version)
    refused(world, r"world\.json: its format version is .*, expected 1 to 1\. The file was edited or damaged")


def test_a_manifest_that_may_not_be_read_is_not_called_damaged(world):
    path = world.folder / "world.json"
    path.unlink()
    path.mkdir()
    with pytest.raises(WorldStereoError, match=r"world\.json: it cannot be read \(.*\)\. Make the file"):
        open_world(world.folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": "worldstereo-memory"}', "\x00\x01"])
def test_a_manifest_that_is_none_is_refused_by_name_and_never_overwritten(world, text):
    (world.folder / "world.json").write_text(text)
    refused(world, r"world\.json: .*left as it is")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"clips": [{"clip": 1}]}, "missing"),
        ({"clips": 5}, "not iterable"),
        ({"takes": []}, "items"),
        ({"last_number": "many"}, "many"),
    ],
)
def test_a_manifest_with_wrong_contents_is_refused(world, changes, match):
    edit(world, **changes)
    refused(world, match)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"folder": "../../elsewhere"}, "outside the world folder"),
        ({"folder": "/etc"}, "outside the world folder"),
        ({"status": "maybe"}, "has the status 'maybe'"),
        ({"mood": "good"}, "mood"),
    ],
)
def test_a_clip_with_wrong_facts_is_refused(world, changes, match):
    content = json.loads((world.folder / "world.json").read_text())
    edit(world, clips=[{**content["clips"][0], **changes}])
    refused(world, match)


def test_a_folder_without_a_manifest_is_no_world(tmp_path):
    with pytest.raises(WorldStereoError, match=r"it holds no world\.json, so it is no world folder"):
        open_world(tmp_path)


def test_a_damaged_clip_file_is_named(world):
    (world.folder / "clips" / "001" / "latents.safetensors").write_bytes(b"nothing")
    with pytest.raises(WorldStereoError, match=r"latents\.safetensors: it cannot be read"):
        world.latents(1)
    (world.folder / "clips" / "001" / "frames" / "0001.png").unlink()
    with pytest.raises(WorldStereoError, match=r"0001\.png does not exist"):
        world.frames(1)
