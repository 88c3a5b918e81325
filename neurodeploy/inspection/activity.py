"""Activity of each population on data: those that never fire, and neurons that fire in nearly every step."""

from __future__ import annotations

from math import prod

import numpy as np

from neurodeploy.backends.run import run
from neurodeploy.coding.inputs import check_inputs
from neurodeploy.importers.findings import Finding, finding
from neurodeploy.ir.network import Network
from neurodeploy.ir.run_options import Inputs, RunOptions

SATURATED = 0.95
"""Share of the steps in which a neuron fires from which on it says no more."""

BLOCK_CELLS = 2**27
"""Spikes that are recorded at once; samples are run in groups of so many."""


def activity(network: Network, inputs: Inputs) -> dict[str, dict[str, int | float]]:
    """Run the reference and count spikes.

    Args:
        network: the network.
        inputs: ``[T, B, *shape]`` for each input.

    Returns:
        For each firing population ``neurons``, ``spikes`` (of all samples), ``rate`` (per neuron and step), ``silent``
        (neurons that never fire) and ``saturated`` (neurons that fire in more than 95 % of the steps).

    Raises:
        DeployError: inputs do not fit.
        BackendError: torch is not installed.
    """
    n_steps, n_samples = check_inputs(network.inputs, inputs)
    names = tuple(p.name for p in network.populations if p.rule.fires)
    cells = n_steps * max(sum(prod(network.shapes[name]) for name in names), 1)
    group = max(1, BLOCK_CELLS // cells)
    fired = {name: np.zeros(network.shapes[name], np.int64) for name in names}
    spikes = dict.fromkeys(names, 0)
    for start in range(0, n_samples, group):
        part = {name: values[:, start : start + group] for name, values in inputs.items()}
        recording = run(network, part, options=RunOptions(nodes=names))
        for name in names:
            rows = recording.spikes(name)
            fired[name] += (rows != 0).sum(axis=(0, 1))
            spikes[name] += int(rows.sum(dtype=np.int64))
    n_rows = n_steps * n_samples
    return {
        name: {
            "neurons": counts.size,
            "spikes": spikes[name],
            "rate": spikes[name] / (n_rows * counts.size),
            "silent": int((counts == 0).sum()),
            "saturated": int((counts > SATURATED * n_rows).sum()),
        }
        for name, counts in fired.items()
    }


def input_findings(inputs: Inputs) -> list[Finding]:
    """Return the inputs that hold nothing but zeros, ``[T, B, *shape]`` each."""
    what = "the input is silent: it holds nothing but zeros, so that activity says nothing of the model"
    fix = "Give data like that which the network is to run on; check --encode and its scale."
    silent = [(name, values) for name, values in inputs.items() if not np.any(values)]
    return [finding("silent-input", name, what, f"{values.size} values of 0", fix) for name, values in silent]


def activity_findings(counts: dict[str, dict[str, int | float]]) -> list[Finding]:
    """Return the populations that never fire, and those with neurons that nearly always do."""
    found = []
    for name, of_node in counts.items():
        if not of_node["spikes"]:
            value = f"0 spikes of {of_node['neurons']} neurons"
            fix = "Check the dialect (dt, reset, gain), the scale of the input, and the thresholds."
            found.append(finding("dead", name, "no neuron of the population ever fires on this data", value, fix))
        if of_node["saturated"]:
            value = f"{of_node['saturated']} of {of_node['neurons']} neurons"
            what = f"neurons fire in more than {SATURATED:.0%} of the steps"
            fix = "Check the dialect (reset, gain), the scale of the input, and the thresholds."
            found.append(finding("saturated", name, what, value, fix))
    return found
