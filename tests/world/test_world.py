"""A world folder keeps what it is given, and its memory is that of the clips that count."""

from __future__ import annotations

import dataclasses
import json
import weakref

import pytest
import torch
from torch.testing import assert_close

from tests.world.scene import FRAMES, along, contents, latents_of, look, start_memory
from tests.world.scene import add as add_scene_clip
from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.world.branch import branch_world, clean_world
from worldstereo_core.world.clip_files import ClipContents
from worldstereo_core.world.world import add_clip, create_world, decide, open_world


@pytest.fixture
def world(tmp_path):
    return create_world(tmp_path / "room", start_memory())


@pytest.fixture
def three(world):
    """A world of three clips, each starting where the one before ended."""
    for number in range(3):
        world, _ = add_scene_clip(world, along(2.0 * number, 2.0 * (number + 1)), slot=number + 1)
    return world


def clips_of(memory) -> list[int]:
    """The clip numbers that points and views carry."""
    return sorted({*memory.points.clip.tolist(), *(view.clip for view in memory.views)})


def is_same(one, other) -> bool:
    return (
        torch.equal(one.points.xyz, other.points.xyz)
        and torch.equal(one.points.rgb, other.points.rgb)
        and torch.equal(one.points.clip, other.points.clip)
        and all(torch.equal(a.image, b.image) for a, b in zip(one.views, other.views, strict=True))
        and one.history == other.history
    )


def test_a_new_world_holds_the_memory_it_began_with(world):
    assert is_same(open_world(world.folder).memory(), start_memory())
    assert world.manifest.clips == ()


def test_a_clip_comes_back_as_it_was_saved(world):
    trajectory = along(0.0, 2.0, "truck right")
    given = contents(world, trajectory)
    world, record = add_clip(
        world, given, seed=5, slot=1, settings={"cfg": 1.0}, start="the input picture", report="2 views"
    )
    world = open_world(world.folder)
    assert world.manifest.record(1) == record
    assert (record.seed, record.settings, record.start) == (5, {"cfg": 1.0}, "the input picture")
    assert_close(world.frames(1), given.frames, atol=0.5 / 255 + 1e-6, rtol=0)
    assert torch.equal(world.latents(1), given.latents)
    assert torch.equal(world.depth(1), given.depth)
    back = world.trajectory(1)
    assert torch.equal(back.w2c, trajectory.w2c) and torch.equal(back.K, trajectory.K)
    assert (back.name, back.source, back.fps) == (trajectory.name, trajectory.source, trajectory.fps)


def test_the_memory_of_the_folder_is_that_of_the_updates(world):
    memory = world.memory()
    for number in range(3):
        trajectory = along(2.0 * number, 2.0 * (number + 1))
        given = contents(world, trajectory)
        memory, _ = memory.update(*interleave(trajectory), keep_frames=2, radius=0.2)
        world, _ = add_clip(world, given)
    assert memory.points.num_points > start_memory().points.num_points
    assert is_same(open_world(world.folder).memory(), memory)


def interleave(trajectory):
    frames, depths = look(trajectory.cameras)
    return frames, trajectory, depths


def test_the_memory_of_more_clips_shares_the_views_of_one_that_is_still_held(three):
    fewer = decide(three, [3], "rejected").memory()
    more = decide(three, [3], "pending").memory()
    assert all(one is other for one, other in zip(fewer.views, more.views, strict=False))
    assert decide(three, [3], "pending").memory() is more
    apart = weakref.ref(more)
    del more, fewer
    assert apart() is None, "nothing is kept that nobody holds"


def test_views_carry_the_latents_of_their_frames(three):
    views = three.memory().views
    # Two of three frames are kept: 1 and 2.
    assert views[0].latent is None
    expected = latents_of(torch.empty(FRAMES))
    for clip in range(3):
        assert torch.equal(views[1 + 2 * clip].latent, expected[:, 1])
        assert torch.equal(views[2 + 2 * clip].latent, expected[:, 2])


def test_a_rejected_clip_leaves_the_memory_and_takes_along_what_was_built_on_it(three):
    world = decide(three, [2], "rejected")
    assert clips_of(world.memory()) == [0, 1]
    assert [record.clip for record in world.manifest.clips] == [1, 2, 3], "nothing is deleted"
    assert world.frames(2).shape == (FRAMES, 3, 16, 24)


def test_taking_a_decision_back_brings_everything_back(three):
    before = three.memory()
    world = decide(decide(three, [2], "rejected"), [2], "pending")
    assert is_same(world.memory(), before)


def test_an_accepted_clip_stays_when_what_it_was_built_on_is_rejected(three):
    world = decide(decide(three, [3], "accepted"), [2], "rejected")
    memory = world.memory()
    assert clips_of(memory) == [0, 1, 3]
    assert len(memory.views) == 1 + 2 + 2


def test_a_new_take_gets_a_number_of_its_own(three):
    world = decide(three, [2], "rejected")
    world, record = add_scene_clip(world, along(2.0, 4.0), slot=2)
    assert (record.clip, record.built_on) == (4, (1,))
    assert clips_of(world.memory()) == [0, 1, 4]


def test_of_two_takes_the_accepted_one_counts_else_the_newer(three):
    world = decide(three, [2], "rejected")
    world, _ = add_scene_clip(world, along(2.0, 4.0), slot=2)
    world, _ = add_scene_clip(world, along(4.0, 6.0), slot=3)
    assert [record.clip for record in world.manifest.present] == [1, 4, 5]
    both = decide(world, [2], "pending")
    assert [record.clip for record in both.manifest.present] == [1, 4, 5]
    # The old second clip is accepted: the third that was built on it comes back, and the new ones go.
    old = decide(world, [2], "accepted")
    assert [record.clip for record in old.manifest.present] == [1, 2, 3]


def test_deciding_the_same_again_writes_nothing(three):
    world = decide(three, [1], "accepted")
    before = (world.folder / "world.json").stat().st_mtime_ns
    again = decide(world, [1], "accepted")
    assert again.manifest.revision == world.manifest.revision
    assert (world.folder / "world.json").stat().st_mtime_ns == before


def test_a_decision_about_a_clip_that_is_not_there_says_which_are(three):
    with pytest.raises(WorldStereoError, match=r"clip: got 9, but world room has the clips 1, 2, 3"):
        decide(three, [9], "rejected")


def test_a_memory_that_was_edited_in_between_is_refused(world):
    given = contents(world, along(0.0, 2.0))
    points = given.grown.points.select(slice(1, None))
    edited = dataclasses.replace(given, grown=dataclasses.replace(given.grown, points=points))
    with pytest.raises(WorldStereoError, match="clean or edit the memory after the last clip"):
        add_clip(world, edited)
    assert open_world(world.folder).manifest.clips == ()


def test_frames_and_cameras_must_be_as_many(world):
    given = contents(world, along(0.0, 2.0))
    with pytest.raises(ShapeError, match="images and trajectory differ in frames: got 2 images and 3"):
        ClipContents(given.frames[:2], given.trajectory, given.grown)


def test_a_branch_shares_the_past_and_goes_its_own_way(three, tmp_path):
    branch = branch_world(three, tmp_path / "attic", last_clip=2)
    assert clips_of(branch.memory()) == [0, 1, 2]
    shared = "clips/001/frames/0000.png"
    assert (three.folder / shared).stat().st_ino == (branch.folder / shared).stat().st_ino
    branch, record = add_scene_clip(branch, along(4.0, 4.5), slot=3)
    decide(branch, [1], "accepted")
    assert record.clip == 4, "numbers of the world it left are not given again"
    assert clips_of(open_world(three.folder).memory()) == [0, 1, 2, 3]
    assert open_world(three.folder).manifest == three.manifest


def test_a_branch_is_opened_when_it_is_there_and_another_world_is_not_taken_for_it(three, tmp_path):
    branch = branch_world(three, tmp_path / "attic", last_clip=2)
    branch, _ = add_scene_clip(branch, along(4.0, 4.5))
    assert branch_world(three, tmp_path / "attic", last_clip=2) == branch
    with pytest.raises(WorldStereoError, match="there is another world already"):
        branch_world(three, tmp_path / "attic", last_clip=1)
    other = create_world(tmp_path / "cellar", start_memory())
    with pytest.raises(WorldStereoError, match="there is another world already"):
        branch_world(three, other.folder)


def test_a_branch_lives_on_when_the_first_world_is_cleaned(three, tmp_path):
    branch = branch_world(three, tmp_path / "attic")
    before = branch.memory()
    clean_world(decide(three, [1], "rejected"), is_dry_run=False)
    assert is_same(open_world(branch.folder).memory(), before)


def test_cleaning_first_says_and_then_removes_what_is_not_in_the_memory(three):
    world = decide(three, [2], "rejected")
    memory = world.memory()
    (world.folder / "clips" / "004").mkdir()
    same, listed = clean_world(world)
    assert (listed.clips, listed.leftovers) == ((2, 3), ("clips/004",)) and listed.num_bytes > 1000
    assert same.manifest == world.manifest and (world.folder / "clips" / "002").is_dir()
    cleaned, _ = clean_world(world, is_dry_run=False)
    assert sorted(path.name for path in (world.folder / "clips").iterdir()) == ["001"]
    assert is_same(cleaned.memory(), memory)
    _, record = add_scene_clip(cleaned, along(2.0, 4.0), slot=2)
    assert record.clip == 4


def test_a_world_is_not_made_where_something_is(world, tmp_path):
    with pytest.raises(WorldStereoError, match="there is a world already"):
        create_world(world.folder, start_memory())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("mine")
    with pytest.raises(WorldStereoError, match="something else under this name"):
        create_world(tmp_path / "other", start_memory())
    assert (tmp_path / "other" / "letter.txt").read_text() == "mine"


def test_a_clip_number_of_the_first_memory_is_not_given_again(tmp_path):
    trajectory = along(0.0, 2.0)
    memory, _ = start_memory().update(*interleave(trajectory), keep_frames=2, radius=0.2)
    world = create_world(tmp_path / "grown", memory)
    _, record = add_scene_clip(world, along(2.0, 4.0))
    assert record.clip == 2


def test_the_manifest_is_json_that_people_can_read(three):
    text = (three.folder / "world.json").read_text(encoding="utf-8")
    content = json.loads(text)
    assert (content["format"], content["version"]) == ("worldstereo-world", 1)
    assert [clip["folder"] for clip in content["clips"]] == ["clips/001", "clips/002", "clips/003"]
    assert text.count("\n") > 50


def test_the_report_says_why_a_clip_is_not_in_the_memory(three):
    lines = decide(three, [2], "rejected").text.split("\n")
    assert lines[0] == "World room: 3 clips, 1 of them in the memory."
    assert lines[2].startswith("clip 2 (rejected): path 2, truck")
    assert lines[3].startswith("clip 3 (pending, not in the memory")
