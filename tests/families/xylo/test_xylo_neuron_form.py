from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.families.xylo.neuron_form import NeuronForm, neuron_form
from neurodeploy.families.xylo.synapses import place
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.rule import ORDERS
from neurodeploy.ir.synapses import Linear
from tests.families.xylo.networks import RULE, data, reference


def network(order: str, **given: float) -> Network:
    rng = np.random.default_rng(1)
    weight = Linear(rng.normal(0.1, 0.2, (12, 5)))
    values = {"decay_mem": np.float32(0.9), "threshold": np.float32(1.1), "decay_syn": np.float32(0.8)}
    neurons = Population("p", (12,), replace(RULE, order=order), **values, **given)
    return Network({"input": (5,)}, (neurons,), (Projection("input", "p", (weight,)),), ("p",), 1e-3, "test")


def sent(form: NeuronForm, x: np.ndarray) -> np.ndarray:
    """The chip's step in float64, for currents [T, B, n]; 31 spikes in a step are not reached."""
    i, v, found = np.zeros(x.shape[1:]), np.zeros(x.shape[1:]), []
    for row in x:
        i = form.keep_syn * (i + form.gain * row)
        v = form.keep_mem * v + i + form.bias
        found.append(np.where(v >= form.threshold, np.floor(v / form.threshold), 0))
        v = v - found[-1] * form.threshold
    return np.array(found)


@pytest.mark.parametrize("order", ORDERS)
def test_form_sends_the_spikes_of_every_order(order: str) -> None:
    net = network(order, gain_mem=0.7, gain_syn=1.5, bias=0.02)
    inputs = data(net, n_samples=8)
    wanted = reference(net, inputs).sent["p"]
    (part,) = place(net).into["p"]
    assert part.after == (order == "use-decay-add")
    x = inputs["input"] @ part.weight.T
    if part.after:
        x = np.concatenate([np.zeros_like(x[:1]), x[:-1]])
    assert wanted.sum() > 100
    np.testing.assert_array_equal(sent(neuron_form(net.populations[0], np.zeros(12)), x), wanted)


@pytest.mark.parametrize("order", ORDERS)
def test_bias_of_synapses_settles_at_what_lasting_input_does(order: str) -> None:
    form = neuron_form(network(order).populations[0], np.full(12, 0.01))
    i = np.zeros(12)
    for _ in range(400):
        i = form.keep_syn * (i + form.gain * 0.01)
    np.testing.assert_allclose(form.bias, i)
    np.testing.assert_array_equal(form.bias, form.late_bias)


def test_integrator_has_no_threshold() -> None:
    neurons = network("add-decay").populations[0]
    form = neuron_form(replace(neurons, rule=replace(neurons.rule, fires=False)), np.zeros(12))
    assert np.isinf(form.threshold).all()
