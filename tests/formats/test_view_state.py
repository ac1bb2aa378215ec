"""What the world viewer keeps, as text: round trip, defaults, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.formats.view_state import ViewState, view_state_from_json, view_state_to_json
from worldstereo_core.geometry.camera_path import Waypoint
from worldstereo_core.geometry.selection import EVERYTHING, BoxPart, PaintedPart, ViewPoint, WorldSelection

VIEW = ViewPoint((1.0, 2.0, 3.0), (0.0, 1.0, 0.0, 0.0), 70.0, 1.5)
STATE = ViewState(
    camera=Waypoint((0.5, 0.0, -1.0), (0.0, 0.0, 1.0, 0.0), 45.0),
    selection=WorldSelection(
        (
            BoxPart((0.0, 1.0, 2.0), (1.0, 2.0, 3.0), clips=(0, 2)),
            PaintedPart(VIEW, ((0.25, 0.5), (0.75, 0.5)), radius=0.05, reach=EVERYTHING, mode="subtract"),
            PaintedPart(VIEW, ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)), mode="intersect"),
        )
    ),
    recorded=(Waypoint((0.0, 0.0, 0.0)), Waypoint((0.0, 0.0, 1.0), fov_deg=30.0)),
)


def test_a_state_comes_back():
    assert view_state_from_json(view_state_to_json(STATE)) == STATE


def test_an_empty_text_and_a_bare_version_are_a_new_viewer():
    assert view_state_from_json(" \n") == view_state_from_json('{"version": 1}') == ViewState()


def test_what_only_the_viewer_knows_is_let_through():
    assert view_state_from_json('{"version": 1, "colour": "clip", "hidden_clips": [1]}') == ViewState()


def test_the_text_is_as_documented():
    content = json.loads(view_state_to_json(STATE))
    assert list(content) == ["version", "camera", "selection", "recorded"]
    assert content["camera"] == {"position": [0.5, 0, -1], "wxyz": [0, 0, 1, 0], "fov_deg": 45}
    assert [part["kind"] for part in content["selection"]] == ["box", "brush", "outline"]
    assert content["selection"][1]["view"] == {
        "position": [1, 2, 3],
        "wxyz": [0, 1, 0, 0],
        "fov_deg": 70,
        "aspect": 1.5,
    }


BOX = {"kind": "box", "centre": [0, 0, 0], "size": [1, 1, 1]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[1]", "holds [1], expected what the world viewer keeps"),
        (str({"version": 1}), "is an object written out by Python"),
        ({"version": 2, "selection": "?"}, "has version 2, expected 1. It was left as it is"),
        ({}, "has version None, expected 1"),
        ({"version": True}, "has version True, expected 1"),
        ({"selection": 5}, "selection is 5, expected a list of at most 1000"),
        ({"selection": [BOX] * 1001}, "selection is 1001 entries"),
        ({"selection": [BOX, 7]}, "part 2 of selection is 7, expected an object"),
        ({"selection": [{**BOX, "kind": "ball"}]}, "kind of part 1 of selection is 'ball'"),
        (
            {"selection": [{**BOX, "size": [1, 1]}]},
            "size of part 1 of selection is [1, 1], expected 3 numbers",
        ),
        (
            {"selection": [{**BOX, "size": [1, 0, 1]}]},
            "part 1: size is [1.0, 0.0, 1.0], expected three lengths",
        ),
        ({"selection": [{**BOX, "centre": [0, 0, "x"]}]}, "centre of part 1 of selection is 'x'"),
        ({"selection": [{**BOX, "wxyz": [0, 0, 0, 0]}]}, "of length 0, expected 1: it is no rotation"),
        ({"selection": [{**BOX, "clips": ["a"]}]}, "clips of part 1 of selection is 'a'"),
        (
            {"selection": [{"kind": "brush", "radius": 0.1, "points": [[0, 0]]}]},
            "view of part 1 of selection",
        ),
        ({"selection": [{"kind": "outline", "view": {}}]}, "position of part 1 of selection is None"),
        ({"camera": 3}, "camera is 3, expected a camera"),
        ({"camera": {"position": [0, 0, 0], "fov_deg": 180}}, "camera has position [0.0, 0.0, 0.0] and fov"),
        ({"recorded": [{"position": [0, 0, 0]}, {"position": [float("nan"), 0, 0]}]}, "recorded view 2 has"),
    ],
)
def test_what_is_no_state_is_refused_by_name(content: Any, said: str):
    text = content if isinstance(content, str) else json.dumps({"version": 1, **content})
    text = "{}" if content == {} else text
    with pytest.raises(WorldStereoError) as error:
        view_state_from_json(text)
    assert said in str(error.value)
