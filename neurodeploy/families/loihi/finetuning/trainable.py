"""The weights that can be trained, and the way from latent tensors to the codes of a program.

A weight is trained where its projection's codes are the weights themselves, each times a factor: a projection of one
weighted operation, with no pool that would sum it. Other weights stay as they are, and so do biases that are all 0: the
model was trained without. Biases that a source that is always on sends into currents stay as well.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.families.finetuning.weights import Floats, Weighted, flat_weights, with_weights
from neurodeploy.families.loihi.affine_form import AffineNeuron, affine_neuron
from neurodeploy.families.loihi.arithmetic import ALIGN_BITS
from neurodeploy.families.loihi.finetuning.coded import LoihiStart, coded_order
from neurodeploy.families.loihi.finetuning.latents import LatentBias, Latents, LatentWeight, Use
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.synapses import Flatten
from neurodeploy.passes.fold import Folded, fold

START_OFFSET = 0.49
"""Part of the distance between codes by which a latent weight may start away from its code."""

MOST_PROBED = 2**24
"""Weights of a node whose places are found by numbering them in float32."""


def make_latents(start: LoihiStart, device: str = "cpu") -> Latents:
    """Return what is trained, at its values in the network, whose operations have names."""
    network = start.network
    weights: dict[str, LatentWeight] = {}
    biases: dict[str, LatentBias] = {}
    fixed: set[str] = set()
    for index, projection in enumerate(coded_order(network)):
        ops = [op for op in projection.ops if isinstance(op, Weighted)]
        gather = _gather(start, projection, index) if len(ops) == 1 and ops[0].name else None
        found = gather and _weight(start, ops[0], gather, weights.get(ops[0].name), index, device)
        if not found:
            fixed.update(op.name or projection.name for op in ops)
            continue
        weights[found.node] = found
        if start.program.population(projection.target).takes_bias_as_spikes:
            continue
        if ops[0].bias is not None and ops[0].bias.any() and projection.target not in biases:
            biases[projection.target] = _bias(start, projection, ops[0], device)
    kept = tuple(weight for name, weight in weights.items() if name not in fixed)
    of_kept = tuple(bias for bias in biases.values() if bias.node not in fixed)
    return Latents(kept, of_kept, tuple(sorted(fixed)))


def _weight(
    start: LoihiStart, op: Weighted, gather: tuple[NDArray[np.int64], Floats], known: LatentWeight | None, place: int,
    device: str,
) -> LatentWeight | None:  # fmt: skip
    """Return a node's latent weights with one more use, or None where uses differ in scale."""
    (index, factors), levels = gather, start.levels[place]
    original = flat_weights(op).astype(np.float64)
    factor = np.zeros(original.size)
    factor[index.ravel()] = factors.ravel()
    if not np.allclose(factor[index], factors, rtol=1e-9, atol=0):
        return None
    if known is None:
        codes = np.zeros(original.size)
        codes[index.ravel()] = start.program.projections[place].weight.ravel()
        smooth = np.clip(original * factor, *(codes + side * START_OFFSET * levels.spacing for side in (-1, 1)))
        smooth = np.clip(smooth, levels.low, levels.high) / levels.size
        latent = torch.nn.Parameter(torch.as_tensor(smooth, device=device))
        known = LatentWeight(op.name, latent, factor, original, levels)
    both = (known.factor != 0) & (factor != 0)
    if known.levels != levels or not np.allclose(known.factor[both], factor[both], rtol=1e-9, atol=0):
        return None
    known.factor[factor != 0] = factor[factor != 0]
    known.uses.append(Use(place, torch.as_tensor(index.ravel(), device=device), index.shape))
    return known


def _gather(start: LoihiStart, projection: Projection, index: int) -> tuple[NDArray[np.int64], Floats] | None:
    """Return which weight each stored code is made of, and its codes per unit; None where sums of weights are stored.

    The chain is folded with three sets of weights in place of its own: ones, 1 to n, and random ones as a check.
    """
    (op,) = (op for op in projection.ops if isinstance(op, Weighted))
    size = flat_weights(op).size
    rng = np.random.default_rng(0)
    probes = (np.ones(size), np.arange(1.0, size + 1.0), rng.uniform(0.5, 1.5, size).astype(np.float32).astype(float))
    if size >= MOST_PROBED:
        return None
    ones, ranks, random = (_stored(start, _probe(projection, op, v), index) for v in probes)
    shape = start.program.projections[index].weight.shape
    if not ones.shape == shape == ranks.shape or (ones == 0).any():
        return None
    places = np.rint(ranks / ones).astype(np.int64) - 1
    if places.min(initial=0) < 0 or places.max(initial=0) >= size:
        return None
    return (places, ones) if np.allclose(random, probes[2][places] * ones, rtol=1e-6, atol=0) else None


def _stored(start: LoihiStart, projection: Projection, index: int) -> Floats:
    """Return stored weights of a projection in codes, before they are rounded."""
    population, source_shape = start.network.population(projection.target), start.network.shapes[projection.source]
    gain = _chip(start, population, 0.0).gain.reshape(population.shape).astype(np.float32)
    of_input = 1.0 / start.program.input_scale.get(projection.source, 1.0)
    scaled = fold(projection, source_shape).scaled(gain, source_shape, of_input)
    return _times_rows(scaled, start.per_volt[population.name] / 2.0 ** start.program.projections[index].exponent)


def _chip(start: LoihiStart, population: Population, bias: Any) -> AffineNeuron:
    """Return a population in the chip's form with a synaptic bias in V."""
    sends = any(p.source == population.name for p in start.network.projections)
    return affine_neuron(population, np.broadcast_to(bias, population.shape).astype(np.float64), start.chip, sends)


def _times_rows(folded: Folded, factor: Floats) -> Floats:
    """Return stored weights, each times the factor of the neuron, or of the channel, that it reaches."""
    if folded.is_sparse:
        return np.asarray(folded.weight.data * factor[folded.weight.indices])
    rows = factor.reshape(len(folded.entries), -1)[:, 0]
    scaled: Floats = folded.entries * rows.reshape(-1, *(1,) * (folded.entries.ndim - 1))
    return scaled


def _probe(projection: Projection, op: Weighted, values: Floats) -> Projection:
    """Return a projection with other weights in one operation, and without its bias."""
    other = replace(op, weight=with_weights(op, values), bias=None)
    return replace(projection, ops=tuple(other if o is op else o for o in projection.ops))


def _bias(start: LoihiStart, projection: Projection, op: Weighted, device: str) -> LatentBias:
    """Return the latent bias of a node."""
    assert op.bias is not None
    network, name = start.network, projection.target
    population, coded = network.population(name), start.program.population(name)
    others = [p for p in network.into(name) if p is not projection]
    rest: Any = sum(fold(p, network.shapes[p.source]).bias for p in others)
    zero, one = (_chip(start, population, rest + extra) for extra in (0.0, 1.0))
    level = float(np.abs(zero.threshold).max(initial=0.0)) or 1.0
    latent = torch.nn.Parameter(torch.as_tensor(op.bias.astype(np.float64) / level, device=device))
    unit = start.per_volt[name] * 2**ALIGN_BITS
    places = _bias_places(network, projection, op)
    most = start.chip.number_formats.bias_mantissa_max.value
    found = LatentBias(op.name, latent, coded, unit, level, zero.bias, one.bias - zero.bias, places, most, zero, one)
    # What the plan adds to a bias, to make up for rounding, stays as it is.
    ours, planned = found.codes(), coded.bias_mantissa.astype(np.int64) << coded.bias_exponent
    return replace(found, base=found.base + (planned - ours) / unit)


def _bias_places(network: Network, projection: Projection, op: Weighted) -> NDArray[np.int64]:
    """Return which of an operation's biases each neuron has."""
    assert op.bias is not None
    numbered = replace(op, bias=np.arange(op.bias.size))
    at = next(i for i, o in enumerate(projection.ops) if o is op)
    behind = tuple(o for o in projection.ops[at + 1 :] if isinstance(o, Flatten))
    ops = (*projection.ops[:at], numbered, *behind)
    reached = fold(replace(projection, ops=ops), network.shapes[projection.source]).bias
    return np.rint(reached.ravel()).astype(np.int64)
