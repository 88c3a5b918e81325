"""Which exporter a graph may be of, and which time constants are taken for those that norse writes too small."""

from __future__ import annotations

import nir
import numpy as np
import pytest

from neurodeploy.importers.detect import detect, norse_scale
from neurodeploy.importers.nir_graph import graph_from_nir
from tests.conftest import chain_edges


@pytest.mark.parametrize(("tau", "scale"), [(0.99e-3, 1e3), (1.01e-3, 1.0), (2e-4, 1e3), (5e-3, 1.0)])
def test_time_constants_below_a_millisecond_are_norses_times_a_thousand(tau: float, scale: float) -> None:
    ones = np.ones(2)
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "lif": nir.LIF(tau=tau * ones, r=ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones),
        "output": nir.Output({"output": np.array([2])}),
    }
    graph = graph_from_nir(nir.NIRGraph(nodes, chain_edges(*nodes), type_check=False))
    assert norse_scale(graph.nodes["lif"]) == scale


@pytest.mark.parametrize("kinds", [("IF",), ("LI", "Threshold"), ("IF", "LI")])
def test_spyxs_neurons_without_a_leak_that_tells_may_be_spyxs(kinds: tuple[str, ...]) -> None:
    """PSU_LIF is an LI and a Threshold; an LI alone, spyx does not write."""
    ones = np.ones(2)
    of_kind = {"IF": nir.IF(ones, ones), "LI": nir.LI(2 * ones, ones, 0 * ones), "Threshold": nir.Threshold(ones)}
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        **{kind: of_kind[kind] for kind in kinds},
        "output": nir.Output({"output": np.array([2])}),
    }
    found = {c.name: c for c in detect(graph_from_nir(nir.NIRGraph(nodes, chain_edges(*nodes), type_check=False)))}
    assert ("spyx" in found) is (kinds != ("IF", "LI"))
    assert "spyx" not in found or not found["spyx"].is_certain


def test_decays_beyond_0_to_1_that_training_leaves_are_spyxs_but_not_certainly() -> None:
    beta = np.array([1.1, -0.1, 0.5])
    node = nir.LIF(tau=1 / (1 - beta), r=beta, v_leak=np.zeros(3), v_threshold=np.ones(3), v_reset=np.zeros(3))
    ports = {"input": nir.Input({"input": np.array([3])}), "output": nir.Output({"output": np.array([3])})}
    graph = nir.NIRGraph({**ports, "lif": node}, chain_edges("input", "lif", "output"), type_check=False)
    assert [(c.name, c.is_certain) for c in detect(graph_from_nir(graph))] == [("spyx", False)]
