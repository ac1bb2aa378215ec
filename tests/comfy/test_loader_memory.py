"""Loading holds files mapped: what has to fit into memory is a small part of what they hold."""

from __future__ import annotations

import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/<pid>/smaps_rollup")
PART = 0.1  # of the files' size; the plain way takes more than all of it


@pytest.fixture
def share(run_in_comfy, tmp_path):
    def measure(way: str, base: str, variant: str) -> float:
        found = run_in_comfy(
            "memory_checks.py", "loading", folder=str(tmp_path), way=way, base=base, variant=variant
        )
        assert found["size"] > 150 * 2**20
        return found["peak"] / found["size"]

    return measure


@pytest.mark.parametrize(
    ("base", "variant"), [("fp8", "camera"), ("scaled", "camera"), ("bf16", "camera"), ("", "memory-dmd")]
)
def test_loading_copies_next_to_nothing(share, base, variant):
    assert share("ours", base, variant) < PART


def test_saving_a_merged_model_copies_next_to_nothing(share):
    assert share("save merged", "bf16", "camera") < PART


@pytest.mark.parametrize("comfyui", ["current"], indirect=True)
def test_the_plain_way_would_be_noticed(share):
    assert share("plain", "fp8", "camera") > 1
