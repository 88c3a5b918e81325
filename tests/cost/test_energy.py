"""Energy is a closed formula of counts, in a band over published profiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.compiler import compile
from neurodeploy.cost.energy import EventCounts, count_events, estimate_energy, profile_energy
from neurodeploy.families.target_file import load_target
from neurodeploy.ir.run_options import RunOptions
from tests.conftest import spikes


def test_counts_are_those_of_the_spikes(fc_model: Path, rng: np.random.Generator) -> None:
    program = compile(fc_model, "loihi1")
    x = spikes(rng, 20, 4, 12)
    recording = Emulator().run(program, {"input": x}, RunOptions())
    events = count_events(program, recording, {"input": x.sum() / 4})
    hidden = recording.spikes("lif1").sum() / 4
    # The last hardware step of the input and the last row of lif1 lie beyond the rows of what they feed.
    assert events.synops_dense == pytest.approx((9 * x.sum() / 4 + 4 * (recording.spikes("lif1")).sum() / 4), rel=1e-9)
    assert events.synops < events.synops_dense
    assert events.spikes == pytest.approx(hidden + recording.spikes("lif2").sum() / 4)
    assert events.active + events.inactive == 20 * 13
    assert events.messages == pytest.approx(x.sum() / 4 + hidden)


def test_a_profile_charges_each_event_once() -> None:
    davies, sanafe = load_target("loihi1").energy.profiles
    events = EventCounts(synops=1000, active=10, inactive=20, spikes=5, messages=7)
    assert profile_energy(davies, events) == pytest.approx((23.6 * 1000 + 81 * 10 + 52 * 20 + 1.7 * 7) * 1e-12)
    expected = (35.5 * 1000 + 51.2 * 30 + 21.6 * 10 + 69.3 * 5 + 111 * 7) * 1e-12
    assert profile_energy(sanafe, events) == pytest.approx(expected)


def test_loihi1_has_a_band_over_its_two_profiles_with_sources() -> None:
    energy = estimate_energy(load_target("loihi1"), EventCounts(1000, 10, 20, 5, 7))
    assert energy["statement"] is None
    assert energy["figures_of"] == "loihi1"
    assert [profile["name"] for profile in energy["profiles"]] == ["davies2018", "sanafe"]
    assert all(profile["source"] for profile in energy["profiles"])
    assert energy["low_j"] == energy["profiles"][0]["energy_j"]
    assert energy["high_j"] == pytest.approx(1.12 * energy["profiles"][1]["energy_j"])


def test_loihi2_has_no_figure_of_its_own_and_says_so() -> None:
    energy = estimate_energy(load_target("loihi2"), EventCounts(1000, 10, 20, 5, 7))
    assert "No per-operation energy of Loihi 2 has been published" in energy["statement"]
    assert energy["figures_of"] == "loihi1"
