"""The weights that can be trained, and the way from latent tensors to the codes of a program.

A weight is trained where every code of its projection is one weight times a factor: a projection of one weighted
operation, alone between its two populations, with no pool that would sum it. Other weights stay as they are, and so do
biases, relays and all registers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from neurodeploy.families.finetuning.weights import Floats, Weighted, flat_weights, with_weights
from neurodeploy.families.xylo.finetuning.latents import SIZE, Latents, LatentWeight, Use
from neurodeploy.families.xylo.finetuning.start import XyloStart
from neurodeploy.families.xylo.neuron_form import neuron_form
from neurodeploy.families.xylo.plan import as_given
from neurodeploy.families.xylo.synapses import DenseSynapses, dense_weight, place
from neurodeploy.ir.network import Network, Projection


def make_latents(start: XyloStart, device: str = "cpu") -> Latents:
    """Return what is trained, at its values in the network, whose operations have names."""
    network = start.nearest
    nodes: dict[str, Floats] = {}
    uses: dict[str, list[Use]] = {}
    fixed: set[str] = set()
    for index, (part, projections) in _parts(start, network).items():
        ops = [op for p in projections for op in p.ops if isinstance(op, Weighted)]
        use = None
        if len(projections) == len(ops) == 1 and ops[0].name:
            use = _use(start, network, part, projections[0], ops[0], index)
        if use is None:
            fixed.update(op.name or projections[0].name for op in ops)
            continue
        nodes[ops[0].name] = flat_weights(ops[0]).astype(np.float64)
        uses.setdefault(ops[0].name, []).append(use)
    weights = [_latent(name, nodes[name], tuple(found), device) for name, found in uses.items() if name not in fixed]
    return Latents(tuple(weights), tuple(sorted(fixed)))


def _parts(start: XyloStart, network: Network) -> dict[int, tuple[DenseSynapses, list[Projection]]]:
    """Return the dense synapses of each coded projection of the model's own, with what they are the sum of."""
    placed, program = place(network), start.program
    helpers = {p.name for p in program.populations if p.helps}
    index = sum(p.target in helpers for p in program.projections)
    found = {}
    for population in network.populations:
        for part in placed.into[population.name]:
            same = (part.source, part.target, part.waits)
            found[index] = part, [p for p, wait in placed.waits.items() if (p.source, p.target, wait) == same]
            index += 1
    return found


def _use(
    start: XyloStart, network: Network, part: DenseSynapses, projection: Projection, op: Weighted, place: int
) -> Use | None:
    """Return how weights become a coded projection, or None where codes are made of sums of weights.

    The matrix is made with three sets of weights in place of its own: ones, 1 to n, and random ones as a check.
    """
    size, coded = flat_weights(op).size, start.program.projections[place]
    rng = np.random.default_rng(0)
    probes = (np.ones(size), np.arange(1.0, size + 1.0), rng.uniform(0.5, 1.5, size).astype(np.float32).astype(float))
    ones, ranks, random = (_matrix(network, projection, op, values) for values in probes)
    if coded.weight.shape != ones.shape or coded.target != part.target:
        raise AssertionError(f"projection {place} of the program is {coded.name}, not that of {projection.name}")
    there = ones != 0
    index = np.rint(np.divide(ranks, ones, out=np.ones_like(ones), where=there)).astype(np.int64) - 1
    if ((index < 0) | (index >= size)).any() or not np.allclose(random, probes[2][index] * ones, rtol=1e-6, atol=0):
        return None
    gain = neuron_form(network.population(part.target), np.zeros(ones.shape[0])).gain
    units = as_given(start.plan, network).populations[part.target].units
    assert units is not None
    factor = ones * (gain * np.asarray(units))[:, np.newaxis] / 2.0**coded.exponent
    return Use(place, ones.shape, np.where(there, index, size).ravel(), factor.ravel())


def _matrix(network: Network, projection: Projection, op: Weighted, values: Floats) -> Floats:
    """Return a projection's dense matrix with other weights in one operation."""
    other = replace(op, weight=with_weights(op, values))
    return dense_weight(network, replace(projection, ops=tuple(other if o is op else o for o in projection.ops)))[0]


def _latent(node: str, original: Floats, uses: tuple[Use, ...], device: str) -> LatentWeight:
    """Return a node's latent weights, at their values in the model."""
    factor = np.zeros(original.size + 1)
    for use in uses:
        np.maximum.at(factor, use.index, np.abs(use.factor))
    factor = factor[:-1]
    smooth = np.clip(original * factor / SIZE, -1.0, 1.0)
    latent = torch.nn.Parameter(torch.as_tensor(smooth, device=device))
    largest = max(1.0, SIZE * float(np.abs(smooth).max(initial=0.0)))
    return LatentWeight(node, latent, factor, original, uses, largest)
