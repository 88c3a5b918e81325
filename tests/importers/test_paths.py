"""Paths between populations: sums, biases, delays, shapes and their limits."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.errors import DeployError
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.ir.synapses import Linear
from tests.conftest import DT, ZERO, chain_edges, lif, save_nir
from tests.importers.graphs import BATCH, INPUT, OUTPUT, STEPS, currents, euler, network_of, played, ports


def test_edges_that_meet_before_a_linear_node_bring_its_bias_once(tmp_path: Path) -> None:
    nodes = {
        "a": nir.Input({"input": np.array([3])}),
        "b": nir.Input({"input": np.array([3])}),
        "fc": nir.Affine(np.ones((2, 3)), np.ones(2)),
        "lif": lif((2,)),
        "output": OUTPUT,
    }
    edges = [("a", "fc"), ("b", "fc"), *chain_edges("fc", "lif", "output")]
    network, _, _ = read_network(save_nir(tmp_path / "m.nir", nodes, edges, ZERO))
    biases = [op.bias for p in network.projections for op in p.ops if isinstance(op, Linear)]
    assert sum(bias is not None for bias in biases) == 1
    x = np.ones((1, 1, 3), np.uint8)
    recording = Reference().run(network, {"a": x, "b": x}, RunOptions(record=("v",)))
    np.testing.assert_array_equal(recording.nodes["lif"]["v"], np.full((1, 1, 2), 7.0))


def test_scalar_parameters_take_the_shape_that_arrives(tmp_path: Path, rng: np.random.Generator) -> None:
    one = np.ones((1,))
    nodes = {
        "input": INPUT,
        "fc": nir.Linear(np.ones((2, 3))),
        "lif": nir.LIF(tau=one * DT * 10, r=one * 10, v_leak=0 * one, v_threshold=one, v_reset=0 * one),
        "output": OUTPUT,
    }
    network, _, _ = read_network(save_nir(tmp_path / "m.nir", nodes, chain_edges("input", "fc", "lif", "output"), ZERO))
    assert network.population("lif").shape == (2,)


def test_single_values_of_a_recurrent_population_take_the_shape_that_arrives(tmp_path: Path) -> None:
    one = np.ones(1)
    nodes = {
        "input": INPUT,
        "fc": nir.Linear(np.ones((2, 3))),
        "lif": nir.LIF(tau=one * DT * 10, r=one * 10, v_leak=0 * one, v_threshold=one, v_reset=0 * one),
        "w_rec": nir.Linear(np.ones((2, 2))),
        "output": OUTPUT,
    }
    edges = [*chain_edges("input", "fc", "lif", "output"), *chain_edges("lif", "w_rec", "lif")]
    network, _, _ = read_network(save_nir(tmp_path / "m.nir", nodes, edges, ZERO))
    assert network.population("lif").shape == (2,)


def scales(n_rows: int, n_abreast: int) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Rows of Scale nodes, each joined to all of the next row."""
    rows = [["input"], *([f"s{i:03}_{j}" for j in range(n_abreast)] for i in range(n_rows)), ["lif"]]
    nodes = {name: nir.Scale(np.ones(2)) for row in rows[1:-1] for name in row}
    nodes |= {"input": nir.Input({"input": np.array([2])}), "lif": lif((2,)), "output": OUTPUT}
    return nodes, [(a, b) for row, after in pairwise(rows) for a in row for b in after] + [("lif", "output")]


@pytest.mark.parametrize(
    ("n_rows", "n_abreast", "message"),
    [(300, 1, "more than 200 linear nodes follow each other"), (60, 2, "all paths into the node needs")],
)
def test_ways_beyond_counting_are_refused(tmp_path: Path, n_rows: int, n_abreast: int, message: str) -> None:
    model = save_nir(tmp_path / "m.nir", *scales(n_rows, n_abreast), ZERO)
    with pytest.raises(DeployError, match=message):
        read_network(model)


@pytest.mark.parametrize("delay", [3e-3, np.array([0.0, 2e-3])])
def test_delays_are_steps_of_dt_for_all_or_for_each_element(rng: np.random.Generator, delay: Any) -> None:
    nodes = {**ports(2, 2), "delay": nir.Delay(np.broadcast_to(delay, 2).copy()), "a": euler()}
    x = currents(rng, 2)
    got = played(network_of(nodes, chain_edges("input", "delay", "a", "output")), input=x)
    steps = np.rint(np.broadcast_to(delay, 2) / 1e-3).astype(int)
    v = np.zeros((BATCH, 2))
    for t in range(STEPS):
        late = np.stack([x[t - d, :, i] if t >= d else np.zeros(BATCH) for i, d in enumerate(steps)], axis=-1)
        v = 0.8 * v + late
        spiked = v > 1
        v[spiked] = 0
        np.testing.assert_array_equal(got.spikes("a")[t], spiked)


def test_a_delay_that_is_no_multiple_of_dt_is_refused() -> None:
    nodes = {**ports(2, 2), "delay": nir.Delay(np.full(2, 1.5e-3)), "a": euler()}
    with pytest.raises(DeployError, match=r"delays are 1.5 to 1.5 steps"):
        network_of(nodes, chain_edges("input", "delay", "a", "output"))
