"""The golden selections that the browser is held to are what Python selects."""

from __future__ import annotations

import json

import pytest

from tests.data.make_selection_golden import CASES, FILE, cloud, select

GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_golden_selection(case):
    assert case["parts"] == CASES[case["name"]]
    assert select(case["parts"]) == case["selected"]
    assert 20 < len(case["selected"]) < 200, "a case that selects nothing or everything proves nothing"


def test_the_golden_cloud_is_the_one_selected_from():
    assert GOLDEN["xyz"] == [[round(value, 3) for value in row] for row in cloud().xyz.tolist()]
    assert [case["name"] for case in GOLDEN["cases"]] == list(CASES)
