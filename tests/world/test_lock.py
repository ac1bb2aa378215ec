"""Two processes never write into one world folder, and a dead one never keeps it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.world import lock
from worldstereo_core.world.lock import LOCK, check_still_locked, keep_locked, locked
from worldstereo_core.world.process import ProcessIdentity

ROOT = Path(__file__).resolve().parents[2]

HOLDER = """
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from worldstereo_core.world.lock import locked
with locked(Path({folder!r})):
    print("in", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def other_process(tmp_path):
    """Another process that is inside the folder until it is told to leave, or killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER.format(root=str(ROOT), folder=str(tmp_path))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "in\n"
    yield process
    process.kill()
    process.wait(20)
    assert process.stdin is not None
    process.stdin.close()
    process.stdout.close()


def write_lock(folder: Path, **changes) -> None:
    content = {**ProcessIdentity.current().to_json(), "token": "theirs", "since": "yesterday", **changes}
    (folder / LOCK).write_text(json.dumps(content))


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def test_a_second_process_is_told_who_is_in_the_folder(other_process, tmp_path):
    with (
        pytest.raises(WorldStereoError, match=rf"process {other_process.pid} on .* only one may"),
        locked(tmp_path),
    ):
        pass
    other_process.stdin.write("leave\n")
    other_process.stdin.flush()
    other_process.wait(20)
    with locked(tmp_path):
        assert (tmp_path / LOCK).exists()
    assert not (tmp_path / LOCK).exists()


def test_the_lock_of_a_killed_process_frees_itself_at_once(other_process, tmp_path):
    other_process.kill()
    other_process.wait(20)
    assert (tmp_path / LOCK).exists(), "it had no chance to tidy up"
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


def test_a_process_number_that_was_given_to_a_new_process_does_not_count(tmp_path):
    started = ProcessIdentity.current().started
    assert started is not None
    write_lock(tmp_path, started=started - 100)
    with locked(tmp_path):
        pass


def test_a_lock_from_before_the_machine_was_restarted_does_not_count(tmp_path):
    if ProcessIdentity.current().boot is None:
        pytest.skip("this system does not number its starts")
    write_lock(tmp_path, boot="another start")
    with locked(tmp_path):
        pass


def test_a_lock_from_another_machine_counts_until_nobody_touches_it_for_a_minute(tmp_path):
    write_lock(tmp_path, host="another-machine")
    age(tmp_path / LOCK, 30)
    with pytest.raises(WorldStereoError, match="on another-machine has been working in it since yesterday"):
        keep_locked(tmp_path, lambda: True)
    age(tmp_path / LOCK, 90)
    with locked(tmp_path):
        pass


def test_a_lock_that_was_cut_off_while_it_was_written_frees_itself_in_time(tmp_path):
    (tmp_path / LOCK).write_text('{"pid": 1')
    with pytest.raises(WorldStereoError, match="process unknown on an unknown machine"), locked(tmp_path):
        pass
    age(tmp_path / LOCK, 90)
    with locked(tmp_path):
        pass


def test_a_process_may_enter_its_own_lock_again(tmp_path):
    with locked(tmp_path):
        with locked(tmp_path):
            pass
        assert (tmp_path / LOCK).exists()
    assert not (tmp_path / LOCK).exists()


def test_a_lock_is_kept_and_touched_while_it_is_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT", 0.02)
    needed = [True]
    keep_locked(tmp_path, lambda: needed[0])
    with locked(tmp_path):
        pass
    age(tmp_path / LOCK, 1000)
    wait_until(lambda: time.time() - (tmp_path / LOCK).stat().st_mtime < 500)
    needed[0] = False
    wait_until(lambda: not (tmp_path / LOCK).exists())


def test_who_lost_the_lock_writes_nothing_more(tmp_path):
    with locked(tmp_path):
        check_still_locked(tmp_path)
        write_lock(tmp_path)
        with pytest.raises(WorldStereoError, match="another process has taken it over"):
            check_still_locked(tmp_path)
    assert json.loads((tmp_path / LOCK).read_text())["token"] == "theirs", "not ours to remove"


def test_nothing_is_left_beside_the_lock(tmp_path):
    write_lock(tmp_path, host="another-machine")
    age(tmp_path / LOCK, 90)
    with locked(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def wait_until(is_true, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.01)
