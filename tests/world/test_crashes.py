"""A process that is killed, a full disk and a read-only folder: at most the running clip is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.world.scene import FRAMES, along, start_memory
from tests.world.scene import add as add_scene_clip
from worldstereo_core.checks import WorldStereoError
from worldstereo_core.world.branch import branch_world
from worldstereo_core.world.world import create_world, decide, open_world

ROOT = Path(__file__).resolve().parents[2]
posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

# Forks a child per point of death. Every file operation of Python raises an audit event first: the child dies
# at the nth one below the world folder. Random moments in between hit the writes themselves.
KILLER = """
import json, os, random, signal, sys, threading, time
sys.path[:0] = [{root!r}]
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.world.scene import FRAMES, add, along
from worldstereo_core.world.world import open_world, decide

folder = Path({folder!r})
countdown = None

def die(event, arguments):
    global countdown
    if countdown is None or not (event == "open" or event.startswith(("os.", "shutil."))):
        return
    if any(str(folder) in str(value) for value in arguments):
        countdown -= 1
        if countdown == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)

def grow(world):
    world, record = add(world, along(0.0, 1.0))
    decide(world, [record.clip], "accepted")

def whole(world):
    memory = world.memory()
    for record in world.manifest.clips:
        assert world.frames(record.clip).shape[0] == FRAMES
        assert world.latents(record.clip).shape[1] == FRAMES
        assert world.trajectory(record.clip).num_frames == FRAMES
    present = len(world.manifest.present)
    assert len(memory.views) == 1 + 2 * present
    return len(world.manifest.clips), present

deaths, clips, generator = 0, 0, random.Random(0)
points = [*range(1, {points}), *(-1 for _ in range({moments}))]
for point in points:
    child = os.fork()
    if child == 0:
        if point > 0:
            countdown = point
        else:
            wait = generator.random()
            threading.Timer(0.05 * wait, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
        grow(open_world(folder))
        os._exit(0)
    generator.random()
    _, status = os.waitpid(child, 0)
    died = os.WIFSIGNALED(status)
    assert died or status == 0, status
    deaths += died
    now, _ = whole(open_world(folder))
    assert now in ((clips, clips + 1) if died else (clips + 1,)), (point, clips, now)
    clips = now
world, _ = add(open_world(folder), along(0.0, 1.0))
leftovers = [path.name for path in folder.rglob("*") if ".part" in path.name]
print(json.dumps({{"deaths": deaths, "clips": clips, "leftovers": leftovers, "after": whole(world)[0]}}))
"""


@posix
def test_a_kill_at_any_file_operation_loses_at_most_the_running_clip(tmp_path):
    world = create_world(tmp_path / "room", start_memory())
    script = KILLER.format(root=str(ROOT), folder=str(world.folder), points=70, moments=12)
    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr[-3000:]
    found = json.loads(result.stdout)
    assert found["deaths"] > 40, found
    assert found["clips"] > 3, "some points of death lie after the clip counts"
    assert found["leftovers"] == [] and found["after"] == found["clips"] + 1


@pytest.fixture
def world(tmp_path):
    world = create_world(tmp_path / "room", start_memory())
    return add_scene_clip(world, along(0.0, 2.0), slot=1)[0]


def contents_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class FailingDisk:
    """Makes every opening for writing, linking and renaming below a folder fail from the nth on."""

    def __init__(self):
        self.number, self.folder, self.countdown, self.is_on = 0, "", 0, False
        sys.addaudithook(self.watch)  # for the life of the process

    def watch(self, event, arguments):
        if not self.is_on or event not in ("open", "os.rename", "os.mkdir", "os.link"):
            return
        if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        if any(self.folder in str(value) for value in arguments):
            self.countdown -= 1
            if self.countdown <= 0:
                raise OSError(self.number, os.strerror(self.number))


DISK = FailingDisk()


@pytest.fixture
def failing_disk(world):
    DISK.folder = str(world.folder.parent)

    def fail_at(nth: int, number: int = errno.ENOSPC) -> None:
        DISK.number, DISK.countdown, DISK.is_on = number, nth, True

    yield fail_at
    DISK.is_on = False


@pytest.mark.parametrize("nth", [1, 2, 3, 4, 9, 12, 14, 20, 21, 22, 23])
def test_a_full_disk_is_said_and_nothing_is_lost(world, failing_disk, nth):
    before = contents_of(world.folder)
    failing_disk(nth)
    with pytest.raises(WorldStereoError, match=r"disk is full|No space left"):
        add_scene_clip(world, along(2.0, 4.0))
    DISK.is_on = False
    assert contents_of(world.folder) == before
    again, record = add_scene_clip(world, along(2.0, 4.0))
    assert record.clip == 2 and again.memory().points.num_points > 0


@pytest.mark.parametrize("nth", [1, 2])
def test_a_full_disk_while_a_decision_is_saved_leaves_the_old_one(world, failing_disk, nth):
    failing_disk(nth)
    with pytest.raises(WorldStereoError, match=r"disk is full|No space left"):
        decide(world, [1], "rejected")
    DISK.is_on = False
    assert open_world(world.folder).manifest.record(1).status == "pending"


@pytest.mark.parametrize("nth", [1, 2, 4, 8])
def test_a_full_disk_while_a_world_is_made_or_branched_leaves_no_half_world(
    world, failing_disk, nth, tmp_path
):
    failing_disk(nth)
    with pytest.raises(WorldStereoError, match="the branch could not be saved, because the disk is full"):
        branch_world(world, tmp_path / "attic")
    failing_disk(min(nth, 4))
    with pytest.raises(WorldStereoError, match="the new world could not be saved, because the disk is full"):
        create_world(tmp_path / "cellar", start_memory())
    assert [path.name for path in tmp_path.iterdir()] == ["room"]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_read_only_folder_is_read_and_not_written(world, failing_disk, number):
    before = contents_of(world.folder)
    failing_disk(1, number)
    with pytest.raises(WorldStereoError, match=r"it cannot be written to .* Make the folder writable"):
        add_scene_clip(world, along(2.0, 4.0))
    failing_disk(1, number)
    reader = open_world(world.folder)
    assert reader.memory().points.num_points and reader.frames(1).shape[0] == FRAMES
    assert DISK.countdown == 1, "reading opens nothing for writing"
    assert contents_of(world.folder) == before


def test_a_folder_that_may_not_be_written_to(world):
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    world.folder.chmod(0o555)
    try:
        with pytest.raises(WorldStereoError, match="cannot be written to"):
            decide(world, [1], "accepted")
    finally:
        world.folder.chmod(0o755)


@pytest.mark.skipif(not shutil.which("mount"), reason="needs mount")
def test_a_disk_that_really_is_full(world, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", small], capture_output=True
    ).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        full = create_world(small / "room", start_memory())
        with pytest.raises(WorldStereoError, match=r"disk is full|No space left"):
            for number in range(50):
                full, _ = add_scene_clip(full, along(2.0 * number, 2.0 * (number + 1)))
        kept = open_world(full.folder)
        assert len(kept.manifest.clips) >= 2
        assert kept.memory().points.num_points > 0
        assert [path for path in full.folder.rglob("*.part*")] == []
    finally:
        subprocess.run(["umount", small], check=True)
