"""Which time constants are taken for those that norse's exporter writes too small."""

from __future__ import annotations

import nir
import numpy as np
import pytest

from neurodeploy.importers.detect import norse_scale
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
