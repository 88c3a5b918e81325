"""Graphs that the importers' tests read, and the runs of them."""

from __future__ import annotations

import json
from typing import Any

import nir
import numpy as np

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.network import Network
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import RunOptions

INPUT, OUTPUT = nir.Input({"input": np.array([3])}), nir.Output({"output": np.array([2])})


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
