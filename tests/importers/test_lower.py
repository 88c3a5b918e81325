"""From NIR graphs to networks: shapes, sums, loops and clamped decays."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest

from neurodeploy.backends.base import RunOptions
from neurodeploy.backends.reference.backend import Reference
from neurodeploy.errors import DeployError
from neurodeploy.importers.lower import read_network
from neurodeploy.synapses import Linear
from tests.conftest import DT, SAME_STEP, ZERO, chain_edges, lif, save_nir, spikes

INPUT, OUTPUT = nir.Input({"input": np.array([3])}), nir.Output({"output": np.array([2])})


def test_chains_become_projections_and_loops_take_a_step(recurrent_model: Path) -> None:
    network, _, _ = read_network(recurrent_model)
    assert [(p.source, p.target, p.delay) for p in network.projections] == [
        ("input", "lif1", 0), ("lif1", "lif1", 1), ("input", "lif2", 0), ("lif1", "lif2", 0),
    ]  # fmt: skip


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


def broken(kind: str) -> tuple[dict[str, object], list[tuple[str, str]]]:
    nodes: dict[str, object] = {"input": INPUT, "fc": nir.Linear(np.ones((2, 3))), "lif": lif((2,)), "output": OUTPUT}
    edges = chain_edges("input", "fc", "lif", "output")
    match kind:
        case "shape":
            nodes["fc"] = nir.Linear(np.ones((2, 4)))
        case "neurons":
            nodes["lif"] = lif((5,))
        case "loop":
            nodes["lif2"] = lif((2,))
            edges += [("lif", "lif2"), ("lif2", "lif")]
        case "linear loop":
            nodes["w"] = nir.Linear(np.ones((2, 2)))
            edges += [("w", "w"), ("w", "lif")]
        case "output":
            edges = [*chain_edges("input", "fc", "lif"), ("fc", "output")]
        case "no output":
            edges = chain_edges("input", "fc", "lif")
        case "unreached":
            nodes["lost"] = lif((2,))
    return nodes, edges


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("shape", "on the way from 'input' to 'lif', Linear takes 4 inputs on the last axis, got shape"),
        ("neurons", r"LIF has r of shape \(5,\), its inputs give \(2,\)"),
        ("loop", "neurons form a loop"),
        ("linear loop", "linear nodes form a loop"),
        ("output", "output 'output' reads 'fc', a Linear"),
        ("no output", "no neuron reaches an Output node"),
        ("unreached", "nothing reaches neuron 'lost'"),
    ],
)
def test_a_graph_that_does_not_fit_together_is_refused(tmp_path: Path, kind: str, message: str) -> None:
    model = save_nir(tmp_path / "m.nir", *broken(kind), SAME_STEP)
    with pytest.raises(DeployError, match=message):
        read_network(model)


def test_the_reference_refuses_inputs_of_the_wrong_shape(fc_model: Path, rng: np.random.Generator) -> None:
    network, _, _ = read_network(fc_model)
    with pytest.raises(DeployError, match=r"input 'input' has shape \(5, 2, 11\), the model takes \[T, B, \*\[12\]\]"):
        Reference().run(network, {"input": spikes(rng, 5, 2, 11)}, RunOptions())
