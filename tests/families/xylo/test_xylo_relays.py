from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from neurodeploy.errors import DeployError
from neurodeploy.families.xylo import definition
from neurodeploy.families.xylo.layout import lay_out
from neurodeploy.families.xylo.population import XyloPopulation
from neurodeploy.families.xylo.quantise import quantise
from neurodeploy.families.xylo.relays import relay_population, relay_projections, relay_unit
from neurodeploy.families.xylo.synapses import place
from neurodeploy.ir.codes import CodedProjection
from tests.families.xylo.chips import CHIPS
from tests.families.xylo.networks import data, reference, skipping

COUNTS = st.lists(st.integers(0, 15), min_size=1, max_size=12)


@settings(deadline=None, max_examples=80)
@given(counts=COUNTS, shift_in=st.integers(0, 7), shift_rec=st.integers(0, 7))
def test_relays_of_an_input_and_of_a_relay_send_every_count_on_a_step_later(
    counts: list[int], shift_in: int, shift_rec: int
) -> None:
    assume(shift_rec - shift_in <= 5)
    shifts = {"in": shift_in, "rec": shift_rec, "out": 0}
    first = relay_population("a", 1, 0, relay_unit(shifts, True))
    second = relay_population("b", 1, 1, relay_unit(shifts, False))
    links = (*relay_projections("x", "a", 1, shifts, True), *relay_projections("a", "b", 1, shifts, False))
    layout = lay_out({"x": (1,)}, (first, second), links)
    inputs = {"x": np.array(counts).reshape(-1, 1, 1)}
    run = definition.run(layout.codes, layout.counts(inputs))
    for name in ("a", "b"):
        np.testing.assert_array_equal(layout.rows(run, name)["spikes"], inputs["x"])
    assert run.spikes[1:, 0, 1].tolist() == counts


@settings(deadline=None, max_examples=40)
@given(counts=st.lists(st.integers(0, 31), min_size=1, max_size=12), shift=st.integers(0, 7))
def test_relay_of_a_hidden_neuron_sends_up_to_31_spikes_on(counts: list[int], shift: int) -> None:
    """An input counts 15 at most, so that three of them bring the 31 spikes of the first."""
    channels = np.array([[min(n, 15), min(max(n - 15, 0), 15), max(n - 30, 0)] for n in counts])
    shifts = {"in": shift, "rec": shift, "out": 0}
    first, second = (relay_population(name, 1, k, shift) for k, name in enumerate(("a", "b")))
    _, own = relay_projections("x", "a", 1, shifts, True)
    three = CodedProjection("x", "a", np.array([[2, 2, 2]], np.int16), shift, 8, "mixed", 1)
    layout = lay_out({"x": (3,)}, (first, second), (three, own, *relay_projections("a", "b", 1, shifts, False)))
    run = definition.run(layout.codes, layout.counts({"x": channels[:, np.newaxis]}))
    assert layout.rows(run, "b")["spikes"].ravel().tolist() == counts


def test_shifts_that_lie_too_far_apart_are_refused() -> None:
    with pytest.raises(DeployError, match="weights of one size"):
        relay_projections("x", "a", 1, {"in": 0, "rec": 6, "out": 0}, True)


def test_skip_connections_wait_in_relays_that_targets_share() -> None:
    network = skipping(4)
    placed = place(network)
    assert placed.latency == {"input": 0, "layer0": 0, "layer1": 1, "layer2": 2, "layer3": 3}
    assert {(p.source, p.waits) for parts in placed.into.values() for p in parts if p.waits} == {
        ("input", 2),
        ("layer0", 2),
    }
    found = quantise(network, CHIPS["xylo-audio3"])
    relays = {p.name: p.latency for p in found.populations if p.helps}
    assert relays == {
        "input relay 1": 0, "input relay 2": 1, "layer0 relay 1": 1, "layer0 relay 2": 2,
    }  # fmt: skip


def test_network_with_skips_fires_as_often_as_the_float_model() -> None:
    network = skipping(4)
    inputs = data(network, n_samples=30)
    wanted = reference(network, inputs)
    found = quantise(network, CHIPS["xylo-audio3"], wanted)
    run = definition.run(found.layout.codes, found.layout.counts(inputs))
    for name in ("layer0", "layer2", "layer3"):
        counts = found.layout.rows(run, name)["spikes"].sum(axis=0, dtype=np.int64)
        expected = wanted.sent[name].sum(axis=0, dtype=np.int64)
        assert expected.mean() > 1
        assert np.abs(counts - expected).mean() < 0.05 * expected.mean()


def test_relays_are_populations_of_the_chip() -> None:
    relay = relay_population("a", 3, 0, 2)
    assert isinstance(relay, XyloPopulation)
    assert relay.faults() == []
