"""Inner graphs are opened, and their ports wired through."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest

from neurodeploy.errors import DeployError
from tests.conftest import chain_edges
from tests.importers.graphs import OUTPUT, euler, network_of, ports


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
