"""Six clips on a loop: colours drift with planted faults, less with latent reuse, hardly with the anchor."""

from __future__ import annotations

import pytest

from benchmarks.colour_drift import CLIPS, SETTINGS, Drift, measure


@pytest.fixture(scope="module")
def drifts() -> dict[str, Drift]:
    return {name: measure(*setting) for name, setting in SETTINGS.items()}


def test_without_help_each_trip_through_the_vae_adds_to_the_error(drifts):
    errors = drifts["nothing"].errors
    assert len(errors) == CLIPS
    assert errors[0] < errors[1] < errors[2] < errors[3]
    assert drifts["nothing"].revisited > 6


def test_reused_latents_save_the_trips_through_the_vae(drifts):
    # What is left is the input picture's one encoding and the model's own tint.
    assert drifts["latent reuse"].revisited < 0.4 * drifts["nothing"].revisited
    # The first clip has nothing to reuse.
    assert drifts["latent reuse"].errors[0] == pytest.approx(drifts["nothing"].errors[0], abs=0.01)


@pytest.mark.parametrize("name", ["colour anchor", "both"])
def test_anchored_colours_stay_those_of_the_memory(drifts, name):
    assert max(drifts[name].errors) < 0.6
    assert drifts[name].revisited < 0.4
