"""Small float networks that Xylo computes but for rounding, and what they send."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.families.xylo.activity import Activity, activity
from neurodeploy.families.xylo.decays import kept
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.ir.synapses import Linear

RULE = NeuronRule(spike=">=", reset="subtract", max_spikes=31, order="add-decay")


def population(name: str, n: int, keep_syn: float, keep_mem: float, most: int = 31, **given: Any) -> Population:
    rule = replace(RULE, max_spikes=most)
    return Population(name, (n,), rule, np.float32(keep_mem), np.float32(1.0), np.float32(keep_syn), **given)


def chain(
    sizes: tuple[int, ...],
    dash_syn: int = 2,
    dash_mem: int = 4,
    keep_syn: float | None = None,
    keep_mem: float | None = None,
    seed: int = 0,
) -> Network:
    """Return layers one after the other; the last one is the output."""
    rng = np.random.default_rng(seed)
    keeps = (kept(dash_syn) if keep_syn is None else keep_syn, kept(dash_mem) if keep_mem is None else keep_mem)
    names = ["input", *(f"layer{k}" for k in range(len(sizes) - 1))]
    layers, projections = [], []
    for k, (n_in, n_out) in enumerate(pairwise(sizes)):
        last = k == len(sizes) - 2
        layers.append(population(names[k + 1], n_out, *keeps, most=1 if last else 31))
        weight = rng.normal(0.04, 0.15, (n_out, n_in)) / np.sqrt(n_in / 6)
        projections.append(Projection(names[k], names[k + 1], (Linear(weight),)))
    return Network({"input": (sizes[0],)}, tuple(layers), tuple(projections), (names[-1],), 1e-3, "test")


def data(network: Network, n_steps: int = 50, n_samples: int = 10, rate: float = 0.4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {
        name: (rng.random((n_steps, n_samples, *shape)) < rate).astype(np.uint8)
        for name, shape in network.inputs.items()
    }


def reference(network: Network, inputs: dict[str, np.ndarray]) -> Activity:
    nodes = Reference().run(network, inputs, RunOptions()).nodes
    return activity(inputs, {name: found["spikes"] for name, found in nodes.items() if "spikes" in found})
