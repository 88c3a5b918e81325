"""Graphs as the frameworks' exporters write them, and files that say something of themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir
import numpy as np

from neurodeploy.importers.nir_graph import NirGraph, graph_from_nir, read_graph
from tests.conftest import chain_edges, lif

N = 3


ONES, ZEROS = np.ones(N), np.zeros(N)


DT = 1e-4


STEPS = ((1, 1e-3), (2, 2e-3))


def neuron(dialect: str) -> Any:
    """A node with the parameters that a framework's exporter writes."""
    match dialect:
        case "snntorch":
            steps = np.array([5.0, 10, 20])
            return nir.LIF(tau=DT * steps, r=steps, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)
        case "norse":
            return nir.LIF(tau=1e-5 * ONES, r=ONES, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)
        case "sinabs":
            return nir.LIF(tau=np.array([10.0, 20, 30]), r=ONES, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)
        case "rockpool":
            tau, dt = np.array([0.01, 0.02, 0.03]), 1e-3
            return nir.LIF(tau=tau, r=tau / dt * np.exp(-dt / tau), v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)
        case "spikingjelly":
            return nir.LIF(tau=2 * DT * ONES, r=2 * ONES, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)
    tau = np.array([2.0, 5.0, 10.0])
    return nir.LIF(tau=tau, r=1 - 1 / tau, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)


def graph_in_memory(dialect: str, entry: str = "input", fc: str = "0", lif: str = "1") -> nir.NIRGraph:
    return in_memory(neuron(dialect), entry, fc, lif)


def graph_of(node: Any, entry: str = "input", fc: str = "fc", lif: str = "lif") -> NirGraph:
    return graph_from_nir(in_memory(node, entry, fc, lif))


def in_memory(node: Any, entry: str, fc: str, lif: str) -> nir.NIRGraph:
    nodes = {
        entry: nir.Input({"input": np.array([N])}),
        fc: nir.Linear(np.eye(N)),
        lif: node,
        "output": nir.Output({"output": np.array([N])}),
    }
    return nir.NIRGraph(nodes, chain_edges(entry, fc, lif, "output"), type_check=False)


def exported(dialect: str) -> NirGraph:
    """The graph of a neuron, named as the framework's exporter names nodes."""
    names = ("input_1", "_0", "_1") if dialect == "spikingjelly" else ("input", "0", "1")
    return graph_of(neuron(dialect), *names)


def said_by(tmp_path: Path, said: dict[str, Any]) -> NirGraph:
    """Return two neurons in a row whose file says something of itself."""
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "lif1": lif((3,)),
        "fc": nir.Linear(np.eye(3)),
        "lif2": lif((3,)),
        "output": nir.Output({"output": np.array([3])}),
    }
    rules = {"reset": "zero", "reset_delay": False, "dt": 1e-4, **said.pop("rules", {})}
    metadata = {"neurodeploy": json.dumps({"dialect": "nir", "dt": 1e-4, "rules": rules, **said})}
    nir.write(tmp_path / "m.nir", nir.NIRGraph(nodes, chain_edges(*nodes), metadata=metadata, type_check=False))
    return read_graph(tmp_path / "m.nir")
