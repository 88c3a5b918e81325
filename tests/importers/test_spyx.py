"""Graphs that spyx writes are read as it means them."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest

from neurodeploy.errors import DeployError
from neurodeploy.importers.lower import read_network
from tests.conftest import chain_edges
from tests.importers.graphs import ports


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
