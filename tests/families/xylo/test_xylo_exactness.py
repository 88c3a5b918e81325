from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from neurodeploy.errors import LackingError
from neurodeploy.families.xylo.approximate import approximate
from neurodeploy.families.xylo.exactness import READS_OF_POPULATION, READS_OF_RULE, check_exact, spikes_beyond
from neurodeploy.families.xylo.quantise import quantise
from neurodeploy.ir.network import Network, Population
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.synapses import Flatten, MaxPool2d
from tests.families.xylo.chips import CHIPS
from tests.families.xylo.networks import RULE, chain, data, reference


def changed(rule: dict[str, Any] | None = None, **values: Any) -> Network:
    """A network of two layers whose first one is not as Xylo has it."""
    network = chain((6, 8, 4))
    first, last = network.populations
    first = replace(first, rule=replace(first.rule, **(rule or {})), **values)
    return replace(network, populations=(first, last))


ADAPTING = {"adapt_decay": 0.9}
LACKS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "is reset to a value": ({"reset": "value"}, {}),
    "is not reset": ({"reset": "none"}, {}),
    "is reset in the next step, after the decay": ({"reset_delay": True}, {}),
    "loses its currents": ({"reset_currents": True}, {}),
    "rests after a spike": ({}, {"refractory": 2}),
    "adapts": ({}, ADAPTING),
    "sends its spikes a step late": ({"output_delay": 1}, {}),
    "rounds its spikes": ({"rounds": True}, {}),
    "has no synaptic current": ({}, {"decay_syn": None}),
    "has a synaptic current that keeps all": ({}, {"decay_syn": 1.0}),
    "has no leak": ({}, {"decay_mem": 1.0}),
    "has two synaptic currents": ({}, {"decay_second": 0.5, "gain_second": -1.0}),
    "has a lower bound of v": ({}, {"v_min": -1.0}),
    "starts with a potential": ({}, {"v_init": 0.5}),
}
"""What has a nearest, by what the refusal says."""

HOPELESS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sends negative spikes": ({"signed": True}, {}),
    "has decays outside 0 to 1": ({}, {"decay_mem": 1.5}),
    "has a threshold that is not above its reset": ({}, {"threshold": 0.0}),
    "sends its potential": ({"fires": False}, {}),
}


@pytest.mark.parametrize("order", ["decay-add", "add-decay", "add-use-decay", "use-decay-add"])
@pytest.mark.parametrize("spike", [">", ">="])
def test_every_order_of_a_current_is_taken(order: str, spike: str) -> None:
    check_exact(changed({"order": order, "spike": spike}))


def test_late_subtraction_before_the_decay_is_one_in_its_own_step() -> None:
    check_exact(changed({"reset_delay": True, "reset_before_decay": True}))


@pytest.mark.parametrize("what", [*LACKS, *HOPELESS])
def test_what_the_neuron_lacks_is_refused_with_the_nearest(what: str) -> None:
    with pytest.raises(LackingError, match=rf"'layer0' {what}.*\(nearest: \w"):
        check_exact(changed(*(LACKS | HOPELESS)[what][:1], **(LACKS | HOPELESS)[what][1]))


def test_all_reasons_of_all_populations_are_said_at_once() -> None:
    network = changed({"reset": "value"}, decay_syn=None, decay_mem=1.0)
    first, last = network.populations
    network = replace(network, populations=(first, replace(last, v_min=-2.0, refractory=1)))
    with pytest.raises(LackingError) as caught:
        check_exact(network)
    for said in ("is reset to a value", "no synaptic current", "no leak", "lower bound of v", "rests after a spike"):
        assert said in caught.value.what
    assert caught.value.where == "node 'layer0', node 'layer1'"


@pytest.mark.parametrize("what", LACKS)
def test_approximation_takes_the_nearest_and_says_so(what: str) -> None:
    network = changed(*LACKS[what][:1], **LACKS[what][1])
    nearest, changes = approximate(network)
    check_exact(nearest)
    assert list(changes) == ["layer0"]
    assert [said.split(":")[0] for said in changes["layer0"] if said.startswith(what)]
    assert nearest.populations[1] is network.populations[1]
    quantise(nearest, CHIPS["xylo-audio3"])


@pytest.mark.parametrize("what", HOPELESS)
def test_what_has_no_nearest_is_not_approximated(what: str) -> None:
    with pytest.raises(LackingError, match=what):
        approximate(changed(*HOPELESS[what][:1], **HOPELESS[what][1]))


def test_maximum_pool_is_refused() -> None:
    network = chain((16, 4))
    pool = MaxPool2d((2, 2), (2, 2), (0, 0))
    projection = replace(network.projections[0], ops=(pool, Flatten(0, -1)))
    network = replace(network, inputs={"input": (1, 4, 4)}, projections=(projection,))
    with pytest.raises(LackingError, match="receives the largest of its inputs"):
        check_exact(network)


def test_reset_to_a_value_is_shifted_to_zero() -> None:
    nearest, _ = approximate(changed({"reset": "value"}, v_reset=-0.5, threshold=1.0, bias=0.1, decay_mem=0.75))
    population = nearest.populations[0]
    np.testing.assert_array_equal(population.threshold, np.float32(1.5))
    np.testing.assert_allclose(population.bias, 0.1 + 0.25 * 0.5)
    assert not population.v_reset.any()


@pytest.mark.parametrize("order", ["decay-add", "add-decay"])
def test_missing_current_becomes_one_that_brings_as_much(order: str) -> None:
    network = changed({"order": order}, decay_syn=None if order == "decay-add" else 0.0)
    population = approximate(network)[0].populations[0]
    assert population.decay_syn is not None
    keep, x = float(population.decay_syn[0]), float(population.gain_syn[0])
    first = x if population.rule.order != "add-decay" else x * keep
    assert (keep, first / (1 - keep)) == (0.5, 1.0)


def test_network_without_currents_and_leaks_fires_nearly_as_often_once_it_is_approximated() -> None:
    network = changed({"reset": "value", "max_spikes": 1}, decay_syn=None, decay_mem=1.0)
    inputs = data(network, n_samples=20)
    wanted = reference(network, inputs).sent["layer0"].sum(axis=0, dtype=np.int64)
    got = reference(approximate(network)[0], inputs).sent["layer0"].sum(axis=0, dtype=np.int64)
    assert wanted.mean() > 2
    assert np.abs(got - wanted).mean() < 0.3 * wanted.mean()


@pytest.mark.parametrize(
    ("most", "role", "said"),
    [
        (31, "hidden", ""),
        (1, "output", ""),
        (1, "hidden", "sends at most 1 in a step, and the chip's hidden neuron 31"),
        (None, "output", "sends any number of spikes in a step, and the chip's output neuron 1"),
    ],
)
def test_counts_that_differ_from_the_chips_are_said(most: int | None, role: str, said: str) -> None:
    population = Population("p", (1,), replace(RULE, max_spikes=most), np.float32(0.5), np.float32(1))
    assert spikes_beyond(population, role) == said


def test_all_fields_of_rules_and_populations_are_read() -> None:
    assert set(READS_OF_RULE) == {field.name for field in fields(NeuronRule)}
    assert set(READS_OF_POPULATION) == {field.name for field in fields(Population)}
