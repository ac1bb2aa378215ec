"""Camera paths as JSON: round trips, versions, and text that nobody should trust."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import PathError
from worldstereo_core.formats.camera_path import (
    camera_path_from_json,
    camera_path_to_json,
    read_camera_path,
    write_camera_path,
)
from worldstereo_core.geometry.camera_path import CameraPath, Waypoint
from worldstereo_core.geometry.path_spline import evaluate_path

VERIFIES = {"camera path JSON": "Python's json"}
PATH = CameraPath(
    (
        Waypoint((0.0, 0.0, 0.0), handle_out=(0.25, 0.0, 0.5)),
        Waypoint((1.0, -0.5, 0.125), (0.8, 0.0, 0.6, 0.0), 45.0, 1 / 3, "ease in", 12.5),
        Waypoint((0.0, 0.0, 2.0), time=1.0, handle_in=(0.0, 0.0, -0.5)),
    ),
    "bezier",
    "constant",
    look_at=(0.0, 0.5, 4.0),
    width=640,
    height=368,
    scale=0.8254,
    fps=24000 / 1001,
    name="fly – hoch",
)


def text(**changes) -> str:
    content = {"version": 1, "waypoints": [{"position": [0, 0, 0]}, {"position": [1, 0, 0]}]}
    return json.dumps({**content, **changes})


def waypoint(**changes) -> str:
    return text(waypoints=[{"position": [0, 0, 0], "time": 0}, {"position": [1, 0, 0], "time": 1, **changes}])


def test_the_json_form_is_the_documented_one():
    content = json.loads(camera_path_to_json(PATH))
    waypoints = content.pop("waypoints")
    assert content == {
        "version": 1,
        "interpolation": "bezier",
        "speed": "constant",
        "closed": False,
        "look_at": [0.0, 0.5, 4.0],
        "width": 640,
        "height": 368,
        "scale": 0.8254,
        "fps": 24000 / 1001,
        "name": "fly – hoch",
    }
    assert waypoints[1] == {
        "position": [1.0, -0.5, 0.125],
        "wxyz": [0.8, 0.0, 0.6, 0.0],
        "fov_deg": 45.0,
        "time": 1 / 3,
        "easing": "ease in",
        "roll_deg": 12.5,
    }
    assert waypoints[0]["handle_out"] == [0.25, 0.0, 0.5]


def test_a_path_comes_back_from_json_as_it_was():
    assert camera_path_from_json(camera_path_to_json(PATH)) == (PATH, ())
    assert camera_path_to_json(PATH.closed()) == camera_path_to_json(
        camera_path_from_json(camera_path_to_json(PATH.closed()))[0]
    )


def test_poses_come_back_within_a_hundred_thousandth():
    generator = torch.Generator().manual_seed(0)
    turns = torch.nn.functional.normalize(torch.randn(40, 4, generator=generator).double(), dim=-1).tolist()
    places = torch.randn(40, 3, generator=generator).double().tolist()
    path = CameraPath(
        tuple(
            Waypoint(tuple(place), tuple(turn), time=index / 39)
            for index, (place, turn) in enumerate(zip(places, turns, strict=True))
        )
    )
    again, notes = camera_path_from_json(camera_path_to_json(path))
    moments = torch.linspace(0, 1, 81)
    assert notes == ()
    assert_close(evaluate_path(again, moments).c2w, evaluate_path(path, moments).c2w, atol=1e-5, rtol=0)


def test_a_file_holds_the_same(tmp_path):
    write_camera_path(tmp_path / "path.json", PATH)
    assert read_camera_path(tmp_path / "path.json") == (PATH, ())
    assert [entry.name for entry in tmp_path.iterdir()] == ["path.json"]


def test_positions_alone_are_enough_and_times_then_follow_distances():
    places = [[0, 0, 0], [1, 0, 0], [1, 3, 0]]
    path, notes = camera_path_from_json(text(waypoints=[{"position": place} for place in places]))
    assert [entry.time for entry in path.waypoints] == [0.0, 0.25, 1.0]
    assert path.waypoints[0] == Waypoint((0.0, 0.0, 0.0))
    assert "times follow the distances" in notes[0]


def test_a_quaternion_of_another_length_is_repaired_and_that_is_said():
    path, notes = camera_path_from_json(waypoint(wxyz=[0, 0, 2, 0]))
    assert path.waypoints[1].wxyz == (0.0, 0.0, 1.0, 0.0)
    assert notes == ("waypoints: wxyz of waypoint 2 had length 2 and was divided by it.",)


def test_what_is_not_known_is_named():
    _, notes = camera_path_from_json(waypoint(colour="red")[:-1] + ', "author": "me"}')
    assert notes == (
        "waypoints: colour of waypoint 2 is not known here.",
        "waypoints: author is not known here.",
    )


@pytest.mark.parametrize("version", [2, "1", None, 1.5, True])
def test_another_version_is_refused_and_left_as_it_is(version):
    with pytest.raises(
        PathError, match=r"waypoints: the camera path has version .*, expected 1. It was left"
    ):
        camera_path_from_json(text(version=version))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "waypoints: the text is empty"),
        ("left, then right", "waypoints: is not JSON"),
        ("[]", r"waypoints: holds \[\], expected a camera path"),
        ("[" * 100_000, "nested too deeply"),
        ('{"version": 1, "waypoints": ' + '{"a":' * 100_000, "nested too deeply"),
        ('{"extrinsic": [], "intrinsic": []}', "go into Load Camera Trajectory"),
        (text(waypoints=[]), r"waypoints is \[\]"),
        (text(waypoints={"0": 1}), "expected a list of them"),
        (text(waypoints=[{"position": [0, 0, 0]}] * 10_001), "holds 10001 waypoints, expected at most 10000"),
        (text(waypoints=[5]), "waypoint 1 is 5"),
        (text(waypoints=[{"wxyz": [1, 0, 0, 0]}]), '"position"'),
        (text(closed="yes"), "closed is 'yes', expected true or false"),
        (text(width=10.5), "width is 10.5, expected whole pixels"),
        (text(scale="big"), "scale is 'big', expected a number"),
        (text(interpolation=3), "interpolation is 3, expected a word"),
        (text(interpolation="nurbs"), "waypoints: path: interpolation is 'nurbs'"),
        (text(look_at=[1, 2]), r"look_at is \[1, 2\], expected 3 numbers"),
        (waypoint(position=[0, 0]), r"position of waypoint 2 is \[0, 0\], expected 3 numbers"),
        (waypoint(position=None), "position of waypoint 2 is None"),
        (waypoint(position=[0, math.nan, 0]), "waypoint 2: position"),
        (waypoint(position=[0, 10**400, 0]), "waypoint 2: position"),
        (waypoint(wxyz=[0, 0, 0, 0]), "wxyz of waypoint 2 .* of length 0, expected 1: it is no rotation"),
        (waypoint(wxyz=[1, 0, 0]), "wxyz of waypoint 2 .* expected 4 numbers"),
        (waypoint(fov_deg=math.inf), "waypoint 2: fov_deg is inf"),
        (waypoint(fov_deg=True), "fov_deg of waypoint 2 is True, expected a number"),
        (waypoint(time=-1), "waypoint 2: time is -1 after 0; expected times that grow"),
        (waypoint(easing="bouncy"), "waypoint 2: easing is 'bouncy'"),
    ],
)
def test_text_that_is_no_path_is_refused_by_field(given: str, message: str):
    with pytest.raises(PathError, match=message):
        camera_path_from_json(given)


def test_a_huge_text_is_refused_before_it_is_parsed():
    with pytest.raises(PathError, match="17 million characters, expected at most 16"):
        camera_path_from_json("[" + " " * 17 * 2**20)
