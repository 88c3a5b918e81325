"""From NIR graphs to networks: chains, sums and outputs, and what does not fit together."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.errors import DeployError
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.run_options import RunOptions
from tests.conftest import SAME_STEP, chain_edges, lif, save_nir, spikes
from tests.importers.graphs import BATCH, INPUT, OUTPUT, STEPS, currents, euler, network_of, played, ports


def test_chains_become_projections_and_loops_take_a_step(recurrent_model: Path) -> None:
    network, _, _ = read_network(recurrent_model)
    assert [(p.source, p.target, p.delay) for p in network.projections] == [
        ("input", "lif1", 0), ("lif1", "lif1", 1), ("input", "lif2", 0), ("lif1", "lif2", 0),
    ]  # fmt: skip


def broken(kind: str) -> tuple[dict[str, object], list[tuple[str, str]]]:
    nodes: dict[str, object] = {"input": INPUT, "fc": nir.Linear(np.ones((2, 3))), "lif": lif((2,)), "output": OUTPUT}
    edges = chain_edges("input", "fc", "lif", "output")
    match kind:
        case "shape":
            nodes["fc"] = nir.Linear(np.ones((2, 4)))
        case "neurons":
            nodes["lif"] = lif((5,))
        case "loop":
            nodes |= {"lif2": lif((4,)), "fc2": nir.Linear(np.ones((4, 2))), "back": nir.Linear(np.ones((3, 4)))}
            edges += chain_edges("lif", "fc2", "lif2", "back", "lif")
        case "linear loop":
            nodes["w"] = nir.Linear(np.ones((2, 2)))
            edges += [("w", "w"), ("w", "lif")]
        case "output":
            edges = [*chain_edges("input", "fc", "lif"), ("input", "output")]
        case "no output":
            edges = chain_edges("input", "fc", "lif")
        case "unreached":
            nodes["lost"] = lif((2,))
    return nodes, edges


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("shape", "between 'input' and 'lif', Linear takes 4 inputs on the last axis, got shape"),
        ("neurons", r"LIF has r of shape \(5,\), but its inputs have shape \(2,\)"),
        ("loop", r"shapes of the graph do not fit: lif2 -> lif gives shape \(3,\)"),
        ("linear loop", "linear nodes form a loop"),
        ("output", "output 'output' reads an input"),
        ("no output", "no edge leads to an Output node"),
        ("unreached", "no edge leads to neuron 'lost'"),
    ],
)
def test_a_graph_that_does_not_fit_together_is_refused(tmp_path: Path, kind: str, message: str) -> None:
    model = save_nir(tmp_path / "m.nir", *broken(kind), SAME_STEP)
    with pytest.raises(DeployError, match=message):
        read_network(model)


def test_a_bare_linear_output_is_graded(rng: np.random.Generator) -> None:
    w = rng.normal(0, 1, (3, 2))
    nodes = {**ports(2, 3), "a": euler(), "w": nir.Linear(w)}
    got = played(network_of(nodes, chain_edges("input", "a", "w", "output")), input=currents(rng, 2))
    np.testing.assert_allclose(got.nodes["w"]["value"], got.spikes("a") @ w.T, rtol=1e-5, atol=1e-6)


def test_populations_that_meet_in_an_output_are_summed(rng: np.random.Generator) -> None:
    nodes = {
        **ports(2, 2),
        "i": nir.I(r=30 * np.ones(2)),
        "li": nir.LI(tau=5e-3 * np.ones(2), r=np.ones(2), v_leak=np.zeros(2)),
    }
    network = network_of(nodes, [("input", "i"), ("input", "li"), ("i", "output"), ("li", "output")])
    assert network.outputs == ("output",)
    got = played(network, input=currents(rng, 2)).nodes
    np.testing.assert_allclose(got["output"]["value"], got["i"]["value"] + got["li"]["value"], rtol=1e-5)


def test_several_inputs_sum_and_several_outputs_are_read(rng: np.random.Generator) -> None:
    w = rng.normal(0, 1, (2, 3))
    nodes = {
        "left": nir.Input({"input": np.array([3])}), "right": nir.Input({"input": np.array([2])}),
        "w": nir.Linear(w), "a": euler(), "b": euler(),
        "out_a": nir.Output({"output": np.array([2])}), "out_b": nir.Output({"output": np.array([2])}),
    }  # fmt: skip
    edges = [*chain_edges("left", "w", "a", "b", "out_b"), ("right", "a"), ("a", "out_a")]
    network = network_of(nodes, edges)
    assert network.outputs == ("a", "b")
    left, right = currents(rng, 3), currents(rng, 2)
    got = played(network, left=left, right=right)
    v = np.zeros((BATCH, 2))
    for t in range(STEPS):
        v = 0.8 * v + left[t] @ w.T + right[t]
        spiked = v > 1
        v[spiked] = 0
        np.testing.assert_array_equal(got.spikes("a")[t], spiked)


def test_the_reference_refuses_inputs_of_the_wrong_shape(fc_model: Path, rng: np.random.Generator) -> None:
    network, _, _ = read_network(fc_model)
    with pytest.raises(
        DeployError, match=r"input 'input' has shape \(5, 2, 11\), but the model takes \[T, B, \*\[12\]\]"
    ):
        Reference().run(network, {"input": spikes(rng, 5, 2, 11)}, RunOptions())
