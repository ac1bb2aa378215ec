"""What a list of trajectories still lacks, where its clips start, and what no longer agrees."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tests.world.scene import FRAMES, HEIGHT, WIDTH, along, latents_of, start_memory
from tests.world.scene import add as add_scene_clip
from worldstereo_core.checks import PathError, ShapeError, WorldStereoError
from worldstereo_core.geometry.trajectory import Trajectory
from worldstereo_core.memory.memory import initialise_memory
from worldstereo_core.world.plan import (
    check_same_beginning,
    check_starts,
    check_trajectories,
    find_start,
    joined_frames,
    plan_clips,
    resolve_changes,
    take_seed,
    without_latents,
)
from worldstereo_core.world.world import create_world, decide

PATHS = [along(0.0, 2.0, "first"), along(2.0, 4.0, "second"), along(4.0, 2.0, "third")]
SETTINGS = {"cfg": 1.0, "model": {"Loader.file": "a", "Lora.strength": 1.0}}


@pytest.fixture
def world(tmp_path):
    return create_world(tmp_path / "room", start_memory())


@pytest.fixture
def two(world):
    """A world with the clips of the first two paths."""
    for slot in (1, 2):
        world, _ = add_scene_clip(world, PATHS[slot - 1], slot=slot, settings=SETTINGS)
    return world


def moved(trajectory: Trajectory, by: float) -> Trajectory:
    w2c = trajectory.w2c.clone()
    w2c[:, 1, 3] += by
    return replace(trajectory, cameras=replace(trajectory.cameras, w2c=w2c))


def test_the_first_missing_path_is_next(world, two):
    plan = plan_clips(two, PATHS, SETTINGS)
    assert (plan.next_slot, sorted(plan.made), plan.changes) == (3, [1, 2], ())
    assert plan_clips(two, PATHS[:2], SETTINGS).next_slot is None
    rejected = decide(decide(two, [2], "accepted"), [1], "rejected")
    assert plan_clips(rejected, PATHS, SETTINGS).next_slot == 1


def test_cameras_that_differ_by_rounding_are_the_same_path(two):
    almost = [moved(path, 1e-4) for path in PATHS]
    assert plan_clips(two, almost, SETTINGS).changes == ()


def test_a_change_is_named_with_old_and_new_value(two):
    settings = {"cfg": 2.0, "model": {"Loader.file": "a", "Lora.strength": 0.5}, "new setting": 1}
    plan = plan_clips(two, [moved(PATHS[0], 0.5), *PATHS[1:]], settings)
    first, second = (change.text for change in plan.changes)
    assert first.startswith(
        "clip 1 (path 1): its path was first, now first with other cameras; cfg was 1.0, is 2.0"
    )
    assert second == "clip 2 (path 2): cfg was 1.0, is 2.0; model, Lora.strength was 1.0, is 0.5"


def test_a_node_that_was_added_above_a_socket_is_a_change(two):
    settings = {**SETTINGS, "model": {**SETTINGS["model"], "Lora 2.strength": 1.0}}
    assert "model, Lora 2.strength was absent, is 1.0" in plan_clips(two, PATHS, settings).changes[0].text


def test_changes_stop_or_are_kept_or_made_anew(two):
    two = decide(two, [1], "accepted")
    plan = plan_clips(two, PATHS, {**SETTINGS, "cfg": 3.0})
    with pytest.raises(WorldStereoError, match=r"(?s)clip 1 .*clip 2 .*set if_changed to keep"):
        resolve_changes(two, plan, "stop")
    kept, text = resolve_changes(two, plan, "keep")
    assert kept == two and text.startswith("Kept, although")
    redone, text = resolve_changes(two, plan, "redo")
    assert [record.clip for record in redone.manifest.present] == [1]
    assert "[2]; accepted, so kept as they are: [1]" in text


def test_a_clip_starts_at_the_input_picture_where_it_can(world):
    start = find_start(world, PATHS, 1)
    assert (start.text, start.latent) == ("the input picture", None)
    assert_close(start.image, start_memory().views[0].image / 255)


def test_a_clip_goes_on_with_the_last_frame_of_the_one_before_and_its_latent(two):
    start = find_start(two, PATHS, 2)
    assert (start.text, start.clip, start.frame) == ("clip 1, frame 2", 1, 2)
    assert torch.equal(start.image, two.frame(1, FRAMES - 1))
    assert start.latent is not None
    assert torch.equal(start.latent, latents_of(torch.empty(FRAMES))[:, FRAMES - 1])


def test_of_two_clips_that_pass_there_the_one_before_counts(two):
    world, _ = add_scene_clip(two, PATHS[2], slot=3)
    # Both the first and the third clip end at 2; the path before the fourth is the third.
    paths = [*PATHS, along(2.0, 3.0)]
    assert find_start(world, paths, 4).text == "clip 3, frame 2"
    # At the very beginning nothing has drifted, so the input picture wins over every clip.
    assert find_start(world, [*PATHS, along(0.0, 1.0)], 4).text == "the input picture"


def test_a_start_where_no_picture_is_is_refused_with_the_distance(two):
    with pytest.raises(PathError, match=r"path 3 \(lost\) starts where no picture was taken: .* is 1 scene"):
        check_starts(two, [*PATHS[:2], along(5.0, 6.0, "lost")])
    check_starts(two, PATHS)


def test_the_start_picture_is_cut_to_the_clips_size(tmp_path):
    memory = start_memory()
    world = create_world(tmp_path / "cut", memory)
    wide = along(0.0, 2.0)
    square = replace(wide, cameras=wide.cameras.cropped(16, 16))
    start = find_start(world, [square], 1)
    assert_close(start.image, memory.views[0].image[:, :, 4:20] / 255)


def test_every_path_and_every_take_has_a_seed_of_its_own(two):
    assert [take_seed(two, 7, slot) for slot in (1, 2, 3)] == [1007, 1008, 9]
    again, _ = add_scene_clip(decide(two, [2], "rejected"), PATHS[1], slot=2)
    assert take_seed(again, 7, 2) == 2008
    assert take_seed(two, 2**64 - 1, 3) == 1


def test_joined_clips_leave_out_frames_that_repeat(two):
    records = two.manifest.clips
    frames = [two.frames(record.clip) for record in records]
    apart = joined_frames(list(zip(records, frames, strict=True)))
    assert len(apart) == 2 * FRAMES
    follows = (records[0], replace(records[1], start="clip 1, frame 2"))
    together = joined_frames(list(zip(follows, frames, strict=True)))
    assert torch.equal(together, torch.cat([frames[0], frames[1][1:]]))


def test_lists_of_unlike_trajectories_are_refused():
    with pytest.raises(PathError, match="trajectories: got none"):
        check_trajectories([], FRAMES)
    with pytest.raises(ShapeError, match=rf"path 2 \(truck\) is for {HEIGHT} x 16 pixels"):
        check_trajectories(
            [PATHS[0], replace(along(0, 1), cameras=along(0, 1).cameras.cropped(16, 16))], FRAMES
        )
    with pytest.raises(ShapeError, match=r"path 1 .* has 3 frames, expected at least 5"):
        check_trajectories(PATHS, 5)
    assert WIDTH != 16


def test_a_world_of_another_picture_is_not_gone_on_with(world):
    check_same_beginning(world, start_memory())
    picture = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    view = start_memory().views[0]
    other = initialise_memory(picture, torch.full((HEIGHT, WIDTH), 4.0), view.K)
    with pytest.raises(WorldStereoError, match="world room began with another picture or depth"):
        check_same_beginning(world, other)
    with pytest.raises(WorldStereoError, match="here 8 scene units"):
        check_same_beginning(world, replace(start_memory(), median_depth=8.0))


def test_latents_can_be_left_out_of_a_memory(two):
    memory = two.memory()
    assert sum(view.latent is not None for view in memory.views) == 4
    assert all(view.latent is None for view in without_latents(memory).views)
