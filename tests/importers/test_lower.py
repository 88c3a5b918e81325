"""From NIR graphs to networks: shapes, sums, loops and clamped decays."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.errors import DeployError
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.network import Network
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.ir.synapses import Linear
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


STEPS, BATCH = 40, 3
EULER = "nir,dt=1e-3"


def network_of(nodes: dict[str, Any], edges: list[tuple[str, str]], dialect: str | None = EULER) -> Network:
    return read_network(nir.NIRGraph(nodes, edges, type_check=False), dialect)[0]


def played(network: Network, **inputs: np.ndarray) -> Recording:
    return Reference().run(network, inputs, RunOptions(record=("spikes", "v", "u")))


def currents(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(0.3, 1.0, (STEPS, BATCH, *shape)).astype(np.float32)


def ports(n_in: int | tuple[int, ...], n_out: int | tuple[int, ...]) -> dict[str, Any]:
    return {
        "input": nir.Input({"input": np.atleast_1d(n_in)}),
        "output": nir.Output({"output": np.atleast_1d(n_out)}),
    }


def metadata(**rules: Any) -> dict[str, str]:
    return {"neurodeploy": json.dumps({"rules": rules})}


def euler(n: int = 2, **metadata: Any) -> nir.LIF:
    """dt / tau is 0.2, r is 5: v = 0.8 v + x."""
    ones = np.ones(n)
    return nir.LIF(tau=5e-3 * ones, r=5 * ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones, **metadata)


def test_two_populations_in_a_loop_take_a_step_on_the_way_back(rng: np.random.Generator) -> None:
    w, back = rng.normal(0, 1, (2, 2)), rng.normal(0, 1, (2, 2))
    nodes = {**ports(2, 2), "a": euler(), "w": nir.Linear(w), "b": euler(), "back": nir.Linear(back)}
    edges = [*chain_edges("input", "a", "w", "b", "output"), *chain_edges("b", "back", "a")]
    network = network_of(nodes, edges)
    assert {(p.source, p.target): p.delay for p in network.projections}["b", "a"] == 1
    x = currents(rng, 2)
    got = played(network, input=x)
    va, vb, sb = (np.zeros((BATCH, 2)) for _ in range(3))
    for t in range(STEPS):
        va = 0.8 * va + x[t] + sb @ back.T
        sa = va > 1
        va[sa] = 0
        vb = 0.8 * vb + sa @ w.T
        sb = vb > 1
        vb[sb] = 0
        np.testing.assert_array_equal(got.spikes("a")[t], sa)
        np.testing.assert_array_equal(got.spikes("b")[t], sb)


def test_a_bare_linear_output_is_graded(rng: np.random.Generator) -> None:
    w = rng.normal(0, 1, (3, 2))
    nodes = {**ports(2, 3), "a": euler(), "w": nir.Linear(w)}
    got = played(network_of(nodes, chain_edges("input", "a", "w", "output")), input=currents(rng, 2))
    np.testing.assert_allclose(got.nodes["w"]["value"], got.spikes("a") @ w.T, rtol=1e-5, atol=1e-6)


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


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), [(1, 0, 1, 1), (2, 1, 2, 2), (1, "same", 1, 1)])
def test_a_conv1d_slides_over_the_last_axis(
    rng: np.random.Generator, stride: int, padding: Any, dilation: int, groups: int
) -> None:
    weight, bias = rng.normal(0, 1, (4, 2 // groups, 3)), rng.normal(0, 1, 4)
    nodes = {**ports((2, 9), (4, 1)), "conv": nir.Conv1d(9, weight, stride, padding, dilation, groups, bias)}
    nodes |= {"beside": nir.I(r=np.ones((2, 9))), "other": nir.Output({"output": np.array([2, 9])})}
    x = currents(rng, 2, 9)
    edges = [*chain_edges("input", "conv", "output"), *chain_edges("input", "beside", "other")]
    got = played(network_of(nodes, edges), input=x).nodes["conv"]["value"]
    pad = 1 if padding == "same" else padding
    padded = np.pad(x, ((0, 0), (0, 0), (0, 0), (pad, pad)))
    for o in range(4):
        channels = range(2) if groups == 1 else [o // 2]
        for k, start in enumerate(range(0, padded.shape[-1] - dilation * 2, stride)):
            expected = bias[o] + sum(
                weight[o, j, i] * padded[:, :, c, start + dilation * i]
                for j, c in enumerate(channels)
                for i in range(3)
            )
            np.testing.assert_allclose(got[:, :, o, k], expected, rtol=1e-4, atol=1e-5)


def test_nodes_of_inner_graphs_have_dotted_names(rng: np.random.Generator) -> None:
    w = rng.normal(0, 1, (2, 2))
    inner = nir.NIRGraph(
        {**ports(2, 2), "lif": euler(), "w_rec": nir.Linear(w)},
        [*chain_edges("input", "lif", "output"), *chain_edges("lif", "w_rec", "lif")],
        type_check=False,
    )
    nodes = {**ports(2, 2), "fc": nir.Linear(np.eye(2)), "rec": inner}
    network = network_of(nodes, chain_edges("input", "fc", "rec", "output"))
    assert [p.name for p in network.populations] == ["rec.lif"]
    assert {(p.source, p.target): p.delay for p in network.projections} == {
        ("input", "rec.lif"): 0, ("rec.lif", "rec.lif"): 1,
    }  # fmt: skip


def residual_block(rng: np.random.Generator) -> Any:
    edges = [*chain_edges("input", "w", "lif", "output"), ("input", "output")]
    return nir.NIRGraph(
        {**ports(2, 2), "w": nir.Linear(rng.normal(0, 1, (2, 2))), "lif": euler()}, edges, type_check=False
    )


def test_an_inner_input_may_meet_the_inner_output(rng: np.random.Generator) -> None:
    nodes = {**ports(2, 2), "block": residual_block(rng), "w2": nir.Linear(np.eye(2)), "out": euler()}
    network = network_of(nodes, chain_edges("input", "block", "w2", "out", "output"))
    assert {(p.source, p.target) for p in network.projections} == {
        ("input", "block.lif"), ("input", "out"), ("block.lif", "out"),
    }  # fmt: skip


def two_inputs(first: str, second: str) -> Any:
    """An inner graph with an Input in front of each of two weights."""
    weights = {"wa": nir.Linear(np.full((2, 2), 0.5)), "wb": nir.Linear(np.full((2, 2), -0.5))}
    inputs = {name: nir.Input({"input": np.array([2])}) for name in (first, second)}
    edges = [(first, "wa"), (second, "wb"), ("wa", "lif"), ("wb", "lif"), ("lif", "output")]
    outputs = {"output": nir.Output({"output": np.array([2])})}
    return nir.NIRGraph({**inputs, **weights, "lif": euler(), **outputs}, edges, type_check=False)


@pytest.mark.parametrize(
    ("inner", "edges"),
    [(("a", "b"), [("a", "block"), ("b", "block")]), (("x", "y"), [("a", "block.x"), ("b", "block.y")])],
)
def test_inputs_of_an_inner_graph_are_wired_by_their_names(
    inner: tuple[str, str], edges: list[tuple[str, str]]
) -> None:
    inputs = {name: nir.Input({"input": np.array([2])}) for name in ("a", "b")}
    nodes = {**inputs, "block": two_inputs(*inner), "output": OUTPUT}
    network = network_of(nodes, [*edges, ("block", "output")])
    weights = {p.source: float(p.ops[0].weight[0, 0]) for p in network.projections}  # type: ignore[union-attr]
    assert weights == {"a": 0.5, "b": -0.5}


def test_inputs_of_an_inner_graph_that_no_name_tells_apart_are_refused() -> None:
    inputs = {name: nir.Input({"input": np.array([2])}) for name in ("a", "b")}
    nodes = {**inputs, "block": two_inputs("in1", "in2"), "output": OUTPUT}
    with pytest.raises(DeployError, match=r"the graph 'block' has 2 Input nodes \(block.in1, block.in2\)"):
        network_of(nodes, [("a", "block"), ("b", "block"), ("block", "output")])


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


def pair(first: str, second: str, *entries: str) -> Network:
    """Two populations that feed each other; ``entries`` are those that the input feeds."""
    nodes = {**ports(2, 2), first: euler(), second: euler()}
    edges = [*[("input", name) for name in entries], (first, second), (second, first), (second, "output")]
    return network_of(nodes, edges)


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
def test_the_edge_back_to_where_a_loop_is_entered_takes_the_step(first: str, second: str) -> None:
    delays = {(p.source, p.target): p.delay for p in pair(first, second, first).projections}
    assert (delays[first, second], delays[second, first]) == (0, 1)


def test_a_loop_that_is_entered_at_two_places_is_asked_about() -> None:
    with pytest.raises(DeployError, match="the file does not say which edge takes a step") as caught:
        pair("a", "b", "a", "b")
    assert "edge:a->b=delayed" in caught.value.fix
    assert "edge:b->a=delayed" in caught.value.fix


@pytest.mark.parametrize(("edge", "delays"), [("a->b", (1, 0)), ("b->a", (0, 1))])
def test_an_edge_that_is_said_to_be_delayed_takes_the_step(edge: str, delays: tuple[int, int]) -> None:
    nodes = {**ports(2, 2), "a": euler(), "b": euler()}
    edges = [("input", "a"), ("input", "b"), ("a", "b"), ("b", "a"), ("b", "output")]
    network = network_of(nodes, edges, f"nir,dt=1e-3,edge:{edge}=delayed")
    found = {(p.source, p.target): p.delay for p in network.projections}
    assert (found["a", "b"], found["b", "a"]) == delays


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("edge:b->b=delayed", "no path leads from 'b' to 'b'"),
        ("edge:a->x=delayed", "no neuron 'x'"),
        ("edge:a=delayed", "does not name an edge"),
    ],
)
def test_an_edge_that_is_not_there_is_refused(said: str, message: str) -> None:
    nodes = {**ports(2, 2), "a": euler(), "b": euler()}
    with pytest.raises(DeployError, match=message):
        network_of(nodes, chain_edges("input", "a", "b", "output"), f"nir,dt=1e-3,{said}")


def test_spyxs_recurrent_layers_are_rewired_in_its_dialect_alone() -> None:
    """spyx writes the input of a recurrent layer to its weights, and means its neurons."""
    lif = nir.LIF(tau=np.array([2.0, 4.0]), r=np.array([0.5, 0.75]), v_leak=np.zeros(2), v_threshold=np.ones(2))
    inner = {**ports(2, 2), "w_rec": nir.Linear(np.full((2, 2), 0.5)), "lif": lif}
    edges = [*chain_edges("input", "w_rec", "lif", "output"), ("lif", "w_rec")]
    nodes = {**ports(2, 2), "rec": nir.NIRGraph(inner, edges, type_check=False)}
    graph = nir.NIRGraph(nodes, chain_edges("input", "rec", "output"), type_check=False)
    for dialect, n_ops in (("spyx,rest=default", 0), ("nir,dt=1", 1)):
        network = read_network(graph, dialect)[0]
        assert {p.source: len(p.ops) for p in network.projections} == {"input": n_ops, "rec.lif": 1}


def spyx_image(padding: int = 0) -> Any:
    """A pool, a Flatten and dense weights, as spyx's exporter writes them: in the order (row, column, channel)."""
    tau = np.array([2.0, 4.0])
    nodes = {
        **ports((3, 4, 4), 2),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([padding, padding])),
        "flat": nir.Flatten({"input": np.array([3, 2, 2])}, 0, -1),
        "fc": nir.Linear(np.arange(24.0).reshape(2, 12)),
        "lif": nir.LIF(tau=tau, r=1 - 1 / tau, v_leak=np.zeros(2), v_threshold=np.ones(2), v_reset=np.zeros(2)),
    }
    return nir.NIRGraph(nodes, chain_edges("input", "pool", "flat", "fc", "lif", "output"), type_check=False)


@pytest.mark.parametrize(("dialect", "second"), [("spyx,rest=default", 3.0), ("nir,dt=1", 1.0)])
def test_spyxs_dense_weights_behind_an_image_are_brought_to_the_order_of_channels(dialect: str, second: float) -> None:
    (projection,) = read_network(spyx_image(), dialect)[0].projections
    weight = projection.ops[-1].weight  # type: ignore[union-attr]
    assert weight[0, 1] == second
    assert sorted(weight[0]) == list(range(12))


def test_spyxs_uneven_pools_are_refused() -> None:
    with pytest.raises(DeployError, match="spyx pads this pool unevenly"):
        read_network(spyx_image(padding=1), "spyx,rest=default")


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


def test_the_reference_refuses_inputs_of_the_wrong_shape(fc_model: Path, rng: np.random.Generator) -> None:
    network, _, _ = read_network(fc_model)
    with pytest.raises(
        DeployError, match=r"input 'input' has shape \(5, 2, 11\), but the model takes \[T, B, \*\[12\]\]"
    ):
        Reference().run(network, {"input": spikes(rng, 5, 2, 11)}, RunOptions())


@pytest.mark.parametrize("shape", [[2, 2, 1], [4, 1, 1], [5], [], "4", [2.0, 2.0], [float("inf")], [-2, -2]])
def test_a_matrix_gives_the_shape_that_its_metadata_says(shape: Any) -> None:
    fc = nir.Linear(np.eye(4), metadata={"neurodeploy": json.dumps({"shape": shape})})
    nodes = {
        "input": nir.Input({"input": np.array([4])}),
        "fc": fc,
        "lif": lif(tuple(shape) if prod_is(shape) else (4,)),
    }
    nodes["output"] = nir.Output({"output": np.array([4])})
    text = json.dumps({"dialect": "snntorch", "dt": DT, "rules": ZERO})
    graph = nir.NIRGraph(nodes, chain_edges(*nodes), metadata={"neurodeploy": text}, type_check=False)
    if prod_is(shape):
        assert read_network(graph)[0].population("lif").shape == tuple(shape)
    else:
        with pytest.raises(DeployError, match=r"Linear cannot be read|metadata key 'neurodeploy' is not of the form"):
            read_network(graph)


def prod_is(shape: Any) -> bool:
    return shape in ([2, 2, 1], [4, 1, 1])


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
