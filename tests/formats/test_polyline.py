"""Lines as text, in the forms that people and other nodes write."""

from __future__ import annotations

import pytest

from worldstereo_core.checks import PathError
from worldstereo_core.formats.polyline import polyline_from_text


@pytest.mark.parametrize(
    "text",
    [
        "120,300 200.5,280",
        "30%,60% 50.125% 56%",
        "120 300\n200.5 280\n",
        "(120, 300); (200.5, 280)",
        "[[120, 300], [200.5, 280]]",
        '[{"x": 120, "y": 300}, {"x": 200.5, "y": 280, "label": "b"}]',
    ],
)
def test_the_same_line_in_every_form(text: str):
    assert polyline_from_text(text, (500, 400)).tolist() == [[120, 300], [200.5, 280]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  ", "line: the text is empty"),
        ("from here to there", "line: got 'from here to there'"),
        ("1%,2% 3,4", "line: 2 of 4 numbers are in percent, expected all or none"),
        ("1,2 3", "line: got 3 numbers, expected an even count"),
        ("[[1, 2], [3]]", r"line: point 2 is \[3\]"),
        ('[{"x": 1}]', "line: point 1 is"),
        ("[[1, true]]", "line: point 1 is"),
        ('{"x": 1, "y": 2}', "line: holds one object"),
        ("[[1, 2]", "line: is not JSON"),
        ("[" * 100_000, "line: is not JSON"),
        ("[[1, 1e999]]", "line: point 1 is not finite"),
        ("[[1, NaN]]", "line: point 1 is not finite"),
        (f"[[1, 1{'0' * 400}]]", "line: point 1 is not finite"),
        ("1,2 " * 100_001, "line: got 100001 points, expected at most 100000"),
        ("1" * 7_000_000, "line: the text is too long"),
    ],
)
def test_what_is_no_line_is_refused(text: str, message: str):
    with pytest.raises(PathError, match=message):
        polyline_from_text(text, (500, 400))
