"""Neurons in discrete time: decays, gains, resets and extensions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.errors import DeployError
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.run_options import RunOptions
from tests.conftest import DT, ZERO, chain_edges, save_nir
from tests.importers.graphs import BATCH, EULER, OUTPUT, STEPS, currents, euler, metadata, network_of, played, ports


def test_decays_beyond_zero_and_one_are_clamped_as_the_framework_clamps_them(tmp_path: Path) -> None:
    tau = np.array([-0.5, np.inf, DT, DT / 2])
    ones = np.ones(4)
    nodes = {
        "input": nir.Input({"input": np.array([4])}),
        "lif": nir.LIF(tau=tau, r=tau / DT, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones),
        "output": nir.Output({"output": np.array([4])}),
    }
    network, _, _ = read_network(save_nir(tmp_path / "m.nir", nodes, chain_edges("input", "lif", "output"), ZERO))
    np.testing.assert_array_equal(network.population("lif").decay_mem, [1, 1, 0, 0])
    np.testing.assert_array_equal(network.population("lif").gain_mem, ones)


def test_nir_is_forward_euler(tmp_path: Path) -> None:
    tau, r, leak, dt = 0.02, 2.0, 0.3, 1e-3
    ones = np.ones(2)
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "lif": nir.LIF(tau=tau * ones, r=r * ones, v_leak=leak * ones, v_threshold=ones, v_reset=0.1 * ones),
        "output": OUTPUT,
    }
    network, _, _ = read_network(
        save_nir(tmp_path / "m.nir", nodes, chain_edges("input", "lif", "output"), None), "nir,dt=1e-3"
    )
    x = np.full((300, 1, 2), 0.6, np.float32)
    recording = Reference().run(network, {"input": x}, RunOptions(record=("spikes", "v")))
    v, spiked = 0.0, []
    for t in range(300):
        v += dt / tau * (leak - v + r * 0.6)
        spiked.append(v > 1)
        v = 0.1 if spiked[-1] else v
        assert recording.nodes["lif"]["v"][t, 0, 0] == pytest.approx(v, rel=1e-4)
    np.testing.assert_array_equal(recording.spikes("lif")[:, 0, 0], spiked)


def test_integrators_give_their_potential(rng: np.random.Generator) -> None:
    ones, x = np.ones(2), currents(rng, 2)
    nodes = {
        **ports(2, 2),
        "i": nir.I(r=30 * ones),
        "li": nir.LI(tau=5e-3 * ones, r=2 * ones, v_leak=0.3 * ones),
        "cuba": nir.CubaLI(tau_syn=4e-3 * ones, tau_mem=5e-3 * ones, r=2 * ones, v_leak=0 * ones, w_in=3 * ones),
    }
    edges = [(a, b) for b in ("i", "li", "cuba") for a in ("input",)] + [(a, "output") for a in ("i", "li", "cuba")]
    got = played(network_of(nodes, edges), input=x)
    i, li, current, cuba = (np.zeros((BATCH, 2)) for _ in range(4))
    for t in range(STEPS):
        i = i + 30 * 1e-3 * x[t]
        li = li + 0.2 * (0.3 - li + 2 * x[t])
        current = current + 0.25 * (-current + 3 * x[t])
        cuba = cuba + 0.2 * (-cuba + 2 * current)
        for name, expected in (("i", i), ("li", li), ("cuba", cuba)):
            np.testing.assert_allclose(got.nodes[name]["value"][t], expected, rtol=1e-4, atol=1e-5)


def test_a_threshold_fires_above_it_and_keeps_nothing(rng: np.random.Generator) -> None:
    x = currents(rng, 2)
    x[0, 0] = 0.5
    nodes = {**ports(2, 2), "z": nir.Threshold(np.array([0.5, 0.8]))}
    got = played(network_of(nodes, chain_edges("input", "z", "output")), input=x)
    np.testing.assert_array_equal(got.spikes("z"), x > np.array([0.5, 0.8], np.float32))


def test_an_adaptive_threshold_rises_with_each_spike(rng: np.random.Generator) -> None:
    nodes = {**ports(2, 2), "a": euler(metadata=metadata(adapt_decay=0.9, adapt_gain=4.0))}
    x = currents(rng, 2)
    got = played(network_of(nodes, chain_edges("input", "a", "output")), input=x)
    v, b = np.zeros((BATCH, 2)), np.zeros((BATCH, 2))
    for t in range(STEPS):
        v = 0.8 * v + x[t]
        spiked = v > 1 + 4 * b
        v[spiked] = 0
        b = 0.9 * b + 0.1 * spiked
        np.testing.assert_array_equal(got.spikes("a")[t], spiked)


def test_a_refractory_neuron_is_held_at_its_reset(rng: np.random.Generator) -> None:
    node = euler(metadata=metadata(refractory=3))
    node.v_reset = np.full(2, 0.2)
    x = currents(rng, 2)
    got = played(network_of({**ports(2, 2), "a": node}, chain_edges("input", "a", "output")), input=x)
    v, hold = np.zeros((BATCH, 2)), np.zeros((BATCH, 2), int)
    for t in range(STEPS):
        v = np.where(hold > 0, 0.2, 0.8 * v + x[t])
        spiked = v > 1
        v[spiked] = 0.2
        hold = np.where(spiked, 3, np.maximum(hold - 1, 0))
        np.testing.assert_array_equal(got.spikes("a")[t], spiked)
    assert got.spikes("a").any()


def test_two_currents_add_up_and_a_reset_clears_both(rng: np.random.Generator) -> None:
    rules = metadata(decay_second=[0.5, 0.7], gain_second=-1.0, reset="zero", reset_currents=True)
    ones, x = np.ones(2), currents(rng, 2)
    rates = {"tau_mem": 1e-3 * ones, "tau_syn": 1e-2 * ones, "w_in": 10 * ones, "r": ones, "v_leak": 0 * ones}
    nodes = {**ports(2, 2), "a": nir.CubaLIF(**rates, v_threshold=0.6 * ones, metadata=rules)}
    got = played(network_of(nodes, chain_edges("input", "a", "output")), input=x)
    i, e = np.zeros((2, BATCH, 2))
    for t in range(STEPS):
        i, e = 0.9 * i + x[t], np.array([0.5, 0.7]) * e - x[t]
        spiked = i + e > 0.6
        i[spiked] = e[spiked] = 0
        np.testing.assert_array_equal(got.spikes("a")[t], spiked)
    assert got.spikes("a").any()


def test_a_threshold_may_decay_before_its_test(rng: np.random.Generator) -> None:
    rules = metadata(adapt_order="decay-test-add", adapt_decay=0.9, adapt_rate=0.1, adapt_gain=[0.5, 1.5])
    x = currents(rng, 2)
    got = played(network_of({**ports(2, 2), "a": euler(metadata=rules)}, chain_edges("input", "a", "output")), input=x)
    v, b = np.zeros((BATCH, 2)), np.ones((BATCH, 2))
    for t in range(STEPS):
        v, b = 0.8 * v + x[t], b + 0.1 * (1 - b)
        spiked = v > b
        v[spiked] = 0
        b = b + spiked * np.array([0.5, 1.5])
        np.testing.assert_array_equal(got.spikes("a")[t], spiked)


@pytest.mark.parametrize(
    "rules",
    [
        {"adapt_decay": 0.9, "adapt_gain": 4.0},
        {"adapt_decay": 0.9, "adapt_rate": 0.4, "adapt_gain": 0.5},
        {"adapt_decay": 0.9, "adapt_rate": 0.1, "adapt_gain": 0.5, "adapt_order": "decay-test-add"},
        {"adapt_decay": 0.9, "adapt_gain": 0.5, "adapts": "v"},
    ],
)
def test_every_adaptation_has_one_form(rules: dict[str, Any], rng: np.random.Generator) -> None:
    x = currents(rng, 2)
    nodes = {**ports(2, 2), "a": euler(metadata=metadata(**rules))}
    network = network_of(nodes, chain_edges("input", "a", "output"))
    got, population = played(network, input=x), network.population("a")
    assert population.adaptation is not None
    keep, rise = population.adaptation
    v, a = np.zeros((BATCH, 2)), np.zeros((BATCH, 2))
    for t in range(STEPS):
        lowers = population.rule.adapts == "v"
        v = 0.8 * v + x[t] - a * lowers
        spiked = v > 1 + a * (not lowers)
        v[spiked] = 0
        a = keep * a + rise * spiked
        np.testing.assert_array_equal(got.spikes("a")[t], spiked)
    assert spiked.any() or got.spikes("a").any()


def test_counts_may_be_rounded_and_have_both_signs(rng: np.random.Generator) -> None:
    rules = metadata(reset="subtract", rounds=True, signed=True, max_spikes=3)
    x = 2 * currents(rng, 2) - 1
    got = played(network_of({**ports(2, 2), "a": euler(metadata=rules)}, chain_edges("input", "a", "output")), input=x)
    v = np.zeros((BATCH, 2))
    for t in range(STEPS):
        v = 0.8 * v + x[t]
        n = np.clip(np.rint(v), -3, 3)
        v = v - n
        np.testing.assert_array_equal(got.spikes("a")[t], n)
    assert (got.spikes("a") < 0).any()


def test_settings_of_each_neuron_must_fit_their_number(tmp_path: Path) -> None:
    nodes = {**ports(2, 2), "a": euler(metadata=metadata(v_init=[0.1, 0.2, 0.3]))}
    with pytest.raises(DeployError, match=r"has v_init of shape \(3,\), but the neurons have shape \(2,\)"):
        network_of(nodes, chain_edges("input", "a", "output"))


def test_extensions_come_back_from_a_file(tmp_path: Path) -> None:
    node = euler(metadata=metadata(adapt_decay=0.9, adapt_gain=4.0, refractory=3))
    nodes = {**ports(2, 2), "a": node}
    model = save_nir(tmp_path / "m.nir", nodes, chain_edges("input", "a", "output"), None)
    population = read_network(model, EULER)[0].population("a")
    assert population.refractory == 3
    np.testing.assert_array_equal(population.adapt_decay, np.full(2, 0.9, np.float32))


@pytest.mark.parametrize(("kind", "decay_mem"), [("LIF", 0.75), ("IF", 1.0)])
def test_a_dialects_current_comes_before_the_membrane(tmp_path: Path, kind: str, decay_mem: float) -> None:
    ones = np.ones(2)
    neuron = (
        nir.LIF(tau=4e-3 * ones, r=ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones)
        if kind == "LIF"
        else nir.IF(r=ones, v_threshold=ones, v_reset=0 * ones)
    )
    nodes = {"input": nir.Input({"input": np.array([2])}), "n": neuron, "output": OUTPUT}
    path = save_nir(tmp_path / "m.nir", nodes, chain_edges(*nodes), None)
    found = read_network(path, "nir,dt=1e-3,tau_syn=2e-3")[0].population("n")
    assert found.decay_syn is not None
    np.testing.assert_allclose(found.decay_syn, [0.5, 0.5])
    np.testing.assert_allclose(found.decay_mem, [decay_mem, decay_mem])


def test_a_current_starts_where_its_dialect_says_and_a_threshold_fires_above_it_in_any(tmp_path: Path) -> None:
    ones = np.ones(2)
    lif_node = nir.LIF(tau=4e-3 * ones, r=ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones)
    nodes = {"input": nir.Input({"input": np.array([2])}), "n": lif_node, "t": nir.Threshold(ones), "output": OUTPUT}
    path = save_nir(tmp_path / "m.nir", nodes, chain_edges(*nodes), None)
    network = read_network(path, "nir,dt=1e-3,tau_syn=2e-3,i_init=0.5,spike=>=")[0]
    np.testing.assert_array_equal(network.population("n").i_init, [0.5, 0.5])
    assert network.population("n").rule.spike == ">="
    assert network.population("t").rule.spike == ">"
